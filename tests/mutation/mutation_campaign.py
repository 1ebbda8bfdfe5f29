"""Mutant by mutant: the tests that run its line first, and the whole suite for whatever lives on."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import sys
from collections.abc import Callable, Sequence

from mutants import Mutant, Source
from mutation_plan import Baseline, Plan
from mutation_results import Journal, Result
from mutation_run import Told, run_tests

QUICK_EXAMPLES = 25
FULL_EXAMPLES = 100
LONG_S = 1.0
"""A test that takes longer is left out of a quick look [s]."""
PRELOADED = ("numpy", "hypothesis.extra.numpy", "pytest", "_hypothesis_pytestplugin")


def prepare(plan: Plan) -> None:
    """Make this process the parent of the children: in the copy, with the libraries imported."""
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    sys.dont_write_bytecode = False  # the copy is ours, and every child reads the same modules again
    os.chdir(plan.tree)
    sys.path.insert(0, str(plan.tree))
    for name in PRELOADED:
        importlib.import_module(name)


def preload(plan: Plan) -> None:
    """Import once, before the forks, every library that the tests use. Nothing of the project's own: a
    mutant's modules, and all that import them, must be new."""
    for name in plan.log.with_suffix(".modules").read_text().split():
        if name not in sys.modules:
            with contextlib.suppress(Exception):
                importlib.import_module(name)
    gc.collect()
    gc.freeze()


def run_campaign(
    plan: Plan,
    context: str,
    baseline: Baseline,
    sources: dict[str, Source],
    mutants: Sequence[Mutant],
    journal: Journal,
    tests: Callable[[Mutant], str] = lambda mutant: "all",
    tell: Callable[[int, Mutant, Told], None] = lambda number, mutant, told: None,
) -> None:
    """Find what has no result yet; every result is in the journal as soon as it is found. ``tests``: which of
    ``LEVELS`` a mutant has to live through."""
    hints = journal.hints()
    for number, mutant in enumerate(mutants):
        level = tests(mutant)
        if mutant.digest in journal.of(context, level):
            continue
        code = sources[mutant.file].code(mutant.digest)
        told = judge_mutant(plan, baseline, mutant, code, hints.get(mutant.digest, ""), level)
        result = Result(context, mutant.digest, told.outcome, told.detail, told.seconds, told.failed, level)
        journal.add(result)
        tell(number, mutant, told)


def judge_mutant(plan: Plan, baseline: Baseline, mutant: Mutant, code: object, hint: str, level: str) -> Told:
    """Run a mutant's tests."""
    tests = baseline.choose(mutant, hint)
    if level == "quick":
        tests = [test for test in tests if baseline.seconds[test] < LONG_S or test == hint]
    told = Told("survived", "no test runs its line", 0.0)
    if tests:
        told = _run(plan, baseline, mutant, code, tests, QUICK_EXAMPLES)
    if told.outcome != "survived" or level != "all":
        return told
    spent = told.seconds
    told = _run(plan, baseline, mutant, code, list(baseline.seconds), FULL_EXAMPLES)
    told.seconds += spent
    return told


def _run(
    plan: Plan, baseline: Baseline, mutant: Mutant, code: object, tests: list[str], examples: int
) -> Told:
    files = tuple(dict.fromkeys(test.partition("::")[0] for test in tests))  # only these need be imported
    expected = sum(baseline.seconds[test] for test in tests)
    # Seconds were measured under coverage, which is slower; four times that is far more than chance.
    limit = 10.0 + 4.0 * expected * max(examples / QUICK_EXAMPLES, 1.0)
    return run_tests(plan.tree, files, plan.log, (mutant.file, code), tests, examples, limit)
