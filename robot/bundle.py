"""A policy bundle: one signed file with everything that a robot needs to decide whether a policy may drive.

A strict archive (``robot.archive``) of these members, in this order; the same content is the same bytes::

    manifest.json   BundleManifest, canonical JSON: what the members are, by SHA-256 and size
    manifest.sig    Ed25519 signature of the manifest's bytes, 64 bytes
    policy.onnx
    contract.json   TaskContract.plain(), canonical JSON
    report.json     ValidationReport of the full gate, canonical JSON
    smoke.json      ValidationReport of the smoke gate under a later calibration; may be absent
    provenance.json Provenance, canonical JSON
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from robot.archive import largest, read_archive, write_archive
from robot.bundle_content import Content, Provenance
from robot.contract import TaskContract
from robot.errors import BundleError, SandlotError
from robot.layout import Struct
from robot.plain_data import canonical_json, sha256
from robot.signing import SIGNATURE_BYTES, SigningKey, signed_by
from robot.utc import utc
from robot.validation_report import REPORT_BYTES, ValidationReport, decode_report

T = TypeVar("T")

SUFFIX: Final = ".bundle"
SCHEMA: Final = 1
DOMAIN: Final = b"sandlot policy bundle 1\n"
"""Signed before the manifest, so that no signature made for another purpose passes for one of a bundle."""
LARGEST_VERSION: Final = 10**15
_MANIFEST, _SIGNATURE = "manifest.json", "manifest.sig"
_POLICY, _CONTRACT, _REPORT, _SMOKE, _PROVENANCE = (
    "policy.onnx",
    "contract.json",
    "report.json",
    "smoke.json",
    "provenance.json",
)
LIMITS: Final = {
    _MANIFEST: 1 << 16,
    _SIGNATURE: SIGNATURE_BYTES,
    _POLICY: 64 << 20,
    _CONTRACT: 1 << 20,
    _REPORT: REPORT_BYTES,
    _SMOKE: REPORT_BYTES,
    _PROVENANCE: 1 << 20,
}
"""Largest size of each member [bytes], in the order in which they come."""
LARGEST_FILE: Final = largest(LIMITS)


class Member(Struct):
    """A file in a bundle: ``size`` in bytes."""

    name: str
    sha256: str
    size: int


class BundleManifest(Struct):
    """What is signed. ``version`` only ever goes up on a robot; ``created`` and ``expires``: UTC, ISO 8601;
    ``calibration_hash``: the one that the policy was last validated under; ``signer``: the public key."""

    robot: str
    version: int
    created: str
    expires: str
    contract_hash: str
    calibration_hash: str
    signer: str
    members: tuple[Member, ...]
    schema: int = SCHEMA


@dataclass(frozen=True)
class Bundle:
    """A bundle that is whole and signed by ``manifest.signer``; whether that key is trusted, and whether the
    policy may drive, is for ``robot.admission`` to say."""

    manifest: BundleManifest
    content: Content


def pack(
    content: Content,
    key: SigningKey,
    version: int,
    created: datetime.datetime,
    expires: datetime.datetime,
) -> bytes:
    """The bundle's bytes; equal arguments give equal bytes. Raises BundleError if the parts do not belong
    together or a part is too large."""
    content.check()
    if not 0 < version < LARGEST_VERSION:
        raise BundleError(f"version {version}: a whole number from 1 to {LARGEST_VERSION} was expected")
    if expires <= created:
        raise BundleError(f"it would expire ({_iso(expires)}) before it is made ({_iso(created)})")
    files = {
        _POLICY: content.policy,
        _CONTRACT: canonical_json(content.contract.plain()),
        _REPORT: content.report.encode(),
        _PROVENANCE: canonical_json(content.provenance),
    }
    if content.smoke is not None:
        files[_SMOKE] = content.smoke.encode()
    manifest = BundleManifest(
        robot=content.report.robot,
        version=version,
        created=_iso(created),
        expires=_iso(expires),
        contract_hash=content.contract.hash(),
        calibration_hash=content.newest.calibration_hash,
        signer=key.public,
        members=tuple(
            Member(name=name, sha256=sha256(files[name]), size=len(files[name]))
            for name in LIMITS
            if name in files
        ),
    )
    said = canonical_json(manifest)
    files[_MANIFEST], files[_SIGNATURE] = said, key.sign(DOMAIN + said)
    return write_archive(files, LIMITS)


def unpack(data: bytes, name: str = "the bundle") -> Bundle:
    """What a bundle holds. Raises BundleError, in one sentence, for anything that ``pack`` does not make."""
    try:
        return _unpack(data)
    except SandlotError as error:
        raise BundleError(f"{name}: {error}") from None


def read_bundle(path: Path) -> Bundle:
    """As ``unpack``, from a file, of which no more is read than a bundle may have."""
    return unpack(read_bytes(path), path.name)


def read_bytes(path: Path) -> bytes:
    """A file's bytes. Raises BundleError if it cannot be read or is larger than any bundle."""
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise BundleError(f"{path.name}: {size} bytes; a bundle has at most {LARGEST_FILE}")
        with path.open("rb") as file:
            return file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}") from None


