"""What a person is meant to read."""

import difflib
import errno
import json
import logging
import re
import sysconfig
import traceback
from collections.abc import Iterable
from itertools import takewhile
from pathlib import Path

from ablate.paths import relative

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
    """` Did you mean …?`, or nothing where no word is near. Of words as near those with the longest same beginning."""

    def likeness(other: str) -> tuple[float, int]:
        same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(word, other, strict=False)))
        return difflib.SequenceMatcher(None, other, word).ratio(), same

    near = difflib.get_close_matches(word, list(words), n=20, cutoff=0.6)
    best = max(map(likeness, near), default=None)
    alike = sorted({other for other in near if likeness(other) == best})
    return f" Did you mean {' or '.join(alike[:3])}?" if alike else ""


def not_taken(key: str, value: object, what: str, takes: Iterable[str], beside: Iterable[str] = ()) -> InputError:
    """The refusal of `key`=`value`, an argument that `what` does not take.

    takes   the names of the arguments that it takes
    beside  further keys that may stand there, which something else reads
    """
    takes, beside = list(takes), list(beside)
    near = nearest(key.rpartition(".")[2], [*takes, *beside])
    others = f"; other keys are {', '.join(beside)}" if beside else ""
    listed = ", ".join(takes) or "nothing"
    shown = value if isinstance(value, str) else json.dumps(value, default=str)  # true, as it is typed, not True
    return InputError(f"{key}={shown}: {what} does not take it.{near} It takes {listed}{others}.")


def reason(error: BaseException) -> str:
    """An error of a library's, or of the user's code, which a value has caused, in one line that says where."""
    while error.__cause__ is not None and (inner := place(error.__cause__)) and place(error) == inner:
        error = error.__cause__
    where = place(error) or "ABLATE_TRACEBACK=1 shows where."
    return f"{type(error).__name__}: {' '.join(str(error).split())} ({where})"


def place(error: BaseException) -> str | None:
    """The line of the user's own code in which the error arose, or the last one on the way there; None where none of
    theirs had a part."""
    if isinstance(error, SyntaxError) and error.filename and _is_theirs(error.filename):
        return f"{relative(Path(error.filename))}, line {error.lineno}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_theirs(frame.filename)]
    if not frames:
        return place(error.__cause__) if error.__cause__ else None
    last = frames[-1]
    return f"{relative(Path(last.filename))}, line {last.lineno}, in {last.name}: {last.line}"


def _is_theirs(file: str) -> bool:
    """Whether a source file is neither this package's, nor Python's, nor an installed one."""
    path = Path(file)
    installed = {"site-packages", "dist-packages"} & set(path.parts)
    return path.is_file() and not installed and not any(path.is_relative_to(folder) for folder in _NOT_THEIRS)


_NOT_THEIRS = (Path(__file__).resolve().parent, Path(sysconfig.get_path("stdlib")))


def is_full(error: BaseException) -> bool:
    """Whether the error is that of a full disk, or of a user who may write no more."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def bare(value: object) -> str:
    """The value as text for a terminal: what may come from a file has its control characters written out."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), str(value))


_said: set[str] = set()


def raised_within(text: str) -> str | None:
    """What the InputError said that a resolver has raised, of which OmegaConf keeps only the text; None if none has."""
    return text.partition("InputError raised while resolving interpolation: ")[2].partition("\n")[0] or None


def say(text: str) -> None:
    """One line of what is good to know, once in a process."""
    if text not in _said:
        _said.add(text)
        log.warning(text)


def hush() -> None:
    """Leave out what `say` would say, as of a bench's random data."""
    log.setLevel(logging.ERROR)


def described(error: BaseException) -> str:
    """The traceback, and under it what to try, where that is known."""
    text = "".join(traceback.format_exception(error)).rstrip()
    return f"{text}\n{_OUT_OF_MEMORY}" if _is_out_of_memory(error) else text


_OUT_OF_MEMORY = (
    "Out of memory. Try a smaller data.batch_size (trainer.accumulate_grad_batches keeps the product),"
    " trainer.precision=bf16-mixed, or fewer runs at once (hydra.launcher.workers)."
)


def is_out_of_gpu_memory(error: BaseException) -> bool:
    """Whether a GPU's memory did not suffice. cuBLAS and CUDA itself have errors of their own for that."""
    # torch's own by its name: the command line says what went wrong without torch too, which takes seconds to load.
    words = ("CUDA out of memory", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
    is_torchs = any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__)
    return is_torchs or any(text in str(error) for text in words)


def _is_out_of_memory(error: BaseException) -> bool:
    is_of_host = isinstance(error, MemoryError) or "can't allocate memory" in str(error)
    return is_of_host or is_out_of_gpu_memory(error)
