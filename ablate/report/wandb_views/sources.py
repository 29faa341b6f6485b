"""What of a comparison W&B has: which runs, where, under which names and in which colours."""

from collections.abc import Iterable, Sequence
from urllib.parse import unquote, urlparse

from ablate.comparison.results import Result
from ablate.comparison.variants import Variant
from ablate.configuration.values import at
from ablate.errors import InputError
from ablate.report.contents import Contents
from ablate.report.drawing.svg import stroke

MAP = "gradient_flow/heat_map"
NORMS = "grad_norm"


def tracked(variants: Iterable[Variant]) -> list[Result]:
    """The runs that have a W&B run."""
    return [run for variant in variants for run in variant.results if run.record.wandb.id]


def ids(variant: Variant) -> list[str]:
    return [run.record.wandb.id for run in tracked([variant]) if run.record.wandb.id]


def place(made: Contents) -> tuple[str | None, str]:
    """Entity (None: the login's own) and project of the runs. Raises InputError where none has been to W&B."""
    places = {_place(run) for run in tracked(made.comparison.variants)}
    if not places:
        raise InputError("--wandb: none of these runs has a W&B run; they were made with tracking=disabled.")
    if len(places) > 1:
        listed = ", ".join(f"{entity or 'the login'}/{project}" for entity, project in sorted(places, key=str))
        raise InputError(f"--wandb: the runs lie in several projects ({listed}): report one at a time.")
    return places.pop()


def _place(run: Result) -> tuple[str | None, str]:
    """Where the server has put it, which under an agent is not where its configuration says."""
    parts = urlparse(run.record.wandb.url or "").path.strip("/").split("/")
    if len(parts) == 4 and parts[2] == "runs":
        return unquote(parts[0]), unquote(parts[1])
    return at(run.config, "tracking.entity"), at(run.config, "tracking.project")


def names(runs: Iterable[Result]) -> set[str]:
    """The numbers that at least one of the runs has in W&B, by name; `MAP` for its picture, `NORMS` for the norms."""
    found: set[str] = set()
    for run in runs:
        record = run.record
        numbers = record.summary | record.cost
        found |= {name for name, value in numbers.items() if value is not None}
        found |= {NORMS} if record.gradient_norms else set()
        found |= {MAP} if run.directory and (run.directory / f"{MAP}.png").is_file() else set()
    return found


def has_choices(run: Result) -> bool:
    """Whether its configuration in W&B names the options: older versions wrote only what they stand for."""
    return "sweep" in at(run.config, "tracking", {})


def key(run: Result, factor: str) -> str:
    """Where a choice stands in a run's configuration in W&B."""
    return f"choices.{factor}" if factor in run.record.choices else f"recipe.{factor}"


def colour(series: int) -> str:
    """That of a variant on the page."""
    return stroke(series)["stroke"]


def groups(made: Contents) -> dict[str, str]:
    """W&B's groups that are variants, with the colours that these have on the page."""
    found = {}
    for series, variant in made.drawn.items():
        for run in tracked([variant]):
            if run.record.wandb.group:
                found[run.record.wandb.group] = colour(series)
    return found


def baseline_and_best(made: Contents) -> tuple[Variant, Variant, Sequence[str]] | None:
    """The baseline, the best other variant, and the W&B runs of both with one seed; None where there are none."""
    comparison = made.comparison
    others = [v for v in comparison.variants if not v.is_baseline and v.estimate.mean is not None and ids(v)]
    if not others:
        return None
    best = max(others, key=lambda variant: comparison.sign * (variant.estimate.mean or 0.0))
    of_seed = [{run.seed: run.record.wandb.id for run in tracked([v])} for v in (comparison.baseline, best)]
    shared = [seed for seed in of_seed[0] if seed in of_seed[1]]
    if not shared:
        return None
    return comparison.baseline, best, [str(known[shared[0]]) for known in of_seed]
