from nnx_migrate.verification.listing import Row, align, class_lines, side_by_side

OLD = """import x


@wrapped
class Model:
    a: int

    class Inner:
        b = 1


def after(): ...
"""


def test_lines_of_a_class_with_decorators_and_of_a_nested_one(tmp_path):
    (tmp_path / "src" / "pkg").mkdir(parents=True)
    (tmp_path / "src" / "pkg" / "models.py").write_text(OLD)
    whole = class_lines("pkg.models:Model", tmp_path)
    assert whole is not None
    assert (whole[0], whole[-1]) == ("@wrapped", "        b = 1")
    assert class_lines("pkg.models:Model.Inner", tmp_path) == ["    class Inner:", "        b = 1"]
    assert class_lines("pkg.models:Other", tmp_path) is None
    assert class_lines("pkg.nothing:Model", tmp_path) is None


def test_unparsable_sources_have_no_listing(tmp_path):
    (tmp_path / "m.py").write_text("class Model:\n  (")
    assert class_lines("m:Model", tmp_path) is None
    assert side_by_side("m:Model", tmp_path, tmp_path) is None


def test_equal_lines_stand_beside_each_other():
    assert align(["a", "b", "c"], ["a", "x", "y", "c"]) == [
        Row("a", "a", False),
        Row("b", "x", True),
        Row(None, "y", True),
        Row("c", "c", False),
    ]
    assert align(["a", "b"], ["b"]) == [Row("a", None, True), Row("b", "b", False)]
