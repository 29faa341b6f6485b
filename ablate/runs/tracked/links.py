"""A folder in which `wandb leet` shows all offline runs of a sweep, each by its name: links, called what they show."""

import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from ablate.runs.record import RunRecord
from ablate.runs.tracked.labels import short

FOLDER = ".leet"  # below runs_dir
LONGEST = 100  # characters of a run's name in that of its link: a file's name has at most 255 bytes


def offline_folders(directory: Path) -> list[Path]:
    """W&B's folders of a run that was offline, one for each process that trained it, the earliest first."""
    return sorted((directory / "wandb").glob("offline-run-*"))


def link(runs: Iterable[tuple[str, Path, RunRecord]], folder: Path) -> bool:
    """Let `folder` have a link to each W&B folder of the runs, names with directories and records, and no others.

    Returns whether there are any. A name begins with `run-`, or leet (wandb 0.31) does not see it.
    """
    wanted: dict[str, Path] = {}
    for called, directory, known in runs:
        found = offline_folders(directory)
        for number, target in enumerate(found, start=1):
            part = f" part {number}" if len(found) > 1 else ""
            name = f"run-{short(called, known.fingerprint, LONGEST)}{part}".replace("/", "_")
            wanted[f"{name} {known.fingerprint}" if name in wanted else name] = target
    if not wanted:
        return False
    folder.mkdir(parents=True, exist_ok=True)
    for old in list(folder.iterdir()):
        if old.is_symlink() and old.name not in wanted and not old.name.startswith("."):
            old.unlink(missing_ok=True)
    for name, target in wanted.items():
        # By a name of its own first: another process may end the same sweep at this moment.
        made = folder / f".{secrets.token_hex(4)}"
        made.symlink_to(os.path.relpath(target, folder), target_is_directory=True)
        made.replace(folder / name)
    return True
