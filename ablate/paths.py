"""Where the project's own files lie."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent

# The configuration: in a wheel inside the package, in a checkout beside it.
CONF = _PACKAGE / "conf" if (_PACKAGE / "conf").is_dir() else _PACKAGE.parent / "conf"


def relative(path: Path) -> Path:
    """As seen from here, where it lies below."""
    try:
        return path.relative_to(Path.cwd())
    except (ValueError, FileNotFoundError):  # elsewhere, or the current folder is gone
        return path
