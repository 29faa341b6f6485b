"""Files are read and written as UTF-8, whatever the locale's encoding is."""

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "ablate"
# Where the name stands for something else: a file descriptor, a picture.
OTHERS = {"os", "Image", "webbrowser"}


def silent(tree: ast.AST) -> Iterator[int]:
    """Lines that open text without saying its encoding."""
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call) or any(keyword.arg == "encoding" for keyword in call.keywords):
            continue
        function = call.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        owner = (
            function.value.id if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) else ""
        )
        modes = [a.value for a in [*call.args, *(k.value for k in call.keywords)] if isinstance(a, ast.Constant)]
        binary = any(isinstance(mode, str) and "b" in mode and len(mode) <= 3 for mode in modes)
        opens = name in ("open", "fdopen") and not binary and (owner not in OTHERS or name == "fdopen")
        reads = name == "read_text" and not call.args  # with a name, it is a distribution's
        if reads or name in ("write_text", "FileHandler") or opens:
            yield call.lineno


def test_every_text_file_has_its_encoding():
    found = [
        f"{path.relative_to(PACKAGE)}:{line}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for line in silent(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert found == []


def test_what_is_silent_is_found():
    assert list(silent(ast.parse("path.read_text()\nopen(x)\npath.open('rb')\nopen(x, encoding='utf-8')"))) == [1, 2]
