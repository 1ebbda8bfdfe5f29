"""From a state to a command through onnxruntime, and whether swapping policies makes the loop late.

The real pilot runs on the real clock at its own rate on shared memory of its own. Stretches with a new policy
in every step alternate with stretches without any, so that both meet the same machine; what it can do at best
is the bare onnxruntime call in the same process.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from robot.board import POLICY_DTYPE, Board
from robot.clock import MonotonicClock
from robot.contract import TaskContract, task_contract
from robot.errors import SandlotError
from robot.messages import SafetyState, state_dtype
from robot.pilot import Pilot
from robot.policy import Policy, PolicyLoader
from robot.practice.course import Course, load_course
from robot.practice.lap_task import LapTask
from robot.realtime import enter_realtime
from robot.spec import RobotSpec, load_spec

LAUNCH = Path(__file__).parents[1]
HIDDEN = 256
STRETCH = 50
"""Steps between turning the swaps on and off."""
LATE_NS = 5_000_000
"""A step that starts later than this [ns], a tenth of the period at 20 Hz, is late."""
FILES = 8
PRIORITY = 40
"""As the session's pilot has it: below guardian and emulator."""


@dataclass
class _Tally:
    """Lateness and duration of steps [ns]."""

    late: list[int] = field(default_factory=list)
    busy: list[int] = field(default_factory=list)


class _Car:
    """A state that goes round the course at 2 m/s, fresh in every step."""

    def __init__(self, spec: RobotSpec, course: Course, board: Board, clock: MonotonicClock) -> None:
        self._course, self._board, self._clock = course, board, clock
        self._record = np.zeros(1, state_dtype(spec))
        self._record["safety_state"], self._record["converged"] = SafetyState.ACTIVE, True
        self._record["epoch"] = 1
        layout = spec.state_layout
        self._heading = layout.index("heading")
        self._record["state"][0, layout.index("velocity_body_x")] = 2.0
        self._record["state"][0, layout.index("upright")] = 1.0
        self._start_ns = clock.now_ns()

    def publish(self) -> None:
        now = self._clock.now_ns()
        s = 2.0 * (now - self._start_ns) / 1e9
        state = self._record["state"][0]
        state[:2] = self._course.point(s)
        state[self._heading] = self._course.heading(s)
        self._record["time_ns"] = now
        self._board.state.write(self._record)


