"""What is mutated, by which tests it is judged, and the copy of the tree in which that happens."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import coverage
from mutants import Mutant, Source
from mutation_run import Told, run_tests

COPIED = ("robot", "sim", "launch", "learners", "calibration", "tests", "pyproject.toml", "sandlot.py")
_IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc", ".hypothesis")


class PlanError(Exception):
    """The run cannot begin."""


@dataclass(frozen=True)
class Plan:
    """``package``: the folder that is mutated; ``suite``: files and folders of its tests; all relative to
    ``root``. ``keep``: where the copy, the journal and the logs lie. ``left_out``: tests (by a part of their
    name) that test other tests, and would pass whatever the mutant."""

    root: Path
    package: str
    suite: tuple[str, ...]
    keep: Path
    copied: tuple[str, ...] = COPIED
    left_out: tuple[str, ...] = ()

    @property
    def tree(self) -> Path:
        """The copy that is tested: the tree itself may be edited meanwhile."""
        return self.keep / "tree"

    @property
    def log(self) -> Path:
        return self.keep / "child.log"

    def snapshot(self, revision: str = "") -> str:
        """Copy the tree (as it lies there, or as it was committed in ``revision``); returns a digest of what
        the verdicts rest on, which every result carries. Raises PlanError for an unknown revision."""
        shutil.rmtree(self.tree, ignore_errors=True)
        self.tree.mkdir(parents=True)
        if revision:
            self._check_out(revision)
        for name in () if revision else self.copied:
            source = self.root / name
            if source.is_dir():
                shutil.copytree(source, self.tree / name, ignore=_IGNORED)
            elif source.exists():
                shutil.copy2(source, self.tree / name)
        digest = hashlib.sha256()
        for path in sorted(self.tree.rglob("*")):
            name = path.relative_to(self.tree)
            if path.is_file() and (name.parts[0] == self.package.split("/")[0] or _judges(name, self.suite)):
                digest.update(str(name).encode() + b"\0" + path.read_bytes() + b"\0")
        return digest.hexdigest()[:16]

    def _check_out(self, revision: str) -> None:
        archive = subprocess.run(
            ["git", "-C", str(self.root), "archive", "--format=tar", revision],
            capture_output=True,
            check=False,
        )
        if archive.returncode:
            raise PlanError(f"git has no revision {revision!r}: {archive.stderr.decode().strip()}")
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
            tar.extractall(self.tree, filter="data")

    def sources(self) -> dict[str, Source]:
        """Every file of the package in the copy, by name."""
        files = sorted(p.relative_to(self.tree) for p in (self.tree / self.package).rglob("*.py"))
        return {str(f): Source.read(self.tree, str(f)) for f in files}


def _judges(name: Path, suite: Sequence[str]) -> bool:
    if name.parts[0] != "tests":
        return False
    return name.name == "conftest.py" or any(
        name == Path(s) or Path(s) in name.parents or name.is_relative_to("tests/doubles") for s in suite
    )


@dataclass(frozen=True)
class Baseline:
    """How the suite does without any mutant: seconds of each test, and which tests run which lines."""

    seconds: dict[str, float]
    tests_of: dict[str, dict[int, list[str]]]

    def choose(self, mutant: Mutant, hint: str) -> list[str]:
        """The tests that run the mutant's statement (or anything of its file, if it runs on import), quickest
        first; ``hint`` before all of them."""
        lines = self.tests_of.get(mutant.file, {})
        first, last = mutant.lines
        chosen = {test for number in range(first, last + 1) for test in lines.get(number, ())} - {""}
        if not chosen:  # it runs on import: whoever touches the file, or nothing at all, might notice
            chosen = {test for tests in lines.values() for test in tests} - {""}
            chosen |= self.seconds.keys() - {
                t for f in self.tests_of.values() for ts in f.values() for t in ts
            }
        order = sorted(chosen & self.seconds.keys(), key=lambda test: (test != hint, self.seconds[test]))
        return [hint, *order] if hint in self.seconds and hint not in chosen else order


def measure(plan: Plan, context: str, examples: int) -> tuple[Baseline, coverage.Coverage]:
    """Run the suite on the code as it is, under coverage. Cached by ``context``. Raises PlanError if a test
    fails: mutants judged by it would all seem dead."""
    cache = plan.keep / f"baseline-{context}.json"
    data = plan.log.with_suffix(".coverage")
    if cache.exists() and data.exists() and plan.log.with_suffix(".modules").exists():
        plain = json.loads(cache.read_text())
        return _baseline(plan, data, plain), _report(data)
    told: Told = run_tests(
        plan.tree,
        plan.suite,
        plan.log,
        examples=examples,
        cpu_s=1800.0,
        measure=plan.package,
        left_out=plan.left_out,
    )
    if told.outcome != "survived":
        raise PlanError(
            f"the tests do not pass on the code as it is ({told.outcome}: {told.detail}); see {plan.log}"
        )
    for old in plan.keep.glob("baseline-*.json"):
        old.unlink()
    cache.write_text(json.dumps(told.durations))
    return _baseline(plan, data, told.durations), _report(data)


def _report(data: Path) -> coverage.Coverage:
    measured = coverage.Coverage(data_file=str(data))
    measured.load()
    return measured


def _baseline(plan: Plan, data: Path, seconds: dict[str, float]) -> Baseline:
    stored = coverage.CoverageData(basename=str(data))
    stored.read()
    tree = plan.tree.resolve()
    tests_of = {
        str(Path(file).resolve().relative_to(tree)): stored.contexts_by_lineno(file)
        for file in stored.measured_files()
    }
    return Baseline(seconds, tests_of)
