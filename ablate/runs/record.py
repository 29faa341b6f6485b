"""run.json, the record of a run from its start to its end. Only this module reads and writes the file."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, Self, get_args, get_origin, get_type_hints

from ablate.configuration.values import without_nan
from ablate.runs import config_file
from ablate.training.saving.staging import Staging

if TYPE_CHECKING:
    from ablate.configuration.composition import Composition

# These are results too: the loss stopped being finite, or the run was ended early as hopeless.
LOST = ("diverged", "stopped")
RESULTS = ("finished", *LOST)

# The version of the file's format. Files from before version 1 have no number.
VERSION = 1

# The fields that records of every version have. A record that lacks one is damaged.
ALWAYS = ("fingerprint", "choices", "overrides", "seed", "summary", "cost", "provenance", "started")
# Fields that are left out of the file if they are None.
_IF_ANY = ("goals", "files", "diverged_at", "stopped", "reason", "error")


@dataclass(frozen=True)
class _Stored:
    """A mapping in run.json. The fields of a subclass are its keys.

    unknown  keys without a field, written by a newer version. They are kept when the file is written
    lacking  those of ALWAYS that were missing, or had a wrong type. They are not written either
    """

    unknown: dict[str, Any] = field(default_factory=dict, kw_only=True)
    lacking: tuple[str, ...] = field(default=(), kw_only=True)

    @classmethod
    @cache
    def kinds(cls) -> dict[str, tuple[type, ...]]:
        """The types that each key's value may have."""
        own = {field.name for field in fields(cls)} - {field.name for field in fields(_Stored)}
        hints = {name: hint for name, hint in get_type_hints(cls).items() if name in own}
        return {name: tuple(get_origin(part) or part for part in _alternatives(hint)) for name, hint in hints.items()}

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Self:
        """Read the mapping `found`. A key that is missing, or has a wrong type, gets its field's default."""
        kinds = cls.kinds()
        known = {key: value for key, value in found.items() if key in kinds and isinstance(value, kinds[key])}
        unknown = {key: value for key, value in found.items() if key not in kinds}
        lacking = tuple(key for key in ALWAYS if key in kinds and key not in known)
        return cls(**known, unknown=unknown, lacking=lacking)

    def as_json(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in self.kinds() if name not in self.lacking}
        return {name: value for name, value in own.items() if value is not None or name not in _IF_ANY} | self.unknown


@dataclass(frozen=True)
class WandbRun(_Stored):
    """The W&B run of a run: its id, mode (offline, online or disabled), address, sweep, name and group; None where
    unknown."""

    id: str | None = None
    mode: str | None = None
    url: str | None = None
    sweep: str | None = None
    name: str | None = None
    group: str | None = None


