"""Imports Lightning and pyarrow without what no training needs."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from ablate.process import compiler


class _StandIn(ModuleType):
    """Stands in for a package while another is imported that has a use for it only later, if ever.

    Whatever is taken from it then is imported when it is used.
    """

    def __init__(self, name: str, **known: Any) -> None:
        super().__init__(name)
        self.__spec__ = ModuleSpec(name, None, is_package=True)
        vars(self).update(known)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Later(self.__name__, name)


class _Later:
    """What `module` has under `name`, for those who call it or ask for its parts."""

    def __init__(self, module: str, name: str) -> None:
        self._place = module, name

    def _found(self) -> Any:
        module, name = self._place
        return getattr(import_module(module), name)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._found(), name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._found()(*args, **kwargs)


def load() -> None:
    """Import torch, Lightning and pyarrow: in half the time and with 150 MB less than their plain imports, which also
    import torch's compiler, torchvision, SciPy's signals and pandas.

    Whoever imports those later gets all of them. Where they have been imported, this changes nothing.
    """
    import torch

    compiler.put_off(torch)
    # torchmetrics (1.9) imports scipy.signal only to give it back a name: where that is there, it does nothing more.
    # From torchvision it takes networks and transforms that a few of its metrics call.
    signal = _StandIn("scipy.signal", hamming=None)
    models = _StandIn("torchvision.models")
    vision = _StandIn("torchvision", models=models)
    with _instead(signal), _instead(vision, models):
        import pytorch_lightning  # noqa: F401
    _let_arrow_be_without_pandas()


@contextmanager
def _instead(*modules: ModuleType) -> Iterator[None]:
    """While the block runs, the modules stand in for those of their names, unless torchmetrics or the first of those
    has been imported."""
    needed = "torchmetrics" not in sys.modules and modules[0].__name__ not in sys.modules
    sys.modules.update({module.__name__: module for module in modules} if needed else {})
    try:
        yield
    finally:
        for module in modules:
            if sys.modules.get(module.__name__) is module:
                del sys.modules[module.__name__]


def _let_arrow_be_without_pandas() -> None:
    """With its first array pyarrow tries to import pandas, to recognise its objects. It goes without if it cannot, and
    tries again when a table is asked to become one of pandas'."""
    if "pandas" in sys.modules:
        return
    import pyarrow as pa

    refusing = _Refusing()
    sys.meta_path.insert(0, refusing)
    try:
        pa.array([])
    finally:
        sys.meta_path.remove(refusing)


class _Refusing(MetaPathFinder):
    def find_spec(self, name: str, path: Any, target: Any = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name)
