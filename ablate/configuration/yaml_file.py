"""A YAML file that a person has written, read without trusting that it is one."""

import re
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ablate.errors import InputError

_BYTES = 16 * 2**20
_VALUES = 1_000_000  # with all that aliases stand for
_DEEPEST = 40


def text(path: Path) -> str:
    """What the file says. Raises InputError, without waiting for more, where it is no file of UTF-8 text."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            what = "a folder" if stat.S_ISDIR(found.st_mode) else "no regular file"
            raise InputError(f"{path} is {what}: a YAML file is expected, such as sweeps/quick.yaml.")
        if found.st_size > _BYTES:
            raise InputError(f"{path} has {found.st_size:,} bytes: that is no file that someone wrote.")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}. A YAML file is expected, such as sweeps/quick.yaml.") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path} is not UTF-8, in line {line}: save it with that encoding.") from error


def content(path: Path) -> Any:
    """What the file stands for, read as Hydra reads its own: 1e-4 is a number; `${…}` stays as it is.

    Raises InputError for a file that cannot be read, is not YAML, or comes to more than a person writes.
    """
    written = text(path)
    try:
        if re.search(r"(^|\s|[\[{,])[&*]\w", written):
            _check_aliases(path, yaml.compose(written, yaml.SafeLoader))
        parsed = OmegaConf.create(written)
        return OmegaConf.to_container(parsed)
    except InputError:
        raise
    except (yaml.YAMLError, OmegaConfBaseException, ValueError) as error:
        raise InputError(f"{path} is not YAML: {_told(error)[:300]}") from error
    except AssertionError:  # OmegaConf's, where it is a number
        return None
    except RecursionError as error:
        raise InputError(f"{path}: values within values within values: at most {_DEEPEST} levels are read.") from error


def _told(error: Exception) -> str:
    """Where the file cannot be read, and why."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem is None or error.problem_mark is None:
        told, *more = str(error).split("\n")
        where = next((line.split()[1] for line in more if line.strip().startswith("full_key: ")), None)
        return f"{where}: {told}" if where else told
    mark, began = error.problem_mark, error.context_mark
    told = f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    if error.context:
        told += f", {error.context}"
        told += f" that begins in line {began.line + 1}" if began and began.line != mark.line else ""
    return f"{told}."


def _check_aliases(path: Path, root: yaml.Node | None) -> None:
    """Raise InputError where aliases refer to themselves, or multiply beyond what anyone has use for."""
    sizes: dict[int, int] = {}
    within: set[int] = set()

    def size(node: yaml.Node) -> int:
        if id(node) in within:
            raise InputError(f"{path}: an alias stands within what it refers to, line {node.start_mark.line + 1}.")
        if id(node) not in sizes:
            within.add(id(node))
            sizes[id(node)] = 1 + sum(map(size, _children(node)))
            within.remove(id(node))
        return sizes[id(node)]

    if root is not None and (total := size(root)) > _VALUES:
        raise InputError(f"{path}: with its aliases it comes to {total:,} values; at most {_VALUES:,} are read.")


def _children(node: yaml.Node) -> Iterable[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else []
