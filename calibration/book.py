"""A robot's entries on disk: one TOML file per procedure, oldest entry first; nothing is ever taken out."""

from __future__ import annotations

import datetime
import os
import tomllib
from pathlib import Path

import msgspec
import tomli_w

from calibration.entry import Entry
from robot.errors import SandlotError
from robot.frame_file import write_atomically
from robot.layout import Struct
from robot.plain_data import decode_struct

ENVIRONMENT = "SANDLOT_CALIBRATION"
"""Names another folder for the entries of all robots."""
FOLDER = "~/.local/share/sandlot/calibration"


class EntryFile(Struct):
    """The content of a file; ``version`` of its form."""

    entries: tuple[Entry, ...]
    version: int = 1


def robot_id(robot: str, surrogate: str = "", twin: bool = False) -> str:
    """What a robot's entries go by: a surrogate has its own, and so has the twin when it is calibrated for
    practice; the twin otherwise is the robot, and has the robot's."""
    if surrogate:
        return f"{robot}@{surrogate}"
    return f"{robot}@twin" if twin else robot


class Book:
    """The entries of the robot with this id. ``folder``: of all robots' (None: the user's)."""

    def __init__(self, robot: str, folder: Path | None = None) -> None:
        home = folder or Path(os.environ.get(ENVIRONMENT, FOLDER))
        self.robot = robot
        self.folder = home.expanduser() / robot

    def history(self, procedure: str) -> tuple[Entry, ...]:
        """Oldest first. Raises SandlotError for a file that cannot be read."""
        path = self.folder / f"{procedure}.toml"
        try:
            plain = tomllib.loads(path.read_text())
        except FileNotFoundError:
            return ()
        except tomllib.TOMLDecodeError as error:
            raise SandlotError(f"{path}: not valid TOML: {error}; restore it from a backup") from None
        return decode_struct(plain, EntryFile, str(path)).entries

    def procedures(self) -> tuple[str, ...]:
        """Those with entries."""
        return tuple(sorted(path.stem for path in self.folder.glob("*.toml")))

    def current(self) -> tuple[Entry, ...]:
        """Of each procedure the newest entry that passed, expired or not."""
        found = []
        for procedure in self.procedures():
            passed = [entry for entry in self.history(procedure) if entry.passed]
            found += passed[-1:]
        return tuple(found)

    def on(self, procedure: str, day: str) -> Entry:
        """The newest entry of a date that begins with ``day``. Raises SandlotError with those there are."""
        entries = self.history(procedure)
        for entry in reversed(entries):
            if entry.date.startswith(day):
                return entry
        dates = ", ".join(entry.date for entry in entries) or "none"
        raise SandlotError(f"{self.robot} has no {procedure} entry of {day}; there are: {dates}")

    def add(self, entry: Entry) -> Path:
        """Write the entry behind those there are: whole or not at all. Returns the file."""
        if entry.robot != self.robot:
            raise SandlotError(f"an entry of {entry.robot} does not belong into the book of {self.robot}")
        path = self.folder / f"{entry.procedure}.toml"
        file = EntryFile((*self.history(entry.procedure), entry))
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, tomli_w.dumps(msgspec.to_builtins(file)).encode())
        return path


def stamp(now: datetime.datetime) -> str:
    """A time as entries have it."""
    return now.astimezone(datetime.UTC).isoformat(timespec="seconds")
