"""Which expressions are certainly JAX arrays, judged by the code of one file."""

from __future__ import annotations

import ast

from nnx_migrate.engine.context import FileContext
from nnx_migrate.names.scopes import BindingKind

# Functions that return one array whatever they are given.
_NUMPY = (
    "abs", "add", "all", "any", "arange", "argmax", "argmin", "argsort", "array", "asarray", "broadcast_to",
    "clip", "concatenate", "cos", "cumsum", "diag", "dot", "einsum", "empty", "empty_like", "exp",
    "expand_dims", "eye", "flip", "floor", "full", "full_like", "hstack", "identity", "linspace", "log",
    "log1p", "logical_and", "logical_not", "logical_or", "matmul", "max", "maximum", "mean", "min",
    "minimum", "mod", "multiply", "negative", "ones", "ones_like", "outer", "pad", "power", "prod",
    "reciprocal", "repeat", "reshape", "roll", "round", "sign", "sin", "sort", "sqrt", "square", "squeeze",
    "stack", "std", "subtract", "sum", "swapaxes", "take", "tanh", "tile", "transpose", "tril", "triu",
    "true_divide", "var", "vstack", "zeros", "zeros_like",
)  # fmt: skip
_RANDOM = (
    "PRNGKey", "bernoulli", "beta", "categorical", "cauchy", "choice", "dirichlet", "exponential",
    "fold_in", "gamma", "gumbel", "laplace", "logistic", "multivariate_normal", "normal", "permutation",
    "poisson", "randint", "rademacher", "split", "truncated_normal", "uniform",
)  # fmt: skip
_NN = (
    "elu", "gelu", "leaky_relu", "log_sigmoid", "log_softmax", "logsumexp", "one_hot", "relu", "sigmoid",
    "silu", "softmax", "softplus", "swish",
)  # fmt: skip
_OPS = (
    "index_update", "index_add", "index_mul", "index_min", "index_max", "segment_sum",
)  # fmt: skip
_FUNCTIONS = frozenset(
    [
        *(f"jax.numpy.{name}" for name in _NUMPY),
        *(f"jax.random.{name}" for name in _RANDOM),
        *(f"jax.nn.{name}" for name in _NN),
        *(f"jax.ops.{name}" for name in _OPS),
    ]
)
_METHODS = frozenset(
    "astype clip reshape sum mean max min transpose squeeze flatten ravel copy".split()  # noqa: SIM905
)
_UPDATES = frozenset("set add mul multiply min max divide power get apply".split())  # noqa: SIM905


def is_jax_array(node: ast.expr, file: FileContext, seen: frozenset[ast.AST] = frozenset()) -> bool:
    """True where the value is a `jax.Array` on every path; False where that isn't certain."""
    if isinstance(node, ast.Call):
        if file.resolve(node.func) in _FUNCTIONS:
            return True
        if not isinstance(node.func, ast.Attribute):
            return False
        owner = node.func.value
        if (
            isinstance(owner, ast.Subscript)
            and isinstance(owner.value, ast.Attribute)
            and owner.value.attr == "at"
        ):
            return node.func.attr in _UPDATES and is_jax_array(owner.value.value, file, seen)
        return node.func.attr in _METHODS and is_jax_array(owner, file, seen)
    if isinstance(node, ast.BinOp):
        sides = (node.left, node.right)
        known = [is_jax_array(side, file, seen) for side in sides]
        return any(known) and all(k or isinstance(s, ast.Constant) for k, s in zip(known, sides, strict=True))
    if isinstance(node, ast.UnaryOp) and not isinstance(node.op, ast.Not):
        return is_jax_array(node.operand, file, seen)
    if isinstance(node, ast.Subscript):
        return is_jax_array(node.value, file, seen)
    if isinstance(node, ast.Attribute):
        return node.attr == "T" and is_jax_array(node.value, file, seen)
    return isinstance(node, ast.Name) and _name_is_array(node, file, seen)


def _name_is_array(node: ast.Name, file: FileContext, seen: frozenset[ast.AST]) -> bool:
    """True where every assignment of a local or module-level variable is an array."""
    bindings = file.module.scope_at(node).lookup(node.id)
    if not bindings:
        return False
    for binding in bindings:
        if binding.kind is not BindingKind.ASSIGNMENT or binding.value is None:
            return False
        if binding.node not in seen and not is_jax_array(binding.value, file, seen | {binding.node}):
            return False
    return True
