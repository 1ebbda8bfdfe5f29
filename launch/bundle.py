"""``sandlot bundle``: a policy, its contract, its reports and where it came from, signed."""

from __future__ import annotations

import datetime
import hashlib
import json
import re
from collections.abc import Container
from pathlib import Path

import msgspec

from launch.clearance import require_loadable
from launch.manifest import FILE as MANIFEST
from launch.manifest import Manifest, load_manifest
from launch.options.deploy import BundleOptions
from robot.bundle import SUFFIX, pack, parse_time, read_bundle, unpack
from robot.bundle_content import Content, Provenance
from robot.errors import BundleError, SandlotError
from robot.frame_file import write_atomically
from robot.policy import carried_contract
from robot.signing import load_signing_key, load_trusted
from robot.validation_report import ReportError, ValidationReport, decode_report

UNITS = {"h": "hours", "d": "days", "w": "weeks"}


def bundle(options: BundleOptions) -> int:
    """The command. Refuses reports of another policy, and reports that say no."""
    key = load_signing_key(options.keys.expanduser(), options.key)
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    lasts = duration(options.expires)
    version = int(now.strftime("%Y%m%d%H%M%S")) if options.version is None else options.version
    if not options.report:
        raise BundleError(
            "--report names no file; sandlot validate writes one, without which nothing is signed"
        )
    trusted = {key.public, *load_trusted(options.keys.expanduser())}
    content = gather(options.source, [read_report(path) for path in options.report], trusted)
    for report in filter(None, (content.report, content.smoke)):
        if report.verdict != "pass":
            failed = ", ".join(report.failed()) or "its verdict"
            raise BundleError(
                f"the {report.gate} gate was not passed ({failed}), so no robot would drive it; on the twin: "
                "sandlot run --twin --policy, on the bench: sandlot run --policy … --bench-override REASON"
            )
    validated = parse_time(content.report.created)  # what the smoke gate tried since is not all of it
    if (expires := min(validated, now) + lasts) <= now:
        raise BundleError(
            f"the full gate was passed at {content.report.created}, and --expires {options.expires} counts "
            "from there: validate it again, with the full gate"
        )
    require_loadable(content.policy, content.contract, options.source.resolve().name)
    data = pack(content, key, version, now, expires)
    output = options.output or Path(f"{content.report.robot}-{version}{SUFFIX}")
    write_atomically(output, data)
    made = unpack(data).manifest
    print(f"{output}: version {version} for {made.robot}, {len(data)} bytes, expires {made.expires}")
    if advisory := content.report.advisory():
        print(f"the twin's word on it is advisory ({', '.join(advisory)})")
    print(f"install it on the robot with: sandlot deploy {output} {made.robot}")
    if options.json:
        print(json.dumps({"bundle": str(output)} | msgspec.to_builtins(made)))
    return 0


def gather(source: Path, reports: list[ValidationReport], trusted: Container[str]) -> Content:
    """What goes into the bundle of a run, a policy or an earlier bundle. Raises SandlotError if the reports
    are too many, too few, or of another policy, or nobody of ``trusted`` keys signed the earlier bundle."""
    by_gate = {report.gate: report for report in reports}
    if len(by_gate) < len(reports):
        raise BundleError("two reports of the same gate; one of the full gate, and one of the smoke gate")
    if source.suffix == SUFFIX:
        bundle = read_bundle(source)
        if bundle.manifest.signer not in trusted:
            raise BundleError(
                f"{source} is signed by key {bundle.manifest.signer[:12]}, which is neither this one nor one "
                "that is trusted here, so that its full report is nobody's word. If its maker is one of "
                "yours: sandlot keys trust NAME.pub"
            )
        earlier = bundle.content
        full = by_gate.get("full", earlier.report)
        content = Content(
            earlier.policy, earlier.contract, full, earlier.provenance, smoke=by_gate.get("smoke")
        )
    elif "full" not in by_gate:
        raise BundleError("a report of the full gate is needed: sandlot validate --gate full writes it")
    else:
        path = policy_of(source)
        policy = path.read_bytes()
        contract = carried_contract(path)
        content = Content(policy, contract, by_gate["full"], provenance(path), smoke=by_gate.get("smoke"))
    content.check()
    return content


def policy_of(source: Path) -> Path:
    """A run's last policy, or the file itself. Raises SandlotError if there is none."""
    if source.is_file():
        return source
    if not source.is_dir():
        raise SandlotError(f"no file or folder {source}; a run, an ONNX policy or a bundle was expected")
    found = [source / "policy.onnx", *sorted((source / "policies").glob("*.onnx"), reverse=True)]
    for path in found:
        if path.is_file():
            return path
    raise SandlotError(f"{source} holds no policy; name an ONNX file")


def read_report(path: Path) -> ValidationReport:
    """Raises ReportError if the file cannot be read or is none."""
    try:
        return decode_report(path.read_bytes())
    except OSError as error:
        raise ReportError(f"cannot read the report {path}: {error.strerror}") from None
    except ReportError as error:
        raise ReportError(f"{path}: {error}") from None


def provenance(policy: Path) -> Provenance:
    """Of the run in whose folder the policy lies; empty if it lies in none."""
    for folder in policy.resolve().parents[:4]:
        if (folder / MANIFEST).exists():
            return _of_run(load_manifest(folder), folder)
    return Provenance()


def _of_run(manifest: Manifest, folder: Path) -> Provenance:
    journals = sorted((folder / "learner").glob("journal*/*"))
    return Provenance(
        run=manifest.session,
        role=manifest.role,
        robot=manifest.robot,
        course=manifest.course_name,
        created=manifest.created,
        git_revision=manifest.git_revision,
        seed=manifest.seed,
        calibration_hash=manifest.calibration_hash,
        machine=manifest.machine,
        versions=manifest.versions,
        learner=manifest.learner,
        setup=msgspec.to_builtins(manifest.setup),
        data={str(path.relative_to(folder)): _sha256(path) for path in journals if path.is_file()},
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def duration(text: str) -> datetime.timedelta:
    """``90d``, ``4w`` or ``12h``. Raises SandlotError for anything else."""
    found = re.fullmatch(r"([1-9][0-9]{0,4})([hdw])", text)
    if found is None:
        raise SandlotError(
            f"--expires {text}: a number of days (90d), weeks (4w) or hours (12h) was expected"
        )
    return datetime.timedelta(**{UNITS[found[2]]: int(found[1])})
