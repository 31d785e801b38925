import subprocess

import pytest

from nnx_migrate.verification.before import RevisionError, code_before


@pytest.fixture
def repository(tmp_path):
    root = tmp_path / "repository"
    (root / "pkg").mkdir(parents=True)
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    for number in (1, 2):
        (root / "pkg" / "m.py").write_text(f"x = {number}\n")
        subprocess.run(["git", "add", "."], cwd=root, check=True)
        subprocess.run(["git", *identity, "commit", "-qm", "x"], cwd=root, check=True)
    (root / "pkg" / "m.py").write_text("x = 3\n")
    return root


@pytest.mark.parametrize(("revision", "text"), [("HEAD", "x = 2\n"), ("HEAD~1", "x = 1\n")])
def test_the_same_folder_at_a_revision(repository, revision, text):
    with code_before(repository / "pkg", None, revision) as old:
        assert (old / "m.py").read_text() == text
        place = old
    assert not place.exists()
    listed = subprocess.run(["git", "worktree", "list"], cwd=repository, capture_output=True, text=True)
    assert len(listed.stdout.splitlines()) == 1
    assert (repository / "pkg" / "m.py").read_text() == "x = 3\n"


def test_a_folder_is_used_as_it_is(repository, tmp_path):
    with code_before(repository, tmp_path, "HEAD") as old:
        assert old == tmp_path


def test_a_link_to_the_repository(repository, tmp_path):
    (tmp_path / "link").symlink_to(repository)
    with code_before(tmp_path / "link" / "pkg", None, "HEAD") as old:
        assert (old / "m.py").read_text() == "x = 2\n"


def test_an_unknown_revision_and_no_repository(repository, tmp_path):
    with pytest.raises(RevisionError, match="can't check out v9"), code_before(repository, None, "v9"):
        pass
    with pytest.raises(RevisionError, match="--before FOLDER"), code_before(tmp_path, None, "HEAD"):
        pass
