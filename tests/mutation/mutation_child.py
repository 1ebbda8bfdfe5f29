"""The process that runs tests, on a mutant or on the code as it is, and says how that went.

One process each: whatever a mutant does to it, nobody else notices. It tells through a pipe, one JSON line
for each fact; what was not told did not happen.
"""

from __future__ import annotations

import importlib.util
import json
import os
import resource
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import coverage
import pytest
from hypothesis import Phase, settings

MEMORY_BYTES = 8 << 30
"""Address space of a child: a mutant that eats memory gets MemoryError, and the machine stays well."""


UNUSED = (
    "cacheprovider",
    "unraisableexception",
    "threadexception",
    "doctest",
    "junitxml",
    "stepwise",
    "faulthandler",
)
"""Plugins of pytest that a child has no use for; each costs time."""


class Telling:
    """A pytest plugin: picks the tests to run, in order, and tells of each."""

    def __init__(
        self,
        pipe: int,
        tests: Sequence[str] | None,
        left_out: Sequence[str],
        recorder: coverage.Coverage | None = None,
    ) -> None:
        self._pipe = pipe
        self._tests = tests
        self._left_out = left_out
        self._recorder = recorder
        self.chosen = self.ran = 0

    def tell(self, **facts: Any) -> None:
        os.write(self._pipe, json.dumps(facts).encode() + b"\n")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if self._tests is not None:
            rank = {test: k for k, test in enumerate(self._tests)}
            items[:] = sorted((i for i in items if i.nodeid in rank), key=lambda item: rank[item.nodeid])
        items[:] = [i for i in items if not any(part in i.nodeid for part in self._left_out)]
        self.chosen = len(items)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.tell(failed=report.nodeid, when="import", why=_last_line(report.longrepr))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if self._recorder is not None:
            self._recorder.switch_context(item.nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.tell(failed=report.nodeid, when=report.when, why=_last_line(report.longrepr))
        elif report.when == "call" or report.skipped:
            self.ran += 1
            self.tell(passed=report.nodeid, seconds=round(report.duration, 4))


def _last_line(longrepr: object) -> str:
    crash = getattr(longrepr, "reprcrash", None)
    text = str(crash.message if crash is not None else longrepr)
    return next((line for line in text.splitlines() if line.strip()), "")[:200]


class _MutantLoader(SourceFileLoader):
    code: Any

    def get_code(self, fullname: str) -> Any:
        return self.code


class _MutantFinder(MetaPathFinder):
    """Stands in for one module and leaves every other to the rest of the system."""

    def __init__(self, tree: Path, file: str, code: Any) -> None:
        self._name = file.removesuffix(".py").replace("/", ".")
        self._path = str(tree / file)
        self._code = code

    def find_spec(self, fullname: str, path: object, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        loader = _MutantLoader(fullname, self._path)
        loader.code = self._code
        return importlib.util.spec_from_file_location(fullname, self._path, loader=loader)


def run_child(
    pipe: int,
    tree: Path,
    suite: Sequence[str],
    mutant: tuple[str, Any] | None,
    tests: Sequence[str] | None,
    examples: int,
    cpu_s: float,
    log: Path,
    measure: str = "",
    left_out: Sequence[str] = (),
) -> None:
    """Never returns. ``mutant``: file and code object; ``tests``: names of those to run, in order (None:
    all but ``left_out``, by parts of their names); ``measure``: the folder whose coverage, test by test, is
    written beside ``log``."""
    status = 70
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(output, 1)
        os.dup2(output, 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        seconds = int(cpu_s) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
        if mutant is not None:
            sys.meta_path.insert(0, _MutantFinder(tree, *mutant))
        status = _session(pipe, tree, suite, tests, examples, log, measure, left_out)
    except BaseException as error:  # noqa: BLE001  (whatever a mutant raises, its process ends here)
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(status)


def _session(
    pipe: int,
    tree: Path,
    suite: Sequence[str],
    tests: Sequence[str] | None,
    examples: int,
    log: Path,
    measure: str,
    left_out: Sequence[str],
) -> int:
    settings.register_profile(
        "mutation",
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.explicit, Phase.generate),  # a smaller example of a mutant's wrong is nobody's concern
    )
    settings.load_profile("mutation")
    recorder = None
    if measure:
        recorder = coverage.Coverage(
            data_file=str(log.with_suffix(".coverage")), branch=True, source=[str(tree / measure)]
        )
        recorder.start()
    telling = Telling(pipe, tests, left_out, recorder)
    telling.tell(started=True)
    # The project's own options, but no clock on single tests: the whole process has one.
    options = ["-o", "addopts=--import-mode=importlib", "-q", "--rootdir", str(tree), "--assert=plain"]
    options += [part for name in UNUSED for part in ("-p", f"no:{name}")]
    options += ["-p", "_hypothesis_pytestplugin", *([] if measure else ["-x"])]
    result = pytest.main([*options, *suite], plugins=[telling])
    if recorder is not None:
        recorder.stop()
        recorder.save()
        here = str(tree)
        modules = [
            name
            for name, module in list(sys.modules.items())
            if (file := getattr(module, "__file__", None)) and not file.startswith(here)
        ]
        log.with_suffix(".modules").write_text("\n".join(modules))
    telling.tell(finished=int(result), chosen=telling.chosen, ran=telling.ran)
    return 0