def _unpack(data: bytes) -> Bundle:
    files = read_archive(data, LIMITS, optional=(_SMOKE,))
    said = files[_MANIFEST]
    manifest = _decoded(said, BundleManifest, _MANIFEST)
    if manifest.schema != SCHEMA:
        raise BundleError(f"a bundle of schema {manifest.schema}; this Sandlot reads schema {SCHEMA}")
    if not signed_by(manifest.signer, DOMAIN + said, files[_SIGNATURE]):
        raise BundleError(
            "its signature is not its signer's: it was altered after it was signed, or by somebody without "
            "the key; fetch it anew from its maker"
        )
    listed = tuple(
        Member(name=name, sha256=sha256(files[name]), size=len(files[name]))
        for name in LIMITS
        if name in files and name not in (_MANIFEST, _SIGNATURE)
    )
    for ours, theirs in zip(listed, manifest.members, strict=False):
        if ours != theirs:
            raise BundleError(f"{ours.name} is not what was signed; fetch the bundle anew from its maker")
    if len(listed) != len(manifest.members):
        raise BundleError("its members are not those that were signed; fetch the bundle anew from its maker")
    content = Content(
        policy=files[_POLICY],
        contract=_decoded(files[_CONTRACT], TaskContract, _CONTRACT, TaskContract.plain),
        report=_report(files[_REPORT], _REPORT),
        provenance=_decoded(files[_PROVENANCE], Provenance, _PROVENANCE),
        smoke=_report(files[_SMOKE], _SMOKE) if _SMOKE in files else None,
    )
    content.check()
    named = (manifest.robot, manifest.contract_hash, manifest.calibration_hash)
    meant = (content.report.robot, content.contract.hash(), content.newest.calibration_hash)
    if named != meant:
        raise BundleError(f"its manifest speaks of {named}, its content of {meant}; make it anew")
    for when in (manifest.created, manifest.expires):
        parse_time(when)
    if not 0 < manifest.version < LARGEST_VERSION:
        raise BundleError(f"version {manifest.version} is no version; make it anew")
    return Bundle(manifest, content)


def _decoded(data: bytes, kind: type[T], name: str, plain: Callable[[T], object] = lambda found: found) -> T:
    try:
        found = msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"{name} cannot be read: {error}") from None
    _require_canonical(canonical_json(plain(found)), data, name)
    return found


def _report(data: bytes, name: str) -> ValidationReport:
    found = decode_report(data)
    _require_canonical(found.encode(), data, name)
    return found


def _require_canonical(canonical: bytes, data: bytes, name: str) -> None:
    if canonical != data:
        raise BundleError(f"{name} is not in its canonical form; make the bundle anew")


def parse_time(text: str) -> datetime.datetime:
    """A moment in UTC. Raises BundleError if it is none."""
    try:
        return utc(text)
    except ValueError as error:
        raise BundleError(str(error)) from None


def _iso(when: datetime.datetime) -> str:
    return when.astimezone(datetime.UTC).isoformat(timespec="seconds")
