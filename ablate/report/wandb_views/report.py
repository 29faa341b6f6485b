"""The comparison as a W&B Report, and the same panels as a workspace of its project."""

from collections.abc import Sequence
from typing import Any

from ablate.errors import InputError
from ablate.report.contents import Contents
from ablate.report.tables import markdown
from ablate.report.wandb_views import panels
from ablate.report.wandb_views.sources import (
    baseline_and_best,
    colour,
    groups,
    has_choices,
    ids,
    key,
    names,
    place,
    tracked,
)

_NOTHING = {
    "Result": "No run in W&B has a value of this metric yet.",
    "Choices": "No run in W&B has both a result and the names of its choices, which older versions did not send.",
    "Learning curves": "No run in W&B has a curve of this metric, nor of the training loss.",
    "Gradient flow": "No gradient norms were recorded (gradient_norms.every_n_steps=0), or the runs were too short.",
}


def publish(made: Contents) -> tuple[str, str]:
    """Save the report and the workspace to the server and return their addresses.

    Raises InputError without the library, a server, or a run that the server has.
    """
    entity, project = place(made)
    try:
        import wandb
        import wandb_workspaces.reports.v2  # noqa: F401
    except ImportError as error:
        raise InputError(
            "--wandb takes the library wandb-workspaces: python -m pip install 'ablate-resnet[wandb]'."
        ) from error
    failures: tuple[type[Exception], ...] = (wandb.Error, *_of_the_api(), ValueError, OSError)
    try:
        owner = entity or str(wandb.Api().default_entity)
        report, dashboards = built(made, owner, project), workspace(made, owner, project)
        report.save()
        dashboards.save()
        return report.url, dashboards.url
    except failures as error:
        raise InputError(
            f"--wandb: no W&B server took the report ({' '.join(str(error).split())}). It takes `wandb login`, and the"
            " runs: those that were offline are uploaded with `wandb sync runs/*/wandb/offline-run-*`."
        ) from error


def _of_the_api() -> list[type[Exception]]:
    """What wandb's public API raises where a server is away or refuses, which is no wandb.Error (0.31)."""
    try:
        from wandb.sdk.lib.service.service_connection import WandbApiFailedError
    except ImportError:
        return []
    return [WandbApiFailedError]


def built(made: Contents, entity: str, project: str) -> Any:
    """The W&B Report, unsaved."""
    from wandb_workspaces.reports import v2 as wr

    blocks: list[Any] = [wr.TableOfContents(), wr.H2("Comparison"), wr.MarkdownBlock(markdown(made))]
    if made.notes:
        blocks.append(wr.UnorderedList(items=list(made.notes)))
    for title, shown in panels.sections(made).items():
        blocks.append(wr.H2(title))
        blocks.append(grid(made, shown) if shown else wr.P(_NOTHING[title]))
    if two := baseline_and_best(made):
        baseline, best, both = two
        blocks.append(wr.H2(f"{baseline.label} beside {best.label}"))
        blocks.append(wr.PanelGrid(runsets=[run_set("these two", both)], panels=panels.comparer()))
    title = made.comparison.question or f"Comparison of {made.comparison.source}"
    return wr.Report(
        project=project, entity=entity, title=title[:128], description=made.answer[0], blocks=blocks, width="fluid"
    )


def grid(made: Contents, shown: Sequence[Any]) -> Any:
    """Panels over a run set for each variant that W&B has runs of, in the page's colours."""
    from wandb_workspaces.reports import v2 as wr

    sets: list[Any] = []
    colours: dict[Any, Any] = {}
    for series, variant in made.drawn.items():
        if own := ids(variant):
            sets.append(run_set(variant.label, own, colour(series), grouped=True))
            for group in {run.record.wandb.group for run in tracked([variant])} - {None}:
                path = (wr.RunsetGroupKey(wr.Metric("Group"), str(group)),)
                colours[wr.RunsetGroup(variant.label, path)] = colour(series)
    return wr.PanelGrid(runsets=sets, panels=list(shown), custom_run_colors=colours)


def run_set(name: str, runs: Sequence[str], of_colour: str = "", grouped: bool = False) -> Any:
    """The W&B runs with these ids; `grouped`: averaged as a group."""
    from wandb_workspaces import expr
    from wandb_workspaces.reports import v2 as wr

    return wr.Runset(
        name=name,
        filters=expr.And(expr.Metric("ID").isin(list(runs))),
        groupby=["group"] if grouped else [],
        run_settings={run: wr.RunSettings(color=of_colour) for run in runs} if of_colour else {},
    )


def workspace(made: Contents, entity: str, project: str) -> Any:
    """A view of the project's workspace: the same panels, over all of its runs, grouped by variant."""
    from wandb_workspaces import expr
    from wandb_workspaces import workspaces as ws

    shown = {title: own for title, own in panels.sections(made).items() if own}
    of_baseline = ids(made.comparison.baseline)
    colours: dict[object, object] = dict(groups(made).items())
    return ws.Workspace(
        entity=entity,
        project=project,
        name="ablate",
        sections=[ws.Section(name=title, panels=own, is_open=True) for title, own in shown.items()],
        runset_settings=ws.RunsetSettings(
            groupby=[expr.Metric("Group")],
            pinned_columns=columns(made),
            group_colors=colours,
            baseline_run=of_baseline[0] if of_baseline else None,
        ),
    )


def columns(made: Contents) -> list[str]:
    """The columns of the runs' table that a reader looks at first, as far as the runs have them."""
    runs = tracked(made.comparison.variants)
    known, told = names(runs), [run for run in runs if has_choices(run)]
    factors = [f"config:{panels.accessor(key(told[0], factor))}" for factor in made.comparison.factors] if told else []
    numbers = [name for name in (made.comparison.metric, panels.RATIO, "params", "seconds") if name in known]
    return ["run:displayName", *factors, "summary:status", *(f"summary:{name}" for name in numbers)]
