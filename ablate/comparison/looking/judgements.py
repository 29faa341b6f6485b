"""The ledger of judgements against one baseline: `<runs_dir>/.rounds/judgements-<baseline>.json`.

A candidate gets its level when it is first judged, and keeps it. Processes that judge at the same time wait for each
other here, not while they train.
"""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from ablate.comparison.looking.rounds import FOLDER
from ablate.errors import InputError
from ablate.runs import record
from ablate.statistics.ledger import next_level
from ablate.statistics.rounds import BETTER, WORSE
from ablate.training.saving.staging import Staging


@dataclass(frozen=True)
class Judgement:
    """candidate  the fingerprint of its first seed's run; label: as it was typed
    level      that its looks may spend
    outcome    None while it is being judged
    """

    candidate: str
    label: str
    level: float
    begun: str
    outcome: str | None = None


def path_of(runs_dir: Path, baseline: str) -> Path:
    return runs_dir / FOLDER / f"judgements-{baseline}.json"


def read(path: Path) -> list[Judgement]:
    """All judgements, in order. Raises InputError for a file that nobody understands."""
    try:
        return [Judgement(**known) for known in json.loads(path.read_text(encoding="utf-8"))]
    except FileNotFoundError:
        return []
    except (ValueError, TypeError) as error:
        raise InputError(f"{path} holds no judgements ({error}): move it away, or restore it.") from error


def entered(path: Path, candidate: str, label: str) -> Judgement:
    """The candidate's entry: its old one, or a new one with the next level."""
    with _held(path):
        known = read(path)
        for judgement in known:
            if judgement.candidate == candidate:
                return judgement
        level = next_level([(j.level, j.outcome in (BETTER, WORSE)) for j in known])
        new = Judgement(candidate, label, level, record.now())
        _write(path, [*known, new])
        return new


def close(path: Path, candidate: str, outcome: str) -> None:
    """Note what became of the candidate."""
    with _held(path):
        _write(path, [replace(j, outcome=outcome) if j.candidate == candidate else j for j in read(path)])


def _write(path: Path, judgements: list[Judgement]) -> None:
    text = json.dumps([asdict(judgement) for judgement in judgements], indent=2)
    Staging(path.parent).replace(path, partial(Path.write_text, data=text, encoding="utf-8"))


@contextmanager
def _held(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
