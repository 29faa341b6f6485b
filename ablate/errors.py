"""What a person is meant to read."""

import difflib
import errno
import logging
import re
from collections.abc import Iterable

log = logging.getLogger(__name__)

# Characters by which text could move a terminal's cursor, set its title or hide what it says: control characters but
# for the tab and the end of a line, and those that turn the direction of writing.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class InputError(Exception):
    """The user's input is wrong; the message says what to do. The command line turns it into exit code 2."""


class WrongNameError(InputError):
    """What someone wrote names no key, or no option: it is no cell's fault."""


class ImageSizeError(InputError):
    """The network shrinks its images away: at a larger data.image_size the same choices fit."""


def nearest(word: str, words: Iterable[str]) -> str:
    """` Did you mean …?`, or nothing where no word is near."""
    near = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    return f" Did you mean {near[0]}?" if near else ""


def reason(error: BaseException) -> str:
    """An error of a library's, which a value has caused, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())} (ABLATE_TRACEBACK=1 shows where.)"


def is_full(error: BaseException) -> bool:
    """Whether the error is that of a full disk, or of a user who may write no more."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def bare(value: object) -> str:
    """The value as text for a terminal: what may come from a file has its control characters written out."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), str(value))


_said: set[str] = set()


def say(text: str) -> None:
    """One line of what is good to know, once in a process."""
    if text not in _said:
        _said.add(text)
        log.warning(text)
