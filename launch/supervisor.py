"""Starts a session's processes in order, keeps them alive, and takes them down robot first, data second.

Every process runs in a session of its own, so that Ctrl-C reaches the supervisor alone and the order of
stopping is its to choose. A process that dies is started again after a back-off that doubles; one that
cannot live (it exits with 2: its configuration is wrong, or dies too often) ends the session, in the same
orderly way.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from robot.clock import Clock
from robot.errors import SandlotError

CONFIGURATION_ERROR = 2
"""A process's exit code that says: starting me again will not help."""

SUPERVISOR = "SANDLOT_SUPERVISOR"
"""Environment variable: the process id of whoever started a process and stops it again."""


class ProcessError(SandlotError):
    """A process of the session could not be started or kept alive."""


def always() -> bool:
    return True


@dataclass(frozen=True)
class Plan:
    """How one process is started and stopped. ``ready``: holds once the next process may start;
    ``stop_s``: how long it may take to end after SIGTERM before it is killed [s]."""

    name: str
    command: tuple[str, ...]
    ready: Callable[[], bool] = always
    ready_s: float = 20.0
    stop_s: float = 5.0
    environment: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Backoff:
    """Delay before the n-th start in a row: ``first_s`` doubling up to ``most_s``; the row ends after the
    process has lived ``healthy_s``; after ``tries`` in a row it is given up."""

    first_s: float = 0.25
    most_s: float = 8.0
    healthy_s: float = 30.0
    tries: int = 8

    def delay_s(self, deaths: int) -> float:
        """Seconds to wait after the ``deaths``-th death in a row (1 for the first)."""
        return min(self.first_s * 2.0 ** (deaths - 1), self.most_s)


@dataclass
class Child:
    """What the supervisor knows of one process."""

    plan: Plan
    process: subprocess.Popen[bytes] | None = None
    started_ns: int = 0
    restart_ns: int | None = None
    deaths_in_a_row: int = 0
    restarts: int = 0
    stopping: bool = False

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None


@dataclass
class Supervisor:
    """``note`` receives (time [ns], process, what happened) for the view and the session's own log."""

    plans: Sequence[Plan]
    output: Path
    clock: Clock
    note: Callable[[int, str, str], None]
    backoff: Backoff = field(default_factory=Backoff)

    def __post_init__(self) -> None:
        self.children = {plan.name: Child(plan) for plan in self.plans}
        self.output.mkdir(parents=True, exist_ok=True)

    def start(self, while_waiting: Callable[[], bool] = always) -> None:
        """Start every process in order, each once the one before is ready. ``while_waiting`` is called
        meanwhile and returns False to give up quietly. Raises ProcessError if one dies or never becomes
        ready."""
        for plan in self.plans:
            child = self.children[plan.name]
            self._spawn(child)
            deadline_ns = self.clock.now_ns() + round(plan.ready_s * 1e9)
            while not plan.ready():
                if not while_waiting():
                    return
                if not child.alive:
                    raise ProcessError(f"{plan.name} ended while starting: {self.last_words(plan.name)}")
                if self.clock.now_ns() > deadline_ns:
                    raise ProcessError(
                        f"{plan.name} was not ready after {plan.ready_s:g} s; see {self.output_of(plan.name)}"
                    )
                self._pause(0.02)

    def poll(self) -> None:
        """Notice deaths and start again what is due. Raises ProcessError for a process that cannot live."""
        now_ns = self.clock.now_ns()
        for child in self.children.values():
            if child.process is None or child.stopping:
                continue
            code = child.process.poll()
            if code is None:
                continue
            if child.restart_ns is None:
                self._bury(child, code, now_ns)
            elif now_ns >= child.restart_ns:
                child.restarts += 1
                self._spawn(child)

    def stop(self, names: Iterable[str], most_s: float | None = None) -> None:
        """End these processes one after another: SIGTERM, a bounded wait, then SIGKILL. Never raises."""
        for name in names:
            child = self.children.get(name)
            if child is None or child.process is None:
                continue
            child.stopping = True
            if not child.alive:
                continue
            wait_s = child.plan.stop_s if most_s is None else min(most_s, child.plan.stop_s)
            self._signal(child, signal.SIGTERM)
            try:
                child.process.wait(wait_s)
            except subprocess.TimeoutExpired:
                self.note(self.clock.now_ns(), name, f"did not end within {wait_s:g} s and was killed")
            # The whole group, so that nothing a process started outlives it.
            self._signal(child, signal.SIGKILL)
            child.process.wait()

    def restarts(self) -> dict[str, int]:
        """How often each process was started again."""
        return {name: child.restarts for name, child in self.children.items()}

    def output_of(self, name: str) -> Path:
        return self.output / f"{name}.txt"

    def last_words(self, name: str) -> str:
        """The last line a process wrote: its own one-line explanation."""
        try:
            lines = self.output_of(name).read_text(errors="replace").strip().splitlines()
        except OSError:
            lines = []
        return lines[-1] if lines else "it said nothing"

    def _bury(self, child: Child, code: int, now_ns: int) -> None:
        name = child.plan.name
        if code == CONFIGURATION_ERROR:
            raise ProcessError(f"{name} refused to run: {self.last_words(name)}")
        lived_s = (now_ns - child.started_ns) / 1e9
        child.deaths_in_a_row = 1 if lived_s > self.backoff.healthy_s else child.deaths_in_a_row + 1
        if child.deaths_in_a_row > self.backoff.tries:
            raise ProcessError(
                f"{name} died {child.deaths_in_a_row} times in a row, last: {self.last_words(name)}; "
                f"see {self.output_of(name)}"
            )
        delay_s = self.backoff.delay_s(child.deaths_in_a_row)
        child.restart_ns = now_ns + round(delay_s * 1e9)
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        self.note(now_ns, name, f"ended ({how}) after {lived_s:.1f} s; starting again in {delay_s:g} s")

    def _spawn(self, child: Child) -> None:
        plan = child.plan
        with self.output_of(plan.name).open("ab") as output:
            child.process = subprocess.Popen(
                plan.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **dict(plan.environment), SUPERVISOR: str(os.getpid())},
                start_new_session=True,
            )
        child.started_ns = self.clock.now_ns()
        child.restart_ns = None
        self.note(child.started_ns, plan.name, f"started (process {child.process.pid})")

    def _signal(self, child: Child, number: signal.Signals) -> None:
        if child.process is not None:
            try:
                os.killpg(child.process.pid, number)
            except (ProcessLookupError, PermissionError):
                return

    def _pause(self, seconds: float) -> None:
        self.clock.sleep_until(self.clock.now_ns() + round(seconds * 1e9))


def python_command(module: str, *arguments: str) -> tuple[str, ...]:
    """This interpreter running one of our modules; ``-P`` keeps the working directory off the import path."""
    return (sys.executable, "-P", "-m", module, *arguments)
