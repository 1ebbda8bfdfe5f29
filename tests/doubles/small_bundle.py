"""Bundles of a small robot's policy: whole ones, and ones with something wrong in them."""

from __future__ import annotations

import datetime

import msgspec
from small_session import CALIBRATION, CONTRACT, SPEC

from robot.archive import read_archive, write_archive
from robot.bundle import DOMAIN, LIMITS, BundleManifest, Member, pack
from robot.bundle_content import Content, Provenance
from robot.plain_data import canonical_json, sha256
from robot.signing import SigningKey
from robot.validation_report import GateResult, ValidationReport

# Key pairs of RFC 8032, section 7.1, tests 1 and 2.
KEY = SigningKey(
    public="d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    secret="9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
)
OTHER_KEY = SigningKey(
    public="3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
    secret="4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
)
POLICY = b"not onnx, but nobody who handles bundles looks into it"
NOW = datetime.datetime(2026, 1, 31, 10, 0, 0, tzinfo=datetime.UTC)
LATER = NOW + datetime.timedelta(days=90)


def report(**changes: object) -> ValidationReport:
    """A passed full gate of ``POLICY``, with ``changes``."""
    passed = ValidationReport(
        policy_sha256=sha256(POLICY),
        contract_hash=CONTRACT.hash(),
        calibration_hash=CALIBRATION,
        robot=SPEC.name,
        gate="full",
        verdict="pass",
        created="2026-01-31T09:00:00+00:00",
        sandlot_version="0.1.0",
        git_revision="0" * 40,
        episodes=400,
        seed=0,
        gates=(
            GateResult(
                name="G3", verdict="pass", rule="success, lower bound >= 0.95", measured=0.9925, limit=0.95
            ),
        ),
        conditions=SPEC.conditions(),
    )
    return msgspec.structs.replace(passed, **changes)


def failed_report(**changes: object) -> ValidationReport:
    gate = GateResult(
        name="G3", verdict="fail", rule="success >= 0.95", measured=0.5, limit=0.95, detail="it falls off"
    )
    return report(verdict="fail", gates=(gate,), **changes)


def content(**changes: object) -> Content:
    parts: dict[str, object] = {
        "policy": POLICY,
        "contract": CONTRACT,
        "report": report(),
        "provenance": Provenance(
            run="0123456789ab", robot=SPEC.name, seed=3, data={"rows.journal": "ab" * 32}
        ),
    }
    return Content(**(parts | changes))  # type: ignore[arg-type]


def made(
    version: int = 1,
    key: SigningKey = KEY,
    created: datetime.datetime = NOW,
    expires: datetime.datetime = LATER,
    **changes: object,
) -> bytes:
    """A bundle's bytes; ``changes`` are to its content."""
    return pack(content(**changes), key, version, created, expires)


def lied(files: dict[str, bytes] | None = None, **changes: object) -> bytes:
    """A bundle by a maker who has the key and tells what is not so: ``files`` in place of its members,
    ``changes`` to its manifest."""
    honest = read_archive(made(), LIMITS, optional=("smoke.json",))
    manifest = msgspec.json.decode(honest["manifest.json"], type=BundleManifest)
    found = honest | (files or {})
    members = tuple(
        Member(name=name, sha256=sha256(found[name]), size=len(found[name]))
        for name in LIMITS
        if name in found and not name.startswith("manifest")
    )
    manifest = msgspec.structs.replace(manifest, **({"members": members} | changes))
    said = (files or {}).get("manifest.json", canonical_json(manifest))
    return write_archive(found | {"manifest.json": said, "manifest.sig": KEY.sign(DOMAIN + said)}, LIMITS)
