"""Which source what was typed names: `wandb:…` and its like by the word before the colon, tables by their ending."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from ablate.comparison.elsewhere import stored
from ablate.comparison.elsewhere.source import Asked, Found, Source
from ablate.errors import InputError

# Words before a colon, and the modules that read what follows: each takes a library that nothing else does.
TRACKERS = {"wandb": "wandb_project", "mlflow": "mlflow_runs", "tensorboard": "tensorboard_logs"}
TABLES = (".csv", ".tsv", ".parquet", ".jsonl", ".ndjson")


def is_elsewhere(name: str) -> bool:
    """Whether this names runs elsewhere than in folders of this tool's."""
    return tracker(name) is not None or Path(name).suffix in (*TABLES, ".wandb")


def tracker(name: str) -> str | None:
    before, colon, _ = name.partition(":")
    return before if colon and before in TRACKERS else None


def read(names: Sequence[str], asked: Asked) -> Found:
    """The runs of what was typed. Raises InputError where there are none, or something has to be asked."""
    return _source(names)(names, asked)


def _source(names: Sequence[str]) -> Source:
    others = [name for name in names if is_elsewhere(name)]
    if not others:
        return stored.read
    if others != list(names):
        raise InputError(f"{others[0]}: it is reported without folders of runs.")
    if offline := [name for name in names if Path(name).suffix == ".wandb"]:
        raise InputError(
            f"{offline[0]}: W&B's library has no public way to read its offline files. Upload it, `wandb sync"
            f" {Path(offline[0]).parent}`, and report wandb:ENTITY/PROJECT."
        )
    module = TRACKERS[named] if (named := tracker(names[0])) else "table"
    source: Source = import_module(f"ablate.comparison.elsewhere.{module}").read
    return source
