"""NNX modules as pure functions, for programs that carry their variables as trees of arrays."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
from flax import nnx

from nnx_migrate.nnx.helpers.fitting import _constructor, _fit
from nnx_migrate.nnx.helpers.variables import _by_collection, _chosen, _collection, _is_variable, _leaf


class Functional:
    """A module that is called as a function of its variables.

    `init` returns the variables of a new module as a dictionary by collection (`{"params": {...}, ...}`),
    `apply` calls a module that has given variables. Neither keeps or changes anything, so both work under
    every JAX transform. The trees have string keys and arrays as leaves. An argument that is a `Functional`
    itself, or a container of such, stands for modules that are made together with this one. `isinstance` takes
    it for a module of its class.
    """

    _stands_for_module = True  # several packages may have this class, and hand each other theirs

    def __init__(self, make: Callable[..., Any], /, *args: Any, **kwargs: Any) -> None:
        self._make, self._args, self._kwargs = make, args, kwargs
        self._sizes: Callable[..., Mapping[str, Any]] | None = None
        self._found: dict[str, Any] = {}
        self._structures: dict[Any, tuple[Any, Any]] = {}

    def sized(self, sizes: Callable[..., Mapping[str, Any]]) -> Functional:
        """Take constructor arguments from the inputs: `sizes` gets them and returns keyword arguments."""
        self._sizes = sizes
        return self

    @classmethod
    def maker(
        cls, make: Callable[..., Any], sizes: Callable[..., Mapping[str, Any]] | None = None
    ) -> Callable[..., Functional]:
        """What takes the place of a class that is called elsewhere. For `sizes` see `sized`."""
        return _Maker(cls, make, sizes)

    def clone(self, **changes: Any) -> Functional:
        """The same with other constructor arguments; Linen's `name` and `parent` mean nothing here."""
        given = dict(_arguments(self._make, self._args, self._kwargs).arguments)
        changes = {key: value for key, value in changes.items() if key not in ("name", "parent")}
        copy = type(self)(self._make, **(given | changes))
        copy._sizes = self._sizes
        return copy

    copy = clone

    @property
    def __class__(self) -> Any:
        make = self.__dict__.get("_make")
        return make if isinstance(make, type) else type(self)

    @property
    def __call__(self) -> Any:
        """The method, which works without variables for modules that have none."""
        return self.__getattr__("__call__")

    def __reduce__(self) -> tuple[Any, ...]:  # by its real type
        return object.__new__, (type(self),), self.__dict__

    def __repr__(self) -> str:
        arguments = [repr(value) for value in self._args]
        arguments += [f"{name}={value!r}" for name, value in self._kwargs.items()]
        return f"{getattr(self._make, '__name__', self._make)}({', '.join(arguments)})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Functional) and self._identity() == other._identity()

    def __hash__(self) -> int:  # by value, so that `jax.jit` takes equal modules for the same static argument
        return hash(self._identity())

    def _identity(self) -> tuple[Any, ...]:
        code = getattr(self._sizes, "__code__", None)  # of lambdas that stand in different lines
        sizes = code and (code.co_code, code.co_consts, code.co_names, code.co_varnames)
        return self._make, _frozen(self._args), _frozen(self._kwargs), sizes

    def __getattr__(self, name: str) -> Any:
        """An attribute of the module, or a method of it for `apply(..., method=model.encode)`."""
        if (name.startswith("__") and name != "__call__") or "_make" not in self.__dict__:
            raise AttributeError(name)
        if isinstance(self._make, type):
            given = _arguments(self._make, self._args, self._kwargs)
            given.apply_defaults()
            if name in given.arguments:
                return given.arguments[name]
            method = inspect.getattr_static(self._make, name, None)
            if isinstance(method, staticmethod | classmethod):
                return getattr(self._make, name)
            if callable(method) and hasattr(method, "__get__"):  # a function, or what `jax.jit` makes of it
                return method.__get__(self)
        return getattr(nnx.merge(*self._structure(("default",))), name)

    def init(
        self, rngs: Any, *inputs: Any, method: Any = None, mutable: Any = True, **keywords: Any
    ) -> dict[str, Any]:
        """The variables of a new module. `rngs` is a key, or a dictionary of keys by stream.

        Inputs matter only where sizes are taken from them. `mutable` names the collections that are wanted.
        """
        self._measure(inputs, keywords, method)
        made = _by_collection(nnx.state(self._new(_streams(rngs))))
        return made if mutable is True else _chosen(made, mutable)

    lazy_init = init  # the inputs of `init` may be shapes alone

    def init_with_output(self, rngs: Any, *inputs: Any, **keywords: Any) -> tuple[Any, dict[str, Any]]:
        """The output of a new module, and its variables."""
        variables = self.init(rngs, *inputs, **keywords)
        keywords.pop("mutable", None)
        return self.apply(variables, *inputs, rngs=rngs, **keywords), variables

    def tabulate(
        self,
        rngs: Any,
        *inputs: Any,
        depth: Any = None,
        show_repeated: Any = None,
        mutable: Any = None,
        console_kwargs: Any = None,
        table_kwargs: Any = None,
        column_kwargs: Any = None,
        compute_flops: Any = None,
        compute_vjp_flops: Any = None,
        **keywords: Any,
    ) -> str:
        """A list of the module's variables with their shapes, dtypes and total size.

        Linen's options for the contents and layout of its table are accepted; the list has none.
        """
        shapes = jax.eval_shape(lambda: self.init(rngs, *inputs, **keywords))
        rows = [
            f"{jax.tree_util.keystr(path, simple=True, separator='/')}: {leaf.dtype}{list(leaf.shape)}"
            for path, leaf in jax.tree_util.tree_leaves_with_path(shapes)
        ]
        total = sum(leaf.size for leaf in jax.tree.leaves(shapes))
        return "\n".join([*rows, f"total: {total:,}"])

    def apply(
        self,
        variables: Mapping[str, Any],
        *inputs: Any,
        rngs: Any = None,
        method: Callable[..., Any] | str | None = None,
        mutable: bool | str | Sequence[str] = False,
        **keywords: Any,
    ) -> Any:
        """Call a module that has these variables.

        Returns the output; with `mutable` (names of collections, or True for all) also a dictionary of those
        collections as the call left them. Random streams start from the keys in `rngs`.
        """
        if method is None:
            self._measure(inputs, keywords, known=True)
        module = self.bind(variables, rngs)
        call, arguments = _method_of(module, method, inputs)

        def called(module: Any) -> Any:
            for _, part in nnx.iter_modules(module):
                # A loop over a dictionary would meet what `capture` keeps there; among the numbers of a list,
                # transforms can't sort its name.
                if isinstance(part, nnx.Dict | nnx.List):
                    delattr(part, "__captures__")
            return call(*arguments, **keywords)

        output, sown = nnx.capture(called, nnx.Intermediate)(module)
        if mutable is False:
            return output
        updated = _by_collection(nnx.state(module)) | _by_collection(sown)
        return output, updated if mutable is True else _chosen(updated, mutable)

    def bind(self, variables: Mapping[str, Any], rngs: Any = None) -> Any:
        """A module with copies of these variables. They show sizes that no input has shown yet."""
        if not self._is_measured():
            _fit(self, variables)
        streams = _streams(jax.random.key(0) if rngs is None else rngs)
        graphdef, state = self._structure(tuple(streams))
        paths = nnx.to_flat_state(state)
        needed = {_collection(leaf) for _, leaf in paths if _is_variable(leaf)}
        if not needed - {"params"} <= variables.keys():  # as Linen: what isn't given starts anew
            variables = _by_collection(nnx.state(self._new(streams))) | dict(variables)
        leaves = {path: _leaf(path, leaf, variables) for path, leaf in paths}
        module = nnx.merge(graphdef, nnx.from_flat_state(leaves))
        nnx.reseed(module, policy="match_shape", **{name: s.key.get_value() for name, s in streams.items()})
        return module

    def _arranged(self, variables: Mapping[str, Any]) -> Mapping[str, Any]:
        """Variables as the module has them."""
        return variables

    def _new(self, rngs: nnx.Rngs, inner: Callable[[Functional, nnx.Rngs], Any] | None = None) -> Any:
        extra = {"rngs": rngs} if "rngs" in inspect.signature(_constructor(self._make)).parameters else {}
        inner = inner or Functional._new
        args, kwargs = _replaced((list(self._args), self._kwargs), lambda made: inner(made, rngs))
        return self._make(*args, **kwargs, **self._found, **extra)

    def _structure(self, streams: tuple[str, ...]) -> tuple[Any, Any]:
        """The module's graph and abstract state; leaves that are no variables have their values."""
        key = (streams, self._known_sizes())
        if key not in self._structures:
            with jax.ensure_compile_time_eval():
                keys = dict.fromkeys(streams, jax.random.key(0))  # traced, so that nothing is drawn here
                graphdef, state = nnx.split(nnx.eval_shape(lambda keys: self._new(nnx.Rngs(**keys)), keys))
                if not all(isinstance(leaf, nnx.Variable) for _, leaf in nnx.to_flat_state(state)):
                    constants = jax.jit(
                        lambda keys: nnx.split(self._new(nnx.Rngs(**keys)), nnx.Variable, ...)[2]
                    )(keys)
                    state = nnx.merge_state(state, constants)
            self._structures[key] = graphdef, state
        return self._structures[key]

    def _inner(self) -> list[Functional]:
        found: list[Functional] = []
        _replaced((list(self._args), self._kwargs), found.append)
        return found

    def _known_sizes(self) -> tuple[Any, ...]:
        return (*self._found.items(), *(made._known_sizes() for made in self._inner()))

    def _is_measured(self) -> bool:
        """Whether all sizes are known, those of the modules among its arguments too."""
        return (self._sizes is None or bool(self._found)) and all(m._is_measured() for m in self._inner())

    def _is_sized(self) -> bool:
        return self._sizes is not None or any(made._is_sized() for made in self._inner())

    def _measure(
        self, inputs: Sequence[Any], keywords: Mapping[str, Any], method: Any = None, known: bool = False
    ) -> None:
        """Take sizes from the inputs; `known`: those of inner modules only where they aren't known yet."""
        if self._sizes is not None:
            call = inspect.signature(self._make.__call__).bind(None, *inputs, **keywords)
            call.apply_defaults()
            wanted = inspect.signature(self._sizes).parameters
            self._found = dict(self._sizes(**{name: call.arguments[name] for name in wanted}))
        inner = self._inner()
        if any(m._is_sized() for m in inner) and not (known and all(m._is_measured() for m in inner)):
            self._measure_inner(inputs, keywords, method)

    def _measure_inner(self, inputs: Sequence[Any], keywords: Mapping[str, Any], method: Any) -> None:
        """Run without arrays: the modules among the arguments see their inputs then."""
        leaves, structure = jax.tree.flatten((inputs, keywords))
        shapes = {i: leaf for i, leaf in enumerate(leaves) if isinstance(leaf, jax.ShapeDtypeStruct)}

        def run(arrays: Mapping[int, Any]) -> None:
            given = [arrays.get(i, leaf) for i, leaf in enumerate(leaves)]
            positional, named = jax.tree.unflatten(structure, given)
            module = self._new(_streams(jax.random.key(0)), _Unmeasured)
            call, arguments = _method_of(module, method, positional)
            call(*arguments, **named)

        jax.eval_shape(run, shapes)


