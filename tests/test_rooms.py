"""The rooms of the package: which may import which, and that none of them outgrows what a stranger can take in."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "ablate"

# A room, and the rooms that it may import; errors and paths stand below all of them. What a room may import, it may
# import at any depth, inside functions too.
MAY_IMPORT = {
    "design": set[str](),
    "process": set[str](),
    "statistics": set[str](),
    "configuration": {"process"},
    "training": {"design", "process", "configuration", "statistics"},
    "runs": {"design", "process", "configuration", "training"},
    "sweep": {"design", "process", "configuration", "training", "runs"},
    "comparison": {"process", "configuration", "training", "runs", "sweep", "statistics"},
    "report": {"process", "configuration", "training", "runs", "sweep", "statistics", "comparison"},
    "watch": {"process", "configuration", "training", "runs", "sweep", "comparison", "report"},
    "bench": {"design", "process", "configuration", "training", "runs", "sweep"},
}
MAY_IMPORT["api"] = set(MAY_IMPORT) - {"bench"}
MAY_IMPORT["commands"] = set(MAY_IMPORT)
BELOW_ALL = {"errors", "paths"}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE)


def _imported(path: Path) -> Iterator[str]:
    """The rooms and modules right below `ablate` that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names = [node.module] if node.module != "ablate" else [f"ablate.{alias.name}" for alias in node.names]
        else:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        yield from (name.split(".")[1] for name in names if name and name.startswith("ablate."))


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_imports_go_one_way(room):
    allowed = MAY_IMPORT[room] | BELOW_ALL | {room} | ({"__main__"} if room == "commands" else set())
    for path in (PACKAGE / room).rglob("*.py"):
        assert set(_imported(path)) <= allowed, path


def test_every_room_is_listed_and_says_what_it_holds():
    folders = {path.parent for path in MODULES}
    assert {folder.relative_to(PACKAGE).parts[0] for folder in folders} == set(MAY_IMPORT)
    for folder in folders:
        assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))), folder


def test_no_file_and_no_folder_is_too_long():
    assert [str(path) for path in MODULES if len(path.read_text(encoding="utf-8").splitlines()) > 300] == []
    # One module for each command: there may be as many as there are commands.
    folders = {path.parent: len([*path.parent.glob("*.py")]) for path in MODULES if path.parent.name != "commands"}
    assert [(str(folder), count) for folder, count in folders.items() if count > 16] == []
