"""Examines the runs in a folder: which are whole, which can be resumed, which are unusable, and why."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ablate.errors import InputError
from ablate.runs import config_file, intact, record
from ablate.runs.lease import DAMAGED, TakenError, claimed, holder

WHOLE, RUNNING, RESUMABLE, UNUSABLE = "whole", "running", "resumable", "unusable"
_FINGERPRINT = re.compile(r"[0-9a-f]{12}")


@dataclass
class Finding:
    """The state of a run's directory.

    state     whole: it has its result. running: a process is training it. resumable: the same command finishes it.
              unusable: the same command starts it from the beginning
    reasons   what is wrong, and where it resumes
    repaired  what has been repaired
    """

    directory: Path
    state: str
    reasons: list[str] = field(default_factory=list)
    repaired: list[str] = field(default_factory=list)


def examined(paths: Iterable[Path], repair: bool = False) -> list[Finding]:
    """Examine the runs at `paths`, each a run's directory or a folder of such directories.

    repair  remove files that killed processes left behind, and move runs that are damaged and cannot be resumed to
            <runs_dir>/.damaged, so that the same command trains them

    Raises InputError if a path does not exist.
    """
    directories = [directory for path in paths for directory in _runs(path)]
    return [_repaired(directory) if repair else examine(directory) for directory in directories]


def examine(directory: Path) -> Finding:
    """Examine one run, and change nothing."""
    if not directory.is_dir():
        return Finding(directory, UNUSABLE, ["it is a file, but a folder is expected"])
    if holder(directory) is not None:
        return Finding(directory, RUNNING)
    known = record.read(directory)
    wrong = [
        f"{path.name} is a {'folder' if path.is_dir() else 'file'} and should be a"
        f" {'file' if path.is_dir() else 'folder'}"
        for path in intact.misplaced(directory)
    ]
    notes = [f"{path.relative_to(directory)} was left behind" for path in intact.leftovers(directory, known)]
    if known is None:
        wrong.append("run.json is damaged" if (directory / "run.json").exists() else "run.json is missing")
    elif known.is_result:
        wrong += intact.faults(directory, known)
        if not wrong and intact.damage(directory, known):
            return Finding(directory, RESUMABLE, ["config.yaml is damaged or missing: it is written again", *notes])
        if not wrong:
            gone = ["its checkpoints have been deleted"] if intact.is_without_checkpoints(directory) else []
            return Finding(directory, WHOLE, [*gone, *notes])
    return _unfinished(directory, known, wrong, notes)


def _unfinished(directory: Path, known: record.RunRecord | None, wrong: list[str], notes: list[str]) -> Finding:
    from ablate.training.saving.resume import start  # imports torch, which is not needed for whole runs

    try:
        found = start(directory, None, (config_file.read(directory) or {}).get("result") == "best")
    except InputError as error:
        return Finding(directory, UNUSABLE, [*wrong, str(error), *notes])
    wrong += found.damage
    if found.checkpoint is not None:
        unsure = [] if known else ["if the data are the same"]
        return Finding(directory, RESUMABLE, [*wrong, f"resumes from {found.checkpoint.name}", *unsure, *notes])
    if wrong:
        return Finding(directory, UNUSABLE, [*wrong, *notes])
    return Finding(directory, RESUMABLE, [f"{known.status if known else None} before its first checkpoint", *notes])


def _repaired(directory: Path) -> Finding:
    found = examine(directory)
    if found.state == RUNNING:
        return found
    try:
        with claimed(directory, lambda: None) as claim:
            known = record.read(directory)
            left = intact.leftovers(directory, known)
            misplaced = intact.misplaced(directory)
            intact.sweep_up(claim, known)
            found.repaired += [f"removed {path.relative_to(directory)}" for path in left]
            found.repaired += [f"moved {path.name} to {DAMAGED}" for path in misplaced]
            if found.state == UNUSABLE:
                found.repaired.append(f"moved to {intact.set_aside(claim, known, DAMAGED)}: the same command trains it")
    except TakenError as error:
        found.repaired.append(f"left alone: {error}")
    return found


def _runs(path: Path) -> Iterator[Path]:
    if not path.exists():
        raise InputError(f"{path}: there is no such file or folder.")
    if _is_run(path):
        yield path
    elif path.is_dir():
        yield from (child for child in sorted(path.iterdir()) if _is_run(child))


def _is_run(path: Path) -> bool:
    """Whether `path` is a folder in which a run was begun, or a file with the name of such a folder."""
    if not path.is_dir():
        return _FINGERPRINT.fullmatch(path.name) is not None
    return any((path / name).exists() for name in ("run.json", "checkpoints", *intact.HISTORY))
