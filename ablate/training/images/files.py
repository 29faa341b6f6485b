"""Whether the files that data are read from have changed, if possible without reading them."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

READ_AT_MOST = 2**30  # bytes. Of larger data, only some files are read, always the same ones


def place(path: Path, root: str | None) -> str:
    """`path` as it is recorded: relative to `root` if it is below, so that a copy in another folder has the same."""
    if root is not None and path.absolute().is_relative_to(top := Path(root).expanduser().absolute()):
        return path.absolute().relative_to(top).as_posix()
    return path.absolute().as_posix()


def seen(root: str | None, places: Sequence[str]) -> dict[str, Any]:
    """What is recorded of the files at `places`, each a file or a folder of files, which need not exist."""
    return {"places": list(places), "listing": listing(root, places)}


def listing(root: str | None, places: Iterable[str]) -> str | None:
    """16 hex digits of SHA-256 over names, sizes and modification times of all files at `places`; None if there are
    none."""
    digest, found = hashlib.sha256(), False
    for name in places:
        top = Path(root or "").expanduser() / name
        for path in _below(top):
            state, found = path.stat(), True
            shown = path.relative_to(top).as_posix()
            digest.update(f"{name} {shown} {state.st_size} {state.st_mtime_ns}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:16] if found else None


def contents(paths: Iterable[Path], top: Path) -> str:
    """16 hex digits of SHA-256 over the files' names below `top` and their bytes. Reads files in a fixed,
    random-looking order until it has read `READ_AT_MOST` bytes."""
    names = sorted((hashlib.sha256(os.fsencode(path.relative_to(top).as_posix())).digest(), path) for path in paths)
    digest, left = hashlib.sha256(), READ_AT_MOST
    for name, path in names:
        with path.open("rb") as file:
            digest.update(name + hashlib.file_digest(file, "sha256").digest())
            left -= file.tell()
        if left <= 0:
            break
    return digest.hexdigest()[:16]


def _below(top: Path) -> Iterable[Path]:
    """The file `top`, or all files below the folder `top`, in the order of their names."""
    if top.is_file():
        yield top
    for folder, folders, names in os.walk(top, followlinks=True):
        folders.sort()
        yield from (path for name in sorted(names) if (path := Path(folder) / name).is_file())