class _Maker:
    """Makes `Functional`s when called, or the module itself for a call with `rngs`; has the methods of the class.

    No function, which would be a method where it is a class attribute.
    """

    def __init__(self, cls: Any, make: Callable[..., Any], sizes: Any) -> None:
        self._cls, self._make, self._sizes = cls, make, sizes

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if "rngs" in kwargs:
            return self._make(*args, **kwargs)
        made: Functional = self._cls(self._make, *args, **kwargs)
        return made if self._sizes is None else made.sized(self._sizes)

    def __getattr__(self, name: str) -> Any:
        if (name.startswith("__") and name != "__name__") or "_make" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self._make, name)


class _Unmeasured(nnx.Module):
    """Stands for a module whose sizes are known once it is called."""

    def __init__(self, made: Functional, rngs: nnx.Rngs) -> None:
        self.made, self.rngs = made, rngs

    def __call__(self, *inputs: Any, **keywords: Any) -> Any:
        self.made._measure(inputs, keywords)
        return self.made._new(self.rngs)(*inputs, **keywords)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name in ("made", "rngs"):
            raise AttributeError(name)
        return getattr(self.made, name)


def _method_of(
    module: Any, method: Callable[..., Any] | str | None, inputs: Sequence[Any]
) -> tuple[Callable[..., Any], Sequence[Any]]:
    """What to call with what: a method by its name, or a function that gets the module (`CNN.encode`)."""
    if callable(method):
        return getattr(method, "__func__", method), (module, *inputs)
    return getattr(module, method or "__call__"), inputs


