"""What an option is, in a few words: the first sentence of its file's comment."""

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from ablate.paths import CONF

_NAME = re.compile(r"[\w-]+(/[\w-]+)*")
_SEARCHED = re.compile(r"--config-dir=(.+)|file://([^\],]+)")
_SOURCES = re.compile(r"\s+\([^()]*\)")
_END = re.compile(r"(?<!\bal)\.(?=\s|$)|;")


def gloss(axis: str, option: str, search_path: Iterable[str] = ()) -> str:
    """The first sentence, or half of one, without the sources in brackets. Empty where there is no such file, or no
    comment in it.

    search_path  the arguments that add folders of the user's own options
    """
    if not _NAME.fullmatch(axis) or not _NAME.fullmatch(option):
        return ""
    folders = [Path(one or other) for text in search_path for one, other in _SEARCHED.findall(text)]
    return next(filter(None, (_said(folder / axis / f"{option}.yaml") for folder in (*folders, CONF))), "")


@cache
def _said(file: Path) -> str:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):  # ValueError: no UTF-8, or a name that no file can have
        return ""
    lines = [line for line in lines if not line.startswith("# @package")]
    end = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
    text = _SOURCES.sub("", " ".join(line.lstrip("# ") for line in lines[:end]))
    return _END.split(text)[0].strip()
