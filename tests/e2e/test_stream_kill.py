"""Real processes, real sockets, kill -9: no row is lost and none is there twice."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from small_session import CONTRACT, SPEC, make_rows, make_ticks, push, push_ticks

from robot.board import Board
from robot.keys import write_pair
from robot.log_reader import read_log
from robot.transport import new_pair

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[1] / "doubles" / "stream_process.py"
WITHIN_S = 60.0


def start(*arguments: object, prefix: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": str(SCRIPT.parent), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([*prefix, sys.executable, SCRIPT, *map(str, arguments)], env=environment)


def kill(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"within {WITHIN_S} s: {what}")
        time.sleep(0.01)


class Robot:
    """What guardian and pilot would leave in the rings."""

    def __init__(self, directory: Path, session: str) -> None:
        self.directory, self.session = directory, session
        self.board = Board(directory / "board", SPEC, CONTRACT, create=True)
        self.made = self.ticks = 0

    def drive(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.made += push(self.board, make_rows(self.made, 2))
            self.ticks += push_ticks(self.board, make_ticks(self.ticks, 5))
            time.sleep(0.01)

    def drive_until_durable(self, known: int) -> None:
        """Drive until more rows than these are durable, however long the processes take to start."""

        def more() -> bool:
            self.drive(0.05)
            return self.durable() > known

        until(more, f"more than {known} rows were durable")

    def durable(self) -> int:
        record = self.board.courier.read()
        return 0 if record is None else int(record["durable"][0])

    def policies(self) -> list[Path]:
        return list((self.directory / "run" / "policies").glob("*.onnx"))

    def check(self, rows: list[int]) -> None:
        assert rows == list(range(self.made))
        log = read_log(self.directory / "run")
        assert log.steps["sequence"].tolist() == list(range(self.made))
        assert log.ticks["tick"].tolist() == list(range(self.ticks))
        assert (log.steps == make_rows(0, self.made)).all()


@contextlib.contextmanager
def ended(processes: list[subprocess.Popen[bytes]]) -> Iterator[None]:
    try:
        yield
    finally:
        for process in processes:
            if process.poll() is None:
                kill(process)


def finish(directory: Path, process: subprocess.Popen[bytes]) -> None:
    (directory / "stop").touch()
    assert process.wait(WITHIN_S) == 0


def test_courier_and_learner_killed_again_and_again(tmp_path: Path, free_ports: tuple[str, str]) -> None:
    robot, learner_at = Robot(tmp_path / "robot", "s"), tmp_path / "learner"
    learner_at.mkdir()
    rng = np.random.default_rng(0)
    processes = {
        "courier": start("courier", robot.directory, "s", *free_ports),
        "learner": start("learner", learner_at, *free_ports),
    }
    arguments = {
        "courier": ("courier", robot.directory, "s", *free_ports),
        "learner": ("learner", learner_at, *free_ports),
    }
    running = list(processes.values())
    with ended(running):
        known = 0
        for k in range(8):
            robot.drive_until_durable(known)
            robot.drive(float(rng.uniform(0.0, 0.4)))
            name = ("courier", "learner")[k % 2]
            kill(processes[name])
            robot.drive(float(rng.uniform(0.0, 0.4)))
            known = robot.durable()
            processes[name] = start(*arguments[name])
            running.append(processes[name])
        robot.drive(0.5)
        until(lambda: robot.durable() == robot.made, "all rows were durable")
        finish(robot.directory, processes["courier"])
        finish(learner_at, processes["learner"])
    report = json.loads((learner_at / "learner.json").read_text())
    robot.check(report["rows"]["s"])
    assert len(list((robot.directory / "run").glob("log*.mcap"))) == 5


def test_two_robots_stream_to_one_learner(tmp_path: Path, free_ports: tuple[str, str]) -> None:
    robots = [Robot(tmp_path / name, name) for name in ("a", "b")]
    learner_at = tmp_path / "learner"
    learner_at.mkdir()
    learner = start("learner", learner_at, *free_ports)
    couriers = [start("courier", robot.directory, robot.session, *free_ports) for robot in robots]
    with ended([learner, *couriers]):
        for _ in range(10):
            for robot in robots:
                robot.drive(0.1)
        until(lambda: all(r.durable() == r.made for r in robots), "all rows were durable")
        until(lambda: all(r.policies() for r in robots), "each had a policy")
        for robot, courier in zip(robots, couriers, strict=True):
            finish(robot.directory, courier)
        finish(learner_at, learner)
    report = json.loads((learner_at / "learner.json").read_text())
    for robot in robots:
        robot.check(report["rows"][robot.session])


@pytest.fixture
def free_ports() -> tuple[str, str]:
    import socket

    with socket.socket() as one, socket.socket() as two:
        for s in (one, two):
            s.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{one.getsockname()[1]}", f"tcp://127.0.0.1:{two.getsockname()[1]}"


@pytest.fixture
def two_networks() -> Iterator[tuple[str, str]]:
    """Two network namespaces joined by a cable, 10.83.0.1 and 10.83.0.2; skipped where not permitted."""
    names = (f"sandlot-r{os.getpid()}", f"sandlot-l{os.getpid()}")
    cable = (f"sr{os.getpid() % 100000}", f"sl{os.getpid() % 100000}")

    def ip(*arguments: str) -> None:
        done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(
                f"network namespaces are not permitted here: ip {' '.join(arguments)}: {done.stderr.strip()}"
            )

    try:
        for name in names:
            ip("netns", "add", name)
        ip("link", "add", cable[0], "netns", names[0], "type", "veth", "peer", cable[1], "netns", names[1])
        for k, (name, end) in enumerate(zip(names, cable, strict=True)):
            ip("-n", name, "addr", "add", f"10.83.0.{k + 1}/24", "dev", end)
            ip("-n", name, "link", "set", end, "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield names
    except FileNotFoundError:
        pytest.skip("the ip command is not installed here")
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def test_two_machines_with_keys_and_a_pulled_cable(tmp_path: Path, two_networks: tuple[str, str]) -> None:
    robot, learner_at, keys = Robot(tmp_path / "robot", "s"), tmp_path / "learner", tmp_path / "keys"
    learner_at.mkdir()
    for name in ("robot", "learner", "stranger"):
        write_pair(keys, name, new_pair())
    (keys / "allowed").mkdir()
    (keys / "robot.pub").rename(keys / "allowed" / "robot.pub")
    where = ("tcp://10.83.0.2:5588", "tcp://10.83.0.2:5589")
    here, there = (("ip", "netns", "exec", name) for name in two_networks)
    learner = start("learner", learner_at, *where, keys, prefix=there)
    courier = start("courier", robot.directory, "s", *where, keys, prefix=here)
    cable = f"sr{os.getpid() % 100000}"
    with ended([learner, courier]):
        robot.drive_until_durable(0)
        subprocess.run(["ip", "-n", two_networks[0], "link", "set", cable, "down"], check=True)
        robot.drive(6.0)  # longer than the patience of either side
        spooled = robot.made
        assert robot.durable() < spooled
        subprocess.run(["ip", "-n", two_networks[0], "link", "set", cable, "up"], check=True)
        until(lambda: robot.durable() == robot.made, "all rows were durable")
        stranger = Robot(tmp_path / "stranger", "t")
        bad = tmp_path / "bad"
        bad.mkdir()
        (keys / "stranger.key").rename(bad / "robot.key")
        (bad / "learner.pub").write_text((keys / "learner.pub").read_text())
        intruder = start("courier", stranger.directory, "t", *where, bad, prefix=here)
        with ended([intruder]):
            until(lambda: stranger.board.courier.read() is not None, "its courier began")
            stranger.drive(2.0)
            record = stranger.board.courier.read()
            assert record is not None
            assert not record["connected"][0]
            assert record["received"][0] == 0
            finish(stranger.directory, intruder)
        finish(robot.directory, courier)
        finish(learner_at, learner)
    report = json.loads((learner_at / "learner.json").read_text())
    robot.check(report["rows"]["s"])
    assert list(report["rows"]) == ["s"]