@dataclass(frozen=True)
class RunRecord(_Stored):
    """The record of a run. Every field has a default, because files of older versions lack the newer fields.

    version         the version of the file's format; 0 for a file without a number
    name            the overrides that differ from the defaults
    status          running, interrupted, failed, finished, diverged or stopped
    choices         {axis: option}
    overrides       as typed
    search_path     the arguments that add folders of your own options
    summary         the last value of every metric
    goals           of metrics of the user's: maximize or minimize, by name, as far as they say; None: there are none
    cost            params, macs and, once trained, seconds
    provenance      code, data, libraries and machine: see `provenance` and `origin`
    started, ended  UTC, in ISO 8601; `ended` is None while the run is under way
    resumed         whether it was resumed from a checkpoint
    gradient_norms  the last norm of the first and of the last layer, by layer
    gradient_flow   the verdict: vanishing, even or exploding; None if too little was recorded
    files           size and checksum of each file that the result consists of; None if they were not recorded
    diverged_at     the optimizer step whose loss was not finite
    stopped         where and why a hopeless run was ended: `step`, `of` (how many steps), `reason`
    reason          why the run was interrupted, if not by a signal
    error           the traceback of a failed run
    """

    version: int = VERSION
    fingerprint: str = ""
    name: str = ""
    status: str = "running"
    choices: dict[str, str | None] = field(default_factory=dict)
    overrides: list[str] = field(default_factory=list)
    search_path: list[str] = field(default_factory=list)
    seed: int = 0
    summary: dict[str, Any] = field(default_factory=dict)
    goals: dict[str, Any] | None = None
    cost: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    wandb: WandbRun = field(default_factory=WandbRun)
    started: str = ""
    ended: str | None = None
    resumed: bool = False
    gradient_norms: dict[str, Any] = field(default_factory=dict)
    gradient_flow: str | None = None
    files: dict[str, Any] | None = None
    diverged_at: int | None = None
    stopped: dict[str, Any] | None = None
    reason: str | None = None
    error: str | None = None

    @classmethod
    def begun(cls, asked: "Composition", fingerprint: str, seed: int, params: int | None, macs: int | None) -> Self:
        """The record of a run that begins now."""
        return cls(
            fingerprint=fingerprint,
            name=asked.name,
            choices=asked.choices,
            overrides=asked.overrides,
            search_path=asked.search_path,
            seed=seed,
            cost={"params": params, "macs": macs},
            started=now(),
        )

    def asked(self, now: "Composition") -> Self:
        """The record of a stored run in the words that were typed for it now: they may be others than then."""
        return replace(self, name=now.name, choices=now.choices, overrides=now.overrides, search_path=now.search_path)

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Self:
        """Read the content of a file of any version."""
        wandb = found.get("wandb")
        flow = found.get("gradient_flow")
        return super().of(
            {
                "version": 0,
                **found,
                "wandb": WandbRun.of(wandb if isinstance(wandb, dict) else {}),
                "gradient_flow": "even" if flow == "healthy" else flow,  # older versions wrote `healthy`
            }
        )

    def as_json(self) -> dict[str, Any]:
        return super().as_json() | {"version": max(self.version, VERSION), "wandb": self.wandb.as_json()}

    @property
    def title(self) -> str:
        """The name, with the network in front where it is the default, which the name leaves out."""
        model = self.choices.get("model")
        named = any(text.lstrip("+").startswith(("model=", "experiment=")) for text in self.name.split())
        if model is None or named:
            return self.name
        return f"model={model}" if self.name == "defaults" else f"model={model} {self.name}"

    @property
    def is_result(self) -> bool:
        return self.status in RESULTS

    @property
    def metrics(self) -> dict[str, Any]:
        """The summary, with the run's cost as cost/params, cost/macs and cost/seconds."""
        return self.summary | {f"cost/{name}": number for name, number in self.cost.items()}

    @property
    def failure(self) -> str:
        """A failed run's error in one line."""
        lines = (self.error or "").strip().splitlines()
        return lines[-1] if lines else "no reason was recorded"


def _alternatives(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if isinstance(hint, UnionType) else (hint,)


def read(directory: Path) -> RunRecord | None:
    """The record in a run's directory, or None if there is none or it cannot be read."""
    try:
        found = json.loads((directory / "run.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError):
        return None
    if not isinstance(found, dict) or not isinstance(found.get("status"), str):
        return None
    return _corrected(directory, RunRecord.of(found))


def write(directory: Path, record: RunRecord, staging: Staging | None = None) -> None:
    """Replace the record atomically: readers see the whole old or the whole new one. NaN and infinity become null.

    staging  the claim's; None if no other process can be training the run
    """
    text = json.dumps(without_nan(record.as_json()), indent=2, allow_nan=False)
    (staging or Staging(directory)).replace(
        directory / "run.json", lambda path: path.write_text(text + "\n", encoding="utf-8")
    )


def training(record: RunRecord | None) -> tuple[str, str | None] | None:
    """When the training started and ended, which tells it from another training of the same cell; None without one."""
    return (record.started, record.ended) if record else None


def now() -> str:
    """The time now: UTC, in ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _corrected(directory: Path, record: RunRecord) -> RunRecord:
    """The record, with the status `interrupted` if trainer.max_time had ended the training.

    Older versions, which recorded no files, called such a run finished. If the user has added callbacks, one of them
    may have ended the training, and the status stays.
    """
    is_old = record.status == "finished" and record.files is None
    if not is_old or not config_file.mentions(directory, "max_time"):
        return record
    trainer = (config_file.read(directory) or {}).get("trainer")
    if not isinstance(trainer, dict) or not trainer.get("max_time") or trainer.get("callbacks"):
        return record
    why = "trainer.max_time had ended it before the training was over"
    return record if _is_trained(directory, trainer) else replace(record, status="interrupted", reason=why)


def _is_trained(directory: Path, trainer: Mapping[str, Any]) -> bool:
    """Whether the history reaches the last epoch or the last step. True if it cannot be read."""
    import pyarrow as pa  # not at the top: only records of older versions need it
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(directory / "metrics.parquet") as file:
            table = file.read(columns=["step", "epoch"]).to_pydict()
    except (pa.ArrowException, OSError):
        return True  # `intact.faults` reports the damage
    is_last_epoch = max(table["epoch"], default=-1) + 1 >= trainer.get("max_epochs", 0)
    return is_last_epoch or max(table["step"], default=-1) + 1 == trainer.get("max_steps", -1)
