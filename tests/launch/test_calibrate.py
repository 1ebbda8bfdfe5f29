"""A surrogate stays what it is whoever measured it, and expired values keep a robot from being armed."""

from __future__ import annotations

import dataclasses
import datetime
import json
import re
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from measured_drive import Linkage, turning_drive
from rich.console import Console

from calibration.book import Book, stamp
from calibration.drive import Drive
from calibration.entry import Check, Entry, Finding, Quantity
from calibration.procedure import CalibrationError, Estimate
from calibration.twin_parameters import TwinParameter
from launch.bundle import read_report
from launch.calibrate.command import FAILED, conclude
from launch.calibrate.poses import hand_eye
from launch.calibrate.procedures import named
from launch.calibrated import calibrated_spec, expired, unmoved
from launch.catalogue import find
from launch.cli import main
from launch.options.validate import ValidateOptions
from launch.session import Session
from launch.validate import validate
from robot.errors import SandlotError
from robot.spec import RobotSpec, load_spec
from sim.car import car_parameters
from sim.surrogate import load_surrogate

NOW = datetime.datetime.now(datetime.UTC)


def entry(robot: str, days: int = 30) -> Entry:
    return Entry(
        procedure="speed",
        robot=robot,
        date=stamp(NOW),
        expires=stamp(NOW + datetime.timedelta(days=days)),
        method="circles",
        software="test",
        log_sha256="00",
        source="here",
        quantities=(
            Quantity("servo_gain", "1/rad", -1.3),
            Quantity("steering_backlash", "rad", 0.03),
            Quantity("gnss_antenna_x", "m", 0.02),
        ),
        covariance=((1e-4, 0.0, 0.0), (0.0, 1e-6, 0.0), (0.0, 0.0, 1e-6)),
        checks=(Check("residual", "m", 0.5, 1.0),),
    )


ROBOT_S_LOG = SimpleNamespace(metadata={"manifest": "twin = false"})


def no_drive(spec: RobotSpec) -> Drive:
    nothing = np.zeros(0)
    return Drive(spec, nothing, nothing, nothing, nothing, np.zeros(0, bool), {})


MASSES = (Quantity("mass", "kg", 3.9), Quantity("centre_of_mass_height", "m", 0.07))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SANDLOT_CALIBRATION", str(tmp_path))
    return tmp_path


def test_measuring_a_surrogate_does_not_change_it(folder: Path) -> None:
    file, worn = load_spec(find("robots", "racer")), load_surrogate(find("surrogates", "worn"))
    Book("racer@worn", folder).add(entry("racer@worn"))
    spec = calibrated_spec("racer", "worn")
    assert spec.scalar("servo_gain") == -1.3 and calibrated_spec("racer") == file
    before = car_parameters(file, worn.truths(file))
    assert car_parameters(spec, unmoved(worn, file, spec).truths(spec)) == before
    assert car_parameters(spec, worn.truths(spec)) != before
    sensed = unmoved(worn, file, spec).own(spec)
    assert sensed.vector("gnss_antenna") == file.vector("gnss_antenna") != spec.vector("gnss_antenna")


def test_the_twin_has_what_the_robot_s_entries_say(folder: Path) -> None:
    Book("racer", folder).add(entry("racer"))
    spec = calibrated_spec("racer")
    assert car_parameters(spec).steering_backlash == 0.03
    assert car_parameters(spec).servo_gain == -1.3


def test_in_a_rehearsal_the_twin_is_as_the_surrogate_s_entries_say(folder: Path, tmp_path: Path) -> None:
    Book("racer@worn", folder).add(entry("racer@worn"))
    policy, out = tmp_path / "policy.onnx", tmp_path / "out"
    policy.write_bytes(b"none, so that it is refused before it drives")
    assert validate(ValidateOptions(policy, surrogate="worn", out=out, results=tmp_path)) == 1
    found = read_report(out / "report.json").calibration_hash
    assert found == calibrated_spec("racer", "worn").calibration_hash()
    assert found != calibrated_spec("racer").calibration_hash()


