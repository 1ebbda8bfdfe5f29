"""The bundles installed on a robot: the one that drives, the one before it, and how new anything must be.

``<version>.bundle`` files, and ``deployed.json`` that says which counts. That file is replaced as a whole,
after the bundle it names is on the disk and before anything is taken away, so that a kill or a power cut at
any moment leaves the old deployment or the new one.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from robot.bundle import SUFFIX, Bundle, read_bundle, unpack
from robot.errors import BundleError
from robot.frame_file import write_atomically
from robot.layout import Struct
from robot.plain_data import canonical_json, sha256

FILE = "deployed.json"


class Deployed(Struct):
    """Versions, 0 for none. ``highest``: the newest ever installed, below which nothing is taken any more;
    ``installed``: when ``current`` was, UTC, ISO 8601; ``sha256``: of its bytes."""

    current: int = 0
    previous: int = 0
    highest: int = 0
    installed: str = ""
    sha256: str = ""


class Deployments:
    """One robot's folder of installed bundles."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def state(self) -> Deployed:
        """What is installed. Raises BundleError if that cannot be read."""
        path = self.folder / FILE
        try:
            return msgspec.json.decode(path.read_bytes(), type=Deployed)
        except FileNotFoundError:
            return Deployed()
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise BundleError(f"{path} cannot be read: {error}; move it away and deploy again") from None

    def path(self, version: int) -> Path:
        """Where that version's bundle lies."""
        return self.folder / f"{version:015d}{SUFFIX}"

    def bundle(self, version: int) -> Bundle:
        """That version's bundle, whole and signed. Raises BundleError if it is not, or is another version."""
        found = read_bundle(self.path(version))
        if found.manifest.version != version:
            raise BundleError(f"{self.path(version)} holds version {found.manifest.version}; deploy it again")
        return found

    def install(self, data: bytes, now: datetime.datetime, sync: bool = True) -> Deployed:
        """Let the bundle of these bytes drive from now on; that which drives already is put there again, lest
        its file was damaged. Raises BundleError if it is another and not newer than everything that was ever
        installed, or is no bundle."""
        version = unpack(data).manifest.version
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._alone():
            before = self.state()
            if before.current and sha256(data) == before.sha256:
                write_atomically(self.path(version), data, sync=sync)
                return before
            if version <= before.highest:
                raise BundleError(
                    f"version {version} is not newer than {before.highest}, which was installed here before: "
                    "a replayed bundle is refused. To go back to the one before: sandlot deploy --rollback; "
                    "to install this policy after all, make a new bundle of it"
                )
            write_atomically(self.path(version), data, sync=sync)
            after = Deployed(
                current=version,
                previous=before.current,
                highest=version,
                installed=now.isoformat(timespec="seconds"),
                sha256=sha256(data),
            )
            self._commit(after, sync)
        return after

    def roll_back(self, now: datetime.datetime, sync: bool = True) -> Deployed:
        """Return to the bundle before; what was installed since stays behind for good. Raises BundleError if
        there is none, or it is not whole any more."""
        with self._alone():
            before = self.state()
            if not before.previous:
                raise BundleError(f"there is no earlier deployment in {self.folder} to go back to")
            self.bundle(before.previous)
            after = Deployed(
                current=before.previous,
                highest=before.highest,
                installed=now.isoformat(timespec="seconds"),
                sha256=sha256(self.path(before.previous).read_bytes()),
            )
            self._commit(after, sync)
        return after

    def _commit(self, after: Deployed, sync: bool) -> None:
        write_atomically(self.folder / FILE, canonical_json(after), sync=sync)
        kept = {self.path(after.current), self.path(after.previous)}
        leftovers = self.folder.glob(".*.partial")  # of an installation that was killed
        for path in (*self.folder.glob(f"*{SUFFIX}"), *leftovers):
            if path not in kept:
                path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Two installations at once would each take away what the other one needs."""
        if not self.folder.is_dir():
            raise BundleError(f"nothing was ever deployed in {self.folder}")
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)
