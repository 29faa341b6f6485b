"""Shared by the tests of the bench."""

from collections.abc import Iterator

import pytest

from ablate import errors


@pytest.fixture(autouse=True)
def _said_again_afterwards() -> Iterator[None]:
    """A bench leaves out what is said of data. In this process other tests go by that."""
    yield
    errors.log.setLevel(0)
