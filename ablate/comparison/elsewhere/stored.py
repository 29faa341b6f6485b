"""Runs that this tool left in folders."""

from collections.abc import Sequence
from pathlib import Path

from ablate.comparison.elsewhere.source import Asked, Found
from ablate.comparison.results import find


def read(names: Sequence[str], asked: Asked) -> Found:
    """Those in directories, and in folders of them. Raises InputError where there are none."""
    return Found(find(map(Path, names)))
