"""Replaying a log through the safety kernel: the same verdicts, and what another limit would have changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from guarded_car import GuardedCar, car_spec
from numpy.typing import NDArray

from launch import cli
from launch.replay.changes import changed
from launch.replay.comparison import compare
from launch.replay.playback import Tape
from launch.replay.summary import sure
from robot.errors import SandlotError, SpecError
from robot.messages import SafetyState
from robot.recorder import TICKS, Recorder
from robot.safety import freshness, state_machine
from robot.spec import RobotSpec

Rows = NDArray[np.void]
S = SafetyState


class Drive:
    """The guarded car, an operator and a pilot; every tick is kept."""

    def __init__(self, directory: Path, spec: RobotSpec | None = None) -> None:
        self.car = GuardedCar(directory, spec)
        self.rows: list[Rows] = []

    def run(self, ticks: int, late_ns: int = 0) -> None:
        car, board = self.car, self.car.board
        for _ in range(ticks):
            car.operator["time_ns"] = car.command["time_ns"] = car.clock.now_ns()
            car.command["epoch"] = car.guardian.kernel.epoch
            board.operator.write(car.operator)
            board.command.write(car.command)
            car.tick(late_ns)
            self.rows.append(board.ticks.peek(1))
            board.ticks.consume(1)

    def go(self, speed: float = 3.0) -> None:
        """Enable, arm, and drive for a second."""
        car = self.car
        car.command["setpoint"] = (speed, 0.1)
        self.run(20)
        car.operator["enable"] = 1
        self.run(3)
        car.operator["arm"] += 1
        self.run(round(car.spec.safety.arming_s * 100) + 100)
        assert car.guardian.kernel.state == S.ACTIVE

    @property
    def ticks(self) -> Rows:
        return np.concatenate(self.rows)

    def record(self, path: Path) -> Path:
        recorder = Recorder(path, self.car.spec, self.car.contract)
        recorder.rows(TICKS, 0, self.ticks)
        recorder.close()
        return path


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Drive:
    """A drive at 3 m/s that ended in a fault of the drive's port; each test has its own copy of ``ticks``."""
    drive = Drive(tmp_path_factory.mktemp("drive") / "board")
    drive.go()
    drive.car.fault("vesc", "unplug", 0.2)
    drive.run(150)
    drive.car.guardian.close()
    return drive


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main(["replay", *words])
    captured = capsys.readouterr()
    return int(ended.value.code or 0), captured.out, captured.err


def test_a_log_replays_to_its_own_verdicts(drive: Drive) -> None:
    compared = compare(drive.car.spec, drive.ticks)
    assert not compared.logged.spans
    assert compared.logged.margins.tobytes() == drive.ticks["margin"].tobytes()
    assert compared.driving.sum() > 90


@pytest.mark.parametrize(
    "forge",
    [
        lambda row: row.__setitem__("safety_state", S.REDUCED),
        lambda row: row.__setitem__("request", 1),
        lambda row: row["margin"].__setitem__(0, row["margin"][0] + 1e-7),
        lambda row: row["allowed"].__setitem__(0, row["allowed"][0] + 1e-7),
        lambda row: row.__setitem__("altered", not row["altered"]),
    ],
    ids=["state", "request", "margin", "allowed", "altered"],
)
def test_one_verdict_that_is_not_the_kernels_is_found(drive: Drive, forge: Callable[[np.void], None]) -> None:
    ticks = drive.ticks
    forge(ticks[120])
    spans = compare(drive.car.spec, ticks).logged.spans
    assert spans and spans[0].first == 120


