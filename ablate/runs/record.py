"""run.json: what is known of a run, at any moment of it. Everything that reads or writes the file does so here."""

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

# A run that was lost is a result too: its loss stopped being finite, or it was ended as hopeless.
LOST = ("diverged", "stopped")
RESULTS = ("finished", *LOST)

# Of the file's format. Files without a number are older than the first, 1.
VERSION = 1

# What every record has had from the first version on. Without one of them it is no whole record.
ALWAYS = ("fingerprint", "choices", "overrides", "seed", "summary", "cost", "provenance", "started")
# Left out of the file where there is nothing to say.
_IF_ANY = ("files", "diverged_at", "stopped", "reason", "error")


@dataclass(frozen=True)
class _Stored:
    """A mapping in run.json. Its keys are the fields of a subclass.

    unknown  keys that this version has no field for, as a newer version wrote them: they are written back
    lacking  those of ALWAYS that were missing, or of another type than their field; they stay so
    """

    unknown: dict[str, Any] = field(default_factory=dict, kw_only=True)
    lacking: tuple[str, ...] = field(default=(), kw_only=True)

    @classmethod
    @cache
    def kinds(cls) -> dict[str, tuple[type, ...]]:
        """The types that the value of each key may have."""
        own = {field.name for field in fields(cls)} - {field.name for field in fields(_Stored)}
        hints = {name: hint for name, hint in get_type_hints(cls).items() if name in own}
        return {name: tuple(get_origin(part) or part for part in _alternatives(hint)) for name, hint in hints.items()}

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Self:
        """What is missing in `found`, or of another type than its field, has the field's default."""
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
    """The W&B run of a run, as far as it has one: id, mode (offline, online or disabled), address, sweep, its name and
    its group there."""

    id: str | None = None
    mode: str | None = None
    url: str | None = None
    sweep: str | None = None
    name: str | None = None
    group: str | None = None


@dataclass(frozen=True)
class RunRecord(_Stored):
    """What is known of a run. Every field has a default, since files of older versions lack what was added later.

    version         of the file's format; 0 for a file without a number
    name            the overrides that differ from the defaults
    status          running, interrupted, failed, finished, diverged or stopped
    choices         {axis: option}
    overrides       as typed
    search_path     the arguments that name folders of the user's own options
    summary         the last value of every metric
    cost            params, macs and, once trained, seconds
    provenance      code, data, libraries and machine: see `provenance` and `origin`
    started, ended  UTC, in ISO 8601; `ended` is None while the run is under way
    gradient_norms  the last norm of the first and of the last layer, by layer
    gradient_flow   the verdict; None where too little was recorded
    files           size and checksum of each file that the result consists of; None: none were noted
    diverged_at     the optimizer step whose loss was not finite
    stopped         of a run that was hopeless, where and why it was ended: step, of (how many steps), reason
    reason          of an interruption that was no signal
    error           of a failed run: the traceback
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
        """Of a run that begins now."""
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

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Self:
        """From a file of any version."""
        wandb = found.get("wandb")
        flow = found.get("gradient_flow")
        return super().of(
            {
                "version": 0,
                **found,
                "wandb": WandbRun.of(wandb if isinstance(wandb, dict) else {}),
                "gradient_flow": "even" if flow == "healthy" else flow,  # what older versions called it
            }
        )

    def as_json(self) -> dict[str, Any]:
        return super().as_json() | {"version": max(self.version, VERSION), "wandb": self.wandb.as_json()}

    @property
    def is_result(self) -> bool:
        return self.status in RESULTS

    @property
    def metrics(self) -> dict[str, Any]:
        """The summary, and what the run cost as cost/params, cost/macs and cost/seconds."""
        return self.summary | {f"cost/{name}": number for name, number in self.cost.items()}

    @property
    def failure(self) -> str:
        """What a failed run's error says in one line."""
        lines = (self.error or "").strip().splitlines()
        return lines[-1] if lines else "no reason is on record"


def _alternatives(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if isinstance(hint, UnionType) else (hint,)


def read(directory: Path) -> RunRecord | None:
    """The record in a run's directory, or None where there is none that can be understood: a disk may have lost what
    was written."""
    try:
        found = json.loads((directory / "run.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError):
        return None
    if not isinstance(found, dict) or not isinstance(found.get("status"), str):
        return None
    return _unless_cut_short(directory, RunRecord.of(found))


def write(directory: Path, record: RunRecord, staging: Staging | None = None) -> None:
    """Replace the record: readers see the old one or the new one, whole. Numbers that JSON lacks become null.

    staging  of the holder of the claim; None where nobody else can be at the run
    """
    text = json.dumps(without_nan(record.as_json()), indent=2, allow_nan=False)
    (staging or Staging(directory)).replace(
        directory / "run.json", lambda path: path.write_text(text + "\n", encoding="utf-8")
    )


def training(record: RunRecord | None) -> tuple[str, str | None] | None:
    """What tells one training of a cell from another: when it started and ended. None where there was none."""
    return (record.started, record.ended) if record else None


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _unless_cut_short(directory: Path, record: RunRecord) -> RunRecord:
    """The record, but `interrupted` where an older version called a run finished that trainer.max_time had ended.

    Such a version noted no files. Callbacks of the user's may have ended the training too, and then it was over.
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
    """Whether the history reaches to the last epoch or the last step, as far as it can be read."""
    import pyarrow as pa  # not where records are younger
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(directory / "metrics.parquet") as file:
            table = file.read(columns=["step", "epoch"]).to_pydict()
    except (pa.ArrowException, OSError):
        return True  # it is damaged, which is another fault
    is_last_epoch = max(table["epoch"], default=-1) + 1 >= trainer.get("max_epochs", 0)
    return is_last_epoch or max(table["step"], default=-1) + 1 == trainer.get("max_steps", -1)
