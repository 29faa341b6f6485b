"""Runs that other programs' trackers keep."""

import pytest

from ablate.comparison.elsewhere import sources
from ablate.comparison.elsewhere.source import Asked
from ablate.errors import InputError


def test_offline_files_cannot_be_read_and_it_is_said_what_to_do():
    with pytest.raises(
        InputError, match=r"no public way to read its offline files. Upload it, `wandb sync a/offline-run`"
    ):
        sources.read(["a/offline-run/run-1.wandb"], Asked(metric="acc"))
