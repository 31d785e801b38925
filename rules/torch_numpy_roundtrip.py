"""Rule `torch-numpy-roundtrip`."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from nnx_migrate.rules._arrays import is_jax_array

from nnx_migrate.engine.context import CannotName, FileContext
from nnx_migrate.engine.findings import Finding, Safety
from nnx_migrate.engine.rule import Rule, walk_calls
from nnx_migrate.names.instances import Instances
from nnx_migrate.names.scopes import Guard

_TO_JAX = {"jax.numpy.asarray", "jax.numpy.array"}
_TO_NUMPY = {"numpy.asarray", "numpy.array"}
_TO_TORCH = {"torch.from_numpy", "torch.tensor", "torch.as_tensor"}
_TENSORS = {
    "torch.Tensor",
    "torch.nn.Parameter",
    "torch.nn.parameter.Parameter",
    "torch.FloatTensor",
    "torch.LongTensor",
}
_ARRAYS = {"jax.Array", "jax.numpy.ndarray"}
_TORCH_FACTORIES = {
    f"torch.{name}"
    for name in (
        "tensor", "as_tensor", "from_numpy", "from_dlpack", "zeros", "ones", "full", "empty", "arange",
        "linspace", "eye", "rand", "randn", "randint", "zeros_like", "ones_like", "rand_like", "randn_like",
        "cat", "stack",
    )
}  # fmt: skip
# Methods of a tensor that return a tensor (of the same class).
_KEEPS = {
    "cpu", "cuda", "contiguous", "clone", "float", "half", "double", "bfloat16", "long", "int", "bool", "to",
    "permute", "transpose", "reshape", "view", "squeeze", "unsqueeze", "flatten", "t",
}  # fmt: skip


class TorchNumpyRoundtrip(Rule):
    """Arrays that go between PyTorch and JAX through NumPy.

    What it finds
    -------------
    `jnp.asarray(tensor.detach().cpu().numpy())` and `torch.from_numpy(np.asarray(array))` in their variants,
    where it is certain that one side is a tensor and the other a JAX array.

    Why
    ---
    NumPy has no bfloat16 that both sides know (`.numpy()` raises TypeError), and
    `torch.from_numpy(np.asarray(x))` lets PyTorch write into memory that JAX takes to be immutable. Both
    sides speak DLPack.

    Example
    -------
        weights = jnp.asarray(layer.weight.detach().cpu().numpy())
        tensor = torch.from_numpy(np.array(array))

    becomes

        weights = jnp.from_dlpack(layer.weight.detach().cpu().clone())
        tensor = torch.from_dlpack(array).clone()

    `clone` because DLPack shares memory: without it the next `optimizer.step()` would rewrite the JAX array
    (`jnp.from_dlpack(tensor, copy=True)` shares it as well). It also makes strided and expanded tensors
    compact, which JAX needs.

    Fix safety
    ----------
    Unsafe: values, shapes and dtypes are the same, but where they live can differ. An array from
    `jnp.from_dlpack` is committed to the tensor's device, one made from NumPy goes to JAX's default
    device, uncommitted; and a tensor from a JAX array on a GPU stays there. Conversions with a dtype, a
    device or other arguments are reported without a fix, and where it isn't certain what a value is,
    nothing is reported (TensorFlow's tensors have `.numpy()` too).

    Since
    -----
    JAX 0.4.27 and PyTorch 1.10 exchange DLPack objects without capsules.

    References
    ----------
    JAX documentation: jax.numpy.from_dlpack; PyTorch documentation: torch.from_dlpack, Tensor.clone.
    """

    id = "torch-numpy-roundtrip"
    group = "interop"
    safety = Safety.UNSAFE
    since = "jax>=0.4.27"
    triggers = frozenset({"torch.*"})

    def check(self, file: FileContext) -> Iterator[Finding]:
        """One finding per conversion."""
        if any(guard in (Guard.FALLBACK, Guard.VERSION) for _, _, guard in file.module.scopes.imports):
            return  # a module that works without torch, too: its names may mean something else
        instances = Instances(file.module, file.project)
        for call in walk_calls(file.tree):
            name = file.resolve(call.func)
            if name in _TO_JAX and call.args:
                tensor = _tensor_behind(call.args[0], file, instances)
                if tensor is not None:
                    yield self._to_jax(file, call, tensor)
            elif name in _TO_TORCH and call.args:
                array = _array_behind(call.args[0], file, instances)
                if array is not None:
                    yield self._to_torch(file, call, array)

    def _to_jax(self, file: FileContext, call: ast.Call, tensor: ast.expr) -> Finding:
        message = "tensor of PyTorch goes to JAX through NumPy"
        text = file.segment(tensor)
        if not (
            isinstance(tensor, ast.Call)
            and isinstance(tensor.func, ast.Attribute)
            and tensor.func.attr == "clone"
        ):
            text += ".clone()"
        if len(call.args) > 1 or call.keywords:
            return self._by_hand(file, call, message, f"use jnp.from_dlpack({text}) and convert the result")
        return self._rewrite(file, call, message, "jax.numpy.from_dlpack", f"({text})", tensor)

    def _to_torch(self, file: FileContext, call: ast.Call, array: ast.expr) -> Finding:
        message = "array of JAX goes to PyTorch through NumPy"
        text = file.segment(array)
        if len(call.args) > 1 or call.keywords:
            return self._by_hand(
                file, call, message, f"use torch.from_dlpack({text}).clone() and convert the result"
            )
        return self._rewrite(file, call, message, "torch.from_dlpack", f"({text}).clone()", array)

    def _by_hand(self, file: FileContext, call: ast.Call, message: str, help_: str) -> Finding:
        return self.finding(file, call, message, reason="further-arguments", help=help_)

    def _rewrite(
        self, file: FileContext, call: ast.Call, message: str, function: str, rest: str, kept: ast.expr
    ) -> Finding:
        fix = file.fix()
        if "#" in file.segment(call).replace(file.segment(kept), ""):
            return self.finding(
                file, call, message, reason="comment", help="a comment stands inside of the conversion"
            )
        try:
            fix.replace(call, f"{fix.name(function, at=call.func)}{rest}")
        except CannotName as error:
            return self.finding(file, call, message, reason="name-taken", help=str(error))
        title = "use DLPack; the array stays on the device that it is on"
        return self.finding(file, call, message, fix.build(title, Safety.UNSAFE), help=title)


def _tensor_behind(node: ast.expr, file: FileContext, instances: Instances) -> ast.expr | None:
    """`t` of `t.numpy()`, `np.asarray(t)`, `np.array(t)`, if that is a tensor."""
    if not isinstance(node, ast.Call):
        return None
    tensor: ast.expr | None = None
    if (
        isinstance(node.func, ast.Attribute)
        and node.func.attr == "numpy"
        and not node.args
        and not node.keywords
    ):
        tensor = node.func.value
    elif file.resolve(node.func) in _TO_NUMPY and len(node.args) == 1 and not node.keywords:
        tensor = node.args[0]
    return tensor if tensor is not None and _is_tensor(tensor, file, instances) else None


def _array_behind(node: ast.expr, file: FileContext, instances: Instances) -> ast.expr | None:
    """`x` of `np.asarray(x)` and `np.array(x)`, if that is an array of JAX."""
    if not (isinstance(node, ast.Call) and file.resolve(node.func) in _TO_NUMPY):
        return None
    if len(node.args) != 1 or node.keywords:
        return None
    return node.args[0] if _is_array(node.args[0], file, instances) else None


def _is_tensor(node: ast.expr, file: FileContext, instances: Instances, depth: int = 0) -> bool:
    if depth > 6:
        return False
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Attribute):
            if node.func.attr == "detach" and not node.args and _only_torch(file):
                return True  # nothing else that a file of JAX and PyTorch handles can be detached
            if node.func.attr in _KEEPS and _is_tensor(node.func.value, file, instances, depth + 1):
                return True
        return file.resolve(node.func) in _TORCH_FACTORIES or instances.class_of(node) in _TENSORS
    if isinstance(node, ast.Name):
        return instances.class_of(node) in _TENSORS or _always(node, file, _TORCH_FACTORIES)
    return False


def _is_array(node: ast.expr, file: FileContext, instances: Instances) -> bool:
    return is_jax_array(node, file) or (isinstance(node, ast.Name) and instances.class_of(node) in _ARRAYS)


def _always(node: ast.Name, file: FileContext, factories: set[str]) -> bool:
    """True where everything that is assigned to a name is made by one of some functions."""
    bindings = file.module.scope_at(node).lookup(node.id)
    values = [b.value for b in bindings]
    return bool(values) and all(isinstance(v, ast.Call) and file.resolve(v.func) in factories for v in values)


def _only_torch(file: FileContext) -> bool:
    """True where the file imports no other library whose values have such methods."""
    roots = {a.name.partition(".")[0] for n, _, _ in file.module.scopes.imports for a in n.names}
    roots |= {str(getattr(n, "module", "")).partition(".")[0] for n, _, _ in file.module.scopes.imports}
    return "torch" in roots and roots.isdisjoint({"tensorflow", "tf", "mindspore", "paddle", "mxnet"})
