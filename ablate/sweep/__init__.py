"""A sweep: its file, the plan of its cells, how long they take, and the engines that run them.

From Python a sweep is run by its name, and help(ablate.api.sweeping.sweep) says what it takes and gives:

    ablate.sweep("sweeps/quick.yaml", ["trainer.max_epochs=5"]).table
"""

import sys as _sys
from types import ModuleType as _ModuleType
from typing import Any as _Any


class _Room(_ModuleType):
    """This package as a function: `ablate.sweep(…)` runs a sweep, although `ablate.sweep` is a package."""

    def __call__(self, *arguments: _Any, **named: _Any) -> _Any:
        from importlib import import_module

        return import_module("ablate.api.sweeping").sweep(*arguments, **named)


_sys.modules[__name__].__class__ = _Room