def test_expired_values_are_objections_that_name_them(folder: Path) -> None:
    Book("racer", folder).add(entry("racer", days=1))
    spec = calibrated_spec("racer")
    assert expired(spec, NOW) == ()
    (told,) = expired(spec, NOW + datetime.timedelta(days=2))
    assert "servo_gain" in told and "measure again: sandlot calibrate racer speed" in told


def test_status_says_what_is_missing_and_valid(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Book("racer", folder).add(entry("racer"))
    with pytest.raises(SystemExit):
        main(["calibrate", "racer", "--status"])
    shown = capsys.readouterr().out
    assert "speed" in shown and "valid" in shown and "servo_gain -1.2135" in shown
    assert re.search(r"steering +missing", shown) and re.search(r"mass +never, by hand", shown)
    with pytest.raises(SystemExit) as ended:
        main(["calibrate", "racer", "--status", "--surrogate", "worn"])
    assert ended.value.code == 1 and "missing" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["calibrate", "racer", "speed", "--compare", stamp(NOW)[:10], stamp(NOW)[:10]])
    assert "+0" in capsys.readouterr().out
    scales = msgspec.structs.replace(
        entry("racer"), procedure="mass", date=stamp(NOW), quantities=MASSES[:1], covariance=((1e-4,),)
    )
    Book("racer", folder).add(scales)
    later = stamp(NOW + datetime.timedelta(days=1))
    Book("racer", folder).add(
        msgspec.structs.replace(scales, date=later, quantities=MASSES, covariance=((1e-4, 0.0), (0.0, 1e-6)))
    )
    with pytest.raises(SystemExit) as ended:
        main(["calibrate", "racer", "mass", "--compare", stamp(NOW), later])
    told = capsys.readouterr().out
    assert ended.value.code == 0 and "3.9 ± 0.01" in told and "not measured" in told
    for hour, latency in ((0, 4.1), (2, 4.6)):  # nothing is computed with what a clock shows
        Book("racer", folder).add(
            msgspec.structs.replace(
                entry("racer"),
                procedure="clock",
                date=stamp(NOW + datetime.timedelta(hours=hour)),
                quantities=(),
                covariance=(),
                findings=(Finding("command_latency", "ms", latency, 0.1),),
            )
        )
    first, second = (stamp(NOW + datetime.timedelta(hours=hour)) for hour in (0, 2))
    with pytest.raises(SystemExit):
        main(["calibrate", "racer", "clock", "--compare", first, second, "--json"])
    told = capsys.readouterr()
    assert "4.1 ± 0.1" in told.err and "+3.5" in told.err
    assert json.loads(told.out)[second] == {"command_latency": [4.6, 0.1]}
    with pytest.raises(SystemExit) as ended:
        main(["calibrate", "racer", "sped"])
    assert ended.value.code == 1
    assert "did you mean speed?" in capsys.readouterr().err


SCALES = """
scale_sigma = 0.002
level = [
    { front_left = 0.97, front_right = 0.974, rear_left = 0.90, rear_right = 0.896 },
    { front_left = 0.965, front_right = 0.979, rear_left = 0.905, rear_right = 0.891 },
    { front_left = 0.972, front_right = 0.972, rear_left = 0.898, rear_right = 0.898 },
]
raised = [
    { front_left = 0.901, front_right = 0.901, rear_left = 0.969, rear_right = 0.969, height = 0.15 },
    { front_left = 0.90, front_right = 0.903, rear_left = 0.968, rear_right = 0.969, height = 0.15 },
    { front_left = 0.902, front_right = 0.90, rear_left = 0.968, rear_right = 0.97, height = 0.15 },
]
"""
PULLS = 'surface = "tiles"\ndrags = [' + ", ".join(f"{{ force = {30 + k / 4} }}" for k in range(6)) + "]"


