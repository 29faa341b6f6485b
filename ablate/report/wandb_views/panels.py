"""Panels of W&B's, each only where a run has what it shows: an empty one says nothing."""

from collections.abc import Collection, Sequence
from typing import Any

from ablate.report.contents import Contents
from ablate.report.wandb_views.sources import MAP, NORMS, has_choices, key, names, tracked

RATIO = "gradient_flow/first_to_last"
_WIDTH, _HEIGHT, _COLUMNS = 12, 8, 2


def sections(made: Contents) -> dict[str, list[Any]]:
    """Panels by the title under which they stand; none where there are no data for any."""
    runs = tracked(made.comparison.variants)
    metric, known = made.comparison.metric, names(runs)
    return {
        "Result": placed(of_result(metric, known)),
        "Choices": placed(of_choices(made)),
        "Learning curves": placed(of_curves(metric, known)),
        "Gradient flow": placed(of_gradients(metric, known)),
    }


def placed(panels: Sequence[Any]) -> list[Any]:
    """Two a row."""
    from wandb_workspaces.reports import v2 as wr

    for i, panel in enumerate(panels):
        x, y = i % _COLUMNS * _WIDTH, i // _COLUMNS * _HEIGHT
        panel.layout = wr.Layout(x=x, y=y, w=_WIDTH, h=_HEIGHT)
    return list(panels)


def of_result(metric: str, known: Collection[str]) -> list[Any]:
    from wandb_workspaces.reports import v2 as wr

    if metric not in known:
        return []
    panels: list[Any] = [
        wr.BarPlot(
            title=f"{metric}, mean and standard deviation over the seeds",
            metrics=[metric],
            groupby_aggfunc="mean",
            groupby_rangefunc="stddev",
        )
    ]
    if "params" in known:
        x, y = wr.SummaryMetric("params"), wr.SummaryMetric(metric)
        panels.append(wr.ScatterPlot(title=f"{metric} against parameters", x=x, y=y, log_x=True))
    return panels


def of_choices(made: Contents) -> list[Any]:
    """Which choices go with the result: lines across them, and W&B's own estimate of their importance."""
    from wandb_workspaces.reports import v2 as wr

    comparison = made.comparison
    runs = [run for run in tracked(comparison.variants) if has_choices(run)]
    known, metric = names(runs), comparison.metric
    keys = [key(runs[0], factor) for factor in comparison.factors] if runs else []
    if not keys or metric not in known:
        return []
    column = wr.ParallelCoordinatesPlotColumn
    columns = [column(wr.Config(name), display_name=name.partition(".")[2]) for name in keys]
    columns += [column(wr.SummaryMetric(RATIO), log=True)] * (RATIO in known)

    class Importance(wr.ParameterImportancePlot):
        """Of the choices first: the library has no word for which."""

        def _to_model(self) -> Any:
            model = super()._to_model()
            model.config.column_order = [f"config:{accessor(name)}" for name in keys]
            model.config.columns_pinned = dict.fromkeys(model.config.column_order, True)
            return model

    return [
        wr.ParallelCoordinatesPlot(title="choices", columns=[*columns, column(wr.SummaryMetric(metric))]),
        Importance(with_respect_to=metric),
    ]


def accessor(name: str) -> str:
    """A nested key of a configuration as W&B's tables address it."""
    first, _, rest = name.partition(".")
    return f"{first}.value" + (f".{rest}" if rest else "")


def of_curves(metric: str, known: Collection[str]) -> list[Any]:
    curves = dict.fromkeys((metric.replace("test/", "val/"), "train/loss"))
    return [_lines(name, "epoch", y=[name]) for name in curves if name in known]


def of_gradients(metric: str, known: Collection[str]) -> list[Any]:
    from wandb_workspaces.reports import v2 as wr

    panels: list[Any] = []
    if RATIO in known:
        # W&B's bars have no logarithmic axis: their lengths are logarithms, 0 for a gradient that is even.
        panels.append(
            wr.BarPlot(
                title=f"log10 of {RATIO}: below 0 it fades on its way to the image",
                metrics=[RATIO],
                custom_expressions=[f"log10(${{{RATIO}}})"],
                title_x="powers of ten",
                groupby_aggfunc="mean",
                groupby_rangefunc="minmax",
            )
        )
        if metric in known:
            x, y = wr.SummaryMetric(RATIO), wr.SummaryMetric(metric)
            panels.append(wr.ScatterPlot(title=f"{metric} against {RATIO}", x=x, y=y, log_x=True))
    if MAP in known:
        panels.append(wr.MediaBrowser(title="heat maps", media_keys=[MAP], num_columns=2, gallery_axis="run"))
    if NORMS in known:
        panels.append(_lines("gradient norms", "trainer/global_step", metric_regex="grad_norm/.*", log_y=True))
    return panels


def comparer() -> list[Any]:
    from wandb_workspaces.reports import v2 as wr

    panel = wr.RunComparer(diff_only="split")
    panel.layout = wr.Layout(x=0, y=0, w=_COLUMNS * _WIDTH, h=_HEIGHT)
    return [panel]


def _lines(title: str, x: str, **what: Any) -> Any:
    from wandb_workspaces.reports import v2 as wr

    return wr.LinePlot(title=title, x=x, groupby_aggfunc="mean", groupby_rangefunc="minmax", **what)
