"""Runs tests in a process of its own and says what became of it: never more than it can know."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mutation_child import run_child

Outcome = Literal["killed", "survived", "crashed", "timeout", "unrun"]

_FROM_OUTSIDE = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT})
"""Signals that end a process because somebody wants it gone, not because of what it did."""


@dataclass
class Told:
    """All that a child said, and how it ended."""

    outcome: Outcome
    detail: str
    seconds: float
    durations: dict[str, float] = field(default_factory=dict)
    failed: str = ""


def run_tests(
    tree: Path,
    suite: Sequence[str],
    log: Path,
    mutant: tuple[str, Any] | None = None,
    tests: Sequence[str] | None = None,
    examples: int = 25,
    cpu_s: float = 600.0,
    wall_s: float | None = None,
    measure: str = "",
    left_out: Sequence[str] = (),
) -> Told:
    """Fork, run ``tests`` of ``suite`` (all but ``left_out``: None) in ``tree``, and judge. See
    ``run_child``.

    ``cpu_s``: processor time after which it is a timeout; ``wall_s``: the same by the clock, for a child that
    waits for ever (default: ten times as long, the machine may be busy).
    """
    reading, writing = os.pipe()
    begun = time.monotonic()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os.setpgid(0, 0)
        run_child(writing, tree, suite, mutant, tests, examples, cpu_s, log, measure, left_out)
    os.close(writing)
    with contextlib.suppress(OSError):
        os.setpgid(child, child)
    late = False
    said = bytearray()
    try:
        deadline = begun + (10.0 * cpu_s + 10.0 if wall_s is None else wall_s)
        while True:
            ready, _, _ = select.select([reading], [], [], max(deadline - time.monotonic(), 0.0))
            if not ready:
                late = True
                break
            data = os.read(reading, 65536)
            if not data:
                break
            said += data
    finally:
        os.close(reading)
        if not _ended(child, 0.0 if late else 5.0):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
        else:
            _, status = os.waitpid(child, 0)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # what a test may have left behind
    return judge(bytes(said), status, late, time.monotonic() - begun)


def _ended(child: int, seconds: float) -> bool:
    """Whether the child has ended (it stays to be waited for), given so long."""
    deadline = time.monotonic() + seconds
    while os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.01)
    return True


def judge(said: bytes, status: int, late: bool, seconds: float) -> Told:
    """From what a child said and its wait status to an outcome.

    Killed and survived need a child that ran to its end and said so; a test's failure alone is not enough,
    nor is an exit status.
    """
    facts: dict[str, Any] = {}
    durations: dict[str, float] = {}
    failed: list[dict[str, str]] = []
    for line in said.splitlines():
        try:
            fact = json.loads(line)
        except ValueError:
            continue  # it was cut off in the middle of a word
        if "failed" in fact:
            failed.append(fact)
        elif "passed" in fact:
            durations[fact["passed"]] = durations.get(fact["passed"], 0.0) + fact["seconds"]
        else:
            facts |= fact

    def told(outcome: Outcome, detail: str) -> Told:
        return Told(outcome, detail, round(seconds, 3), durations, failed[0]["failed"] if failed else "")

    code = os.waitstatus_to_exitcode(status)
    if late or -code == signal.SIGXCPU:
        return told("timeout", f"still running after {seconds:.0f} s")
    if -code in _FROM_OUTSIDE:
        return told("unrun", f"its process was ended from outside by {signal.Signals(-code).name}")
    if code < 0:
        return told("crashed", signal.Signals(-code).name)
    if "started" not in facts:
        return told("unrun", "its process never came to the tests")
    if "finished" not in facts:
        return told("crashed", f"its process ended with status {code} before the tests did")
    if failed:
        return told("killed", f"{failed[0]['failed']} ({failed[0]['when']}): {failed[0]['why']}")
    if facts["finished"] == 0 and facts["ran"] == facts["chosen"] > 0:
        return told("survived", f"{facts['ran']} tests passed")
    return told("unrun", f"pytest ended with {facts['finished']}, {facts['ran']}/{facts['chosen']} tests ran")
