"""What annotations of fields promise."""

from __future__ import annotations

import ast

#: Types of values that neither are modules nor have any, and what puts such types together.
_DATA = frozenset(
    {
        "Array", "ArrayLike", "DType", "DTypeLike", "Dtype", "Iterable", "KeyArray", "List", "None", "Optional",
        "PRNGKey", "PaddingLike", "Precision", "PrecisionLike", "Sequence", "Shape", "Tuple", "Union", "bool",
        "complex", "dtype", "float", "int", "list", "ndarray", "str", "tuple",
    }
)  # fmt: skip


def declares_data(annotation: ast.expr | None) -> bool:
    """Whether an annotation says that a value is made of numbers, texts, arrays and dtypes alone."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        try:
            return declares_data(ast.parse(annotation.value, mode="eval").body)
        except SyntaxError:
            return False
    if isinstance(annotation, ast.Constant):
        return annotation.value is None or annotation.value is ...
    if isinstance(annotation, ast.Name | ast.Attribute):
        return (annotation.id if isinstance(annotation, ast.Name) else annotation.attr) in _DATA
    if isinstance(annotation, ast.Subscript):
        return _is_literal(annotation.value) or (
            declares_data(annotation.value) and declares_data(annotation.slice)
        )
    if isinstance(annotation, ast.Tuple):
        return all(declares_data(item) for item in annotation.elts)
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        return declares_data(annotation.left) and declares_data(annotation.right)
    return False


def _is_literal(annotation: ast.expr) -> bool:
    return ast.unparse(annotation).rpartition(".")[2] == "Literal"
