"""All that can be found wrong with a sweep file, in one message."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException
from omegaconf.errors import OmegaConfBaseException

from ablate.configuration.bulk import Composer, named
from ablate.configuration.refusals.wording import explained
from ablate.errors import InputError, WrongNameError

MOST = 200  # configurations that are composed to find all faults: each may take Hydra a quarter of a second
NAMES = (
    MissingConfigException,
    ConfigCompositionException,
    WrongNameError,
)  # of these the file is at fault, not a cell


class Faults:
    """What is wrong with the file at `path`, as it is found: `found`, each once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.found: list[str] = []

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note the block's InputError, so that the next fault is found too."""
        try:
            yield
        except InputError as error:
            said = str(error).removeprefix(f"{self._path}: ")
            if said not in self.found:
                self.found.append(said)

    def check(self) -> None:
        """Raise InputError if anything was noted."""
        if self.found:
            raise InputError(together(self._path, self.found))


def together(path: Path, faults: Sequence[str], cells: int = 0) -> str:
    """One fault in a line, several as a list, and how many cells were not looked at."""
    if len(faults) == 1:
        return f"{path}: {faults[0]}"
    rest = [f"{cells:,} more cells were not looked at."] * (cells > 0)
    return "\n  ".join([f"{path}: {len(faults)} things are wrong:", *faults, *rest])


def wrong_names(cells: Iterable[Sequence[str]], composer: Composer) -> tuple[list[str], int]:
    """What the cells' overrides name that does not exist: axes, options and keys, each said once. And how many cells
    were looked at until MOST configurations were composed. Of cells that name the same the first is.

    What a wrong option implies is not known: of an override that has been found wrong, the keys below it are left out.
    """
    found: dict[str, None] = {}
    wrong: set[str] = set()
    right: set[str] = set()  # names that have stood in a configuration without a fault
    unexplained: set[str] = set()  # faults that no single override is guilty of
    count = looked_at = 0

    def fault_of(overrides: Sequence[str]) -> str | None:
        nonlocal count
        count += 1
        return _fault(overrides, composer)

    for overrides in cells:
        left = [text for text in overrides if not _below(text, wrong)]
        if not right.issuperset(map(named, left)):
            if count >= MOST:
                break
            while (fault := fault_of(left)) is not None and fault not in unexplained:
                found[fault] = None
                # The one that the message names first: each takes Hydra a while.
                likely = sorted(left, key=lambda text: _key(text) not in fault)
                guilty = next((text for text in likely if fault_of([t for t in left if t != text]) != fault), None)
                if guilty is None:
                    unexplained.add(fault)
                    break
                wrong.add(guilty)
                left = [text for text in left if not _below(text, wrong)]
            if fault is None:
                right.update(map(named, left))
        looked_at += 1
    return list(found), looked_at


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
