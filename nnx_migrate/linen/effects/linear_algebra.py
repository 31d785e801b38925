"""Products of arrays and a few decompositions."""

from __future__ import annotations

from nnx_migrate.linen.arrays.shapes import Array, Shape, Unmodelled, Value, broadcast
from nnx_migrate.linen.dims import Dim
from nnx_migrate.linen.effects.arguments import (
    array_of,
    axes_of,
    dim_of,
    dtype_of,
    floating,
    int_of,
    ints_of,
    promote,
    unmodelled,
)
from nnx_migrate.linen.effects.registry import models, models_method

# ---- products ----------------------------------------------------------------------------------------------


@models("jax.numpy.dot", "numpy.dot")
@models_method("dot")
def dot(
    a: Value,
    b: Value,
    *,
    precision: Value = None,
    preferred_element_type: Value = None,
    out_sharding: Value = None,
) -> Array:
    """The last axis of `a` with the second last of `b`; the other axes are put side by side."""
    left, right = array_of(a), array_of(b)
    dtype = dtype_of(preferred_element_type, promote(left, right))
    if left.shape.rank == 0 or right.shape.rank == 0:
        return Array(broadcast(left.shape, right.shape), dtype)
    head = left.shape.before(1)
    if right.shape.rank == 1:
        return Array(head, dtype)
    dims = right.shape.items()
    return Array(head.then(*dims[:-2], dims[-1]), dtype)


@models("jax.numpy.matmul", "numpy.matmul")
def matmul(
    a: Value,
    b: Value,
    *,
    precision: Value = None,
    preferred_element_type: Value = None,
    out_sharding: Value = None,
) -> Array:
    """Matrix products, batched over the leading axes."""
    left, right = array_of(a), array_of(b)
    dtype = dtype_of(preferred_element_type, promote(left, right))
    if left.shape.rank == 0 or right.shape.rank == 0:
        raise Unmodelled("matmul of a scalar")
    # An array of unknown rank may be a vector, unless two axes are spelled out.
    for operand in (left, right):
        if not operand.shape.exact and len(operand.shape.dims) < 2:
            return Array(_matmul_unknown(left.shape, right.shape), dtype)
    if left.shape.rank == 1 and right.shape.rank == 1:
        return Array(Shape(), dtype)
    if left.shape.rank == 1:
        return Array(right.shape.before(2).then(right.shape.dim(-1)), dtype)
    if right.shape.rank == 1:
        return Array(left.shape.before(1), dtype)
    batch = broadcast(left.shape.before(2), right.shape.before(2))
    return Array(batch.then(left.shape.dim(-2), right.shape.dim(-1)), dtype)


def _matmul_unknown(left: Shape, right: Shape) -> Shape:
    """With a matrix on the right, the left operand's leading axes stay as they are, whatever their number."""
    if right.rank == 2:
        return left.before(1).then(right.dim(-1))
    if right.rank == 1:
        return left.before(1)
    if len(right.dims) >= 2:
        # Whatever the left operand is, the right one's last axis comes last.
        return Shape((right.dim(-1),), "")
    raise Unmodelled("matmul of an array that may be a vector")


@models("jax.numpy.linalg.matmul")
def linalg_matmul(
    x1: Value, x2: Value, /, *, precision: Value = None, preferred_element_type: Value = None
) -> Array:
    """Matrix products."""
    return matmul(x1, x2, preferred_element_type=preferred_element_type)


@models("jax.numpy.vecdot", "jax.numpy.linalg.vecdot")
def vecdot(
    x1: Value,
    x2: Value,
    /,
    *,
    axis: Value = -1,
    precision: Value = None,
    preferred_element_type: Value = None,
) -> Array:
    """Inner products along the last axis."""
    if int_of(axis, "axis") != -1:
        raise Unmodelled("vecdot along another axis")
    left, right = array_of(x1), array_of(x2)
    shape = broadcast(left.shape.before(1), right.shape.before(1))
    return Array(shape, dtype_of(preferred_element_type, promote(left, right)))


@models("jax.numpy.inner", "numpy.inner")
def inner(a: Value, b: Value, *, precision: Value = None, preferred_element_type: Value = None) -> Array:
    """The last axes of both summed, the others side by side."""
    left, right = array_of(a), array_of(b)
    dtype = dtype_of(preferred_element_type, promote(left, right))
    if left.shape.rank == 0 or right.shape.rank == 0:
        return Array(broadcast(left.shape, right.shape), dtype)
    return Array(left.shape.before(1).concat(right.shape.before(1)), dtype)


