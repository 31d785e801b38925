"""Which library function has which effect on shapes: qualified name -> transfer function.

A transfer function has the signature of the function that it models, so Python itself binds positional and
keyword arguments. It returns an abstract value, or raises `Unmodelled(reason)`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache, wraps
from importlib import import_module
from pkgutil import walk_packages
from typing import Any, TypeVar

from nnx_migrate.linen.arrays.shapes import Unknown, Unmodelled, Value

Transfer = Callable[..., Value]
_F = TypeVar("_F", bound=Callable[..., Any])

_functions: dict[str, Transfer] = {}
_methods: dict[str, Transfer] = {}
_attributes: dict[str, Transfer] = {}


def models(*names: str) -> Callable[[_F], _F]:
    """Declare that the decorated transfer models the functions of these qualified names."""

    def register(transfer: _F) -> _F:
        for name in names:
            if name in _functions:
                raise ValueError(f"{name} is modelled twice")
            _functions[name] = guarded(transfer)
        return transfer

    return register


def models_method(*names: str) -> Callable[[_F], _F]:
    """Declare that the decorated transfer models these methods of arrays (first argument: the array)."""

    def register(transfer: _F) -> _F:
        for name in names:
            _methods[name] = guarded(transfer)
        return transfer

    return register


def models_attribute(*names: str) -> Callable[[_F], _F]:
    """Declare that the decorated transfer gives these attributes of arrays."""

    def register(transfer: _F) -> _F:
        for name in names:
            _attributes[name] = guarded(transfer)
        return transfer

    return register


def guarded(transfer: Transfer) -> Transfer:
    """The transfer with wrong calls and everything unmodelled turned into `Unknown`."""
    signature = inspect.signature(transfer)

    @wraps(transfer)
    def call(*args: Value, **kwargs: Value) -> Value:
        try:
            return transfer(*args, **kwargs)
        except Unmodelled as unmodelled:
            return Unknown(str(unmodelled))
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:  # code that fails as it stands
            misfit = misfit_of(signature, args, kwargs) if isinstance(error, TypeError) else ""
            return Unknown(misfit or f"`{transfer.__name__}` fails: {error}")

    return call


def misfit_of(signature: inspect.Signature, args: tuple[Value, ...], kwargs: dict[str, Value]) -> str:
    """Why a call can't be one of a function with this signature; empty where it can."""
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        return f"call does not fit the signature: {error}"
    return ""


@cache
def load() -> None:
    """Import every module of this package, which fills the tables."""
    package = __name__.rpartition(".")[0]
    for module in walk_packages(import_module(package).__path__, package + "."):
        import_module(module.name)


def effect(qualified: str) -> Transfer | None:
    """The transfer function of a library function, None if it isn't modelled."""
    load()
    return _functions.get(qualified)


def method(name: str) -> Transfer | None:
    """The transfer function of an array's method, the array being its first argument."""
    load()
    return _methods.get(name)


def attribute(name: str) -> Transfer | None:
    """What gives an array's attribute, called with the array."""
    load()
    return _attributes.get(name)


def modelled() -> tuple[str, ...]:
    """All modelled qualified names."""
    load()
    return tuple(_functions)


def modelled_methods() -> tuple[str, ...]:
    """All modelled methods of arrays."""
    load()
    return tuple(_methods)
