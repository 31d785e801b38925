"""What `check` and `fix` owe to any folder of code, whatever is in it; shared by `packages.py`, `fuzz.py` and tests.

- no rule fails, and no file that Python can parse is an error;
- a file that parsed before `fix` parses afterwards, in the same encoding and with the same line ends;
- what `fix` changes in a file lies where its findings or imports are; files without a fix keep every byte;
- a second `fix` changes nothing.
"""

from __future__ import annotations

import io
import re
import time
import tokenize
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from nnx_migrate.config import Config
from nnx_migrate.engine.fixing import Fixer, FixResult
from nnx_migrate.engine.session import Session
from nnx_migrate.engine.targets import Targets
from nnx_migrate.sources.discovery import discover
from nnx_migrate.sources.files import load_source
from nnx_migrate.sources.text import SourceError, parse
from nnx_migrate.sources.writing import write_atomically


@dataclass
class Outcome:
    """What a folder showed. `problems` says, one line each, what was promised and not kept."""

    files: int = 0
    findings: Counter[str] = field(default_factory=Counter)
    fixes: Counter[str] = field(default_factory=Counter)
    changed: list[Path] = field(default_factory=list)
    unreadable: int = 0
    problems: list[str] = field(default_factory=list)
    check_seconds: float = 0.0
    fix_seconds: float = 0.0


def examine(folder: Path, *, unsafe: bool = False, rules: Iterable[str] = ()) -> Outcome:
    """Check and fix a folder, in place, and hold the result to the promises above."""
    outcome = Outcome()
    before = _contents(folder)
    parsed = {path for path in before if _parses(path)}
    outcome.files, outcome.unreadable = len(before), len(before) - len(parsed)

    start = time.process_time()
    scan = _session(folder, rules).check()
    outcome.check_seconds = time.process_time() - start
    outcome.findings.update(finding.rule for finding in scan.findings)
    _judge_errors("check", scan.errors, parsed, outcome.problems)

    start = time.process_time()
    result = fix(folder, unsafe=unsafe, rules=rules)
    outcome.fix_seconds = time.process_time() - start
    outcome.fixes.update(finding.rule for finding in result.fixed)
    outcome.changed = result.changed
    _judge_errors("fix", result.remaining.errors, parsed, outcome.problems)
    _judge_files(before, parsed, result, outcome.problems)
    if not unsafe:  # a fix that loses a comment is unsafe
        outcome.problems += _lost_comments(before, result.changed)

    again = fix(folder, unsafe=unsafe, rules=rules)
    outcome.problems += [f"{path}: a second fix changes it" for path in again.changed]
    left, remaining = Counter(f.rule for f in again.remaining.findings), result.remaining.findings
    if left != Counter(f.rule for f in remaining):
        outcome.problems.append(f"{folder}: findings after the first and the second fix differ: {left}")
    return outcome


def fix(folder: Path, *, unsafe: bool = False, rules: Iterable[str] = ()) -> FixResult:
    """`fix --allow-dirty` on a folder."""
    session = _session(folder, rules)
    result = Fixer(session.scanner.context, session.scanner, unsafe=unsafe).run(session.paths)
    for path in result.changed:
        try:
            write_atomically(path, result.after[path].encode())
        except SourceError as error:
            result.remaining.errors[path] = error
    for path, text in result.created.items():
        write_atomically(path, text.encode())
    return result


def _session(folder: Path, rules: Iterable[str]) -> Session:
    config = Config(root=folder)
    return Session.open(discover([folder]), config, Targets(), chosen=rules, use_cache=False, jobs=1)


def _contents(folder: Path) -> dict[Path, bytes]:
    contents = {}
    for path in discover([folder]):
        try:
            contents[path] = path.read_bytes()
        except OSError:  # a link to nowhere, a file of somebody else
            continue
    return contents


def _parses(path: Path) -> bool:
    try:
        parse(load_source(path), str(path))
    except SourceError:
        return False
    return True


def _judge_errors(
    command: str, errors: dict[Path, SourceError], parsed: set[Path], problems: list[str]
) -> None:
    for path, error in errors.items():
        if path in parsed or "failed" in error.message or not path.suffix:
            problems.append(f"{path}: {command}: {error.message}")


def _judge_files(
    before: dict[Path, bytes], parsed: set[Path], result: FixResult, problems: list[str]
) -> None:
    fixed = {path for finding in result.fixed if finding.fix for path in finding.fix.changes}
    for path, old in before.items():
        new = path.read_bytes()
        if new == old:
            continue
        if path not in fixed:
            problems.append(f"{path}: changed, though nothing in it was fixed")
        if path in parsed and not _parses(path):
            problems.append(f"{path}: does not parse after fix")
        if path.suffix == ".py":
            problems += [f"{path}: {what} after fix" for what in _manners(old, new)]
    for path in result.created:
        if not _parses(path):
            problems.append(f"{path}: was written and does not parse")


def _manners(old: bytes, new: bytes) -> Iterable[str]:
    """What about a file, other than its code, isn't as it was."""
    aspects: dict[str, Callable[[bytes], object]] = {
        "another byte order mark": lambda data: data.startswith(b"\xef\xbb\xbf"),
        "another encoding": lambda data: tokenize.detect_encoding(iter(data.splitlines(True)).__next__)[0],
        "another end of file": lambda data: data.endswith((b"\n", b"\r")),
        "other form feeds": page_breaks,
    }
    for name, aspect in aspects.items():
        if aspect(old) != aspect(new):
            yield name
    if len(ends := _line_ends(old)) == 1 and _line_ends(new) - ends:
        yield "other line ends"


def page_breaks(data: bytes) -> int:
    """The form feeds between statements. Those inside of brackets are layout, which rewritten calls lose."""
    found, depth, inside = data.count(b"\f"), 0, set[int]()
    try:
        for token in tokenize.tokenize(io.BytesIO(data).readline) if found else ():
            if token.type == tokenize.OP and token.string in "([{)]}":
                depth += 1 if token.string in "([{" else -1
            if depth and token.type == tokenize.NL:
                inside.add(token.start[0])  # the line below goes on
    except (SyntaxError, UnicodeDecodeError, tokenize.TokenError):
        return found
    lines = re.split(rb"\r\n|\r|\n", data)
    return found - sum(line.count(b"\f") for number, line in enumerate(lines, 1) if number - 1 in inside)


def _lost_comments(before: dict[Path, bytes], changed: Iterable[Path]) -> Iterable[str]:
    for path in changed:
        if path.suffix == ".py":
            try:
                lost = _comments(before[path]) - _comments(path.read_bytes())
            except (SyntaxError, UnicodeDecodeError, tokenize.TokenError):
                continue
            if lost:
                yield f"{path}: a safe fix loses {', '.join(lost)}"


def _line_ends(data: bytes) -> set[bytes]:
    return {line[len(line.rstrip(b"\r\n")) :] for line in data.splitlines(True)} - {b""}


def _comments(data: bytes) -> Counter[str]:
    tokens = tokenize.tokenize(iter(data.splitlines(True)).__next__)
    return Counter(token.string.strip() for token in tokens if token.type == tokenize.COMMENT)
