"""One run of `check` or `fix`: files, configuration, rules and targets brought together."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from nnx_migrate import __version__
from nnx_migrate.config import Config
from nnx_migrate.engine.cache import FOLDER, Cache, digest, stamp
from nnx_migrate.engine.catalog import Card, all_cards
from nnx_migrate.engine.context import ProjectContext
from nnx_migrate.engine.registry import builtin_rules, local_rules, plugin_rules, select
from nnx_migrate.engine.rule import Rule
from nnx_migrate.engine.scan import Scan, Scanner
from nnx_migrate.engine.targets import Targets
from nnx_migrate.names.project import Project
from nnx_migrate.sources.files import decode_source, load_source

_PARALLEL_FROM = 64  # fewer files are done before a second process has started
_CHUNK = 16


def all_rules(config: Config) -> dict[str, Rule]:
    """The rules that can be selected: built in, plugins, local."""
    return {**builtin_rules(), **plugin_rules(), **local_rules(config.rules)}


@dataclass
class Session:
    """A run over `paths`; `use_cache` and `jobs` as in the CLI.

    `stdin` replaces the content of one of them, `named` are those that the command line names one by one.
    """

    paths: Sequence[Path]
    config: Config
    rules: Sequence[Card]
    targets: Targets
    use_cache: bool = True
    jobs: int = 0
    stdin: dict[Path, bytes] = field(default_factory=dict)
    named: frozenset[Path] = frozenset()

    @classmethod
    def open(
        cls,
        paths: Sequence[Path],
        config: Config,
        targets: Targets,
        *,
        chosen: Iterable[str] = (),
        ignored: Iterable[str] = (),
        use_cache: bool = True,
        jobs: int = 0,
        stdin: dict[Path, bytes] | None = None,
        named: Iterable[Path] = (),
    ) -> Session:
        """Select the rules and make a session. Raises RuleError."""
        rules = select(
            all_cards(config.rules, use_cache=use_cache),
            tuple(chosen) or config.select,
            (*config.ignore, *ignored),
        )
        return cls(paths, config, rules, targets, use_cache, jobs, stdin or {}, frozenset(named))

    def read(self, path: Path) -> bytes:
        """Bytes of a file (those from standard input, where given)."""
        return self.stdin[path] if path in self.stdin else path.read_bytes()

    @cached_property
    def scanner(self) -> Scanner:
        """The compiled rules over this session's project."""
        load = (lambda path: decode_source(path, self.read(path))) if self.stdin else load_source
        project = Project(self.paths, load)
        return Scanner(ProjectContext(project, self.config, self.targets), self.rules, self.read, self.named)

    @property
    def left_out(self) -> list[Card]:
        """Selected rules that don't concern the releases that the project is pinned to."""
        return [rule for rule in self.rules if not self.targets.concerned(rule.since)]

    # -- check --------------------------------------------------------------------------------------------

    def check(self, progress: Callable[[int], None] = lambda done: None) -> Scan:
        """What all rules find. `progress` is told how many files have been done since its last call."""
        cache = self._cache()
        scan, pending = Scan(), []
        for path in self.paths:
            known = cache.get(path) if cache else None
            if known is None:
                pending.append(path)
            else:
                scan.files += 1
                scan.findings += known[0]
                if known[1]:
                    scan.errors[path] = known[1]
        progress(len(self.paths) - len(pending))
        for path, result, consulted in self._scan(pending):
            if cache:
                cache.put(path, result.findings, result.errors.get(path), consulted)
            scan.merge(result)
            progress(1)
        scan.merge(self._project_scan(cache, bool(pending)))
        if cache:
            cache.save()
        scan.findings.sort(key=lambda finding: finding.sort_key)
        return scan

    def _scan(self, paths: list[Path]) -> Iterable[tuple[Path, Scan, set[Path]]]:
        if not paths:
            return
        # workers inherit the compiled rules by fork; where that doesn't exist, or may hang since JAX's threads run in
        # this process, one process does it all
        can_fork = hasattr(os, "fork") and "jax" not in sys.modules
        jobs = self.jobs or min(os.cpu_count() or 1, 8) if can_fork else 1
        if jobs == 1 or len(paths) < _PARALLEL_FROM or self.stdin:
            yield from _scan_files(self.scanner, paths)
            return
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor

        _ = self.scanner  # built before the fork, shared by the workers
        chunks = [paths[i : i + _CHUNK] for i in range(0, len(paths), _CHUNK)]
        _WORKER.append(self.scanner)
        try:
            with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("fork")) as pool:
                for rows in pool.map(_scan_chunk, chunks):
                    yield from rows
        finally:
            _WORKER.pop()

    def _project_scan(self, cache: Cache | None, changed: bool) -> Scan:
        if not any(card.whole_project for card in self.rules):
            return Scan()
        marker = self.config.root / "<project>"
        files = digest(f"{path}{stamp(path)}" for path in self.paths) if cache else ""
        if cache and not changed:
            entry = cache.entries.get(str(marker))
            if entry is not None and entry.get("files") == files:
                return Scan([f for path, rows in entry["found"] for f in cache.findings(Path(path), rows)])
        scan = self.scanner.whole_project()
        if cache:
            cache.put_project(str(marker), files, scan.findings)
        return scan

    def _cache(self) -> Cache | None:
        if not self.use_cache or self.stdin:
            return None
        settings = [
            __version__,
            sys.version,
            repr(self.config),
            repr(self.targets),
            *(rule.id for rule in self.rules),
            *(str(stamp(Path(rule.file))) for rule in self.rules),
            digest(map(str, self.paths)),
        ]
        key = digest(settings)
        name = f"check-{digest([str(self.config.root), *map(str, self.paths[:1])])[:8]}.json"
        return Cache.load(self.config.root / FOLDER / name, key)


_WORKER: list[Scanner] = []


def _scan_chunk(paths: list[Path]) -> list[tuple[Path, Scan, set[Path]]]:
    return list(_scan_files(_WORKER[-1], paths))


def _scan_files(scanner: Scanner, paths: Iterable[Path]) -> Iterable[tuple[Path, Scan, set[Path]]]:
    project = scanner.context.project
    for path in paths:
        project.consulted.clear()
        result = scanner.file(path)
        consulted = set(project.consulted)
        project.release(path)
        # the cache and the pipe between processes carry no fixes: `fix` plans anew
        result.findings = [replace(finding, fix=None) for finding in result.findings]
        yield path, result, consulted