@pytest.mark.parametrize("defect", ["no stale sensor", "no stop", "no debounce"])
def test_a_kernel_that_decides_otherwise_is_found(
    defect: str, drive: Drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    if defect == "no stale sensor":
        update = freshness.Freshness.update

        def blind(self: freshness.Freshness, *given: object) -> None:
            update(self, *given)  # type: ignore[arg-type]
            self.stale.fill(False)

        monkeypatch.setattr(freshness.Freshness, "update", blind)
    elif defect == "no stop":
        monkeypatch.setattr(state_machine, "TORQUE", frozenset({S.ARMING}))
    else:
        monkeypatch.setattr("robot.guardian.step", lambda state, inputs, timing: state)
    assert compare(drive.car.spec, drive.ticks).logged.spans


def test_a_lower_limit_shows_when_it_would_have_stopped(drive: Drive) -> None:
    """Against a plain reading of the samples: the first tick from which the ERPM was too high for 0.1 s."""
    upper = 9000.0
    spec, lines = changed(drive.car.spec, None, [f"safety.limits.spinning.upper={upper}"])
    assert lines == ["safety.limits[spinning].upper: now 9000.0, logged 30000.0"]
    compared = compare(drive.car.spec, drive.ticks, spec)
    assert compared.changed is not None and not compared.logged.spans
    stops = [span for span in compared.changed.spans if span.stops]
    over = drive.ticks["measured"]["drive"]["values"][:, 0] > upper
    times, since, expected = drive.ticks["time_ns"].tolist(), None, None
    for k, above in enumerate(over.tolist()):
        since = (times[k] if since is None else since) if above else None
        if since is not None and times[k] - since >= 100_000_000 and expected is None:
            expected = k
    assert stops and stops[0].first == expected
    assert stops[0].states == (S.ACTIVE, S.STOP1) and stops[0].why == "limit (spinning)"
    trips = [trip for trip in compared.changed.trips() if trip.limit == "spinning"]
    assert trips[0].first == expected
    # As logged, this limit asks for something only while nobody can see: before the first sample, and once
    # the port is lost.
    lost = int(np.argmax((drive.ticks["devices"][:, 0] & 1) == 0))
    mine = [trip for trip in compared.logged.trips() if trip.limit == "spinning"]
    assert lost > 100 and all(trip.last < 20 or trip.first > lost for trip in mine)


def test_a_limit_taken_away_shows_the_stop_that_would_not_have_been(tmp_path: Path) -> None:
    drive = Drive(tmp_path / "board")
    drive.go()
    drive.car.plant.motor_temperature = 100.0
    drive.run(40)
    drive.car.guardian.close()
    spec, _ = changed(drive.car.spec, None, ["safety.limits.hot.upper=none", "safety.limits.hot.lower=-50"])
    compared = compare(drive.car.spec, drive.ticks, spec)
    assert compared.changed is not None
    assert any(span.drives and span.states[0] == S.HOLD for span in compared.changed.spans)


def test_timers_and_people_are_replayed_too(drive: Drive) -> None:
    for setting in ("safety.arming_s=0.6", "enable.timeout_s=0.000001", "safety.command_timeout_s=0.001"):
        spec, _ = changed(drive.car.spec, None, [setting])
        compared = compare(drive.car.spec, drive.ticks, spec)
        assert compared.changed is not None and compared.changed.spans, setting
        assert not compared.logged.spans


def test_after_a_gap_nothing_is_held_against_the_log(drive: Drive) -> None:
    ticks = np.delete(drive.ticks, slice(150, 170))
    compared = compare(drive.car.spec, ticks)
    assert compared.gaps == 1 and compared.unsure[150:].all() and not compared.unsure[:150].any()
    assert not sure(compared, compared.logged)
    assert [len(s) for s in Tape(drive.car.spec, ticks).segments()] == [150, len(ticks) - 150]


def test_a_guardian_that_was_killed_and_its_successor(tmp_path: Path) -> None:
    drive = Drive(tmp_path / "board")
    drive.go()
    drive.car.operator["enable"] = 0
    drive.car.build()
    drive.run(200)
    drive.go()
    compared = compare(drive.car.spec, drive.ticks)
    assert compared.gaps == 0 and not compared.logged.spans
    assert drive.ticks["epoch"].max() == 2
    drive.car.guardian.close()


def test_the_command_tells_and_its_exit_code_says_whether_anything_differs(
    drive: Drive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(drive.record(tmp_path / "log.mcap"))
    code, out, _ = run(capsys, path, "--safety")
    assert code == 0 and "every verdict is the logged one" in out
    lower = ("--set", "safety.limits.spinning.upper=9000")
    code, out, _ = run(capsys, path, "--safety", *lower, "--json", "--png", str(tmp_path / "margins.png"))
    told = json.loads(out.splitlines()[-1])
    assert code == 3 and told["identical"] and not told["unchanged"]
    assert 1.0 < told["first_stop_s"] < told["seconds"] and told["stops_more"] >= 1
    assert told["differences"][0]["why"] == "limit (spinning)"
    assert told["margins"]["spinning"]["least"] < 0
    assert (tmp_path / "margins.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), "--safety"),
        (("--safety", "--set", "safety.limits.spining.upper=1"), "did you mean spinning"),
        (("--safety", "--set", "safety.limits.hot.uper=1"), "did you mean upper"),
        (("--safety", "--set", "safety.arming_s"), "PATH=VALUE"),
        (("--safety", "--set", "safety.arming_s.x=1"), "nothing below it"),
        (("--safety", "--set", "safety.arming_s=soon"), "arming_s"),
        (("--safety", "--spec", "racr"), "did you mean racer"),
        (("--safety", "--twin"), "--safety, --twin, or --on ROBOT"),
    ],
)
def test_a_mistake_is_one_clear_line(
    words: tuple[str, ...], expected: str, drive: Drive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, error = run(capsys, str(drive.record(tmp_path / "log.mcap")), *words)
    assert code == 1 and expected in error and len(error.splitlines()) == 1


def test_another_file_of_the_same_robot_counts_and_one_of_another_does_not(tmp_path: Path) -> None:
    ours = car_spec()
    spec, lines = changed(ours, "racer", [])
    assert {limit.name for limit in spec.safety.limits} != {limit.name for limit in ours.safety.limits}
    assert any("hold_s" in line for line in lines) and spec.enable.source == "simulated_operator"
    text = (Path(__file__).parents[2] / "launch/robots/racer.toml").read_text()
    other = tmp_path / "other.toml"
    other.write_text(text.replace("upper = 5.0\nslew = 8.0", "upper = 4.9\nslew = 8.0"))
    with pytest.raises(SandlotError, match="another robot"):
        changed(ours, str(other), [])


def test_a_log_without_the_kernels_evidence_is_refused(drive: Drive) -> None:
    ticks = drive.ticks
    fewer = np.zeros(len(ticks), [(n, ticks.dtype[n]) for n in ticks.dtype.names or () if n != "operator"])
    with pytest.raises(SandlotError, match="lack operator"):
        compare(drive.car.spec, fewer)
    with pytest.raises(SpecError):
        changed(drive.car.spec, None, ["no.such=1"])