@models("jax.numpy.outer", "numpy.outer")
def outer(a: Value, b: Value, out: None = None) -> Array:
    """All products of two flattened arrays."""
    left, right = array_of(a), array_of(b)
    return Array(Shape((left.shape.size, right.shape.size)), promote(left, right))


@models("jax.numpy.vdot", "numpy.vdot")
def vdot(a: Value, b: Value, *, precision: Value = None, preferred_element_type: Value = None) -> Array:
    """The inner product of two flattened arrays."""
    return Array(Shape(), dtype_of(preferred_element_type, promote(array_of(a), array_of(b))))


@models("jax.numpy.kron")
def kron(a: Value, b: Value) -> Array:
    """The Kronecker product."""
    left, right = array_of(a), array_of(b)
    dims = [list(left.shape.items()), list(right.shape.items())]
    longest = max(map(len, dims))
    padded = [[Dim.of(1)] * (longest - len(part)) + part for part in dims]
    return Array(Shape(tuple(x * y for x, y in zip(*padded, strict=True))), promote(left, right))


@models("jax.numpy.tensordot", "numpy.tensordot")
def tensordot(
    a: Value,
    b: Value,
    axes: Value = 2,
    *,
    precision: Value = None,
    preferred_element_type: Value = None,
    out_sharding: Value = None,
) -> Array:
    """The given axes summed, the others side by side."""
    left, right = array_of(a), array_of(b)
    if isinstance(axes, tuple | list):
        if len(axes) != 2:
            raise Unmodelled("tensordot with these axes")
        contracted = [axes_of(part, operand.shape) for part, operand in zip(axes, (left, right), strict=True)]
    else:
        count = int_of(axes, "axes")
        rank = len(right.shape.items())
        if count > rank:
            raise Unmodelled("tensordot over too many axes")
        contracted = [tuple(range(-count, 0)), tuple(axis - rank for axis in range(count))]
    if len(contracted[0]) != len(contracted[1]):
        raise Unmodelled("tensordot with these axes")
    shape = left.shape.without(contracted[0]).concat(right.shape.without(contracted[1]))
    return Array(shape, dtype_of(preferred_element_type, promote(left, right)))


@models("jax.lax.dot_general")
def dot_general(
    lhs: Value,
    rhs: Value,
    dimension_numbers: Value,
    precision: Value = None,
    preferred_element_type: Value = None,
    *,
    out_sharding: Value = None,
) -> Array:
    """Batch axes, then the free axes of the left, then those of the right."""
    left, right = array_of(lhs), array_of(rhs)
    if not isinstance(dimension_numbers, tuple | list) or len(dimension_numbers) != 2:
        raise unmodelled(dimension_numbers, "dimension_numbers are not known")
    contract, batch = dimension_numbers
    if not all(isinstance(part, tuple | list) and len(part) == 2 for part in (contract, batch)):
        raise Unmodelled("dimension_numbers are not known")
    sides = []
    for index, operand in enumerate((left, right)):
        rank = len(operand.shape.items())
        summed = [axis % rank for axis in ints_of(contract[index], "axes")]
        kept = [axis % rank for axis in ints_of(batch[index], "axes")]
        free = [i for i in range(rank) if i not in summed and i not in kept]
        sides.append(([operand.shape.dims[i] for i in kept], [operand.shape.dims[i] for i in free]))
    dims = (*sides[0][0], *sides[0][1], *sides[1][1])
    return Array(Shape(dims), dtype_of(preferred_element_type, promote(left, right)))


@models("jax.lax.dot")
def lax_dot(
    lhs: Value,
    rhs: Value,
    precision: Value = None,
    preferred_element_type: Value = None,
    *,
    dimension_numbers: Value = None,
    out_sharding: Value = None,
) -> Array:
    """Products of vectors and matrices."""
    if dimension_numbers is not None:
        return dot_general(lhs, rhs, dimension_numbers, None, preferred_element_type)
    left, right = array_of(lhs), array_of(rhs)
    if left.shape.rank not in (1, 2) or right.shape.rank not in (1, 2):
        raise Unmodelled("lax.dot of arrays of this rank")
    return dot(lhs, rhs, preferred_element_type=preferred_element_type)


@models("jax.lax.batch_matmul")
def batch_matmul(lhs: Value, rhs: Value, precision: Value = None) -> Array:
    """Matrix products over at least one equal batch axis."""
    left, right = array_of(lhs), array_of(rhs)
    return Array(left.shape.before(2).then(left.shape.dim(-2), right.shape.dim(-1)), promote(left, right))


