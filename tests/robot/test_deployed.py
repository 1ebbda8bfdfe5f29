"""What may drive a robot, and that an installation killed at any moment leaves the old bundle or the new."""

from __future__ import annotations

import datetime
import os
import re
import signal
import sys
from pathlib import Path

import msgspec
import pytest
from small_bundle import KEY, LATER, NOW, OTHER_KEY, failed_report, made, report
from small_session import CALIBRATION, CONTRACT, SPEC

from robot.admission import CLOCK_SLACK, objections, require_ours
from robot.bundle import unpack
from robot.deployed import Deployed, Deployments
from robot.errors import BundleError, ContractMismatchError
from robot.keys import write_private
from robot.plain_data import sha256
from robot.signing import load_signing_key, load_signing_public, load_trusted, make_signing_key, trust_signer

TRUSTED = {KEY.public: "lab"}
SECOND = datetime.timedelta(seconds=1)


def test_a_validated_bundle_of_a_trusted_maker_may_drive() -> None:
    bundle = unpack(made())
    require_ours(bundle, SPEC, TRUSTED)
    require_ours(bundle, SPEC, TRUSTED, CONTRACT)
    for now in (NOW - CLOCK_SLACK, NOW, LATER - SECOND):
        assert objections(bundle, CALIBRATION, SPEC.conditions(), now, "oval", bundle.manifest.created) == ()


def test_only_a_trusted_makers_bundle_is_ours() -> None:
    with pytest.raises(BundleError, match=r"key 3d4017c3e843, .* trusts lab \(d75a980182b1\).*keys trust"):
        require_ours(unpack(made(key=OTHER_KEY)), SPEC, TRUSTED)
    with pytest.raises(BundleError, match="it trusts nobody"):
        require_ours(unpack(made()), SPEC, {})


def test_another_robots_bundle_is_not_ours() -> None:
    with pytest.raises(BundleError, match="for robot 'racer', this is 'walker'"):
        require_ours(unpack(made()), msgspec.structs.replace(SPEC, name="walker"), TRUSTED)


def test_another_contract_is_told_as_a_difference() -> None:
    actuators = (msgspec.structs.replace(SPEC.actuators[0], slew=4.0), *SPEC.actuators[1:])
    changed = msgspec.structs.replace(SPEC, actuators=actuators)
    with pytest.raises(ContractMismatchError, match=r"actuators\[speed\].slew: ours 4.0, theirs 8.0"):
        require_ours(unpack(made()), changed, TRUSTED)
    task = msgspec.structs.replace(CONTRACT, task="other")
    with pytest.raises(ContractMismatchError, match="task: ours 'other', theirs 'small'"):
        require_ours(unpack(made()), SPEC, TRUSTED, task)


SMOKED = {"smoke": report(gate="smoke", calibration_hash="ab" * 32)}


@pytest.mark.parametrize(
    ("changes", "now", "calibration", "course", "expected"),
    [
        ({}, LATER, CALIBRATION, "", "expired at 2026-05-01T10:00:00"),
        ({}, NOW - CLOCK_SLACK - SECOND, CALIBRATION, "", "made at 2026-01-31T10:00:00.*set the clock"),
        ({}, NOW, "cd" * 32, "", "sandlot validate BUNDLE --gate smoke"),
        (SMOKED, NOW, "cd" * 32, "", r"calibration changed.*\(abababababab then, cdcdcdcdcdcd now"),
        ({"report": failed_report()}, NOW, CALIBRATION, "", r"failed the full gate: G3 \(it falls off\)"),
        ({"report": report(verdict="fail")}, NOW, CALIBRATION, "", "verdict is fail"),
        ({"smoke": failed_report(gate="smoke")}, NOW, CALIBRATION, "", "failed the smoke gate"),
        ({"report": report(course="oval")}, NOW, CALIBRATION, "kidney", "on course 'oval', not on 'kidney'"),
    ],
)
def test_what_is_not_validated_is_objected_to(
    changes: dict[str, object], now: datetime.datetime, calibration: str, course: str, expected: str
) -> None:
    (told,) = objections(unpack(made(**changes)), calibration, {}, now, course)
    assert re.search(expected, told) and len(told.splitlines()) == 1


