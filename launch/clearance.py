"""Which policy a session starts with, and whether it may drive: asked before anything is armed.

On the twin every policy drives. A robot drives the deployed one if its bundle is whole, of a trusted maker,
for this robot and task, validated, and in time; anything else only under a bench override, at reduced
authority.
"""

from __future__ import annotations

import datetime
import tempfile
from dataclasses import dataclass
from pathlib import Path

import msgspec

from launch.calibrated import expired
from launch.conditions import conditions_now
from launch.manifest import Setup
from launch.session import Session
from robot.admission import objections, require_ours
from robot.bundle import Bundle, read_bundle
from robot.contract import TaskContract
from robot.deployed import Deployments
from robot.errors import BundleError, ContractMismatchError, PolicyError
from robot.frame_file import write_atomically
from robot.plain_data import sha256
from robot.practice.course import Course
from robot.signing import load_trusted
from robot.spec import RobotSpec

ONNX = "policy.onnx"
UNVALIDATED = "it is a file that nobody has validated (sandlot validate, bundle and deploy do that)"


@dataclass(frozen=True)
class Clearance:
    """A policy and why a robot may not drive it (nothing: it may). ``bundle``: where its signed bundle is
    deployed, None for a policy that is only a ``file``. ``name``: what to call it."""

    name: str
    objections: tuple[str, ...] = ()
    bundle: Path | None = None
    file: Path | None = None

    def require(self, twin: bool, bench_override: str) -> str:
        """A sentence on what follows (empty: nothing). Raises PolicyError if a robot may not drive it."""
        if not self.objections:
            return ""
        why = "; ".join(self.objections)
        if bench_override:
            return f"BENCH OVERRIDE ({bench_override}): {self.name} drives at REDUCED limits although {why}"
        if twin:
            return f"a robot would refuse {self.name}: {why}"
        raise PolicyError(
            f"{self.name} may not drive the robot, nothing was armed: {why}. To move it on the bench, at "
            "REDUCED limits and with a person holding enable: --bench-override REASON"
        )

    def enter(self, setup: Setup, keys: Path) -> Setup:
        """A session's setup that starts with this policy."""
        if self.bundle is None:
            return msgspec.structs.replace(setup, policy=str(self.file))
        return msgspec.structs.replace(
            setup, policy="", bundle=str(self.bundle), trusted=str(keys.expanduser())
        )


@dataclass(frozen=True)
class Installed:
    """The bundle that is deployed on a robot, where it lies, and when it was installed (UTC, ISO 8601)."""

    bundle: Bundle
    path: Path
    since: str

    def clearance(self, spec: RobotSpec, now: datetime.datetime, course: Course | None) -> Clearance:
        """For driving on ``course`` (None: not known yet)."""
        against = against_driving(self.bundle, spec, now, course, self.since)
        return Clearance(
            f"the deployed policy (version {self.bundle.manifest.version})", against, bundle=self.path
        )


def against_driving(
    bundle: Bundle,
    spec: RobotSpec,
    now: datetime.datetime,
    course: Course | None = None,
    installed: str = "",
) -> tuple[str, ...]:
    """Why the robot may not drive a bundle that is ours; nothing if it may. ``course``: where (None: not
    known yet); ``installed``: when the bundle was."""
    here = conditions_now(bundle.content.report, spec, course)
    name = "" if course is None else course.name
    found = objections(bundle, spec.calibration_hash(), here, now, name, installed)
    return found + expired(spec, now)


def deployed(spec: RobotSpec, folder: Path, keys: Path) -> Installed:
    """What is deployed on this robot. ``folder``: of all robots' deployments. Raises BundleError or
    ContractMismatchError if there is nothing that is ours."""
    installed = Deployments(folder.expanduser() / spec.name)
    state = installed.state()
    if not state.current:
        raise BundleError(
            f"no policy is deployed for {spec.name} in {installed.folder}; deploy one (sandlot deploy "
            "BUNDLE), or name one with --policy"
        )
    bundle = installed.bundle(state.current)
    require_ours(bundle, spec, load_trusted(keys.expanduser()))
    return Installed(bundle, installed.path(state.current), state.installed)


def of_file(
    policy: Path, spec: RobotSpec, folder: Path, keys: Path, now: datetime.datetime, course: Course
) -> Clearance:
    """The policy in an ONNX file: the deployed one, if it is the same to the last byte."""
    alone = Clearance(f"policy {policy.name}", (UNVALIDATED,), file=policy)
    try:
        installed = deployed(spec, folder, keys)
    except (BundleError, ContractMismatchError):
        return alone
    same = sha256(policy.read_bytes()) == sha256(installed.bundle.content.policy)
    return installed.clearance(spec, now, course) if same else alone


def require_loadable(policy: bytes, contract: TaskContract, name: str) -> None:
    """Raise PolicyError or ContractMismatchError unless onnxruntime runs it and it is for this contract."""
    from robot.policy import Policy

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(policy)
        Policy(path, contract)


def verified(session: Session) -> Path:
    """The ONNX file of the bundle that a session was made with, checked once more by whoever runs it. Raises
    BundleError, ContractMismatchError or PolicyError if it may not drive."""
    setup, manifest = session.manifest.setup, session.manifest
    bundle = read_bundle(Path(setup.bundle))
    require_ours(bundle, session.spec, load_trusted(Path(setup.trusted)), session.contract)
    now = datetime.datetime.now(datetime.UTC)
    against = against_driving(bundle, session.spec, now, session.course)
    Clearance(f"bundle {bundle.manifest.version}", against).require(manifest.twin, setup.bench_override)
    path = session.directory / ONNX
    write_atomically(path, bundle.content.policy)
    return path


def begun_with(session: Session) -> bytes | None:
    """The ONNX policy that drives from the start, if one does."""
    if bundle := session.manifest.setup.bundle:
        return read_bundle(Path(bundle)).content.policy
    return None if session.first is None else session.first.read_bytes()


def told(session: Session) -> list[tuple[str, float, str]]:
    """What the log says of it: events' kinds, values and texts."""
    setup, found = session.manifest.setup, []
    if setup.bundle:
        manifest = read_bundle(Path(setup.bundle)).manifest
        text = f"bundle {manifest.version} of {manifest.created}, signed by {manifest.signer[:12]}"
        found.append(("bundle", float(manifest.version), text))
    if setup.bench_override:
        found.append(("bench_override", session.spec.safety.authority, setup.bench_override))
    elif setup.reduced:
        found.append(("reduced", session.spec.safety.authority, "asked for at the start, for all of it"))
    return found
