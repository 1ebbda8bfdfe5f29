"""``sandlot deploy``: install a bundle on this robot, go back to the one before, or list what is there."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import msgspec

from launch.calibrated import calibrated_spec
from launch.clearance import against_driving, require_loadable
from launch.options.deploy import DeployOptions
from launch.running import require_standing_by
from robot.admission import require_ours
from robot.bundle import Bundle, read_bytes, unpack
from robot.clock import MonotonicClock
from robot.deployed import Deployments
from robot.errors import BundleError, SandlotError
from robot.signing import load_trusted
from robot.spec import RobotSpec


def deploy(options: DeployOptions) -> int:
    """The command. 1 if what is listed may not drive."""
    if options.rollback and options.list:
        raise SandlotError("--rollback and --list are two things; ask for one at a time")
    word, robot = options.bundle, options.robot
    if options.rollback or options.list:  # the only word that is left is the robot's
        if word is not None and robot is not None:
            raise SandlotError(f"--rollback and --list take a robot only; {word} {robot} was given")
        word, robot = None, robot or word
    elif word is None:
        raise SandlotError("which bundle? sandlot deploy BUNDLE [ROBOT]; sandlot bundle makes them")
    spec = calibrated_spec(robot or "racer")
    folder = Deployments(options.deployed.expanduser() / spec.name)
    now = datetime.datetime.now(datetime.UTC)
    if options.list:
        return show(folder, spec, options.keys.expanduser(), now, options.json)
    require_standing_by(spec.name, MonotonicClock())
    if options.rollback:
        if previous := folder.state().previous:  # what is left behind never comes back
            _admit(folder.bundle(previous), spec, options.keys.expanduser(), now, "gone back to")
        version = folder.roll_back(now).current
        print(f"went back: version {version} drives {spec.name} from here")
    else:
        install(Path(word or ""), folder, spec, options.keys.expanduser(), now)
    if options.json:
        print(json.dumps(msgspec.to_builtins(folder.state())))
    return 0


def install(path: Path, folder: Deployments, spec: RobotSpec, keys: Path, now: datetime.datetime) -> None:
    """Admit a bundle and let it drive from now on. Raises SandlotError if it may not; nothing changes
    then."""
    data = read_bytes(path)
    bundle = unpack(data, path.name)
    _admit(bundle, spec, keys, now, "installed")
    require_loadable(bundle.content.policy, bundle.content.contract, path.name)
    version, before = bundle.manifest.version, folder.state()
    state = folder.install(data, now)
    if state == before:
        print(f"version {version} drives {spec.name} already; its file is whole")
        return
    kept = f"; version {state.previous} is kept for --rollback" if state.previous else ""
    print(f"version {version} drives {spec.name} from here, until {bundle.manifest.expires}{kept}")
    print(f"drive it with: sandlot run {spec.name}")


def _admit(bundle: Bundle, spec: RobotSpec, keys: Path, now: datetime.datetime, what: str) -> None:
    """Raise BundleError or ContractMismatchError for a bundle that would not drive today. ``what`` it was to
    be."""
    require_ours(bundle, spec, load_trusted(keys))
    against = against_driving(bundle, spec, now)
    if against:
        raise BundleError(
            f"version {bundle.manifest.version} may not drive {spec.name} and was not {what}: "
            f"{'; '.join(against)}"
        )


def show(folder: Deployments, spec: RobotSpec, keys: Path, now: datetime.datetime, as_json: bool) -> int:
    """List what is installed and whether it may drive now."""
    state = folder.state()
    listed = []
    for role, version in (("drives", state.current), ("kept", state.previous)):
        if not version:
            continue
        row: dict[str, object] = {"version": version, "role": role}
        try:
            bundle = folder.bundle(version)
            content = bundle.content
            row |= {
                "created": bundle.manifest.created,
                "expires": bundle.manifest.expires,
                "gate": content.newest.gate,
                "verdict": content.newest.verdict,
                "course": content.report.course,
                "episodes": content.report.episodes,
                "revision": content.report.git_revision,
                "run": content.provenance.run,
            }
            require_ours(bundle, spec, load_trusted(keys))
            installed = state.installed if role == "drives" else ""
            row["objections"] = against_driving(bundle, spec, now, installed=installed)
        except SandlotError as error:
            row["objections"] = (str(error),)
        listed.append(row)
    if as_json:
        print(json.dumps({"robot": spec.name, "highest": state.highest, "bundles": listed}))
    elif not listed:
        print(f"nothing is deployed for {spec.name} in {folder.folder}")
    else:
        for row in listed:
            _print(row)
    return 1 if any(row["objections"] for row in listed if row["role"] == "drives") else 0


def _print(row: dict[str, object]) -> None:
    print(f"{row['role']:<7} version {row['version']}")
    if "verdict" in row:
        where = f" on {row['course']}" if row["course"] else ""
        print(f"        {row['gate']} gate: {row['verdict']}, {row['episodes']} episodes{where}")
        print(f"        made {row['created']}, expires {row['expires']}, run {row['run'] or 'unknown'}")
    against = row["objections"]
    for line in against if isinstance(against, tuple) else ():
        print(f"        may not drive: {line}")
