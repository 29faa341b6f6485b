"""Why what a _target_ names cannot be had, in words that say what to do."""

import importlib
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from ablate.errors import nearest, reason

LISTED = 12  # names that are shown of a module's own


def missing(name: str, error: BaseException) -> str:
    """Why `name`, a dotted one, is nothing that can be called; `error`: what came of trying."""
    if "." not in name:
        return "a module and what it holds are expected, such as my_lab.TinyViT for TinyViT in my_lab.py."
    try:
        module, rest = _imported(name)
    except Exception as inner:  # whatever the user's file does when it is read
        return f"it cannot be imported: {reason(inner)}"
    if module is None:
        return _no_module(name.partition(".")[0])
    if not rest:
        return "this is a module: name a class or a function in it."
    found: object = module
    for word in rest:
        if not hasattr(found, word):
            return _no_name(module, found, word)
        found = getattr(found, word)
    return f"this cannot be called ({' '.join(str(error).split())})."


def _imported(name: str) -> tuple[ModuleType | None, list[str]]:
    """The innermost module on the way to `name`, and the words after it; None where there is none."""
    words = name.split(".")
    module = None
    for end in range(1, len(words) + 1):
        dotted = ".".join(words[:end])
        if not _is_there(dotted):
            return module, words[end - 1 :]
        module = importlib.import_module(dotted)
    return module, []


def _is_there(dotted: str) -> bool:
    try:
        return find_spec(dotted) is not None
    except (ImportError, ValueError):  # what holds it is no package, or has no file
        return dotted in sys.modules


def _no_module(top: str) -> str:
    if any(Path(f"{top}{end}").exists() for end in (".py", "/__init__.py")):
        return f"{top} is in this folder, where Python does not look: put PYTHONPATH=. before the command."
    near = nearest(top, [path.stem for path in (*Path().glob("*.py"), *Path().glob("*/"))])
    return (
        f"there is no module {top}.{near} Python finds modules that are installed, and those in the folders that"
        " PYTHONPATH names: PYTHONPATH=. is this one."
    )


def _no_name(module: ModuleType, holder: object, word: str) -> str:
    own = [name for name, value in vars(holder).items() if _is_own(name, value, module)]
    shown = ", ".join(own[:LISTED]) + (f" and {len(own) - LISTED} more" if len(own) > LISTED else "")
    what = holder.__name__ if isinstance(holder, ModuleType | type) else str(holder)
    file = f" ({module.__file__})" if getattr(module, "__file__", None) else ""
    return f"{what}{file} has no {word}.{nearest(word, own)}" + (f" It has {shown}." if shown else "")


def _is_own(name: str, value: object, module: ModuleType) -> bool:
    """Whether it was made in the module, rather than imported there."""
    return callable(value) and not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
