"""Lets torch train without its compiler, whose import takes a second, and which most runs never use."""

import sys
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from inspect import isfunction
from types import ModuleType
from typing import Any

_NAME = "torch._dynamo"


class _OfCompiled(type):
    def __instancecheck__(cls, instance: object) -> bool:
        compiler = sys.modules.get(f"{_NAME}.eval_frame")
        return compiler is not None and isinstance(instance, compiler.OptimizedModule)


class _Compiled(metaclass=_OfCompiled):
    """Stands for the class of compiled networks: there is none before the compiler has been imported."""


class StandIn(ModuleType):
    """Stands in for torch._dynamo until something is asked of it that takes the compiler. Then that is imported, and
    answers from there on.

    Lightning asks for a class, to recognise compiled networks. Lightning and every optimizer ask for two functions that
    keep their own code from being compiled: nothing is, while there is no compiler.
    """

    OptimizedModule = _Compiled

    def __init__(self) -> None:
        super().__init__(_NAME)
        self.__path__: list[str] = []  # a package, whose modules `_Inside` finds
        self._finder = _Inside(self)
        sys.meta_path.insert(0, self._finder)

    def graph_break(self, *reason: str) -> None:
        pass

    def disable(self, function: Any = None, recursive: bool = True, **more: Any) -> Any:
        """`function`, which the compiler, once it is there, leaves alone."""
        if not isfunction(function):
            return self.compiler().disable(function, recursive, **more)
        left_alone: list[Callable[..., Any]] = []

        @wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            if sys.modules.get(_NAME) is self:
                return function(*args, **kwargs)
            if not left_alone:
                left_alone.append(self.compiler().disable(function, recursive, **more))
            return left_alone[0](*args, **kwargs)

        called._torchdynamo_disable = True  # type: ignore[attr-defined]  # by which the compiler knows such a function
        return called

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.compiler(), name)

    def compiler(self) -> Any:
        """The real one."""
        if sys.modules.get(_NAME) is self:
            del sys.modules[_NAME]
            sys.meta_path.remove(self._finder)
        return import_module(_NAME)


class _Inside(MetaPathFinder):
    """Finds what is in torch._dynamo while something stands in for that."""

    def __init__(self, stand_in: StandIn) -> None:
        self._stand_in = stand_in

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if not name.startswith(f"{_NAME}.") or sys.modules.get(_NAME) is not self._stand_in:
            return None
        self._stand_in.compiler()
        # With the package its modules have been imported already, and must not be a second time.
        return ModuleSpec(name, _There(module)) if (module := sys.modules.pop(name, None)) else find_spec(name)


class _There(Loader):
    """Loads a module that has been imported already."""

    def __init__(self, module: ModuleType) -> None:
        self._module, self._spec = module, module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec


def put_off(torch: Any) -> None:
    """Import torch._dynamo only once it is needed."""
    if _NAME not in sys.modules:
        torch._dynamo = sys.modules[_NAME] = StandIn()
