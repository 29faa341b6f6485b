"""What a finished run shows on the terminal."""

import shlex
from pathlib import Path

from rich.console import Console

from ablate.paths import relative
from ablate.report.numbers import count, unit
from ablate.report.terminal.markup import plain, prose
from ablate.runs.record import RunRecord
from ablate.training.gradients.thresholds import EXPLODING, VANISHING


def show(record: RunRecord, directory: Path, trained: bool) -> None:
    """The run's result as a short table: what came out, what it cost, where it lies, what to type next."""
    console = Console(highlight=False, soft_wrap=True)
    summary, cost = record.summary, record.cost
    state = record.status if trained else f"{record.status} before, not trained again"
    rows = []
    if record.status == "diverged":
        rows.append(("diverged", f"the loss of optimizer step {record.diverged_at} is not finite"))
    elif record.status == "stopped" and (ended := record.stopped):
        rows.append(("stopped", f"after {ended['step']:,} of {ended['of']:,} optimizer steps: {ended['reason']}"))
    else:
        # +trainer.limit_test_batches=0 and its like leave one out.
        if "test/acc" in summary:
            rows.append(("test accuracy", _accuracy(summary)))
        shown = ("test/acc", "test/acc_top5", "test/loss") if "test/acc" in summary else ()
        own = [name for name in summary if name.startswith("test/") and name not in shown]
        rows += [(name, f"[bold]{_written(name, summary[name])}[/bold]") for name in own]
        if "val/acc" in summary:
            rows.append(("validation", _written("val/acc", summary["val/acc"])))
    rows.append(("parameters", count(cost["params"])))
    rows.append(("multiply-adds", count(cost["macs"])))
    rows.append(("trained for", f"{cost['seconds']:.1f} s"))
    for layer, norm in record.gradient_norms.items():
        size = "not finite" if norm is None else f"{norm:.3g}"
        rows.append(("gradient norm", f"{size}  [dim]{plain(layer)}, last step[/dim]"))
    if record.gradient_flow:  # none where too little was recorded, or the record is older than the verdict
        ratio = summary["gradient_flow/first_to_last"]
        typical = summary.get("gradient_flow/size")  # which older records lack
        far = "" if ratio is None else f"  [dim]{ratio:.2g} times as large near the image as near the head[/dim]"
        rows.append(("gradient flow", plain(record.gradient_flow) + far))
        if ratio is not None:
            size = "" if typical is None else f"; RMS of the median layer: {typical:.2g}"
            rows.append(("", f"[dim]even is {VANISHING:g} to {EXPLODING:g} times{size}[/dim]"))
    elif record.gradient_norms and trained:
        rows.append(("gradient flow", "not judged  [dim]it takes two layers between the first and the last[/dim]"))
    rows.append(("run", plain(relative(directory))))
    rows += [(label, f"[bold]{plain(text)}[/bold]") for label, text in _next_steps(record, directory, trained)]
    prose(console, f"\n[bold]{plain(record.title)}: {state}[/bold]")
    width = max(len(label) for label, _ in rows)
    for label, text in rows:
        # Not a table, which would break a command in two where the terminal is narrow.
        console.print(f"{label:<{width}}  {text}")


def _written(name: str, value: float | None) -> str:
    """As a report writes it: accuracies in percent."""
    of = unit(name)
    if value is None:
        return "not finite"
    return f"{of.value(value)}%" if of.of_value == "%" else f"{value:.4g}"


def _accuracy(summary: dict[str, float]) -> str:
    top5 = "test/acc_top5"
    also = f"  (top-5 {_written(top5, summary[top5])})" if top5 in summary else ""
    return f"[bold]{_written('test/acc', summary['test/acc'])}[/bold]{also}"


def _next_steps(record: RunRecord, directory: Path, trained: bool) -> list[tuple[str, str]]:
    steps = []
    if record.wandb.url:
        steps.append(("W&B", record.wandb.url))
    elif record.wandb.mode == "offline":
        folder = shlex.quote(str(relative(directory) / "wandb"))
        steps += [
            ("look at it", shlex.join(["wandb", "leet", str(_newest(directory))])),
            ("upload it", f"wandb sync {folder}/offline-run-*"),
        ]
    steps.append(("report on it", shlex.join(["python", "-m", "ablate", "report", str(relative(directory))])))
    if not trained:
        typed = [text for text in record.overrides if not text.startswith("rerun=")]
        command = ["python", "-m", "ablate", *record.search_path, *typed, "rerun=true"]
        steps.append(("train again", shlex.join(command)))
    return steps


def _newest(directory: Path) -> Path:
    return relative(max((directory / "wandb").glob("offline-run-*"), default=directory / "wandb"))
