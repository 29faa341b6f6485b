"""Whether a run's files are as they were written: compares them with what the record says of them."""

import hashlib
import stat
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from ablate.runs import config_file
from ablate.runs.lease import DAMAGED, Claim
from ablate.runs.record import RunRecord, now

# The files and folders in a run's directory.
FILES = ("run.json", "config.yaml", "metrics.parquet", "gradient_norms.parquet", "run.log")
FOLDERS = ("checkpoints", "parts", "gradient_flow", "wandb", ".hydra")
FLAT = ("checkpoints", "parts", "gradient_flow", ".hydra")  # folders of files only
HISTORY = ("metrics.parquet", "gradient_norms.parquet")
RESUMED_FROM, BEST = "checkpoints/step-", "checkpoints/best.pt"


def described(directory: Path) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of each file that the result consists of, by its path in the run's directory."""
    newest = sorted((directory / "checkpoints").glob("step-*.ckpt"))[-1:]
    paths = [*(directory / name for name in HISTORY), *newest, directory / BEST]
    return {path.relative_to(directory).as_posix(): _of(path) for path in paths if path.exists()}


def faults(directory: Path, known: RunRecord, thorough: bool = True) -> list[str]:
    """Which files of the result with the record `known` are missing or damaged; empty if it is whole.

    A missing checkpoint is not a fault, because people delete them to make room: a finished run does not need one to
    resume. The weights of the best epoch may be missing only if all checkpoints are. A checkpoint that is there must
    be whole.

    thorough  read every file instead of comparing sizes only
    """
    found = [f"run.json lacks {', '.join(known.lacking)}"] if known.lacking else []
    if known.files is None:  # from an older version. A Parquet file that was cut off cannot be read
        unread = [name for name in HISTORY if thorough and not _is_parquet(directory / name)]
        return found + [f"{name} is damaged or missing" for name in unread]
    for name, was in known.files.items():
        path = directory / name
        size = _size(path)
        if size is None:
            if not (name.startswith(RESUMED_FROM) or (name == BEST and is_without_checkpoints(directory))):
                found.append(f"{name} is missing")
        elif size != was["bytes"]:
            found.append(f"{name} has {size:,} bytes, not {was['bytes']:,}")
        elif thorough and _of(path) != was:
            found.append(f"{name} is damaged: its checksum differs from the record's")
    return found


def damage(directory: Path, known: RunRecord) -> list[str]:
    """Like `faults`, and also config.yaml, which the same command writes again without training."""
    found = faults(directory, known)
    return found if config_file.read(directory) is not None else [*found, "config.yaml is damaged or missing"]


def is_without_checkpoints(directory: Path) -> bool:
    """Whether all checkpoints have been deleted."""
    return not any((directory / "checkpoints").glob("*"))


def misplaced(directory: Path) -> list[Path]:
    """Files where a folder is expected, and folders where a file is."""
    return [
        *(path for name in FILES if (path := directory / name).is_dir()),
        *(path for name in FOLDERS if (path := directory / name).exists() and not path.is_dir()),
        *(
            path
            for name in FLAT
            if (directory / name).is_dir()
            for path in (directory / name).iterdir()
            if path.is_dir()
        ),
    ]


def leftovers(directory: Path, known: RunRecord | None) -> list[Path]:
    """What killed processes left behind: unfinished files, and the folder `parts` of a run that has its result."""
    unfinished = [path for folder in ("", "checkpoints", "parts", "gradient_flow") for path in _tmp(directory / folder)]
    done = known is not None and known.is_result
    return [*unfinished, *([directory / "parts"] if done and (directory / "parts").is_dir() else [])]


def sweep_up(claim: Claim, known: RunRecord | None) -> None:
    """Remove `leftovers`, and move what is `misplaced` to <runs_dir>/.damaged."""
    for path in leftovers(claim.directory, known):
        claim.staging.remove(path)
    if wrong := misplaced(claim.directory):
        claim.set_aside(wrong, "misplaced", DAMAGED)


def set_aside(claim: Claim, known: RunRecord | None, place: str) -> Path:
    """Move a run's files to <runs_dir>/<place>/<fingerprint>-<start>. The claimed directory itself stays."""
    started = known.started if known and known.started else now()
    stamp = "".join(c for c in started if c.isdigit())[:14]
    # The record last: if this is interrupted, the same command still finds the run and continues to move it.
    entries = sorted(claim.directory.iterdir(), key=lambda entry: entry.name == "run.json")
    return claim.set_aside([entry for entry in entries if entry.name != "claims"], stamp, place)


def _tmp(folder: Path) -> Iterator[Path]:
    return folder.glob("*.tmp") if folder.is_dir() else iter(())


def _size(path: Path) -> int | None:
    """The file's size in bytes, or None if there is no such file."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def _of(path: Path) -> dict[str, Any]:
    found = path.stat()
    return {"bytes": found.st_size, "sha256": _sha256(path, found.st_ino, found.st_size, found.st_mtime_ns)}


@lru_cache(maxsize=2**16)
def _sha256(path: Path, *version: int) -> str:
    """The hash of a file's content. It is computed once per command while the file's `version` stays the same."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_parquet(path: Path) -> bool:
    import pyarrow as pa  # not at the top: a plan needs this module without pyarrow
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            file.read()
        return True
    except (pa.ArrowException, OSError):
        return False
