"""All that can be found wrong with a sweep file, in one message."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException
from omegaconf.errors import OmegaConfBaseException

from ablate.configuration.bulk import Composer
from ablate.configuration.refusals.wording import explained
from ablate.errors import InputError, WrongNameError

LOOKED_AT = 100  # cells: every wrong name of a file stands in one of the first, unless the file is huge
NAMES = (
    MissingConfigException,
    ConfigCompositionException,
    WrongNameError,
)  # of these the file is at fault, not a cell


class Faults:
    """What is wrong with the file at `path`, as it is found."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: list[str] = []

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note the block's InputError, so that the next fault is found too."""
        try:
            yield
        except InputError as error:
            self._found.append(str(error).removeprefix(f"{self._path}: "))

    def check(self) -> None:
        """Raise InputError if anything was noted."""
        if self._found:
            raise InputError(together(self._path, self._found))


def together(path: Path, faults: Sequence[str]) -> str:
    """One fault in a line, several as a list."""
    if len(faults) == 1:
        return f"{path}: {faults[0]}"
    return "\n  ".join([f"{path}: {len(faults)} things are wrong:", *faults])


def wrong_names(cells: Iterable[Sequence[str]], composer: Composer) -> list[str]:
    """What the cells' overrides name that does not exist: axes, options and keys, each said once.

    What a wrong option implies is not known: of an override that has been found wrong, the keys below it are left out.
    """
    found: dict[str, None] = {}
    wrong: set[str] = set()
    for overrides, _ in zip(cells, range(LOOKED_AT), strict=False):
        left = [text for text in overrides if not _below(text, wrong)]
        while (fault := _fault(left, composer)) is not None:
            found[fault] = None
            # The one that the message names first: each takes Hydra a while.
            likely = sorted(left, key=lambda text: _key(text) not in fault)
            guilty = next((text for text in likely if _fault([t for t in left if t != text], composer) != fault), None)
            if guilty is None:
                break
            wrong.add(guilty)
            left = [text for text in left if not _below(text, wrong)]
    return list(found)


def _key(text: str) -> str:
    return text.partition("=")[0].lstrip("+~")


def _below(text: str, wrong: Iterable[str]) -> bool:
    """Whether it is one of these overrides, or sets a key of one."""
    return any(text == other or _key(text).startswith(f"{_key(other)}.") for other in wrong)


def _fault(overrides: Sequence[str], composer: Composer) -> str | None:
    try:
        composer(composer.used(overrides))
    except NAMES as error:
        return explained(error)
    except (InputError, HydraException, OmegaConfBaseException):
        return None  # a combination that cannot be
    return None
