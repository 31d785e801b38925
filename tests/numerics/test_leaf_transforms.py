import numpy as np
import pytest

from nnx_migrate.numerics.leaf_transforms import Transform, TransformError

A = np.arange(6.0).reshape(2, 3)
B = np.arange(10.0, 18.0).reshape(2, 4)


@pytest.mark.parametrize(
    ("transform", "sources", "targets", "expected"),
    [
        (Transform(), [A], [(2, 3)], [A]),
        (Transform("concat", axis=-1), [A, B], [(2, 7)], [np.concatenate([A, B], -1)]),
        (Transform("split", axis=1), [B], [(2, 1), (2, 3)], [B[:, :1], B[:, 1:]]),
        (Transform("stack", axis=0), [A, A + 1], [(2, 2, 3)], [np.stack([A, A + 1])]),
        (Transform("stack", axis=1), [A, A + 1], [(2, 2, 3)], [np.stack([A, A + 1], 1)]),
        (Transform("unstack", axis=0), [A], [(3,), (3,)], [A[0], A[1]]),
        (Transform("unstack", axis=-1), [A], [(2,), (2,), (2,)], [A[:, 0], A[:, 1], A[:, 2]]),
        (Transform("reshape"), [A], [(6,)], [A.reshape(6)]),
        (Transform("transpose", axes=(1, 0)), [A], [(3, 2)], [A.T]),
        (
            Transform("stack", axis=0, inner=Transform("concat", axis=-1)),
            [A, B, A + 1, B + 1],
            [(2, 2, 7)],
            [np.stack([np.concatenate([A, B], -1), np.concatenate([A + 1, B + 1], -1)])],
        ),
        (
            Transform("unstack", axis=0, inner=Transform("concat", axis=0)),
            [A, A + 10],
            [(6,), (6,)],
            [np.concatenate([A[0], A[0] + 10]), np.concatenate([A[1], A[1] + 10])],
        ),
    ],
)  # fmt: skip
def test_apply_agrees_with_shapes(transform, sources, targets, expected) -> None:
    result = transform.apply(sources, targets)
    assert all(np.array_equal(r, e) for r, e in zip(result, expected, strict=True))
    assert transform.shapes([s.shape for s in sources], targets) == [e.shape for e in expected]
    assert Transform.from_json(transform.to_json()) == transform


@pytest.mark.parametrize(
    ("transform", "sources", "targets"),
    [
        (Transform(), [A, A], [(2, 3)]),
        (Transform("concat", axis=0), [A, B], [(4, 3)]),
        (Transform("split", axis=1), [B], [(2, 1), (2, 2)]),
        (Transform("stack"), [A, A, A], [(2, 2, 3)]),
        (Transform("stack"), [A, B], [(2, 2, 3)]),
        (Transform("unstack"), [A], [(3,)]),
        (Transform("reshape"), [A], [(5,)]),
        (Transform("transpose", axes=(0, 0)), [A], [(2, 3)]),
    ],
)
def test_unsuitable_leaves_are_refused(transform, sources, targets) -> None:
    with pytest.raises(TransformError):
        transform.apply(sources, targets)


def test_unknown_kind() -> None:
    with pytest.raises(TransformError, match="flip"):
        Transform.from_json({"kind": "flip"})
