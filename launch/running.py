"""Which sessions run on this machine, and what their robots are doing: from the shared memory they left."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from launch.manifest import FILE as MANIFEST
from launch.session import Session, links_to_runs, open_session
from robot.clock import Clock
from robot.errors import SandlotError
from robot.messages import SafetyState
from robot.shared_memory import Record

ALIVE_NS = 10_000_000_000
"""A guardian that wrote nothing for so long [ns] is gone: longer than the supervisor's longest back-off."""


def alive(state: Record, now_ns: int) -> bool:
    """Whether the guardian that wrote this record is."""
    return 0 <= now_ns - int(state["time_ns"][0]) <= ALIVE_NS


@dataclass(frozen=True)
class Running:
    """A session whose guardian is alive."""

    session: Session
    state: SafetyState


def running(robot: str, clock: Clock) -> Iterator[Running]:
    """The sessions in which the robot itself is driven; the twin's are of no concern. Raises SandlotError for
    one that cannot be looked into."""
    for link in links_to_runs():
        try:
            if not _drives(robot, link):
                continue
            session = open_session(link.resolve())
            record = session.board().state.read()
        except (SandlotError, OSError, ValueError) as error:
            if not link.is_symlink():
                continue  # it has just ended
            raise SandlotError(
                f"a session on this machine cannot be looked into ({link.parent}): {error}. End it; if it "
                "was killed, remove that folder"
            ) from None
        if record is not None and alive(record, clock.now_ns()):
            yield Running(session, SafetyState(int(record["safety_state"][0])))


def _drives(robot: str, link: Path) -> bool:
    """Whether a session is this robot's own, of whatever version of Sandlot it is; one whose folder is gone
    is nobody's."""
    manifest = link / MANIFEST
    if not manifest.exists():
        return False
    plain = tomllib.loads(manifest.read_text())
    return plain.get("robot") == robot and plain.get("twin") is not True


def require_standing_by(robot: str, clock: Clock) -> None:
    """Raise SandlotError unless the robot is in STANDBY or not driven by any session on this machine."""
    for found in running(robot, clock):
        if found.state != SafetyState.STANDBY:
            raise SandlotError(
                f"{robot} is in {found.state.name} in the session {found.session.directory}; a policy is "
                "installed in STANDBY only. End that session, or stop and reset the robot"
            )
