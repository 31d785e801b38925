"""Modules as pure functions whose variables have other names, or places, than the attributes that hold them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nnx_migrate.nnx.helpers.fitting import _fit
from nnx_migrate.nnx.helpers.functional import Functional


class _Renaming(Functional):
    """`_named` gives variables their names, `_arranged` takes these away again."""

    def init(self, rngs: Any, *inputs: Any, **options: Any) -> dict[str, Any]:
        """The variables of a new module."""
        return self._named(super().init(rngs, *inputs, **options))

    def lazy_init(self, rngs: Any, *inputs: Any, **options: Any) -> dict[str, Any]:
        """The same for inputs of which only the shapes are given."""
        return self._named(super().lazy_init(rngs, *inputs, **options))

    def init_with_output(self, rngs: Any, *inputs: Any, **options: Any) -> tuple[Any, dict[str, Any]]:
        """The output of a new module, and its variables."""
        output, variables = super().init_with_output(rngs, *inputs, **options)
        return output, self._named(variables)

    def apply(
        self,
        variables: Mapping[str, Any],
        *inputs: Any,
        rngs: Any = None,
        method: Callable[..., Any] | str | None = None,
        mutable: bool | str | Sequence[str] = False,
        **keywords: Any,
    ) -> Any:
        """Call a module that has these variables; see `Functional`."""
        made = super().apply(variables, *inputs, rngs=rngs, method=method, mutable=mutable, **keywords)
        return made if mutable is False else (made[0], self._named(made[1]))

    def bind(self, variables: Mapping[str, Any], rngs: Any = None) -> Any:
        """A module with copies of these variables."""
        if not self._is_measured():
            _fit(self, variables)
        return super().bind(self._arranged(variables), rngs)

    def _named(self, collections: Mapping[str, Any]) -> dict[str, Any]:
        raise NotImplementedError
