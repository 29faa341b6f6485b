"""What a finished run shows on the terminal."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


def count(number: float) -> str:
    """A count as people say it: 272.5k, 21.8M, 3.66G."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.4g}{unit}"
    return f"{number:g}"


def show(record: dict[str, Any], directory: Path, trained: bool) -> None:
    """The run's result as a short table: what came out, what it cost, where it lies, what to type next."""
    console = Console(highlight=False, soft_wrap=True)
    summary, cost = record["summary"], record["cost"]
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0), title_justify="left", title_style="bold")
    state = record["status"] if trained else f"{record['status']} before, not trained again"
    table.title = f"{record['name']}: {state}"
    if record["status"] == "diverged":
        table.add_row("diverged", f"the loss of optimizer step {record['diverged_at']} is not finite")
    else:
        # +trainer.limit_test_batches=0 and its like leave one out.
        if "test/acc" in summary:
            table.add_row("test accuracy", _accuracy(summary))
        if "val/acc" in summary:
            table.add_row("validation", f"{summary['val/acc']:.4f}")
    table.add_row("parameters", count(cost["params"]))
    table.add_row("multiply-adds", count(cost["macs"]))
    table.add_row("trained for", f"{cost['seconds']:.1f} s")
    for layer, norm in record["gradient_norms"].items():
        table.add_row("gradient norm", "not finite" if norm is None else f"{norm:.3g}  [dim]{layer}, last step[/dim]")
    table.add_row("run", str(_relative(directory)))
    for label, command in _next_steps(record, directory, trained):
        table.add_row(label, f"[bold]{command}[/bold]")
    console.print()
    console.print(table)


def _accuracy(summary: dict[str, float]) -> str:
    top5 = f"  (top-5 {summary['test/acc_top5']:.4f})" if "test/acc_top5" in summary else ""
    return f"[bold]{summary['test/acc']:.4f}[/bold]{top5}"


def _next_steps(record: dict[str, Any], directory: Path, trained: bool) -> list[tuple[str, str]]:
    wandb = record["wandb"]
    steps = []
    if wandb["url"]:
        steps.append(("W&B", wandb["url"]))
    elif wandb["mode"] == "offline":
        folder = _relative(directory) / "wandb" / "offline-run-*"
        steps += [("look at it", f"wandb leet {_newest(directory)}"), ("upload it", f"wandb sync {folder}")]
    if not trained:
        steps.append(("train again", " ".join(["python -m ablate", *record["overrides"], "rerun=true"])))
    return steps


def _newest(directory: Path) -> Path:
    return _relative(max((directory / "wandb").glob("offline-run-*"), default=directory / "wandb"))


def _relative(path: Path) -> Path:
    try:
        return path.relative_to(Path.cwd())
    except ValueError:
        return path
