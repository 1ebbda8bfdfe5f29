"""A bundle read back is the bundle that was made, one content is one file, and any other byte is refused."""

from __future__ import annotations

import dataclasses
import random
import subprocess
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_bundle import (
    KEY,
    LATER,
    NOW,
    OTHER_KEY,
    POLICY,
    content,
    failed_report,
    lied,
    made,
    report,
)
from small_session import CONTRACT

from robot.archive import BLOCK, ArchiveError, read_archive, write_archive
from robot.bundle import BundleManifest, pack, read_bundle, unpack
from robot.errors import BundleError
from robot.plain_data import canonical_json, sha256
from robot.signing import SigningKey, signed_by
from robot.validation_report import ReportError, decode_report

LIMITS = {"a": 2000, "b": 10, "c": 2000}


def test_a_bundle_read_back_is_the_bundle_that_was_made() -> None:
    parts = content(smoke=report(gate="smoke", calibration_hash="ab" * 32))
    read = unpack(pack(parts, KEY, 7, NOW, LATER))
    assert read.content.contract.hash() == parts.contract.hash()
    assert dataclasses.replace(read.content, contract=parts.contract) == parts
    about = read.manifest
    assert (about.version, about.signer, about.robot) == (7, KEY.public, "racer")
    assert (about.created, about.expires) == ("2026-01-31T10:00:00+00:00", "2026-05-01T10:00:00+00:00")
    assert about.contract_hash == CONTRACT.hash() and about.calibration_hash == "ab" * 32
    assert next(m.sha256 for m in about.members if m.name == "policy.onnx") == sha256(POLICY)


def test_one_content_is_one_file() -> None:
    assert made() == made()
    assert len({made(), made(version=2), made(key=OTHER_KEY), made(policy=POLICY)}) == 3


def test_what_a_person_finds_in_it(tmp_path: Path) -> None:
    path = tmp_path / "a.bundle"
    path.write_bytes(made())
    listed = subprocess.run(["tar", "-tf", path], capture_output=True, text=True, check=True).stdout.split()
    assert listed == [
        "manifest.json", "manifest.sig", "policy.onnx", "contract.json", "report.json", "provenance.json",
    ]  # fmt: skip
    subprocess.run(["tar", "-xf", path, "-C", tmp_path], check=True)
    assert (tmp_path / "policy.onnx").read_bytes() == POLICY
    manifest = (tmp_path / "manifest.json").read_bytes()
    assert canonical_json(msgspec.json.decode(manifest, type=BundleManifest)) == manifest


def test_the_signature_is_ed25519() -> None:
    """RFC 8032, section 7.1, test 2: the signature of the byte 72."""
    signature = bytes.fromhex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert OTHER_KEY.sign(b"\x72") == signature
    assert signed_by(OTHER_KEY.public, b"\x72", signature)
    assert not signed_by(KEY.public, b"\x72", signature)
    assert not signed_by("nonsense", b"\x72", signature) and not signed_by(OTHER_KEY.public, b"\x72", b"")


@pytest.mark.slow
def test_every_flipped_byte_is_refused() -> None:
    data = bytearray(made())
    rng = random.Random(0)
    for at in range(len(data)):
        flip = 1 << rng.randrange(8)
        data[at] ^= flip
        with pytest.raises(BundleError):
            unpack(bytes(data))
        data[at] ^= flip
    unpack(bytes(data))


@pytest.mark.slow
def test_every_length_but_its_own_is_refused() -> None:
    data = made()
    for size in range(len(data)):
        with pytest.raises(BundleError, match=r"cut off|expected"):
            unpack(data[:size])
    for extra in (b"\0", b"x", bytes(BLOCK), bytes(20 * BLOCK), data, b"x" * (5 * BLOCK)):
        with pytest.raises(BundleError, match="something behind"):
            unpack(data + extra)
    with pytest.raises(BundleError, match=r"cut off before manifest.json, after 0 bytes"):
        unpack(b"")


def test_a_key_signs_for_nobody_else() -> None:
    """A maker who names another one's public key as the signer."""
    impostor = SigningKey(public=KEY.public, secret=OTHER_KEY.secret)
    with pytest.raises(BundleError, match="by somebody without the key"):
        unpack(made(key=impostor))