def run(
    swaps: int = 1000,
    rate_hz: float | None = None,
    progress: Callable[[float], None] | None = None,
    realtime: bool = True,
) -> dict[str, float]:
    """Swap ``swaps`` policies in, at the robot's policy rate unless told otherwise. Takes two steps a swap:
    100 s for 1,000 at 20 Hz. ``progress`` hears of the share done; ``realtime``: as a real-time process, like
    a session's. Returns times [us] and counts."""
    spec = load_spec(LAUNCH / "robots" / "racer.toml")
    course = load_course(LAUNCH / "courses" / "oval.toml")
    task = LapTask(spec, course)
    contract = task_contract(spec, task.name, task.observation, task.reward_terms, task.cost_terms)
    shared = Path("/dev/shm")
    directory = Path(tempfile.mkdtemp(prefix="sandlot-bench-", dir=shared if shared.is_dir() else None))
    try:
        for version in range(FILES):
            (directory / f"{version:06d}.onnx").write_bytes(_policy(contract, spec, version))
        return _measure(spec, course, task, contract, directory, swaps, rate_hz, progress, realtime)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _measure(
    spec: RobotSpec,
    course: Course,
    task: LapTask,
    contract: TaskContract,
    directory: Path,
    swaps: int,
    rate_hz: float | None,
    progress: Callable[[float], None] | None,
    realtime: bool,
) -> dict[str, float]:
    clock = MonotonicClock()
    board = Board(directory / "board", spec, contract, create=True)
    policies = PolicyLoader(
        directory,
        contract,
        spec.calibration_hash(),
        board,
        clock,
        background=True,
        initial=directory / "000000.onnx",
    )
    pilot = Pilot(spec, task, contract, policies, board, clock, np.random.default_rng(0))
    car = _Car(spec, course, board, clock)
    missing = enter_realtime(PRIORITY) if realtime else ["not asked for"]
    period = round(1e9 / (rate_hz or spec.rates.policy_hz))
    announcement = np.zeros(1, POLICY_DTYPE)
    with_swaps, without = _Tally(), _Tally()
    done = step = 0
    due = clock.now_ns() + 10 * period
    try:
        while done < swaps:
            swapping = (step // STRETCH) % 2 == 1
            clock.sleep_until(due - period // 10)
            car.publish()
            clock.sleep_until(due)
            started = clock.now_ns()
            pilot.step(due)
            ended = clock.now_ns()
            if step >= STRETCH // 2:  # the first steps warm caches up
                tally = with_swaps if swapping else without
                tally.late.append(started - due)
                tally.busy.append(ended - started)
            done += sum(e["kind"] == b"policy_swap" for e in board.pilot_events.peek(64))
            board.pilot_events.consume(board.pilot_events.waiting)
            board.steps.consume(board.steps.waiting)
            if swapping:
                announcement["version"] = step % FILES
                board.policy.write(announcement)
            if progress is not None:
                progress(min(1.0, done / swaps))
            step += 1
            due += period * max(1, -(-(clock.now_ns() - due) // period))
            if step > 20 * swaps + 1000:
                raise SandlotError(
                    f"only {done} of {swaps} swaps came about in {step} steps; is the disk full?"
                )
        warm = _back_to_back(pilot, car, clock, board)
    finally:
        policies.close()
    bare = _bare(directory / "000000.onnx", contract, spec)
    return _report(with_swaps, without, bare, warm, policies, done, not missing)


def _bare(path: Path, contract: TaskContract, spec: RobotSpec) -> float:
    """Median time [us] of the onnxruntime call alone."""
    policy = Policy(path, contract, spec.calibration_hash())
    times = []
    for _ in range(2000):
        start = time.perf_counter_ns()
        policy.act(policy.observation[0], policy.noise[0])
        times.append(time.perf_counter_ns() - start)
    return float(np.median(times)) / 1e3


def _back_to_back(pilot: Pilot, car: _Car, clock: MonotonicClock, board: Board) -> float:
    """Median time [us] of a step that follows another at once: what it costs without the caches having cooled
    down for a period in between."""
    times = []
    for _ in range(500):
        car.publish()
        start = clock.now_ns()
        pilot.step(start)
        times.append(clock.now_ns() - start)
        board.steps.consume(board.steps.waiting)
    return float(np.median(times)) / 1e3


def _report(
    with_swaps: _Tally,
    without: _Tally,
    bare_us: float,
    warm_us: float,
    policies: PolicyLoader,
    swaps: int,
    realtime: bool,
) -> dict[str, float]:
    report: dict[str, float] = {
        "swaps_count": swaps,
        "refused_count": policies.refused,
        "realtime_scheduling": float(realtime),
        "onnxruntime_p50_us": bare_us,
        "back_to_back_command_p50_us": warm_us,
    }
    for name, tally in (("with_swaps", with_swaps), ("without_swaps", without)):
        late, busy = np.array(tally.late) / 1e3, np.array(tally.busy) / 1e3
        report |= {
            f"{name}_steps_count": len(late),
            f"{name}_late_count": int((late > LATE_NS / 1e3).sum()),
            f"{name}_command_p50_us": float(np.percentile(busy, 50)),
            f"{name}_command_p99_us": float(np.percentile(busy, 99)),
            f"{name}_command_max_us": float(busy.max()),
            f"{name}_lateness_p99_us": float(np.percentile(late, 99)),
            f"{name}_lateness_max_us": float(late.max()),
        }
    report["command_to_onnxruntime_ratio"] = warm_us / bare_us
    report["late_with_to_without_ratio"] = (report["with_swaps_late_count"] / len(with_swaps.late)) / max(
        report["without_swaps_late_count"] / len(without.late), 1.0 / len(without.late)
    )
    return {name: round(value, 3) for name, value in report.items()}


def _policy(contract: TaskContract, spec: RobotSpec, version: int) -> bytes:
    """An actor of two hidden layers with random weights, as the learner would export it."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(version)
    sizes = (contract.observation_size, HIDDEN, HIDDEN, contract.action_size)
    nodes, constants, value = [], [], "observation"
    for k, (rows, columns) in enumerate(itertools.pairwise(sizes)):
        weight = rng.normal(0.0, 1.0 / np.sqrt(rows), (rows, columns)).astype(np.float32)
        constants += [
            numpy_helper.from_array(weight, f"weight{k}"),
            numpy_helper.from_array(np.zeros(columns, np.float32), f"bias{k}"),
        ]
        nodes.append(helper.make_node("Gemm", [value, f"weight{k}", f"bias{k}"], [f"linear{k}"]))
        value = f"linear{k}"
        if columns == HIDDEN:
            nodes.append(helper.make_node("Relu", [value], [f"hidden{k}"]))
            value = f"hidden{k}"
    nodes += [
        helper.make_node("Add", [value, "noise"], ["sample"]),
        helper.make_node("Tanh", ["sample"], ["action"]),
    ]

    def tensor(name: str, size: int) -> object:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", size])

    graph = helper.make_graph(
        nodes,
        "bench",
        [tensor("observation", contract.observation_size), tensor("noise", contract.action_size)],
        [tensor("action", contract.action_size)],
        constants,
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)])
    about = {
        "contract": contract.plain(),
        "contract_hash": contract.hash(),
        "calibration_hash": spec.calibration_hash(),
        "version": version,
    }
    helper.set_model_props(model, {"sandlot": msgspec.json.encode(about).decode()})
    content: bytes = model.SerializeToString()
    return content
