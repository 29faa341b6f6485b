"""What a person is meant to read."""

import difflib
from collections.abc import Iterable


class InputError(Exception):
    """The user's input is wrong; the message says what to do. The command line turns it into exit code 2."""


class UnknownKeyError(InputError):
    """A key that nothing reads."""


class ImageSizeError(InputError):
    """The network shrinks its images away: at a larger data.image_size the same choices fit."""


def nearest(word: str, words: Iterable[str]) -> str:
    """` Did you mean …?`, or nothing where no word is near."""
    near = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    return f" Did you mean {near[0]}?" if near else ""
