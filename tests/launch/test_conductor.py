"""However a session ends, the robot stands still before anything else does, and the data is closed last."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from launch.catalogue import find
from launch.conductor import Conductor, Ending, EventLog
from launch.snapshot import Snapshot
from launch.supervisor import Backoff, Plan, Supervisor
from launch.view import NoView, View
from robot.clock import MonotonicClock
from robot.messages import PILOT_DTYPE, PilotPhase, SafetyState, state_dtype
from robot.spec import RobotSpec, load_spec

NAMES = ("emulator", "guardian", "courier", "pilot", "learner")
ORDER_OF_ENDING = ["-pilot", "-guardian", "-emulator", "-courier", "-learner"]


@pytest.fixture(scope="module")
def spec() -> RobotSpec:
    return load_spec(find("robots", "racer"))


class Bench:
    """A reader, an operator and a log of what happened, in order."""

    def __init__(self, spec: RobotSpec, log: Path) -> None:
        self.log = log
        self.record = np.zeros(1, state_dtype(spec))
        self.record["safety_state"] = SafetyState.ACTIVE
        self.phase = PilotPhase.PRACTISING
        self.halted = 0
        self.presses = self.deaf = 0
        self.full = self.closed = False

    def state(self):  # type: ignore[no-untyped-def]
        self.record["sequence"] += 1
        if self.halted:
            # The robot takes a while to come to a standstill.
            self.halted += 1
            if self.halted == 20:
                self.say("standstill")
                self.record["safety_state"] = SafetyState.FAULT
        return self.record

    def pilot(self):  # type: ignore[no-untyped-def]
        record = np.zeros(1, PILOT_DTYPE)
        record["phase"] = self.phase
        return record

    def read(self, now_ns: int) -> Snapshot:
        return Snapshot()

    def disk_full(self) -> bool:
        return self.full

    def news(self) -> list[tuple[int, str]]:
        return []

    def step(self, now_ns: int, state: object, pilot: object) -> None:
        return

    def halt(self, now_ns: int) -> None:
        self.presses += 1
        if not self.halted and self.presses > self.deaf:
            self.say("halt")
            self.halted = 1

    def close(self) -> None:
        self.closed = True

    def say(self, what: str) -> None:
        with self.log.open("a") as file:
            file.write(what + "\n")

    def lines(self) -> list[str]:
        return self.log.read_text().split() if self.log.exists() else []


def plan(log: Path, name: str, body: str = "") -> Plan:
    code = (
        "import signal, sys, time\n"
        f"def say(t): open({str(log)!r}, 'a').write(t + '\\n')\n"
        f"def end(*_): say('-{name}'); sys.exit(0)\n"
        f"signal.signal(signal.SIGTERM, end)\nsay('+{name}')\n{body}\nwhile True: time.sleep(0.02)"
    )
    return Plan(
        name,
        (sys.executable, "-S", "-c", code),
        ready=lambda: f"+{name}" in (log.read_text() if log.exists() else ""),
    )


def conduct(
    bench: Bench, spec: RobotSpec, plans: list[Plan], minutes: float = 0.0, view: View | None = None
) -> Ending:
    clock = MonotonicClock()
    supervisor = Supervisor(
        plans, bench.log.parent / "output", clock, lambda *_: None, Backoff(0.02, 0.05, 30.0, tries=2)
    )
    return Conductor(supervisor, bench, bench, view or NoView(), clock, spec, minutes).run()  # type: ignore[arg-type]


def check(bench: Bench) -> None:
    lines = bench.lines()
    assert [line for line in lines if line[0] == "+"][: len(NAMES)] == [f"+{name}" for name in NAMES]
    assert lines[lines.index("halt") + 1] == "standstill", "a process ended before the robot stood still"
    assert [line for line in lines if line[0] == "-"] == ORDER_OF_ENDING


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_robot_first_data_second(
    tmp_path: Path, spec: RobotSpec, number: signal.Signals
) -> None:
    bench = Bench(spec, tmp_path / "log")

    def send() -> None:
        while f"+{NAMES[-1]}" not in bench.lines():
            time.sleep(0.02)
        os.kill(os.getpid(), number)

    threading.Thread(target=send, daemon=True).start()
    ending = conduct(bench, spec, [plan(bench.log, name) for name in NAMES])
    assert ending.reason == f"stopped by {number.name}" and ending.error is None and ending.standstill
    assert ending.interrupted
    check(bench)


@pytest.mark.slow
def test_time_ends_the_session(tmp_path: Path, spec: RobotSpec) -> None:
    bench = Bench(spec, tmp_path / "log")
    ending = conduct(bench, spec, [plan(bench.log, name) for name in NAMES], minutes=0.005)
    assert ending.reason == "time is up" and not ending.interrupted
    check(bench)


@pytest.mark.slow
def test_a_process_that_cannot_live_ends_the_session_in_the_same_order(
    tmp_path: Path, spec: RobotSpec
) -> None:
    bench = Bench(spec, tmp_path / "log")
    plans = [plan(bench.log, name) for name in NAMES[:-1]]
    plans.append(plan(bench.log, "learner", body="print('out of memory', flush=True); sys.exit(1)"))
    ending = conduct(bench, spec, plans)
    assert ending.error is not None and "learner died 3 times in a row, last: out of memory" in ending.reason
    lines = bench.lines()
    assert lines[lines.index("halt") + 1] == "standstill"
    assert [line for line in lines if line[0] == "-"] == ORDER_OF_ENDING[:-1]


@pytest.mark.slow
def test_an_exception_in_the_conductor_itself_stops_the_robot_first(tmp_path: Path, spec: RobotSpec) -> None:
    bench = Bench(spec, tmp_path / "log")
    calls = 0

    def step(now_ns: int, state: object, pilot: object) -> None:
        nonlocal calls
        calls += 1
        if f"+{NAMES[-1]}" in bench.lines() and calls > 20:
            raise ZeroDivisionError("a bug")

    bench.step = step  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        conduct(bench, spec, [plan(bench.log, name) for name in NAMES])
    check(bench)


@pytest.mark.slow
def test_a_full_disk_stops_the_robot_and_says_so(tmp_path: Path, spec: RobotSpec) -> None:
    bench = Bench(spec, tmp_path / "log")

    def fill() -> None:
        while f"+{NAMES[-1]}" not in bench.lines():
            time.sleep(0.02)
        bench.full = True

    threading.Thread(target=fill, daemon=True).start()
    ending = conduct(bench, spec, [plan(bench.log, name) for name in NAMES])
    assert ending.error is not None and "disk is full" in ending.reason
    check(bench)


@pytest.mark.slow
def test_a_guardian_that_is_gone_is_not_waited_for(tmp_path: Path, spec: RobotSpec) -> None:
    bench = Bench(spec, tmp_path / "log")
    plans = [plan(bench.log, name) for name in NAMES if name != "guardian"]
    ending = conduct(bench, spec, plans, minutes=0.005)
    assert not ending.standstill
    assert [line for line in bench.lines() if line[0] == "-"] == [
        "-pilot",
        "-emulator",
        "-courier",
        "-learner",
    ]


@pytest.mark.slow
def test_a_press_that_was_lost_is_repeated_until_the_robot_stands(tmp_path: Path, spec: RobotSpec) -> None:
    bench = Bench(spec, tmp_path / "log")
    bench.deaf = 3  # another operator writes over the first presses
    ending = conduct(bench, spec, [plan(bench.log, name) for name in NAMES], minutes=0.005)
    assert ending.standstill and bench.presses > bench.deaf
    check(bench)


class GoneView(NoView):
    """A terminal whose ssh connection has dropped: every write to it fails."""

    def show(self, elapsed_s: float, now: Snapshot, restarts: dict[str, int]) -> None:
        raise OSError(5, "Input/output error")

    def say(self, elapsed_s: float, line: str) -> None:
        raise OSError(5, "Input/output error")

    def close(self) -> None:
        raise OSError(5, "Input/output error")


@pytest.mark.slow
def test_a_terminal_that_has_gone_leaves_nothing_undone(tmp_path: Path, spec: RobotSpec) -> None:
    bench = Bench(spec, tmp_path / "log")
    bench.news = lambda: [(0, "something happened")]  # type: ignore[method-assign]
    ending = conduct(bench, spec, [plan(bench.log, name) for name in NAMES], minutes=0.005, view=GoneView())
    assert ending.reason == "time is up" and not ending.interrupted
    check(bench)
    assert bench.closed


def test_a_full_disk_does_not_keep_anybody_from_stopping_a_process(tmp_path: Path) -> None:
    heard: list[str] = []
    events = EventLog(tmp_path / "no such folder" / "processes.jsonl")
    events.listeners.append(lambda time_ns, line: heard.append(line))
    events.note(0, "guardian", "did not end")
    assert heard == ["guardian: did not end"]
