"""Reads YAML files that a person has written, and refuses with a clear message what is not one."""

import re
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ablate.errors import InputError, nearest

_BYTES = 16 * 2**20
_VALUES = 1_000_000  # aliases expanded


def text(path: Path) -> str:
    """The file's text. Raises InputError at once if it is not a regular file of UTF-8 text, or is too large."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            what = "a folder" if stat.S_ISDIR(found.st_mode) else "not a regular file"
            raise InputError(f"{path} is {what}: a YAML file is expected.")
        if found.st_size > _BYTES:
            raise InputError(f"{path} has {found.st_size:,} bytes: at most {_BYTES:,} are read.")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        beside = [str(other) for other in path.parent.glob("*.yaml")] if isinstance(error, FileNotFoundError) else []
        near = nearest(str(path), beside)
        raise InputError(f"{path}: {error.strerror}. A YAML file is expected.{near}") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path} is not UTF-8, in line {line}: save it with that encoding.") from error


def content(path: Path) -> Any:
    """The file's content, parsed as Hydra parses its own files: 1e-4 is a number, and `${…}` is not resolved.

    Raises InputError for a file that cannot be read, is not YAML, or is too large once aliases are expanded.
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
        raise InputError(f"{path} is not YAML: {_problem(error)[:300]}") from error
    except AssertionError:  # OmegaConf raises it if the content is a number
        return None
    except RecursionError as error:
        raise InputError(f"{path}: its values are nested too deeply.") from error


def _problem(error: Exception) -> str:
    """Where in the file the error is, and what it is."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem is None or error.problem_mark is None:
        problem, *more = str(error).split("\n")
        where = next((line.split()[1] for line in more if line.strip().startswith("full_key: ")), None)
        return f"{where}: {problem}" if where else problem
    mark, began = error.problem_mark, error.context_mark
    problem = f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    if error.context:
        problem += f", {error.context}"
        problem += f" that begins in line {began.line + 1}" if began and began.line != mark.line else ""
    return f"{problem}."


def _check_aliases(path: Path, root: yaml.Node | None) -> None:
    """Raise InputError if an alias contains itself, or if expanding all aliases gives more than `_VALUES` values."""
    sizes: dict[int, int] = {}
    within: set[int] = set()

    def size(node: yaml.Node) -> int:
        if id(node) in within:
            raise InputError(f"{path}: the alias in line {node.start_mark.line + 1} contains itself.")
        if id(node) not in sizes:
            within.add(id(node))
            sizes[id(node)] = 1 + sum(map(size, _children(node)))
            within.remove(id(node))
        return sizes[id(node)]

    if root is not None and (total := size(root)) > _VALUES:
        raise InputError(f"{path}: with aliases expanded it has {total:,} values; at most {_VALUES:,} are read.")


def _children(node: yaml.Node) -> Iterable[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else []
