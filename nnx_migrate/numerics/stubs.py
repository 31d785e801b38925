"""Stand-ins for modules that a project imports and that are not installed here."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any


class _Anything(type):
    """A class that has every attribute; so it can be subclassed, called and used as a decorator."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Anything(name, (Stub,), {"__module__": cls.__module__})

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        # As a decorator it leaves what it decorates as it is.
        return args[0] if len(args) == 1 and callable(args[0]) and not kwargs else super().__call__()

    def __iter__(cls) -> Iterator[Any]:
        return iter(())

    def __getitem__(cls, item: Any) -> Any:
        return cls  # as an annotation: `Float[Array, "batch"]`

    def __or__(cls, other: Any) -> Any:
        return cls

    __ror__ = __or__


class Stub(metaclass=_Anything):
    """What a stubbed module hands out: it takes any arguments and does nothing."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Nothing; as a decorator with arguments, `@stub.main(config="x")`, what it decorates."""
        return args[0] if len(args) == 1 and callable(args[0]) and not kwargs else Stub()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Stub()

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *error: object) -> None:
        pass


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Stands last in line, so that whatever is installed comes first."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        if any(fullname == name or fullname.startswith(f"{name}.") for name in self.names):
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec: Any) -> ModuleType:
        module = ModuleType(spec.name)
        module.__path__ = []
        module.__getattr__ = lambda name: getattr(Stub, name)  # type: ignore[method-assign]
        return module

    def exec_module(self, module: ModuleType) -> None:
        pass


def install_stubs(names: Sequence[str]) -> None:
    """From now on modules of these names, and all below them, can be imported if nothing of that name is there."""
    if names:
        sys.meta_path.append(_Finder(tuple(names)))
