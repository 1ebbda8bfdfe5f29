"""A board, a kinematic car that plays the guardian on it, and policies as small ONNX files."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from robot.board import Board
from robot.clock import SimulatedClock
from robot.contract import TaskContract, task_contract
from robot.messages import SafetyState, state_dtype
from robot.pilot import Pilot
from robot.policy import PolicyLoader
from robot.practice.course import Course, load_course
from robot.practice.lap_task import LapTask
from robot.spec import RobotSpec, load_spec

ROOT = Path(__file__).parents[3]
STEP_NS = 50_000_000


@pytest.fixture(scope="session")
def spec() -> RobotSpec:
    return load_spec(ROOT / "launch/robots/racer.toml")


@pytest.fixture(scope="session")
def course() -> Course:
    return load_course(ROOT / "launch/courses/oval.toml")


@pytest.fixture
def task(spec: RobotSpec, course: Course) -> LapTask:
    return LapTask(spec, course)


@pytest.fixture(scope="session")
def contract(spec: RobotSpec, course: Course) -> TaskContract:
    task = LapTask(spec, course)
    return task_contract(spec, task.name, task.observation, task.reward_terms, task.cost_terms)


def policy_bytes(
    contract: TaskContract, version: int, about: dict[str, Any] | None = None, bias: float = 0.0
):
    """tanh(observation @ weight + bias + noise) with a weight that steers back to the course's middle."""
    weight = np.zeros((contract.observation_size, contract.action_size), np.float32)
    layout = contract.observation_layout
    weight[layout.index("preview_2_y"), 1] = 1.5
    offset = np.array([-0.5 + bias, 0.0], np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["observation", "weight", "offset"], ["mean"]),
            helper.make_node("Add", ["mean", "noise"], ["sample"]),
            helper.make_node("Tanh", ["sample"], ["action"]),
        ],
        "test",
        [
            helper.make_tensor_value_info("observation", TensorProto.FLOAT, ["N", contract.observation_size]),
            helper.make_tensor_value_info("noise", TensorProto.FLOAT, ["N", contract.action_size]),
        ],
        [helper.make_tensor_value_info("action", TensorProto.FLOAT, ["N", contract.action_size])],
        [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(offset, "offset")],
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)])
    plain = {
        "contract": contract.plain(),
        "contract_hash": contract.hash(),
        "calibration_hash": "calibrated",
        "version": version,
    } | (about or {})
    helper.set_model_props(model, {"sandlot": msgspec.json.encode(plain).decode()})
    return model.SerializeToString()


class Bench:
    """Pilot and board with a kinematic car in place of guardian and robot, in lockstep."""

    def __init__(self, directory: Path, spec: RobotSpec, course: Course, contract: TaskContract) -> None:
        self.spec, self.course, self.contract = spec, course, contract
        self.directory = directory
        self.clock = SimulatedClock(10**9)
        self.board = Board(directory / "board", spec, contract, create=True)
        self.record = np.zeros(1, state_dtype(spec))
        self.record["safety_state"], self.record["converged"], self.record["epoch"] = (
            SafetyState.ACTIVE,
            True,
            1,
        )
        self.layout = spec.state_layout
        self.x, self.y, self.heading = course.start
        self.speed = self.steering = 0.0
        self.upright, self.impact = 1.0, 0.0
        self.blocked = self.deaf = False
        self.commands: list[Any] = []
        self.rows: list[np.ndarray] = []
        self.events: list[tuple[str, float, str]] = []
        self.phases: list[int] = []

    def publish_policy(self, version: int, **settings: Any) -> None:
        (self.directory / f"{version:06d}.onnx").write_bytes(policy_bytes(self.contract, version, **settings))
        record = np.zeros(1, self.board.policy._dtype)
        record["version"], record["time_ns"] = version, self.clock.now_ns()
        self.board.policy.write(record)

    def make_pilot(self, seed: int = 0, **settings: Any) -> Pilot:
        policies = PolicyLoader(self.directory, self.contract, "calibrated", self.board, self.clock)
        task = LapTask(self.spec, self.course)
        rng = np.random.default_rng(seed)
        return Pilot(self.spec, task, self.contract, policies, self.board, self.clock, rng, **settings)

    def state(self) -> None:
        """Write what the guardian would."""
        values = self.record["state"][0]
        values[:] = 0.0
        put = {
            "position_world_x": self.x,
            "position_world_y": self.y,
            "heading": self.heading,
            "velocity_body_x": self.speed,
            "yaw_rate": self.speed * math.tan(self.steering) / 0.33,
            "impact": self.impact,
            "upright": self.upright,
        }
        for name, value in put.items():
            values[self.layout.index(name)] = value
        self.record["time_ns"] = self.clock.now_ns()
        self.record["allowed"] = self.record["sent"] = (self.speed, self.steering)
        self.board.state.write(self.record)

    def drive(self) -> None:
        """One policy period of a car that does at once what it is told."""
        command = self.board.command.read()
        fresh = command is not None and self.clock.now_ns() - int(command["time_ns"][0]) < 150_000_000
        able = int(self.record["safety_state"][0]) == SafetyState.ACTIVE
        self.speed, self.steering = command["setpoint"][0] if fresh and able else (0.0, 0.0)
        if self.blocked:
            self.speed = min(self.speed, 0.0)
        if self.deaf:
            self.speed = 0.0
        for _ in range(10):
            dt = STEP_NS / 1e10
            self.heading += self.speed * math.tan(self.steering) / 0.33 * dt
            self.x += self.speed * math.cos(self.heading) * dt
            self.y += self.speed * math.sin(self.heading) * dt
        self.clock.sleep_until(self.clock.now_ns() + STEP_NS)

    def step(self, pilot: Pilot, state: bool = True) -> None:
        if state:
            self.state()
        before = self.board.command.sequence
        pilot.step(self.clock.now_ns())
        self.commands.append(self.board.command.read()[0] if self.board.command.sequence > before else None)
        self.phases.append(int(self.board.pilot.read()["phase"][0]))
        self.collect()
        self.drive()

    def collect(self) -> None:
        rows = self.board.steps.peek(10_000)
        self.board.steps.consume(len(rows))
        self.rows += list(rows)
        events = self.board.pilot_events.peek(1000)
        self.board.pilot_events.consume(len(events))
        self.events += [(e["kind"].decode(), float(e["value"]), e["text"].decode()) for e in events]

    def run(self, pilot: Pilot, steps: int) -> None:
        for _ in range(steps):
            self.step(pilot)

    def kinds(self) -> list[str]:
        return [kind for kind, _, _ in self.events]


@pytest.fixture
def bench(tmp_path: Path, spec: RobotSpec, course: Course, contract: TaskContract) -> Bench:
    return Bench(tmp_path, spec, course, contract)


@pytest.fixture
def make_bench(
    tmp_path: Path, spec: RobotSpec, course: Course, contract: TaskContract
) -> Callable[[str], Bench]:
    return lambda name: Bench(tmp_path / name, spec, course, contract)