def test_readings_become_entries_that_build_on_each_other(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scales, pulls = tmp_path / "scales.toml", tmp_path / "pulls.toml"
    scales.write_text(SCALES)
    pulls.write_text(PULLS)
    for procedure, path in (("mass", scales), ("friction", pulls)):
        with pytest.raises(SystemExit) as ended:
            main(["calibrate", "racer", procedure, "--readings", str(path)])
        assert ended.value.code == 0, capsys.readouterr()
        assert (tmp_path / f"{procedure}.png").exists()
    spec = calibrated_spec("racer")
    assert spec.scalar("mass") == pytest.approx(3.74, abs=0.001)
    assert spec.scalar("front_axle") + spec.scalar("rear_axle") == pytest.approx(spec.scalar("wheelbase"))
    assert spec.scalar("tyre_friction") == pytest.approx(30.625 / 9.81 / spec.scalar("mass"))
    assert car_parameters(spec).centre_of_mass_height == spec.scalar("centre_of_mass_height")
    with pytest.raises(SystemExit):
        main(["calibrate", "racer", "mass"])
    assert "--readings FILE" in capsys.readouterr().err
    pulls.write_text(PULLS.replace("force", "forse"))
    with pytest.raises(SystemExit):
        main(["calibrate", "racer", "friction", "--readings", str(pulls)])
    assert "did you mean force" in capsys.readouterr().err


def test_pictures_of_a_camera_stay_as_they_were_taken(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = tmp_path / "pictures"
    taken.mkdir()
    (taken / "00.png").write_bytes(b"a picture")
    nothing = Estimate("ChArUco", (), np.zeros((0, 0)), ())
    monkeypatch.setattr("launch.calibrate.command.estimate", lambda *_: nothing)
    monkeypatch.setattr("launch.calibrate.picture.draw", lambda *_: b"drawn")
    with pytest.raises(SystemExit) as ended:
        main(["calibrate", "racer", "camera", "--images", str(taken)])
    assert ended.value.code == 0, capsys.readouterr()
    assert [path.name for path in taken.iterdir()] == ["00.png"]
    assert (tmp_path / "camera.png").exists()


def test_poses_that_are_no_matrices_are_refused_by_number(tmp_path: Path) -> None:
    path = tmp_path / "poses.toml"
    path.write_text("[[poses]]\nhand = [[1.0, 0.0], [1.0]]\nboard = [[1.0]]\n")
    spec = calibrated_spec("racer")
    with pytest.raises(CalibrationError, match=r"hand of pose 1 has rows of \[2, 1\] numbers"):
        hand_eye(path, None, "8x6:0.03:0.022", spec)
    path.write_text(f'[[poses]]\nhand = {np.eye(4).tolist()}\npicture = "00.png"\n')
    with pytest.raises(CalibrationError, match="give their folder with --images"):
        hand_eye(path, None, "8x6:0.03:0.022", spec)
    with pytest.raises(CalibrationError, match="calibrate racer camera --images FOLDER"):
        hand_eye(path, tmp_path, "8x6:0.03:0.022", spec)
    path.write_text(f"[[poses]]\nhand = {np.eye(4).tolist()}\n")
    with pytest.raises(CalibrationError, match="pose 1 needs one of board and picture"):
        hand_eye(path, None, "8x6:0.03:0.022", spec)


def test_who_interrupts_a_procedure_gets_no_entry_of_it_and_no_next_one(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    driven: list[str] = []

    def ctrl_c(session: Session, progress: object) -> None:
        driven.append(session.manifest.setup.procedure)
        raise KeyboardInterrupt

    monkeypatch.setattr("launch.lockstep.practise_lockstep", ctrl_c)
    with pytest.raises(SystemExit) as ended:
        main(["calibrate", "racer", "all", "--runs", str(tmp_path / "runs"), "--view", "none"])
    assert ended.value.code == 1 and "stopped by SIGINT: nothing is concluded" in capsys.readouterr().err
    assert len(driven) == 1


def test_a_procedure_that_fails_holds_up_no_other(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    concluded: list[str] = []

    def conclude(console: object, file: object, name: str, *_: object) -> Entry:
        concluded.append(name)
        if name == "speed":
            raise SandlotError("it never moved")  # as a sensor that was silent has it
        wide = (Check("residual", "m", 2.0, 1.0),) if name == "imu" else ()
        return msgspec.structs.replace(entry("racer"), checks=wide)

    monkeypatch.setattr("launch.calibrate.command.drive", lambda *_: tmp_path)
    monkeypatch.setattr("launch.calibrate.command.conclude", conclude)
    with pytest.raises(SystemExit) as ended:
        main(["calibrate", "racer", "all", "--json"])
    told = capsys.readouterr()
    assert ended.value.code == FAILED
    assert set(json.loads(told.out.splitlines()[-1])["failed"]) == {"speed", "imu"}
    assert len(concluded) > 4 and "speed: nothing is concluded: it never moved" in " ".join(told.err.split())
    assert told.err.count("did not pass") == 2
    with pytest.raises(SystemExit):
        main(["calibrate", "racer", "speed"])
    assert "it never moved" in capsys.readouterr().err


@pytest.mark.slow
def test_only_the_twin_needs_a_log_that_can_be_replayed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = load_spec(find("robots", "racer"))
    made = turning_drive(spec, named("steering").legs(spec), Linkage(-1.25, 0.54), np.random.default_rng(0))
    # As of a robot that has no tyres.
    bare = msgspec.structs.replace(
        spec, calibration={name: value for name, value in spec.calibration.items() if name != "tyre_friction"}
    )
    log = (dataclasses.replace(made, spec=bare), ROBOT_S_LOG)
    monkeypatch.setattr("launch.calibrate.command.read_drive", lambda _: log)
    monkeypatch.setattr("launch.calibrate.command.log_hash", lambda _: "00")
    found = conclude(Console(quiet=True), spec, "steering", [tmp_path / "log.mcap"])
    assert found.passed and found.quantities[0].value == pytest.approx(0.54, abs=0.003)


def test_an_identification_begins_with_what_others_measured_and_not_with_one_before(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = load_spec(find("robots", "racer"))
    for procedure, mass, sigma in (("mass", 3.9, 0.01), ("twin", 4.1, 0.001)):
        values = {
            "procedure": procedure,
            "quantities": (Quantity("mass", "kg", mass),),
            "covariance": ((sigma**2,),),
        }
        Book("racer", folder).add(msgspec.structs.replace(entry("racer"), **values))
    driven = calibrated_spec("racer")
    assert driven.scalar("mass") == 4.1
    asked: list[tuple[TwinParameter, ...]] = []

    def identification(
        spec: RobotSpec, _: object, parameters: tuple[TwinParameter, ...], *__: object
    ) -> None:
        assert spec == driven
        asked.append(parameters)
        raise CalibrationError("asked")

    log = (dataclasses.replace(no_drive(file), spec=driven), ROBOT_S_LOG)
    monkeypatch.setattr("launch.calibrate.command.read_drive", lambda _: log)
    monkeypatch.setattr("launch.calibrate.command.replayable", lambda drive, *_: drive)
    monkeypatch.setattr("calibration.twin_conclusion.chunks_of", lambda *_: ())
    monkeypatch.setattr("calibration.twin_conclusion.split", lambda _: ((), ()))
    monkeypatch.setattr("calibration.twin_conclusion.Identification", identification)
    with pytest.raises(CalibrationError, match="asked"):
        conclude(Console(quiet=True), file, "twin", [tmp_path])
    (mass_of,) = (p for p in asked[0] if p.name == "mass")
    assert mass_of.value == 3.9 and mass_of.sigma == pytest.approx(0.01 / 3.9)


def test_logs_are_of_one_robot_as_it_was_calibrated_once(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = load_spec(find("robots", "racer"))
    Book("racer", folder).add(entry("racer"))
    specs = {
        "before": file,
        "after": calibrated_spec("racer"),
        "other": msgspec.structs.replace(file, name="kart"),
    }

    def read_drive(path: Path) -> tuple[Drive, SimpleNamespace]:
        return dataclasses.replace(no_drive(file), spec=specs[path.name]), SimpleNamespace(
            metadata={"manifest": "twin = false"}
        )

    monkeypatch.setattr("launch.calibrate.command.read_drive", read_drive)
    with pytest.raises(CalibrationError, match="calibrated between the logs, and sent commands by 2"):
        conclude(Console(quiet=True), file, "steering", [tmp_path / "before", tmp_path / "after"])
    with pytest.raises(CalibrationError, match="the log is of a kart; calibrate that one"):
        conclude(Console(quiet=True), file, "steering", [tmp_path / "other"])


def test_a_cluster_is_for_the_twin_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["calibrate", "racer", "speed", "--ray", "auto"])
    assert "speed has none, leave it out" in " ".join(capsys.readouterr().err.split())
