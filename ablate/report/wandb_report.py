"""The comparison as a W&B Report, and the same panels as a workspace of its project.

Takes the optional extra `wandb` (the library wandb-workspaces, a public preview), a login, and runs that W&B has.
"""

from collections.abc import Sequence
from typing import Any

from ablate.comparison.variants import Variant
from ablate.errors import InputError
from ablate.report.contents import Contents
from ablate.report.tables import markdown

SIZE = {"w": 12, "h": 8}


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
    try:
        owner = entity or str(wandb.Api().default_entity)
        report, dashboards = built(made, owner, project), workspace(made.comparison.metric, owner, project)
        report.save()
        dashboards.save()
        return report.url, dashboards.url
    except (wandb.Error, ValueError, OSError) as error:
        raise InputError(
            f"--wandb: no W&B server took the report ({' '.join(str(error).split())}). It takes `wandb login`, and the"
            " runs: those that were offline are uploaded with `wandb sync runs/*/wandb/offline-run-*`."
        ) from error


def place(made: Contents) -> tuple[str | None, str]:
    """Entity (None: the login's own) and project of the runs. Raises InputError where none has been to W&B."""
    runs = [run for variant in made.comparison.variants for run in variant.results]
    places = {
        (run.config["tracking"]["entity"], run.config["tracking"]["project"]) for run in runs if run.record.wandb.id
    }
    if not places:
        raise InputError("--wandb: none of these runs has a W&B run; they were made with tracking=disabled.")
    if len(places) > 1:
        listed = ", ".join(f"{entity or 'the login'}/{project}" for entity, project in sorted(places, key=str))
        raise InputError(f"--wandb: the runs lie in several projects ({listed}): report one at a time.")
    return places.pop()


def built(made: Contents, entity: str, project: str) -> Any:
    """The W&B Report, unsaved."""
    from wandb_workspaces.reports import v2 as wr

    metric = made.comparison.metric
    sets = [run_set(variant) for variant in made.drawn.values() if _ids(variant)]
    blocks: list[Any] = [
        wr.MarkdownBlock(markdown(made)),
        *([wr.UnorderedList(items=list(made.notes))] if made.notes else []),
        wr.H2("Variants"),
        wr.PanelGrid(runsets=sets, panels=result_panels(metric)),
        wr.H2("Learning curves"),
        wr.PanelGrid(runsets=sets, panels=curve_panels(metric)),
        wr.H2("Gradient flow"),
        wr.PanelGrid(runsets=sets, panels=gradient_panels()),
        wr.H2("Which configuration values go with the result"),
        wr.PanelGrid(
            runsets=[run_set(*made.comparison.variants)], panels=[wr.ParameterImportancePlot(with_respect_to=metric)]
        ),
    ]
    title = made.comparison.question or f"Comparison of {made.comparison.source}"
    return wr.Report(
        project=project, entity=entity, title=title[:128], description=made.answer[0], blocks=blocks, width="fluid"
    )


def workspace(metric: str, entity: str, project: str) -> Any:
    """Dashboards on the server: the same panels, over all runs of the project."""
    from wandb_workspaces import workspaces as ws
    from wandb_workspaces.reports import v2 as wr

    sections = {
        "Result": [*result_panels(metric), wr.ParameterImportancePlot(with_respect_to=metric)],
        "Learning curves": curve_panels(metric),
        "Gradient flow": gradient_panels(),
    }
    return ws.Workspace(
        entity=entity,
        project=project,
        name="ablate",
        sections=[ws.Section(name=name, panels=panels, is_open=True) for name, panels in sections.items()],
    )


def run_set(*variants: Variant) -> Any:
    """The runs of the variants; those of one variant under its name, averaged as a group."""
    from wandb_workspaces import expr
    from wandb_workspaces.reports import v2 as wr

    one = len(variants) == 1
    ids = [run for variant in variants for run in _ids(variant)]
    return wr.Runset(
        name=variants[0].label if one else "all runs",
        filters=expr.And(expr.Metric("ID").isin(ids)),
        groupby=["group"] if one else [],
    )


def result_panels(metric: str) -> list[Any]:
    from wandb_workspaces.reports import v2 as wr

    wide = wr.Layout(x=0, y=0, **SIZE)
    beside = wr.Layout(x=12, y=0, **SIZE)
    return [
        wr.BarPlot(
            title=f"{metric}, mean and standard deviation over the seeds",
            metrics=[metric],
            groupby_aggfunc="mean",
            groupby_rangefunc="stddev",
            layout=wide,
        ),
        wr.ScatterPlot(title=f"{metric} against parameters", x="params", y=metric, layout=beside),
    ]


def curve_panels(metric: str) -> list[Any]:
    validation = metric.replace("test/", "val/")
    return [_lines(name, "epoch", i, y=[name]) for i, name in enumerate(dict.fromkeys((validation, "train/loss")))]


def gradient_panels() -> list[Any]:
    return [
        _lines("gradient norm of every layer", "trainer/global_step", 0, metric_regex="grad_norm/.*", log_y=True),
        _lines("gradient flow", "trainer/global_step", 1, metric_regex="gradient_flow/.*"),
    ]


def _lines(title: str, x: str, column: int, **what: Any) -> Any:
    from wandb_workspaces.reports import v2 as wr

    layout = wr.Layout(x=12 * column, y=0, **SIZE)
    return wr.LinePlot(title=title, x=x, groupby_aggfunc="mean", groupby_rangefunc="minmax", layout=layout, **what)


def _ids(variant: Variant) -> Sequence[str]:
    return [run.record.wandb.id for run in variant.results if run.record.wandb.id]
