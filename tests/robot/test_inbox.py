"""What the guardian takes out of mailboxes: each record once, whatever the writer does meanwhile."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from robot.clock import SimulatedClock
from robot.inbox import Inbox, OperatorInbox, PoseInbox
from robot.messages import OPERATOR_DTYPE, POSE_DTYPE
from robot.shared_memory import Mailbox, Record


class Busy(Mailbox):
    """A mailbox into which somebody writes again just after it was looked at."""

    again = 0

    @property
    def sequence(self) -> int:
        seen = super().sequence
        if self.again:
            self.again -= 1
            self.write(pose())
        return seen


def pose() -> Record:
    record = np.zeros(1, POSE_DTYPE)
    record["covariance"] = 1.0
    return record


def test_a_record_that_came_between_two_looks_is_taken_once(tmp_path: Path) -> None:
    mailbox = Busy(tmp_path / "pose", POSE_DTYPE, create=True)
    inbox = Inbox(mailbox)
    mailbox.write(pose())
    mailbox.again = 1
    taken = inbox.take()
    assert taken is not None and taken["sequence"][0] == 2
    assert inbox.take() is None
    mailbox.write(pose())
    assert inbox.take() is not None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("time_ns", 2_000_000_000),
        ("time_ns", -1),
        ("pose", np.nan),
        ("covariance", 0.0),
        ("covariance", np.inf),
    ],
)
def test_a_pose_that_makes_no_sense_is_rejected(tmp_path: Path, field: str, value: float) -> None:
    mailbox = Mailbox(tmp_path / "pose", POSE_DTYPE, create=True)
    poses, clock = PoseInbox(mailbox), SimulatedClock(1_000_000_000)
    record = pose()
    record["time_ns"] = 900_000_000
    mailbox.write(record)
    assert poses.update(clock) and not poses.update(clock)
    record[field] = value
    mailbox.write(record)
    assert not poses.update(clock) and poses.rejected == 1


@pytest.mark.parametrize(
    ("age_s", "enabled"),
    [(0.0, True), (29.9, True), (30.0, True), (30.1, False), (-0.1, False), (1e6, False)],
)
def test_a_leased_permission_ends_with_its_lease_whatever_its_writer_says(
    tmp_path: Path, age_s: float, enabled: bool
) -> None:
    mailbox = Mailbox(tmp_path / "operator", OPERATOR_DTYPE, create=True)
    clock = SimulatedClock(2_000_000_000_000_000)
    leased, plain = OperatorInbox(mailbox, 0.5, 30.0), OperatorInbox(mailbox, 0.5)
    record = np.zeros(1, OPERATOR_DTYPE)
    record["time_ns"], record["enable"] = clock.now_ns(), 1
    record["pressed_ns"] = clock.now_ns() - round(age_s * 1e9)
    mailbox.write(record)
    leased.update(clock)
    plain.update(clock)
    assert plain.enable and leased.fresh
    assert leased.enable == enabled


def test_a_lease_that_is_replayed_is_no_lease(tmp_path: Path) -> None:
    mailbox = Mailbox(tmp_path / "operator", OPERATOR_DTYPE, create=True)
    clock = SimulatedClock(2_000_000_000)
    inbox = OperatorInbox(mailbox, 0.5, 30.0)
    record = np.zeros(1, OPERATOR_DTYPE)
    record["time_ns"], record["enable"], record["pressed_ns"] = clock.now_ns(), 1, clock.now_ns()
    old = record.copy()
    for _ in range(400):
        mailbox.write(old.copy())  # the same old record again and again, each with a new number
        inbox.update(clock)
        assert inbox.enable == (clock.now_ns() - 2_000_000_000 <= 500_000_000)
        clock.sleep_until(clock.now_ns() + 10_000_000)
