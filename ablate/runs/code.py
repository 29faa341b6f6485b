"""The hashes of your own source files that a configuration uses. Nothing is imported to find them."""

import ast
import hashlib
import importlib.util
import io
import pkgutil
import sys
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from ablate.configuration.fingerprint import NOT_HASHED

# Not the user's code: this package, and libraries whose versions are recorded separately.
_KNOWN = sys.stdlib_module_names | {
    "ablate",
    "hydra",
    "lightning_fabric",
    "numpy",
    "pytorch_lightning",
    "sklearn",
    "timm",
    "torch",
    "torchmetrics",
    "torchvision",
    "wandb",
}
_INSTALLED = {"site-packages", "dist-packages"}


@dataclass(frozen=True)
class _Source:
    """A module's source file: its hash, and the dotted names that it imports."""

    digest: str
    imports: tuple[str, ...]


def targets(values: dict[str, Any]) -> list[str]:
    """The dotted names of each `_target_` in `values` that is neither in this package nor in a known library. Keys that
    are not part of the fingerprint are left out."""
    return sorted({name for name in _targets(values) if name.partition(".")[0] not in _KNOWN})


def code(targets: Sequence[str]) -> dict[str, str] | None:
    """The hash of each of your files that `targets` depend on, by the file's name in its package.

    These are the modules of the targets, and your modules that those import, directly or not. For a target in an
    installed distribution, there is the distribution's version by its name. None if a target's module is not installed
    here.
    """
    found: dict[str, str] = {}
    for name in targets:
        if not (modules := _modules(name)):
            return None
        if owner := _distribution(modules[0]):
            found[owner] = _version(owner)
    left, seen = list(targets), set()
    while left:
        for spec in _modules(left.pop()):
            if spec.name not in seen and spec.origin and Path(spec.origin).is_file() and not _distribution(spec):
                seen.add(spec.name)
                source = _source(spec)
                found[_shown(spec)] = source.digest
                left += [name for name in source.imports if name.partition(".")[0] not in _KNOWN]
    return found


def _targets(values: Any, path: str = "") -> Iterator[str]:
    if isinstance(values, list):
        for item in values:
            yield from _targets(item, path)
    elif isinstance(values, dict):
        target = values.get("_target_")
        if isinstance(target, str):
            yield target
            if target.startswith("hydra.utils.get_") and isinstance(named := values.get("path"), str):
                yield named
        for key, item in values.items():
            place = f"{path}.{key}" if path else str(key)
            if place not in NOT_HASHED:
                yield from _targets(item, place)


def _modules(name: str) -> list[ModuleSpec]:
    """The package of `name` and the modules inside it that lead to `name`, outermost first; empty if there are none."""
    top, *rest = name.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except ValueError:  # a module without a file, such as __main__
        spec = None
    found = []
    while spec is not None:
        found.append(spec)
        spec = _inside(spec, f"{spec.name}.{rest.pop(0)}") if rest else None
    return found


def _inside(package: ModuleSpec, name: str) -> ModuleSpec | None:
    """The module `name`, looked up in the package's folders. importlib would import the package, and with it torch."""
    finders = [pkgutil.get_importer(folder) for folder in package.submodule_search_locations or ()]
    specs = [spec for finder in finders if finder is not None and (spec := finder.find_spec(name)) is not None]
    return next((spec for spec in specs if spec.loader is not None), specs[0] if specs else None)


def _shown(spec: ModuleSpec) -> str:
    """The file's name in its package, such as my_lab/layers.py."""
    folders = spec.name.split(".")[: None if spec.submodule_search_locations is not None else -1]
    return "/".join([*folders, Path(str(spec.origin)).name])


# The source of each imported module at the time of its import: a later edit of the file does not change the module.
_imported: dict[str, tuple[ModuleSpec, _Source]] = {}


def _source(spec: ModuleSpec) -> _Source:
    """The module's source: as it was when this process imported or reloaded it; as it is now if it was not imported."""
    loaded = getattr(sys.modules.get(spec.name), "__spec__", None)
    if loaded is None:
        return _read(spec)
    if spec.name not in _imported or _imported[spec.name][0] is not loaded:
        _imported[spec.name] = loaded, _read(spec)
    return _imported[spec.name][1]


def _read(spec: ModuleSpec) -> _Source:
    content = Path(str(spec.origin)).read_bytes()
    try:
        tree, content = ast.parse(content), _without_comments(content)
    except (SyntaxError, ValueError, tokenize.TokenError):  # a compiled module, or one whose import will fail
        return _Source(_digest(content), ())
    package = spec.name if spec.submodule_search_locations is not None else spec.name.rpartition(".")[0]
    return _Source(_digest(content), tuple(_imports(tree, package)))


def _imports(tree: ast.AST, package: str) -> Iterator[str]:
    """The dotted names that a module of `package` imports anywhere in it. `from a import b` gives a.b, which may be a
    module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            start = ".".join(parents[: len(parents) + 1 - node.level]) if node.level else ""
            origin = ".".join(part for part in (start, node.module) if part)
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def _without_comments(content: bytes) -> bytes:
    """The source without comments and empty lines, with Unix line ends: those cannot change a result."""
    tokens = list(tokenize.tokenize(io.BytesIO(content).readline))
    lines = content.decode(tokens[0].string).replace("\r\n", "\n").split("\n")
    for token in tokens:
        row, column = token.start
        if token.type == tokenize.COMMENT:
            lines[row - 1] = lines[row - 1][:column].rstrip()
    empty = {token.start[0] for token in tokens if token.type == tokenize.NL and not lines[token.start[0] - 1].strip()}
    return "\n".join(line for row, line in enumerate(lines, 1) if row not in empty).rstrip().encode()


def _distribution(spec: ModuleSpec) -> str | None:
    """The installed distribution that the module belongs to; None for your own files, editable installs included."""
    folders = [spec.origin] if spec.origin else list(spec.submodule_search_locations or ())
    if not any(_INSTALLED & set(Path(folder).parts) for folder in folders):
        return None
    return next(iter(_distributions().get(spec.name.partition(".")[0], ())), None)


@cache
def _distributions() -> dict[str, list[str]]:
    return dict(metadata.packages_distributions())


@cache
def _version(distribution: str) -> str:
    """The version, and a hash of the hashes of the installed Python files: two builds may have the same version."""
    files = (metadata.distribution(distribution).read_text("RECORD") or "").splitlines()
    return f"{metadata.version(distribution)} {_digest(chr(10).join(sorted(f for f in files if '.py,' in f)).encode())}"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
