"""How late is the guardian's loop beside a learner that saturates every core?

The real guardian (state machine, monitors, projection, shared memory; a synthetic device and estimator that
cost almost nothing) runs in a process of its own, beside one matrix-multiplying process per processor and
beside a timer loop in C of the same rate and priority: what this machine can do at all, in the same seconds.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot.board import Board
from robot.clock import MonotonicClock
from robot.contract import PREVIOUS_ACTION, ObservationTerm, task_contract
from robot.errors import SandlotError
from robot.guardian import Guardian
from robot.interface import Array, Driver, Estimate, LinkHealth, Measurements, StopProof
from robot.messages import OPERATOR_DTYPE, SafetyState, command_dtype
from robot.plain_data import merge
from robot.realtime import enter_realtime
from robot.spec import RobotSpec, load_spec

ROBOT = Path(__file__).parents[1] / "robots" / "racer.toml"
PRIORITY = 80
C_TIMER = Path(__file__).with_name("timer.c")
READY_S = 60.0
"""How long the load may take to start: a loaded machine imports torch slowly."""


class _Device:
    """A device that answers at once: fresh samples every tick, setpoints taken as they are."""

    def __init__(self, spec: RobotSpec, name: str) -> None:
        served = [s for s in spec.sensors if s.device == name]
        self.sensors = tuple(s.name for s in served)
        self.actuators = tuple(a.name for a in spec.actuators if a.device == name)
        self.health = LinkHealth()
        self.proof = StopProof("passed")
        self._samples = [(s.name, _sample(s.layout.names)) for s in served]
        self._sent = np.zeros(len(self.actuators))

    def open(self, now_ns: int) -> None:
        self.health.state = "open"

    def poll(self, now_ns: int, measurements: Measurements) -> None:
        for name, values in self._samples:
            values[0] += 1e-9
            measurements.put(name, now_ns, values)

    def command(self, now_ns: int, setpoint: Array) -> Array:
        self._sent[:] = setpoint
        return self._sent

    def stop(self, now_ns: int, torque: bool) -> Array:
        self._sent.fill(0.0)
        return self._sent

    def silence(self, now_ns: int) -> Array:
        return self.stop(now_ns, False)

    def prove_stop(self, now_ns: int, begin: bool) -> Array:
        return self.stop(now_ns, True)

    def close(self) -> None:
        self.health.state = "closed"


def _sample(names: tuple[str, ...]) -> Array:
    usual = {"input_voltage": 11.6, "fet_temperature": 30.0, "motor_temperature": 30.0}
    return np.array([usual.get(name, 0.0) for name in names])


class _StandingStill:
    """An estimator that is sure of an upright robot at rest."""

    def __init__(self, spec: RobotSpec) -> None:
        layout = spec.state_layout
        self._estimate = Estimate(np.zeros(layout.size), np.full(layout.size, 0.01), True)
        self._estimate.values[layout["upright"]] = 1.0

    def update(self, now_ns: int, measurements: Measurements, sent: Array) -> Estimate:
        return self._estimate

    def pose(self, time_ns: int, pose: Array, variance: Array) -> None:
        return


def bench_spec(rate_hz: float) -> RobotSpec:
    """The racer with its loop at another rate. A stall of this machine is counted here, not stopped for."""
    ratio = max(round(rate_hz / 20.0), 1)
    overrides: dict[str, Any] = {
        "rates": {"guardian_hz": rate_hz, "policy_hz": rate_hz / ratio},
        "safety": {"overrun_s": 60.0},
    }
    return load_spec(ROBOT, merge({}, overrides))


def _board(directory: Path, spec: RobotSpec, create: bool = False) -> Board:
    names = tuple(a.name for a in spec.actions)
    term = ObservationTerm(name=PREVIOUS_ACTION, unit="1", scale=1.0, elements=names)
    return Board(directory, spec, task_contract(spec, "bench", (term,), ("nothing",)), create)


def _guard(directory: Path, rate_hz: float, pipe: Connection) -> None:
    """The guardian's process: real-time if permitted, until the pipe says something."""
    spec = bench_spec(rate_hz)
    drivers: list[Driver] = [_Device(spec, d.name) for d in spec.devices]
    guardian = Guardian(spec, drivers, _StandingStill(spec), MonotonicClock(), _board(directory, spec))
    guardian.start()
    pipe.send(enter_realtime(PRIORITY))
    guardian.run(pipe.poll)


