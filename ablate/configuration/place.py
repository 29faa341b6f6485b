"""Where results are stored: checks runs_dir, and finds a run's directory in it."""

from pathlib import Path

from ablate.errors import InputError

_NAME, _PATH = 255, 4096  # bytes: Linux's NAME_MAX and PATH_MAX
_BELOW = 160  # bytes: the longest path below runs_dir


def results_in(runs_dir: str) -> Path:
    """The folder as an absolute path. Creates nothing. Raises InputError if it cannot be a folder."""
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
    """The directory of the run with this fingerprint."""
    return Path(runs_dir).expanduser().absolute() / fingerprint


def make(folder: Path) -> None:
    """Create the folder of results. Raises InputError if that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise not_writable(folder, error) from error


def not_writable(folder: Path, error: OSError) -> InputError:
    """The message for a folder of results that cannot be written."""
    return InputError(f"runs_dir={folder} cannot be written ({error.strerror}): set runs_dir to a folder of yours.")