@models("jax.numpy.cross", "numpy.cross")
def cross(
    a: Value, b: Value, axisa: Value = -1, axisb: Value = -1, axisc: Value = -1, axis: Value = None
) -> Array:
    """Cross products of vectors with three components along the last axis."""
    if any(int_of(value, "axis") != -1 for value in (axisa, axisb, axisc)) or axis not in (None, -1):
        raise Unmodelled("cross along another axis")
    left, right = array_of(a), array_of(b)
    if left.shape.dim(-1) != 3 or right.shape.dim(-1) != 3:
        raise Unmodelled("cross of vectors without three components")
    return Array(broadcast(left.shape, right.shape), promote(left, right))


# ---- matrices ----------------------------------------------------------------------------------------------


@models("jax.numpy.diag", "numpy.diag")
def diag(v: Value, k: Value = 0) -> Array:
    """A diagonal matrix from a vector, or the diagonal of a square one."""
    array = array_of(v)
    dims, offset = array.shape.items(), abs(int_of(k, "k"))
    if len(dims) == 1:
        return array.with_shape(Shape((dims[0] + offset, dims[0] + offset)))
    if len(dims) == 2 and dims[0] == dims[1] and offset == 0:
        return array.with_shape(Shape((dims[0],)))
    raise Unmodelled("the diagonal of a matrix that may not be square")


@models("jax.numpy.diagonal")
@models_method("diagonal")
def diagonal(a: Value, offset: Value = 0, axis1: Value = 0, axis2: Value = 1) -> Array:
    """The diagonal of square matrices, as the last axis."""
    array = array_of(a)
    axes = axes_of((axis1, axis2), array.shape)
    sizes = [array.shape.dim(axis) for axis in axes]
    if int_of(offset, "offset") != 0 or sizes[0] != sizes[1]:
        raise Unmodelled("the diagonal of a matrix that may not be square")
    return array.with_shape(array.shape.without(axes).then(sizes[0]))


@models("jax.numpy.linalg.diagonal")
def linalg_diagonal(x: Value, /, *, offset: Value = 0) -> Array:
    """The diagonal of the last two axes."""
    return diagonal(x, offset, -2, -1)


@models("jax.numpy.trace", "numpy.trace")
@models_method("trace")
def trace(
    a: Value, offset: Value = 0, axis1: Value = 0, axis2: Value = 1, dtype: Value = None, out: None = None
) -> Array:
    """The sum of the diagonal."""
    array = array_of(a)
    return Array(array.shape.without(axes_of((axis1, axis2), array.shape)), dtype_of(dtype))


@models("jax.numpy.linalg.inv", "jax.numpy.linalg.cholesky")
def inverse(a: Value, *, upper: Value = False, symmetrize_input: Value = True) -> Array:
    """A matrix like the given one."""
    array = array_of(a)
    array.shape.last(2)
    return Array(array.shape, floating(array))


@models("jax.numpy.linalg.det")
def det(a: Value) -> Array:
    """Determinants."""
    array = array_of(a)
    array.shape.last(2)
    return Array(array.shape.before(2), floating(array))


@models("jax.numpy.linalg.qr")
def qr(a: Value, mode: Value = "reduced") -> tuple[Array, Array]:
    """Orthogonal times triangular, of a square matrix."""
    array = array_of(a)
    rows, columns = array.shape.last(2)
    if mode != "reduced" or rows != columns:
        raise Unmodelled("qr of a matrix that may not be square")
    return Array(array.shape, floating(array)), Array(array.shape, floating(array))


@models("jax.numpy.linalg.eigh")
def eigh(
    a: Value,
    UPLO: Value = None,  # noqa: N803 - the real name
    symmetrize_input: Value = True,
) -> tuple[Array, Array]:
    """Eigenvalues and eigenvectors of symmetric matrices."""
    array = array_of(a)
    size = array.shape.last(2)[0]
    return Array(array.shape.before(2).then(size)), Array(array.shape)


@models("jax.numpy.linalg.solve")
def solve(a: Value, b: Value) -> Array:
    """Solutions of linear equations, with a vector or a matrix on the right."""
    left, right = array_of(a), array_of(b)
    left.shape.last(2)
    if right.shape.rank == 1:
        return Array(left.shape.before(1))
    if not right.shape.exact or not left.shape.exact:
        raise Unmodelled("solve with an array that may be a vector")
    batch = broadcast(left.shape.before(2), right.shape.before(2))
    return Array(batch.then(*right.shape.last(2)))


@models("jax.numpy.vander")
def vander(x: Value, N: Value = None, increasing: Value = False) -> Array:  # noqa: N803 - the real name
    """Powers of a vector as columns."""
    array = array_of(x)
    (length,) = array.shape.last(1)
    return Array(Shape((length, length if N is None else dim_of(N))))