def _burn(multiplications: Any, size: int) -> None:
    """A learner's worth of work on one processor: single-precision matrix products, for ever."""
    os.nice(10)
    generator = np.random.default_rng(0)
    a, b = (generator.random((size, size), np.float32) for _ in range(2))
    try:
        import torch
    except ImportError:
        while True:
            a @ b
            multiplications.value += 1
    torch.set_num_threads(1)
    x, y = torch.from_numpy(a), torch.from_numpy(b)
    while True:
        x @ y
        multiplications.value += 1


@contextlib.contextmanager
def ahead_of_the_load() -> Iterator[None]:
    """The calling process, which stands for operator and pilot, at the lowest real-time priority where that
    is permitted: it is the guardian's lateness that is measured, not theirs."""
    policy, param = os.sched_getscheduler(0), os.sched_getparam(0)
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, param)


@contextlib.contextmanager
def _load(context: Any, size: int, count: int) -> Iterator[list[Any]]:
    """``count`` burning processes; yields their counters once all of them burn."""
    counters = [context.Value("Q", 0, lock=False) for _ in range(count)]
    processes = [context.Process(target=_burn, args=(c, size), daemon=True) for c in counters]
    for process in processes:
        process.start()
    try:
        deadline = time.monotonic() + READY_S
        while any(c.value == 0 for c in counters):
            if time.monotonic() > deadline:
                raise SandlotError(f"the load did not start in {READY_S:.0f} s; is the machine overloaded?")
            time.sleep(0.05)
        yield counters
    finally:
        for process in processes:
            process.kill()
            process.join()


