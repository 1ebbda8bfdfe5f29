"""From a validated policy to a driving robot: bundle, deploy, run, and every way in which it is refused."""

from __future__ import annotations

import datetime
import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import msgspec
import numpy as np
import pytest
from line_follower import line_follower
from small_bundle import failed_report, report

from launch import cli, keys
from launch.bundle import bundle, duration
from launch.catalogue import FOLDERS, find
from launch.clearance import verified
from launch.conditions import conditions
from launch.conduct import plans
from launch.deploy import deploy
from launch.doctor_deployed import policy as policy_findings
from launch.manifest import Setup
from launch.options.deploy import BundleOptions, DeployOptions
from launch.options.keys import KeysShowOptions, KeysSigningOptions, KeysTrustOptions
from launch.options.onboard import OnboardOptions
from launch.options.practice import PracticeOptions
from launch.options.run import RunOptions
from launch.parts import make_policies
from launch.practice import onboard, practise
from launch.report import cards
from launch.results import COLUMNS
from launch.run import run
from launch.run_data import RunData
from launch.running import ALIVE_NS, running
from launch.session import contract_of, create_session, make_task, open_session
from launch.supervisor import CONFIGURATION_ERROR
from robot.board import Board
from robot.bundle import pack, read_bundle
from robot.clock import MonotonicClock
from robot.deployed import Deployments
from robot.errors import BundleError, ContractMismatchError, PolicyError, SandlotError, SpecError
from robot.messages import SafetyState, state_dtype
from robot.plain_data import sha256
from robot.practice.course import load_course
from robot.signing import load_signing_key, load_signing_public, make_signing_key, trust_signer
from robot.spec import Target, load_spec
from robot.validation_report import ValidationReport
from sim.world import load_world

# A robot's sessions are looked for on the whole machine: these tests are in each other's way.
pytestmark = pytest.mark.xdist_group("robot_sessions")

SPEC = load_spec(find("robots", "racer"))
COURSE = load_course(find("courses", "oval"))
CONTRACT = contract_of(SPEC, make_task(SPEC, COURSE))
CONDITIONS = conditions(SPEC, COURSE, load_world(find("worlds", "oval")))
POLICY = line_follower(CONTRACT, 3.5, SPEC.calibration_hash())
SLOWER = line_follower(CONTRACT, 1.5, SPEC.calibration_hash(), version=2)
DAY = datetime.timedelta(days=1)
NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)


def reported(policy: bytes = POLICY, **changes: object) -> ValidationReport:
    of_ours = {"policy_sha256": sha256(policy), "contract_hash": CONTRACT.hash(), "conditions": CONDITIONS}
    of_ours |= {"course": "oval", "world": "oval", "created": (NOW - DAY).isoformat()}
    return report(**(of_ours | changes))


FAILED = failed_report(policy_sha256=sha256(POLICY), contract_hash=CONTRACT.hash())


