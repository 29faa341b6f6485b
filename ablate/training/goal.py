"""Whether a metric should be maximised or minimised."""

import re

from ablate.errors import InputError, nearest

MAXIMIZE, MINIMIZE = "maximize", "minimize"
GOALS = (MAXIMIZE, MINIMIZE)

# The goals of this project's metrics. None: neither more nor less is better.
_NEITHER = ("lr", "gradient_flow/first_to_last", "gradient_flow/decay_per_layer", "gradient_flow/size")
KNOWN: dict[str, str | None] = {
    **{f"{split}/{name}": MAXIMIZE for split in ("train", "val", "test") for name in ("acc", "acc_top5")},
    **{f"{split}/loss": MINIMIZE for split in ("train", "val", "test")},
    "train/loss_step": MINIMIZE,
    **{f"cost/{name}": MINIMIZE for name in ("params", "macs", "seconds")},
    **dict.fromkeys(_NEITHER),
}

# The goals of metrics with well-known names, which users add.
USUAL = {
    **dict.fromkeys(("f1", "precision", "recall", "specificity", "auroc", "ap", "iou", "kappa", "mcc", "r2"), MAXIMIZE),
    **dict.fromkeys(("mae", "mse", "rmse", "mape"), MINIMIZE),
}


# Words in the names of other programs' metrics.
WORDS = {
    frozenset(("acc", "accuracy", "top1", "top5", "acc1", "acc5", "map", "miou", "bleu", "dice", "auc"))
    | {name for name, goal in USUAL.items() if goal == MAXIMIZE}: MAXIMIZE,
    frozenset(("loss", "error", "err", "nll", "ppl", "perplexity", "wer", "fid"))
    | {name for name, goal in USUAL.items() if goal == MINIMIZE}: MINIMIZE,
}


def goal_of(metric: str, given: str | None = None) -> str:
    """`given`, or the metric's goal in the tables above: maximize or minimize.

    Raises InputError if `given` is neither, or if the tables do not have the metric.
    """
    if given is not None:
        if given not in GOALS:
            raise InputError(f"The goal of {metric} is {given}: write {MAXIMIZE} or {MINIMIZE}.{_meant(given)}")
        return given
    split, _, name = metric.partition("/")
    known = KNOWN.get(metric) or (USUAL.get(name) if split in ("train", "val", "test") else None)
    if known is None:
        unknown = "" if metric in KNOWN else nearest(metric, list(KNOWN))
        raise InputError(
            f"{metric}: is more of it better, or less?{unknown} Add --goal {MAXIMIZE} or --goal {MINIMIZE} to a report,"
            f" `metric: {{name: {metric}, goal: {MAXIMIZE}}}` to a sweep file."
        )
    return known


def goal_by_name(metric: str, given: str | None = None) -> str:
    """As `goal_of`, for a metric of another program's: by the words of its name, such as val_accuracy or eval/loss."""
    if given is not None or metric in KNOWN:
        return goal_of(metric, given)
    words = set(re.findall(r"[a-z0-9]+", metric.lower()))
    goals = {goal for names, goal in WORDS.items() if words & names}
    return goal_of(metric, goals.pop() if len(goals) == 1 else None)


def is_accuracy(metric: str) -> bool:
    """Whether people write its values in percent, by its name: val/acc, test/acc_top5."""
    return metric.rsplit("/", 1)[-1].startswith("acc")


def _meant(given: object) -> str:
    return nearest(str(given).lower(), list(GOALS))