def test_a_smoke_gate_under_the_new_calibration_is_enough() -> None:
    bundle = unpack(made(**SMOKED))
    assert objections(bundle, "ab" * 32, {}, NOW) == ()
    assert objections(bundle, CALIBRATION, {}, NOW) == (), "and back: the full gate was passed under that"


def test_other_conditions_than_a_report_s_are_told_by_what_differs() -> None:
    """What a report holds and nobody knows here is not compared."""
    course = {"name": "oval", "checkpoints": [{"x": 0.0, "y": 1.0}]}
    held = report(
        course="oval", conditions=SPEC.conditions() | {"course": course, "world": {"half_width": 2.0}}
    )
    bundle = unpack(made(report=held))

    def told(**changed: object) -> tuple[str, ...]:
        return objections(bundle, CALIBRATION, SPEC.conditions() | {"course": course} | changed, NOW, "oval")

    assert told() == ()
    (found,) = told(course=course | {"checkpoints": [{"x": 0.0, "y": 1.5}]}, world={"half_width": 1.0})
    assert "course.checkpoints[0].y: here 1.5, there 1.0; world.half_width: here 1.0, there 2.0" in found
    (found,) = told(anything_else=3)
    assert "anything_else: only here has it (3)" in found


def test_a_clock_that_went_back_since_the_installation_is_noticed() -> None:
    installed = (NOW + 30 * 24 * 3600 * SECOND).isoformat()
    (told,) = objections(unpack(made()), CALIBRATION, {}, NOW + 3600 * SECOND, installed=installed)
    assert "installed here at 2026-03-02T10:00:00" in told and "set the clock" in told


def test_the_newest_drives_and_the_one_before_is_kept(tmp_path: Path) -> None:
    folder = Deployments(tmp_path / "racer")
    assert folder.state() == Deployed()
    for version in (3, 5, 9):
        folder.install(made(version), NOW)
    assert folder.state() == Deployed(
        current=9, previous=5, highest=9, installed=NOW.isoformat(), sha256=sha256(made(9))
    )
    assert sorted(path.name for path in folder.folder.glob("*.bundle")) == [
        f"{version:015d}.bundle" for version in (5, 9)
    ]
    assert folder.bundle(9).manifest.version == 9


@pytest.mark.parametrize("version", [1, 4])
def test_a_replayed_bundle_is_refused(tmp_path: Path, version: int) -> None:
    folder = Deployments(tmp_path)
    folder.install(made(5), NOW)
    with pytest.raises(BundleError, match=f"version {version} is not newer than 5.*replayed.*--rollback"):
        folder.install(made(version), NOW)
    assert folder.state().current == 5


def test_going_back_is_the_only_way_back_and_goes_back_once(tmp_path: Path) -> None:
    folder = Deployments(tmp_path)
    folder.install(made(1), NOW)
    with pytest.raises(BundleError, match="no earlier deployment"):
        folder.roll_back(NOW)
    folder.install(made(2), NOW)
    folder.roll_back(LATER)
    assert folder.state() == Deployed(
        current=1, previous=0, highest=2, installed=LATER.isoformat(), sha256=sha256(made(1))
    )
    with pytest.raises(BundleError, match="no earlier deployment"):
        folder.roll_back(NOW)
    with pytest.raises(BundleError, match="not newer than 2"):
        folder.install(made(2), NOW)
    folder.install(made(3), NOW)
    assert folder.state().previous == 1 and folder.bundle(1).manifest.version == 1


def test_a_damaged_bundle_is_replaced_by_its_original_only(tmp_path: Path) -> None:
    folder = Deployments(tmp_path)
    folder.install(made(1), NOW)
    state = folder.install(made(2), NOW)
    for damage in (lambda path: path.write_bytes(made(2)[:-1]), Path.unlink):
        damage(folder.path(2))
        with pytest.raises(BundleError, match="not newer than 2"):
            folder.install(made(2, expires=LATER + SECOND), NOW)
        assert folder.install(made(2), LATER) == state
        assert folder.bundle(2).manifest.version == 2
    folder.path(1).write_bytes(made(1))
    back = folder.roll_back(NOW)
    folder.path(1).unlink()
    assert folder.install(made(1), LATER) == back and folder.bundle(1).manifest.version == 1