def _build_c_timer(directory: Path) -> Path | None:
    """Compile the C loop; None where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    program = directory / "timer"
    subprocess.run([compiler, "-O2", "-o", str(program), str(C_TIMER)], check=True)
    return program


def _figures(prefix: str, lateness_us: NDArray[np.float64]) -> dict[str, float]:
    p50, p99, p999 = np.percentile(lateness_us, (50, 99, 99.9))
    return {
        f"{prefix}lateness_p50_us": round(float(p50), 1),
        f"{prefix}lateness_p99_us": round(float(p99), 1),
        f"{prefix}lateness_p999_us": round(float(p999), 1),
        f"{prefix}lateness_max_us": round(float(lateness_us.max()), 1),
    }


def run(seconds: float = 60.0, rate_hz: float = 500.0, loaded: bool = True) -> dict[str, float]:
    """Measure for ``seconds`` at ``rate_hz``; ``loaded=False`` leaves out the load. Returns flat figures:
    lateness of each tick's start, deadlines missed (ticks skipped, or begun more than a period late), time
    spent in a tick, and the same lateness of the C loop with the ratio of the two."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # inherited by the load: one thread per process
    context = multiprocessing.get_context("spawn")
    spec = bench_spec(rate_hz)
    directory = Path(tempfile.mkdtemp(prefix="sandlot-bench-", dir="/dev/shm"))
    guard: Any = None
    try:
        board = _board(directory, spec, create=True)
        program = _build_c_timer(directory)
        with _load(context, 512, (os.cpu_count() or 1) if loaded else 0) as counters:
            ours, theirs = context.Pipe()
            guard = context.Process(target=_guard, args=(directory, rate_hz, theirs), daemon=True)
            guard.start()
            missing = ours.recv() if ours.poll(READY_S) else ["the guardian did not start"]
            with ahead_of_the_load():
                person = _Person(board, spec)
                person.arm(guard)
                timer = None
                if program is not None:
                    arguments = (str(rate_hz), str(seconds), str(PRIORITY))
                    timer = subprocess.Popen([str(program), *arguments], stdout=subprocess.PIPE)
                before, start_ns = [c.value for c in counters], MonotonicClock().now_ns()
                ticks = person.collect(seconds)
            burnt = sum(c.value - b for c, b in zip(counters, before, strict=True))
            c_lateness = None
            if timer is not None:
                out, _ = timer.communicate(timeout=READY_S)
                c_lateness = np.frombuffer(out, np.int64) / 1e3
            ours.send("stop")
            guard.join(READY_S)
    finally:
        if guard is not None and guard.is_alive():
            guard.kill()
            guard.join()
        shutil.rmtree(directory)
    ticks = ticks[ticks["time_ns"] >= start_ns]
    period_ns = round(1e9 / rate_hz)
    lateness = (ticks["time_ns"] - ticks["due_ns"]) / 1e3
    skipped = np.rint(np.diff(ticks["due_ns"]) / period_ns).astype(np.int64) - 1
    missed = int(skipped.sum()) + int((lateness > period_ns / 1e3).sum())
    figures: dict[str, float] = {"rate_hz": rate_hz, "duration_s": seconds, "ticks_count": len(ticks)}
    figures |= _figures("", lateness)
    figures["missed_deadlines_count"] = missed
    figures["busy_p50_us"], figures["busy_p99_us"] = (
        round(float(v), 1) for v in np.percentile(ticks["busy_ns"] / 1e3, (50, 99))
    )
    if loaded:
        figures["load_gemm_gflop_per_s"] = round(burnt * 2 * 512**3 / seconds / 1e9, 1)
    if c_lateness is not None:
        figures |= _figures("c_timer_", c_lateness)
        for name in ("p50", "p99", "p999", "max"):
            ratio = figures[f"lateness_{name}_us"] / max(figures[f"c_timer_lateness_{name}_us"], 0.1)
            figures[f"lateness_{name}_ratio"] = round(ratio, 2)
    figures["active_ratio"] = round(float((ticks["safety_state"] == SafetyState.ACTIVE).mean()), 4)
    figures["realtime_refused_count"] = len(missing)
    return figures


class _Person:
    """Operator, pilot and courier of the bench: arms, commands at 50 Hz, takes the ticks out of the ring."""

    def __init__(self, board: Board, spec: RobotSpec) -> None:
        self._board = board
        self._operator = np.zeros(1, OPERATOR_DTYPE)
        self._command = np.zeros(1, command_dtype(spec))
        self._taken: list[NDArray[np.void]] = []

    def arm(self, guard: Any) -> None:
        deadline = time.monotonic() + READY_S
        pressed = False
        while True:
            state = self._beat()
            if state == SafetyState.ACTIVE:
                break
            if not guard.is_alive() or time.monotonic() > deadline:
                raise SandlotError(f"the guardian did not become active; it is in {state.name}")
            if state == SafetyState.STANDBY and not pressed:
                for enable in (0, 1):
                    self._operator["enable"] = enable
                    for _ in range(3):
                        self._beat()
                self._operator["arm"] += 1
                pressed = True
        self._taken.clear()

    def collect(self, seconds: float) -> NDArray[np.void]:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._beat()
        return np.concatenate(self._taken)

    def _beat(self) -> SafetyState:
        time.sleep(0.02)
        board, now = self._board, time.monotonic_ns()
        state = board.state.read()
        self._operator["time_ns"] = self._command["time_ns"] = now
        board.operator.write(self._operator)
        if state is not None:
            self._command["epoch"] = state["epoch"]
            board.command.write(self._command)
        ticks = board.ticks.peek(1_000_000)
        board.ticks.consume(len(ticks))
        self._taken.append(ticks)
        return SafetyState.BOOT if state is None else SafetyState(int(state["safety_state"][0]))


if __name__ == "__main__":
    import json
    import sys

    print(json.dumps(run(float(sys.argv[1]), float(sys.argv[2]))))
