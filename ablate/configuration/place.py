"""Where results lie: whether runs_dir can be a folder."""

from pathlib import Path

from ablate.errors import InputError

_NAME, _PATH = 255, 4096  # bytes: Linux's NAME_MAX and PATH_MAX
_BELOW = 160  # of the longest path below runs_dir


def results_in(runs_dir: str) -> Path:
    """The folder, absolute. Raises InputError where it can be none; nothing is made."""
    try:
        folder = Path(runs_dir).expanduser().absolute()
    except RuntimeError as error:  # ~nobody
        raise InputError(f"runs_dir={runs_dir}: {error}") from error
    if len(str(folder).encode()) > _PATH - _BELOW or any(len(part.encode()) > _NAME for part in folder.parts):
        raise InputError(
            f"runs_dir={runs_dir[:40]}…: too long: a name has at most {_NAME} bytes, a path {_PATH - _BELOW}."
        )
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir():
        raise InputError(f"runs_dir={runs_dir}: {there} is no folder. Set runs_dir to one.")
    return folder


def of_run(runs_dir: str, fingerprint: str) -> Path:
    """Where the run with this fingerprint lies."""
    return Path(runs_dir).expanduser().absolute() / fingerprint


def make(folder: Path) -> None:
    """Make the folder of results. Raises InputError where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"runs_dir={folder} cannot be written ({error.strerror}): set runs_dir to a folder of yours."
        ) from error