@dataclass
class Desk:
    """A machine with keys, a robot that trusts them, and files."""

    folder: Path

    @property
    def keys(self) -> Path:
        return self.folder / "keys"

    @property
    def deployed(self) -> Path:
        return self.folder / "deployed"

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    @property
    def results(self) -> Path:
        return self.folder / "results"

    @cached_property
    def installed(self) -> Deployments:
        return Deployments(self.deployed / "racer")

    def file(self, name: str, data: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(data)
        return path

    def bundle(self, version: int, policy: bytes = POLICY, *reports: ValidationReport) -> Path:
        """As made by the command."""
        source = self.file("policy.onnx", policy)
        paths = [self.file(f"{k}.json", r.encode()) for k, r in enumerate(reports or (reported(policy),))]
        output = self.folder / f"{version}.bundle"
        bundle(BundleOptions(source, tuple(paths), "lab", output, version=version, keys=self.keys))
        return output

    def deploy(self, *words: str, robot: str | None = None, **options: bool) -> int:
        bundle_file = words[0] if words else None
        return deploy(DeployOptions(bundle_file, robot, deployed=self.deployed, keys=self.keys, **options))

    def options(self, **changes: object) -> RunOptions:
        usual = RunOptions(
            deployed=self.deployed,
            keys=self.keys,
            runs=self.runs,
            results=self.results,
            view="none",
            report=False,
            minutes=0.15,
        )
        return replace(usual, **changes)  # type: ignore[arg-type]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    memory = tmp_path / "shm"  # the machine's own is everybody's
    memory.mkdir()
    monkeypatch.setattr("launch.session.SHARED_MEMORY", memory)
    made = Desk(tmp_path)
    _, public = make_signing_key(made.keys, "lab")
    trust_signer(made.keys, "lab", load_signing_public(public))
    return made


def test_a_bundle_knows_the_run_it_came_from(desk: Desk) -> None:
    session = create_session("racer", "oval", role="practice", runs=desk.runs, twin=True, seed=4)
    (session.policies / "000007.onnx").write_bytes(POLICY)
    journal = session.learner / "journal" / "rows.journal"
    journal.parent.mkdir()
    journal.write_bytes(b"rows")
    source, output = session.directory, desk.folder / "a.bundle"
    full = desk.file("full.json", reported().encode())
    bundle(BundleOptions(source, (full,), "lab", output, expires="2w", version=3, keys=desk.keys))
    made = read_bundle(output)
    origin, manifest = made.content.provenance, session.manifest
    assert (origin.run, origin.seed, origin.git_revision) == (manifest.session, 4, manifest.git_revision)
    assert origin.data == {"learner/journal/rows.journal": sha256(b"rows")}
    assert made.content.policy == POLICY and made.content.contract.hash() == CONTRACT.hash()
    validated, expires = (
        datetime.datetime.fromisoformat(t) for t in (made.content.report.created, made.manifest.expires)
    )
    assert expires - validated == 14 * DAY, "from the gate on, not from the signature"
    smoke = desk.file("smoke.json", reported(gate="smoke").encode())
    with pytest.raises(BundleError, match=r"--expires 20h counts from there: validate it again"):
        bundle(BundleOptions(output, (smoke,), "lab", output, expires="20h", version=4, keys=desk.keys))


@pytest.mark.parametrize(
    ("policy", "reports", "expected"),
    [
        (SLOWER, [reported()], "of another policy"),
        (POLICY, [reported(gate="smoke")], "report of the full gate is needed"),
        (POLICY, [reported(), reported()], "two reports of the same gate"),
        (POLICY, [reported(contract_hash="ab" * 32)], "is of contract abababababab"),
        (POLICY, [reported(robot="walker")], "is of robot 'walker'"),
        (POLICY, [FAILED], r"not passed \(G3\)"),
        (POLICY[:-40], [reported(POLICY[:-40])], "not a policy onnxruntime can load"),
    ],
)  # fmt: skip
def test_no_bundle_of_what_was_not_validated(
    desk: Desk, policy: bytes, reports: list[ValidationReport], expected: str
) -> None:
    with pytest.raises(SandlotError, match=expected) as refusal:
        desk.bundle(1, policy, *reports)
    assert len(str(refusal.value).splitlines()) == 1
    assert not list(desk.folder.glob("*.bundle"))


def test_how_long_a_bundle_lasts_is_said_in_hours_days_or_weeks() -> None:
    assert [duration(text) / DAY for text in ("90d", "4w", "12h")] == [90, 28, 0.5]
    for text in ("", "90", "d", "0d", "-1d", "1.5d", "90 d", "999999d"):
        with pytest.raises(SandlotError, match="90d"):
            duration(text)


def test_deployed_replayed_rolled_back_and_listed(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = desk.bundle(1), desk.bundle(2, SLOWER)
    desk.deploy(str(one), robot="racer")
    desk.deploy(str(two))
    with pytest.raises(BundleError, match=r"version 1 is not newer than 2.*replayed"):
        desk.deploy(str(one))
    capsys.readouterr()
    desk.installed.path(2).write_bytes(b"damaged")
    desk.deploy(str(two))
    assert "already; its file is whole" in capsys.readouterr().out
    trimmed = find("robots", "racer").read_text().replace("{ value = 0.330", "{ value = 0.331")
    with pytest.raises(BundleError, match="calibration changed"):
        desk.deploy(str(two), robot=str(desk.file("racer.toml", trimmed.encode())))
    assert desk.deploy("racer", list=True, json=True) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["highest"] == 2
    assert [(row["role"], row["version"], row["verdict"]) for row in listed["bundles"]] == [
        ("drives", 2, "pass"), ("kept", 1, "pass"),
    ]  # fmt: skip
    desk.deploy("racer", rollback=True)
    assert desk.installed.state().current == 1
    with pytest.raises(BundleError, match="no earlier deployment"):
        desk.deploy(rollback=True)
    with pytest.raises(BundleError, match="version 2 is not newer than 2"):
        desk.deploy(str(two))


def test_a_new_calibration_needs_the_smoke_gate_and_no_more(desk: Desk) -> None:
    one = desk.bundle(1)
    trimmed = (
        find("robots", "racer")
        .read_text()
        .replace("wheelbase = { value = 0.330", "wheelbase = { value = 0.331")
    )
    robot = desk.file("racer.toml", trimmed.encode())
    calibration = load_spec(robot).calibration_hash()
    with pytest.raises(BundleError, match=r"calibration changed .*sandlot validate BUNDLE --gate smoke"):
        desk.deploy(str(one), robot=str(robot))
    desk.deploy(str(one))
    with pytest.raises(PolicyError, match=r"nothing was armed.*calibration changed .*--gate smoke"):
        run(desk.options(robot=str(robot)))
    smoke = desk.file("smoke.json", reported(gate="smoke", calibration_hash=calibration).encode())
    two = desk.folder / "two.bundle"
    bundle(BundleOptions(one, (smoke,), "lab", two, version=2, keys=desk.keys))
    desk.deploy(str(two), robot=str(robot))
    assert desk.installed.state().current == 2


@pytest.mark.parametrize(
    ("kind", "was", "other", "expected"),
    [
        (
            "robots",
            "upper = 150.0",
            "upper = 15.0",
            r"safety.limits\[severe impact\].upper: here 15.0, there",
        ),
        (
            "robots",
            "tail_share = { value = 0.7",
            "tail_share = { value = 0.6",
            "targets.tail_share: here 0.6",
        ),
        ("robots", "crash_g = ", "crash_g = 0.1 # ", "practice.crash_g: here 0.1"),
        ("courses", "corridor_metres = 0.5", "corridor_metres = 0.3", "course.options.corridor_metres"),
        ("worlds", "half_width = ", "half_width = 0.1 # ", "world.half_width: here 0.1, there 0.75"),
        ("robots", 'reason = "beyond an ordinary bump', 'reason = "harder than a bump', ""),
    ],
)
def test_a_report_holds_for_the_conditions_it_was_tried_under(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, kind: str, was: str, other: str, expected: str
) -> None:
    """Names are the same; what else the robot, the course or the room is differs since."""
    names = ("oval", "racer")[kind == "robots"]
    text = find(kind, names).read_text()
    assert was in text
    desk.file(f"{names}.toml", text.replace(was, other, 1).encode())
    robot = None
    one = str(desk.bundle(1))
    if kind == "robots":
        robot = str(desk.folder / "racer.toml")
    else:
        monkeypatch.setitem(FOLDERS, kind, desk.folder)
    if not expected:
        desk.deploy(one, robot=robot)
        return
    with pytest.raises(BundleError, match=rf"other conditions \({expected}.*with the full gate here"):
        desk.deploy(one, robot=robot)
    assert desk.installed.state().current == 0


def test_a_calibration_that_expired_is_told_when_it_is_deployed(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = str(desk.bundle(1)), str(desk.bundle(2, SLOWER))
    text = find("robots", "racer").read_text()
    dated = text.replace("{ value = 0.330", f'{{ expires = "{(NOW - DAY).isoformat()}", value = 0.330')
    robot = str(desk.file("racer.toml", dated.encode()))
    with pytest.raises(BundleError, match=r"not installed: wheelbase expired .*measure again"):
        desk.deploy(one, robot=robot)
    desk.deploy(one)
    desk.deploy(two)
    capsys.readouterr()
    assert desk.deploy(robot=robot, list=True) == 1
    assert "may not drive: wheelbase expired" in capsys.readouterr().out
    with pytest.raises(BundleError, match="not gone back to: wheelbase expired"):
        desk.deploy(robot=robot, rollback=True)


def test_nobody_goes_back_to_what_may_not_drive(desk: Desk) -> None:
    desk.deploy(str(desk.bundle(1)))
    desk.deploy(str(desk.bundle(2, SLOWER)))
    (desk.keys / "trusted" / "lab.pub").rename(desk.folder / "lab.pub")
    with pytest.raises(BundleError, match="does not trust"):
        desk.deploy("racer", rollback=True)
    (desk.folder / "lab.pub").rename(desk.keys / "trusted" / "lab.pub")
    state = desk.installed.state()
    assert (state.current, state.previous) == (2, 1) and desk.installed.path(2).exists()


def test_a_stranger_s_bundle_is_not_signed_anew(desk: Desk) -> None:
    one = desk.bundle(1)
    make_signing_key(desk.keys, "other")
    smoke = desk.file("smoke.json", reported(gate="smoke").encode())
    anew = BundleOptions(one, (smoke,), "other", desk.folder / "two.bundle", version=2, keys=desk.keys)
    bundle(anew)  # the lab is trusted here
    (desk.keys / "trusted" / "lab.pub").unlink()
    with pytest.raises(BundleError, match=r"neither this one nor one that is trusted here"):
        bundle(replace(anew, version=3))
    with pytest.raises(BundleError, match="names no file"):
        bundle(replace(anew, key="lab", report=(), version=3))


def test_both_gates_are_of_one_course(desk: Desk) -> None:
    smoke = reported(gate="smoke", course="kidney")
    with pytest.raises(BundleError, match=r"the smoke gate 'kidney' .*validate both on the same one"):
        desk.bundle(1, POLICY, reported(), smoke)


def test_the_smoke_gate_is_for_measured_values_only(desk: Desk) -> None:
    targets = SPEC.targets | {"tail_share": Target(0.1, "just so")}
    loose = msgspec.structs.replace(SPEC, targets=targets).conditions()
    smoke = reported(gate="smoke", conditions=CONDITIONS | loose)
    with pytest.raises(BundleError, match=r"\(targets.tail_share: the smoke gate 0.1, the full gate 0.7\)"):
        desk.bundle(1, POLICY, reported(), smoke)


def test_the_doctor_says_whether_it_may_drive(desk: Desk) -> None:
    def told(robot: str = "racer") -> list[tuple[str, str]]:
        return [
            (f.status, f.text)
            for f in policy_findings(load_spec(find("robots", robot)), desk.deployed, desk.keys, COURSE)
        ]

    assert told()[0][0] == "skipped"
    desk.deploy(str(desk.bundle(1)))
    ((status, text),) = told()
    assert status == "ok" and "version 1" in text
    trimmed = find("robots", "racer").read_text().replace("{ value = 0.330", "{ value = 0.331")
    ((status, text),) = told(str(desk.file("racer.toml", trimmed.encode())))
    assert status == "warning" and "calibration changed" in text
    (desk.keys / "trusted" / "lab.pub").unlink()
    ((status, text),) = told()
    assert status == "warning" and "does not trust" in text


def test_signing_keys_are_made_trusted_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lab, robot = tmp_path / "lab", tmp_path / "robot"
    keys.signing(KeysSigningOptions("lab", lab))
    keys.trust(KeysTrustOptions(lab / "signing" / "lab.pub", robot))
    capsys.readouterr()
    shown = []
    for folder in (lab, robot):
        keys.show(KeysShowOptions(folder, json=True))
        out = capsys.readouterr().out
        assert load_signing_key(lab, "lab").secret not in out
        shown.append(json.loads(out))
    public = load_signing_key(lab, "lab").public
    assert (shown[0]["signing"], shown[0]["trusted"]) == ({"lab": public}, {})
    assert (shown[1]["signing"], shown[1]["trusted"]) == ({}, {"lab": public})


@pytest.fixture
def hardware_board(desk: Desk) -> Iterator[Board]:
    session = create_session("racer", "oval", role="run", runs=desk.runs, twin=False)
    board = session.board(create=True)
    yield board
    session.remove_board()


@pytest.mark.parametrize("state", SafetyState)
def test_a_policy_is_installed_in_standby_only(desk: Desk, hardware_board: Board, state: SafetyState) -> None:
    board = hardware_board
    record = np.zeros(1, state_dtype(SPEC))
    record["time_ns"], record["safety_state"] = MonotonicClock().now_ns(), state
    board.state.write(record)
    one = str(desk.bundle(1))
    if state == SafetyState.STANDBY:
        desk.deploy(one)
        assert desk.installed.state().current == 1
        return
    with pytest.raises(SandlotError, match=f"racer is in {state.name} in the session .*STANDBY only"):
        desk.deploy(one)
    assert desk.installed.state().current == 0
    record["time_ns"] -= ALIVE_NS + 1
    board.state.write(record)
    desk.deploy(one)  # whoever wrote that is long dead


def test_whoever_drives_the_twin_is_in_nobodys_way(desk: Desk) -> None:
    session = create_session("racer", "oval", role="run", runs=desk.runs, twin=True)
    board = session.board(create=True)
    record = np.zeros(1, state_dtype(SPEC))
    record["time_ns"], record["safety_state"] = MonotonicClock().now_ns(), SafetyState.ACTIVE
    board.state.write(record)
    assert not list(running("racer", MonotonicClock()))
    session.remove_board()
    assert not list(running("racer", MonotonicClock()))


def test_a_session_that_cannot_be_looked_into_is_in_the_way(desk: Desk) -> None:
    """Another version's of this robot, say; but not one of the twin, nor one whose folder is gone."""
    for twin in (True, False):
        session = create_session("racer", "oval", role="run", runs=desk.runs, twin=twin)
        session.board(create=True)
        path = session.directory / "manifest.toml"
        path.write_text("anything_new = 3\n" + path.read_text())
    one = str(desk.bundle(1))
    with pytest.raises(SandlotError, match=r"cannot be looked into .*anything_new.*remove that folder"):
        desk.deploy(one)
    shutil.rmtree(session.directory)
    desk.deploy(one)


def forged(desk: Desk, created: datetime.datetime, expires: datetime.datetime, **changes: object) -> None:
    """Installed by somebody who asked nothing first."""
    content = read_bundle(desk.bundle(1)).content
    key = load_signing_key(desk.keys, "lab")
    desk.installed.install(pack(replace(content, **changes), key, 5, created, expires), created)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("created", "expires", "changes", "expected"),
    [
        (NOW - 2 * DAY, NOW - DAY, {}, "it expired at"),
        (NOW + DAY, NOW + 2 * DAY, {}, "set the clock"),
        (NOW, NOW + DAY, {"report": FAILED}, r"failed the full gate: G3 \(it falls off\)"),
        (NOW, NOW + DAY, {"report": reported(course="kidney")}, "on course 'kidney', not on 'oval'"),
    ],
)
def test_what_is_not_validated_does_not_drive_a_robot_but_the_twin(
    desk: Desk,
    created: datetime.datetime,
    expires: datetime.datetime,
    changes: dict[str, object],
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    forged(desk, created, expires, **changes)
    with pytest.raises(PolicyError, match=f"nothing was armed: .*{expected}.*--bench-override REASON"):
        run(desk.options(course="oval"))
    assert not desk.runs.exists()
    driven = []
    monkeypatch.setattr("launch.run.run_fast", lambda session, view: driven.append(session))
    monkeypatch.setattr("launch.run.finish", lambda *_: 0)
    assert run(desk.options(course="oval", twin=True, fast=True)) == 0
    assert "a robot would refuse the deployed policy" in capsys.readouterr().out
    assert verified(driven[0]).read_bytes() == POLICY
    assert run(desk.options(course="oval", twin=True, fast=True, bench_override="tuning")) == 0
    assert "BENCH OVERRIDE (tuning)" in capsys.readouterr().out
    assert driven[1].spec.safety.authority == SPEC.safety.reduced_scale == 0.5


@pytest.mark.parametrize(
    ("surrogate", "override", "counts"), [("worn", "", True), ("worn", "why", False), (None, "", False)]
)
def test_only_a_robot_with_all_its_authority_is_compared_with_the_twin(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, surrogate: str | None, override: str, counts: bool
) -> None:
    told = []
    monkeypatch.setattr("launch.run.run_fast", lambda session, view: None)
    monkeypatch.setattr("launch.run.finish", lambda *arguments: told.append(arguments[-1]) or 0)
    policy = desk.file("policy.onnx", POLICY)
    run(desk.options(policy=policy, twin=True, fast=True, surrogate=surrogate, bench_override=override))
    assert told == [desk.results if counts else None]


def test_what_is_not_ours_drives_nothing_whatever_the_reason(desk: Desk) -> None:
    with pytest.raises(BundleError, match="no policy is deployed"):
        run(desk.options())
    desk.deploy(str(desk.bundle(1)))
    path = desk.installed.path(1)
    whole = path.read_bytes()
    for twin in (False, True):
        options = desk.options(twin=twin, fast=twin, bench_override="so what")
        path.write_bytes(whole.replace(POLICY[:40], bytes(40), 1))
        with pytest.raises(BundleError, match=r"policy.onnx is not what was signed"):
            run(options)
        path.write_bytes(whole[:-1])
        with pytest.raises(BundleError, match="cut off"):
            run(options)
        path.write_bytes(whole)
        robot = find("robots", "racer").read_text().replace("slew = 6.0", "slew = 5.0")
        with pytest.raises(ContractMismatchError, match=r"slew: ours 5.0, theirs 6.0"):
            run(replace(options, robot=str(desk.file("racer.toml", robot.encode()))))
        (desk.keys / "trusted" / "lab.pub").rename(desk.folder / "lab.pub")
        with pytest.raises(BundleError, match="which this robot does not trust; it trusts nobody"):
            run(options)
        (desk.folder / "lab.pub").rename(desk.keys / "trusted" / "lab.pub")
    assert not desk.runs.exists()


def test_the_pilot_asks_again(desk: Desk) -> None:
    """Between the command's look and the pilot's, and whenever it starts again, things may change."""
    desk.deploy(str(desk.bundle(1)))
    setup = Setup(demonstration_laps=0, bundle=str(desk.installed.path(1)), trusted=str(desk.keys))
    session = create_session("racer", "oval", role="run", runs=desk.runs, twin=False, setup=setup)
    shutil.rmtree(desk.deployed)  # the run has its own copy
    board = session.board(create=True)
    policies = make_policies(session, board, MonotonicClock(), background=False)
    policy = policies.take()
    assert policy is not None and policy.version == 1 and not policies.messages()
    (desk.keys / "trusted" / "lab.pub").unlink()
    with pytest.raises(BundleError, match="does not trust"):
        make_policies(session, board, MonotonicClock(), background=False)
    session.remove_board()


def test_what_the_pilot_refuses_never_has_a_guardian(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process ends with the code that says that starting it again will not help, in one sentence."""
    desk.deploy(str(desk.bundle(1)))
    setup = Setup(demonstration_laps=0, bundle=str(desk.installed.path(1)), trusted=str(desk.keys))
    monkeypatch.undo()  # a process looks into the machine's own memory
    session = create_session("racer", "oval", role="run", runs=desk.runs, twin=False, setup=setup)
    board = session.board(create=True)
    started = {plan.name: plan for plan in plans(session, board, with_learner=False)}
    names = list(started)
    assert names.index("pilot") < names.index("guardian") and "learner" not in names
    (desk.keys / "trusted" / "lab.pub").unlink()
    done = subprocess.run(started["pilot"].command, capture_output=True, text=True, check=False, timeout=60)
    session.remove_board()
    assert done.returncode == CONFIGURATION_ERROR, done.stderr
    assert "does not trust" in done.stderr and len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("command", ["run", "practice", "onboard"])
def test_a_policy_that_is_only_a_file_does_not_drive_a_robot(
    desk: Desk, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deployed policy's own file does, and any other one under a bench override, with less authority."""
    driven = []

    def conduct(session: object, *_: object, **__: object) -> None:
        driven.append(session)

    for module in ("launch.practice", "launch.run"):
        monkeypatch.setattr(f"{module}.conduct", conduct)
        monkeypatch.setattr(f"{module}.finish", lambda *_: 0)
    places = {"deployed": desk.deployed, "keys": desk.keys, "runs": desk.runs}

    def drive(policy: Path, reason: str = "") -> None:
        if command == "run":
            run(desk.options(policy=policy, bench_override=reason))
        elif command == "practice":
            practise(PracticeOptions(policy=policy, hardware=True, bench_override=reason, **places))  # type: ignore[arg-type]
        else:
            onboard(OnboardOptions(policy=policy, bench_override=reason, **places))  # type: ignore[arg-type]

    desk.deploy(str(desk.bundle(1)))
    ours, other = desk.file("a.onnx", POLICY), desk.file("b.onnx", SLOWER)
    with pytest.raises(PolicyError, match=r"b.onnx may not drive the robot, nothing was armed: it is a file"):
        drive(other)
    assert not desk.runs.exists()
    drive(ours)
    drive(other, "looking for the squeak")
    validated, overridden = driven
    assert validated.manifest.setup.bundle and validated.spec.safety.authority == 1.0
    assert not overridden.manifest.setup.bundle and overridden.spec.safety.authority == 0.5
    again = open_session(overridden.directory)
    assert again.manifest.setup.bench_override == "looking for the squeak"
    assert again.contract.hash() == CONTRACT.hash()


def test_a_permission_that_outlasts_letting_go_is_none_on_the_bench(tmp_path: Path) -> None:
    text = (
        find("robots", "racer")
        .read_text()
        .replace('source = "held_key"', 'source = "attendance"\nlease_s = 60')
    )
    robot = tmp_path / "racer.toml"
    robot.write_text(text)
    with pytest.raises(SpecError, match="person holds enable all the time: held_key or transmitter"):
        create_session(
            str(robot), "oval", role="run", runs=tmp_path, twin=False, setup=Setup(bench_override="why")
        )


@pytest.mark.slow
def test_the_deployed_policy_drives_a_robot_is_judged_and_the_twin_does_what_it_did(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    """The robot is a surrogate that differs from the twin in nothing but its name."""
    itself = desk.file("itself.toml", b'name = "itself"')
    desk.deploy(str(desk.bundle(1)))
    assert run(desk.options(twin=True, fast=True, json=True, surrogate=str(itself), minutes=0.26)) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    judged = summary["evaluation"]
    assert judged["laps"] >= 1 and judged["failures"] == 0 and 4.0 < judged["lap_median_s"] < 8.0
    header, row = (desk.results / "racer-as-itself.csv").read_text().splitlines()
    _, *told, source = row.split(",")
    assert header == ",".join(COLUMNS) and Path(source) == Path(summary["run"])
    assert told == ["robot", "oval", sha256(POLICY), str(judged["laps"]), "0", "1.000000"]
    session = open_session(Path(summary["run"]))
    told = {e.event.kind: e.event for e in RunData(session).log.events}
    assert told["bundle"].value == 1.0 and "bench_override" not in told
    assert {kind for kind in told if kind.startswith("lap")} == {"lap_deterministic"}
    assert Path(session.manifest.setup.bundle) == session.directory / "policy.bundle"

    slippery = ["--set", "calibration.tyre_friction.value=0.5"]
    lax = '[targets]\ntwin_ratio = { value = 1e6, reason = "whatever" }\n'
    patient = desk.file(
        "racer.toml", find("robots", "racer").read_text().replace("[targets]\n", lax).encode()
    )
    for changes, code, verdict in (
        ([], 0, "pass"),
        (slippery, 3, "fail"),
        (["--spec", str(patient), *slippery], 0, "pass"),
    ):
        with pytest.raises(SystemExit) as ended:
            cli.main(["replay", summary["run"], "--twin", "--json", *changes])
        found = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert (ended.value.code, found["verdict"]) == (code, verdict), found
        assert [horizon["seconds"] for horizon in found["horizons"]][:1] == [0.5]
        assert (found["worst_ratio"] <= found["limit"]) == (verdict == "pass")


@pytest.mark.slow
def test_under_a_bench_override_no_setpoint_leaves_the_reduced_range(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = desk.file("fast.onnx", POLICY)  # it wants 3.5 m/s; half of 5 m/s is allowed
    options = desk.options(twin=True, fast=True, policy=policy, bench_override="a squeak", minutes=0.07)
    assert run(options) == 0
    assert not desk.results.exists(), "what the twin itself did says nothing about a robot"
    assert "BENCH OVERRIDE at REDUCED limits: a squeak" in capsys.readouterr().out
    data = RunData(open_session(desk.runs / "racer" / "latest"))
    ticks = data.log.ticks
    driving = np.isin(ticks["safety_state"], (SafetyState.ACTIVE, SafetyState.REDUCED))
    allowed = ticks["allowed"][driving]
    speed, steering = (allowed[:, SPEC.actuator_layout.index(n)] for n in ("speed", "steering"))
    assert driving.sum() > 300 and speed.max() == pytest.approx(2.5) and speed.min() >= -0.75
    assert np.abs(np.diff(steering)).max() <= 0.5 * SPEC.actuators[1].slew / SPEC.rates.guardian_hz + 1e-9
    assert ticks["requested"][driving][:, 0].max() > 3.0
    (told,) = [e.event for e in data.log.events if e.event.kind == "bench_override"]
    assert (told.value, told.text) == (0.5, "a squeak")
    summary = data.summary()
    assert summary["bench_override"] == "a squeak"
    assert "a squeak" in "".join(cards(summary)).partition("practice")[0]
    assert msgspec.to_builtins(data.session.spec)["safety"]["authority"] == 0.5
