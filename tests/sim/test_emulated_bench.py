"""The bench as its own process, with MuJoCo behind it and pyserial in front."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
import serial

from robot.clock import MonotonicClock
from robot.errors import SandlotError
from robot.interface import Driver, Measurements, make_driver
from robot.shared_memory import Mailbox, Record
from robot.spec import load_spec
from sim.emulators.control import SOCKET, Place, SetFaults, Trip, ask
from sim.emulators.faults import Fault
from sim.emulators.truth import TRUTH_DTYPE
from sim.world import world_path

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SPEC = load_spec(ROOT / "launch/robots/racer.toml")
RUN = """
import sys
from pathlib import Path
from robot.spec import load_spec
from sim.emulators.bench import run_bench
run_bench(load_spec(Path(sys.argv[1])), Path(sys.argv[2]), Path(sys.argv[3]), 0)
"""


class Process:
    """A bench in ``directory`` and drivers on its ports."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clock = MonotonicClock()
        devices = [msgspec.structs.replace(d, port=str(directory / d.name)) for d in SPEC.devices]
        self.drivers: list[Driver] = [make_driver(SPEC, device) for device in devices]
        self.measurements = Measurements(SPEC)
        self.start()

    def start(self) -> None:
        robot = ROOT / "launch/robots/racer.toml"
        arguments = [sys.executable, "-c", RUN, str(robot), str(world_path("oval")), str(self.directory)]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(arguments, cwd=ROOT, env=environment)
        self.until(lambda: (self.directory / "gnss").exists(), 30.0)

    def until(self, done: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.005)

    def open(self) -> None:
        for driver in self.drivers:
            driver.open(self.clock.now_ns())
        self.drive(0.5)

    def drive(self, seconds: float, speed: float | None = None, steering: float = 0.0) -> None:
        """Ticks of 10 ms: braking (``speed`` None) or at a setpoint."""
        for _ in range(round(seconds * 100)):
            self.clock.sleep_until(self.clock.now_ns() + 10_000_000)
            for driver in self.drivers:
                now = self.clock.now_ns()
                driver.poll(now, self.measurements)
                if speed is None:
                    driver.stop(now, True)
                else:
                    driver.command(now, np.array([speed, steering])[: len(driver.actuators)])

    def truth(self) -> Record:
        record = Mailbox(self.directory / "truth", TRUTH_DTYPE).read()
        assert record is not None
        return record

    def speed(self) -> float:
        return float(np.hypot(*self.truth()["antenna_velocity"][0, :2]))

    def close(self) -> None:
        for driver in self.drivers:
            driver.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10.0)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Process]:
    process = Process(tmp_path / "ports")
    yield process
    process.close()


def test_the_driver_sees_and_moves_the_world_and_the_drive_brakes_by_itself(bench: Process) -> None:
    bench.open()
    bench.drive(1.5, 1.5)
    truth = bench.truth()
    assert bench.speed() == pytest.approx(1.5, abs=0.4)
    assert abs(int(truth["time_ns"][0]) - bench.clock.now_ns()) < 500_000_000
    erpm = bench.measurements.values("drive")[0]
    assert erpm / SPEC.scalar("erpm_per_speed") == pytest.approx(bench.speed(), abs=0.3)
    gnss = bench.measurements.values("gnss")
    assert gnss[:2] == pytest.approx(truth["antenna_position"][0, :2], abs=0.5)
    assert bench.measurements.values("imu")[2] == pytest.approx(9.8, abs=3.0)
    for driver in bench.drivers:
        assert driver.health.state == "open"
        assert driver.health.firmware
    # Nobody says a word any more: after the drive's own timeout it brakes at 3 m/s^2 and more.
    bench.until(lambda: bench.speed() < 0.05, 3.0)


def test_sigterm_ends_it_and_takes_the_ports_away(bench: Process) -> None:
    bench.process.terminate()
    assert bench.process.wait(5.0) == 0
    assert sorted(path.name for path in bench.directory.iterdir()) == ["truth"]


def test_killed_and_started_again_it_is_found_again(bench: Process) -> None:
    bench.open()
    bench.process.send_signal(signal.SIGKILL)
    bench.process.wait(5.0)
    bench.drive(0.2, 1.0)
    # The system gives the dead bench's numbers to the next terminals; they are no way back to it.
    strangers = [os.openpty() for _ in range(len(bench.drivers) + 2)]
    bench.drive(1.0, 1.0)
    assert [driver.health.state for driver in bench.drivers] == ["lost", "lost"]
    for descriptor in itertools.chain.from_iterable(strangers):
        os.close(descriptor)
    bench.start()
    bench.drive(1.5, 1.0)
    for driver in bench.drivers:
        assert (driver.health.state, driver.health.reconnections) == ("open", 1)
    assert bench.speed() > 0.3


def test_what_is_asked_over_the_control_socket_happens(bench: Process) -> None:
    bench.open()
    ask(bench.directory, Place(pose=(1.0, -1.5, 0.5)))
    bench.drive(0.6)
    assert bench.truth()["antenna_position"][0, :2] == pytest.approx([1.0, -1.5], abs=0.1)
    ask(bench.directory, Trip(device="vesc", code=1))
    bench.drive(0.2)
    assert bench.drivers[0].health.fault == "over voltage"
    bench.drive(0.8)
    assert bench.drivers[0].health.fault == ""
    ask(bench.directory, SetFaults(device="vesc", faults=(Fault(kind="corrupt", probability=0.5),)))
    bench.drive(0.5)
    ask(bench.directory, SetFaults(device="vesc"))
    assert bench.drivers[0].health.errors["bad_crc"] > 0
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.sendto(b"nonsense", str(bench.directory / SOCKET))
        client.sendto(b'{"type":"SetFaults","device":"nobody"}', str(bench.directory / SOCKET))
    bench.drive(0.3, 1.0)
    assert bench.process.poll() is None


def test_a_second_client_is_told_that_the_port_is_busy(bench: Process) -> None:
    bench.open()
    again = make_driver(SPEC, msgspec.structs.replace(SPEC.devices[0], port=str(bench.directory / "vesc")))
    with pytest.raises(SandlotError, match="is busy"):
        again.open(0)
    bench.drive(0.1)
    assert bench.drivers[0].health.state == "open"


def test_a_client_may_come_and_go_and_a_stalled_host_does_not_race_to_catch_up(bench: Process) -> None:
    for _ in range(3):
        with serial.Serial(str(bench.directory / "vesc"), 115200, timeout=1.0, exclusive=True) as port:
            port.write(bytes.fromhex("020100000003"))
            start, length, command = port.read(3)
            assert (start, command) == (2, 0)
            assert len(port.read(length + 2)) == length + 2
    bench.open()
    bench.drive(1.0, 1.0)
    before = bench.truth()
    bench.process.send_signal(signal.SIGSTOP)
    time.sleep(1.0)
    bench.process.send_signal(signal.SIGCONT)
    time.sleep(0.3)
    moved = np.linalg.norm(bench.truth()["antenna_position"] - before["antenna_position"])
    assert moved < 0.8  # a second at 1 m/s has not passed for the car
    bench.drive(0.5, 1.0)
    assert all(driver.health.state == "open" for driver in bench.drivers)


def test_asking_where_no_bench_runs_says_so(tmp_path: Path) -> None:
    with pytest.raises(SandlotError, match="no emulated robot answers"):
        ask(tmp_path, Place())