def _arguments(
    make: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> inspect.BoundArguments:
    """The constructor's arguments by name."""
    signature = inspect.signature(_constructor(make))
    if isinstance(make, type):
        signature = signature.replace(parameters=list(signature.parameters.values())[1:])
    return signature.bind_partial(*args, **kwargs)


def _replaced(value: Any, inner: Callable[[Functional], Any]) -> Any:
    """An argument with what `inner` gives for each `Functional` in it."""
    if getattr(type(value), "_stands_for_module", False):
        return inner(value)
    if type(value) in (list, tuple):
        return type(value)(_replaced(item, inner) for item in value)
    if type(value) is dict:
        return {key: _replaced(item, inner) for key, item in value.items()}
    return value


def _frozen(value: Any) -> Any:
    """Containers as tuples, to be compared and hashed."""
    if isinstance(value, Mapping):
        return tuple(sorted((key, _frozen(item)) for key, item in value.items()))
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


def _streams(rngs: Any) -> nnx.Rngs:
    """Streams for parameters, dropout and everything else, from a key or a dictionary of keys."""
    given = dict(rngs) if isinstance(rngs, Mapping) else {"params": rngs}
    first = given.get("params", next(iter(given.values()), jax.random.key(0)))
    return nnx.Rngs(**({"default": first, "params": first, "dropout": first} | given))