def test_a_member_of_another_bundle_is_refused() -> None:
    ours, theirs = made(), made(policy=POLICY[::-1], report=report(policy_sha256=sha256(POLICY[::-1])))
    at = ours.index(POLICY)
    with pytest.raises(BundleError, match=r"policy.onnx is not what was signed"):
        unpack(ours[:at] + theirs[at : at + len(POLICY)] + ours[at + len(POLICY) :])


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (lied(robot="walker"), "its manifest speaks of"),
        (lied(calibration_hash="ab" * 32), "its manifest speaks of"),
        (lied(contract_hash="ab" * 32), "its manifest speaks of"),
        (lied(members=()), "not those that were signed"),
        (lied({"smoke.json": report(gate="smoke").encode()}, members=()), "not those that were signed"),
        (lied({"policy.onnx": b"another"}), "of another policy"),
        (lied({"report.json": report(robot="walker").encode()}), "of robot 'walker'"),
        (lied({"report.json": failed_report(policy_sha256="ab" * 32).encode()}), "of another policy"),
        (lied({"report.json": b" " + report().encode()}), "not in its canonical form"),
        (lied({"contract.json": canonical_json(CONTRACT.plain()) + b"\n"}), "not in its canonical form"),
        (lied({"provenance.json": b"{}"}), "not in its canonical form"),
        (lied({"provenance.json": b'{"runs":""}'}), "unknown field `runs`"),
        (lied({"provenance.json": b"[" * 100_000}), "cannot be read"),
        (lied({"contract.json": b"\xff"}), "cannot be read"),
        (lied({"report.json": b"{}"}), "not a validation report"),
        (lied({"manifest.json": b"{}"}), "manifest.json cannot be read"),
        (lied(version=0), "version 0"),
        (lied(version=10**15), "version 1000000000000000"),
        (lied(schema=2), "reads schema 1"),
        (lied(expires="tomorrow"), "'tomorrow' is no time in UTC"),
        (lied(created="2026-01-31T10:00:00"), "no time in UTC"),
        (lied(created="2026-01-31T10:00:00+01:00"), "no time in UTC"),
        (lied(signer=OTHER_KEY.public), "by somebody without the key"),
        (lied(signer="nonsense"), "by somebody without the key"),
    ],
)
def test_a_maker_who_lies_is_refused(data: bytes, expected: str) -> None:
    """Who signs what is not so has the key, and perhaps our trust, but not a bundle."""
    with pytest.raises(BundleError, match=expected) as refusal:
        unpack(data)
    assert len(str(refusal.value).splitlines()) == 1


def test_the_liar_has_the_right_tools() -> None:
    assert lied() == made()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"report": report(policy_sha256="ab" * 32)}, "is of another policy: it validated abababababab"),
        ({"report": report(contract_hash="ab" * 32)}, "is of contract abababababab"),
        ({"report": report(robot="walker")}, "is of robot 'walker'"),
        ({"report": report(gate="smoke")}, "sandlot validate --gate full first"),
        ({"smoke": report()}, "take it alone"),
        ({"smoke": report(gate="smoke", policy_sha256="ab" * 32)}, "smoke gate.* of another policy"),
        ({"version": 0}, "version 0"),
        ({"version": 10**15}, "version 1000000000000000"),
        ({"expires": NOW}, "before it is made"),
        (
            {"provenance": content().provenance.__class__(run="x" * (1 << 21))},
            r"provenance.json has \d+ bytes",
        ),
    ],
)
def test_parts_that_do_not_belong_together_make_no_bundle(changes: dict[str, object], expected: str) -> None:
    with pytest.raises(Exception, match=expected) as refusal:
        made(**changes)  # type: ignore[arg-type]
    assert len(str(refusal.value).splitlines()) == 1


def test_a_report_read_back_is_the_report() -> None:
    for one in (report(), failed_report(), report(course="oval", gate="smoke")):
        assert decode_report(one.encode()) == one


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "not a validation report"),
        (b"{}", "missing required field"),
        (b"\xff\xfe", "not a validation report"),
        (b"[" * 100_000, "not a validation report"),
        (b" " * (2 << 20), "at most 1048576"),
        (report(schema=2).encode(), "reads schema 1"),
        (
            msgspec.structs.replace(failed_report(), verdict="pass").encode(),
            "although of its gates failed: G3",
        ),
        (report(gates=()).encode(), "although of its gates there are none"),
    ],
)
def test_what_is_no_report_is_refused(data: bytes, expected: str) -> None:
    with pytest.raises(ReportError, match=expected):
        decode_report(data)


@settings(max_examples=200, deadline=None)
@given(
    files=st.fixed_dictionaries(
        {"a": st.binary(max_size=2000), "c": st.binary(max_size=2000)}, optional={"b": st.binary(max_size=10)}
    )
)
def test_an_archive_is_its_content_and_nothing_else(files: dict[str, bytes]) -> None:
    data = write_archive(files, LIMITS)
    assert read_archive(data, LIMITS, optional=("b",)) == files
    assert len(data) % BLOCK == 0
    if "b" in files:
        with pytest.raises(ArchiveError):
            read_archive(write_archive(files, {"b": 10, "a": 2000, "c": 2000}), LIMITS, optional=("b",))
    else:
        with pytest.raises(ArchiveError, match="b was expected"):
            read_archive(data, LIMITS)


@settings(max_examples=500, deadline=None)
@given(data=st.binary(max_size=3 * BLOCK))
def test_no_bytes_escape_the_archive(data: bytes) -> None:
    with pytest.raises(ArchiveError):
        read_archive(data, LIMITS)


def test_a_member_that_says_it_is_huge_is_refused_before_it_is_read() -> None:
    from robot.archive import _header

    data = _header("a", (8 << 30) - 1) + bytes(BLOCK)
    with pytest.raises(ArchiveError, match="at most 2000"):
        read_archive(data, LIMITS)
    with pytest.raises(ArchiveError, match="a has 2001 bytes"):
        write_archive({"a": bytes(2001)}, LIMITS)


def test_no_more_of_a_file_is_read_than_a_bundle_has(tmp_path: Path) -> None:
    path = tmp_path / "endless.bundle"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # a hole: it takes no room on the disk
    with pytest.raises(BundleError, match=r"endless.bundle: 1099511627776 bytes; a bundle has at most"):
        read_bundle(path)
    with pytest.raises(BundleError, match="cannot read"):
        read_bundle(tmp_path)
