"""Bundles that a robot must not install: cut, tampered with, older than what drives, for another course."""

from __future__ import annotations

import contextlib
import datetime
import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from launch.deploy import install
from robot.admission import objections, require_ours
from robot.bundle import pack, unpack
from robot.bundle_content import Content, Provenance
from robot.contract import TaskContract
from robot.deployed import Deployments
from robot.errors import BundleError
from robot.signing import load_signing_key, load_signing_public, load_trusted, make_signing_key, trust_signer
from robot.spec import RobotSpec
from robot.validation_report import ValidationReport

Ask = Callable[[bytes, ValidationReport], None]
"""Installs a bundle of this policy with this report, on a robot of its own. Raises SandlotError if it is
refused."""
NAME = "lab"
OTHER_COURSE = "another course"


class BundleDesk:
    """A signing key, a robot that trusts it, and its folder of deployed bundles, under ``folder``."""

    def __init__(self, folder: Path, spec: RobotSpec, contract: TaskContract) -> None:
        self._folder, self._spec, self._contract = folder, spec, contract

    def cases(self) -> Iterator[tuple[str, Ask]]:
        """What is tried, by name; the first is what a robot must install."""
        yield "good", lambda policy, report: self._install(self._bundle(policy, report, 2))
        yield "truncated bundle", self._truncated
        yield "tampered byte", self._tampered
        yield "replayed old version", self._replayed
        yield "bundle driven on another course", self._elsewhere

    def _bundle(self, policy: bytes, report: ValidationReport, version: int) -> bytes:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        _, public = make_signing_key(self._folder, NAME)
        trust_signer(self._folder, NAME, load_signing_public(public))
        return self._signed(policy, report, version)

    def _signed(self, policy: bytes, report: ValidationReport, version: int) -> bytes:
        now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
        content = Content(policy, self._contract, report, Provenance())
        key = load_signing_key(self._folder, NAME)
        return pack(content, key, version, now, now + datetime.timedelta(days=1))

    def _install(self, data: bytes) -> None:
        path = self._folder / "asked.bundle"
        path.write_bytes(data)
        now = datetime.datetime.now(datetime.UTC)
        with contextlib.redirect_stdout(io.StringIO()):
            install(path, Deployments(self._folder / "deployed"), self._spec, self._folder, now)

    def _truncated(self, policy: bytes, report: ValidationReport) -> None:
        data = self._bundle(policy, report, 2)
        self._install(data[: len(data) // 2])

    def _tampered(self, policy: bytes, report: ValidationReport) -> None:
        """One bit of a weight in the middle of the file."""
        data = bytearray(self._bundle(policy, report, 2))
        data[len(data) // 2] ^= 1
        self._install(bytes(data))

    def _replayed(self, policy: bytes, report: ValidationReport) -> None:
        self._install(self._bundle(policy, report, 2))
        self._install(self._signed(policy, report, 1))

    def _elsewhere(self, policy: bytes, report: ValidationReport) -> None:
        """Installed well, then asked to drive where it was not validated."""
        data = self._bundle(policy, report, 2)
        self._install(data)
        bundle, now = unpack(data), datetime.datetime.now(datetime.UTC)
        require_ours(bundle, self._spec, load_trusted(self._folder))
        against = objections(bundle, self._spec.calibration_hash(), {}, now, OTHER_COURSE)
        if against:
            raise BundleError("; ".join(against))
