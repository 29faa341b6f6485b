"""One command trains one design, one file declares an ablation, one report says which choice mattered.

In Python: `ablate.train`, `ablate.load`, `ablate.sweep`, `ablate.compare` and `ablate.export`; `help(ablate.train)`
says what each takes and gives. Nothing of what they need is imported before one of them is asked for.
"""

from importlib import import_module as _module
from typing import Any as _Any

_OFFERED = {
    "train": "ablate.api.runs",
    "load": "ablate.api.runs",
    "Run": "ablate.api.runs",
    "compare": "ablate.api.comparing",
    "Asked": "ablate.comparison.elsewhere.source",
    "export": "ablate.api.export",
    "InputError": "ablate.errors",
}


def __getattr__(name: str) -> _Any:
    if name == "sweep":  # the room, which can be called
        return _module("ablate.sweep")
    if name not in _OFFERED:
        raise AttributeError(f"module 'ablate' has no attribute {name!r}")
    return getattr(_module(_OFFERED[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_OFFERED, "sweep"})