def test_what_was_changed_on_the_disk_is_refused(tmp_path: Path) -> None:
    folder = Deployments(tmp_path)
    folder.install(made(1), NOW)
    folder.install(made(2), NOW)
    folder.path(1).write_bytes(made(1)[:-1])
    with pytest.raises(BundleError, match="cut off"):
        folder.roll_back(NOW)
    assert folder.state().current == 2
    folder.path(2).write_bytes(made(1))
    with pytest.raises(BundleError, match="holds version 1"):
        folder.bundle(2)
    (tmp_path / "deployed.json").write_bytes(b"{")
    with pytest.raises(BundleError, match="deploy again"):
        folder.state()


def test_what_is_no_bundle_changes_nothing(tmp_path: Path) -> None:
    with pytest.raises(BundleError):
        Deployments(tmp_path / "racer").install(made()[:-1], NOW)
    assert not (tmp_path / "racer").exists()


class Killed(BaseException):
    """Nothing after the line on which it was raised happened, as after ``kill -9``."""


def test_killed_at_any_moment_it_is_the_old_one_or_the_new(tmp_path: Path) -> None:
    """Every system call of an installation and of a rollback, as the last one."""
    events = ("open", "os.rename", "os.remove", "os.mkdir", "os.ftruncate")

    def attempt(name: str, most: int, back: bool) -> tuple[bool, Deployments]:
        folder = Deployments(tmp_path / name)
        for version in (1, 2):
            folder.install(made(version), NOW, sync=False)
        pid = os.fork()
        if not pid:
            seen = 0

            def kill(event: str, arguments: object) -> None:
                nonlocal seen
                if event in events:
                    seen += 1
                    if seen > most:
                        os.kill(os.getpid(), signal.SIGKILL)

            sys.addaudithook(kill)
            folder.roll_back(NOW, sync=False) if back else folder.install(made(3), NOW, sync=False)
            os._exit(0)
        return os.WIFSIGNALED(os.waitpid(pid, 0)[1]), folder

    for back, new in ((False, 3), (True, 1)):
        found, killed, most = set[int](), True, 0
        while killed:
            killed, folder = attempt(f"{back} {most}", most, back)
            state = folder.state()
            assert state.current in (2, new)
            assert folder.bundle(state.current).manifest.version == state.current
            if state.previous:
                assert folder.bundle(state.previous).manifest.version == state.previous
            found.add(state.current)
            most += 1
            folder.install(made(9), NOW, sync=False)
            assert folder.state().current == 9 and folder.state().previous == state.current
            assert len(list(folder.folder.iterdir())) == 3, "what a kill left behind goes with the next"
        assert found == {2, new} and most > 3


def test_a_signing_key_is_secret_and_made_once(tmp_path: Path) -> None:
    private, public = make_signing_key(tmp_path, "lab")
    assert private.stat().st_mode & 0o777 == 0o600
    key = load_signing_key(tmp_path, "lab")
    assert load_signing_public(public) == key.public and key.secret not in repr(key)
    assert unpack(made(key=key)).manifest.signer == key.public
    with pytest.raises(Exception, match="exists"):
        make_signing_key(tmp_path, "lab")
    with pytest.raises(Exception, match="there are: lab"):
        load_signing_key(tmp_path, "lap")
    private.chmod(0o644)
    with pytest.raises(Exception, match="chmod 600"):
        load_signing_key(tmp_path, "lab")


def test_whom_a_robot_trusts_has_a_name(tmp_path: Path) -> None:
    assert load_trusted(tmp_path) == {}
    trust_signer(tmp_path, "lab", KEY.public)
    trust_signer(tmp_path, "lab", KEY.public)
    assert load_trusted(tmp_path) == TRUSTED
    with pytest.raises(Exception, match="holds another key"):
        trust_signer(tmp_path, "lab", OTHER_KEY.public)
    write_private(tmp_path / "curve.pub", f'public = "{"x" * 40}"\n')
    with pytest.raises(Exception, match="has no signing_public"):
        load_signing_public(tmp_path / "curve.pub")
