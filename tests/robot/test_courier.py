"""The courier and the learner's server together: every row once and in order, whatever the link does."""

from __future__ import annotations

import functools
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from counting_learner import CountingLearner
from lossy_link import Hub, LossyRobotLink
from small_session import CALIBRATION, CONTRACT, KEY, SPEC, make_rows, make_ticks, push, push_ticks

from learners.journal import Journal
from learners.server import LearnerServer, ServerConfig
from robot.board import Board
from robot.clock import SimulatedClock
from robot.courier import MINIMUM_FREE_BYTES, SYNC_S, Courier
from robot.direct_link import direct_link_pair
from robot.frame_file import DiskFullError
from robot.log_reader import log_files, read_log
from robot.messages import EVENT_DTYPE
from robot.recorder import TICKS
from robot.spool import Spool
from robot.wire import encode, sign_policy

STEP_NS = 50_000_000


class World:
    """A board, a courier and a learner's server on one simulated clock, any part of which can be killed."""

    def __init__(self, directory: Path, trouble: float = 0.0, seed: int = 0, session: str = "s") -> None:
        self.directory, self.session = directory, session
        self.clock = SimulatedClock(10**9)
        self.board = Board(directory / "board", SPEC, CONTRACT, create=True)
        robot, self.far = direct_link_pair()
        self.link = LossyRobotLink(robot, np.random.default_rng(seed), trouble)
        self.made = self.ticks = 0
        self.start_courier()
        self.start_learner()

    def start_courier(self, **options: Any) -> None:
        options = {"sync_s": None} | options
        self.courier = Courier(
            SPEC,
            CONTRACT,
            self.board,
            self.directory / "run",
            self.link,
            self.clock,
            KEY,
            self.session,
            CALIBRATION,
            **options,
        )

    def start_learner(self) -> None:
        self.learner = CountingLearner(CONTRACT, CALIBRATION)
        journal = Journal(self.directory / "learner" / "rows.journal", CONTRACT.step_dtype())
        config = ServerConfig(sync_s=0.25, publish_s=1.0, checkpoint_s=3.0, pretrain=0)
        self.server = LearnerServer(
            self.far, self.learner, journal, self.directory / "learner", self.clock, KEY, config
        )

    def drive(self, steps: int, learner: bool = True) -> None:
        for _ in range(steps):
            assert push_ticks(self.board, make_ticks(self.ticks, 5)) == 5
            assert push(self.board, make_rows(self.made, 1)) == 1
            self.ticks, self.made = self.ticks + 5, self.made + 1
            self.turn(learner)

    def turn(self, learner: bool = True) -> None:
        self.courier.pump()
        if learner:
            self.server.pump()
        self.clock.sleep_until(self.clock.now_ns() + STEP_NS)

    def settle(self) -> None:
        """Let time pass without new rows until everything has arrived, or five minutes."""
        for _ in range(6000):
            if self.courier.uplink is not None and self.courier.uplink.durable == self.made:
                return
            self.turn()
        raise AssertionError("the rows never arrived")

    def check(self) -> None:
        """Every row exactly once, in order and unchanged: at the learner, in its journal, in the log."""
        expected = make_rows(0, self.made)
        assert (self.learner.rows(self.session) == expected).all()
        assert len(self.learner.rows(self.session)) == self.made
        log = read_log(self.directory / "run")
        assert log.steps["sequence"].tolist() == list(range(self.made))
        assert (log.steps == expected).all()
        assert log.ticks["tick"].tolist() == list(range(self.ticks))
        status = self.board.courier.read()
        assert status is not None
        assert status["lost"][0] == 0
        assert status["spooled"][0] == self.made


def test_a_quiet_session(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.drive(100)
    world.settle()
    world.courier.pump()
    world.courier.close(0)
    world.check()
    status = world.board.courier.read()
    assert status is not None
    assert status["connected"][0]
    assert status["received"][0] == status["durable"][0] == 100
    assert status["policy_version"][0] == world.server.version > 1
    assert not world.server.counts["bad_messages"]


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of twenty rows, so that a test's few rows are enough for trimming to matter."""
    segment = 20 * CONTRACT.step_dtype().itemsize
    monkeypatch.setattr("robot.courier.Spool", functools.partial(Spool, segment_bytes=segment))


@pytest.mark.usefixtures("small_segments")
@pytest.mark.parametrize("seed", range(6))
def test_a_link_that_loses_repeats_reorders_and_damages(tmp_path: Path, seed: int) -> None:
    world = World(tmp_path, trouble=0.08, seed=seed)
    world.drive(150)
    world.settle()
    assert world.link.troubled > 20
    assert world.courier.spool.first_sequence > 0
    world.courier.close(0)
    world.check()


def test_a_dropped_link_and_a_late_learner(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.drive(40, learner=False)
    world.drive(20)
    world.link.down = True
    world.drive(200)
    status = world.board.courier.read()
    assert status is not None
    assert not status["connected"][0]
    assert status["spooled"][0] >= 255
    world.link.down = False
    world.drive(20)
    world.settle()
    world.courier.close(0)
    world.check()
    kinds = [e.event.kind for e in read_log(tmp_path / "run").events]
    assert "learner_lost" in kinds
    assert kinds.count("learner_connected") == 2


@pytest.mark.usefixtures("small_segments")
def test_couriers_and_learners_that_are_killed_over_and_over(tmp_path: Path) -> None:
    world = World(tmp_path, trouble=0.03, seed=3)
    rng = np.random.default_rng(1)
    for _ in range(12):
        world.drive(int(rng.integers(1, 30)))
        if rng.random() < 0.5:
            world.start_courier()  # the old one is dropped as it stands: nothing flushed, nothing said
        if rng.random() < 0.5:
            world.start_learner()
    world.settle()
    world.courier.close(0)
    world.check()


def test_killed_between_writing_and_consuming(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The narrowest place: rows are in the log and the spool, and the ring does not know it yet."""
    world = World(tmp_path)
    world.drive(7)
    guardian = np.zeros(1, EVENT_DTYPE)
    guardian["kind"] = b"state"
    for number in range(3):
        guardian["value"] = number
        world.board.guardian_events.push(guardian)
    for ring in (world.board.steps, world.board.ticks, world.board.guardian_events):
        monkeypatch.setattr(ring, "consume", lambda count: None)
    world.drive(30)
    monkeypatch.undo()
    world.start_courier()
    world.drive(30)
    world.settle()
    world.courier.close(0)
    world.check()
    events = [e.event.value for e in read_log(tmp_path / "run").events if e.source == "guardian"]
    assert events == [0, 1, 2]


def test_killed_while_writing_a_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the file has not taken must still be in the ring."""
    world = World(tmp_path)
    world.drive(25)

    def killed() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(world.courier.recorder, "flush", killed)
    with pytest.raises(KeyboardInterrupt):
        world.drive(100)
    world.made = world.board.steps.written
    world.start_courier()
    world.drive(30)
    world.settle()
    world.courier.close(0)
    world.check()


def test_two_robots_to_one_learner(tmp_path: Path) -> None:
    worlds = [World(tmp_path / name, trouble=0.04, seed=k, session=name) for k, name in enumerate("ab")]
    learner = CountingLearner(CONTRACT, CALIBRATION)
    journal = Journal(tmp_path / "rows.journal", CONTRACT.step_dtype())
    server = LearnerServer(Hub([w.far for w in worlds]), learner, journal, tmp_path, worlds[0].clock, KEY)
    for world in worlds:
        world.clock = worlds[0].clock
        world.server, world.learner = server, learner
        world.courier._clock = world.clock
    for _ in range(100):
        for world in worlds:
            world.drive(1, learner=False)
        server.pump()
    for world in worlds:
        world.settle()
        world.courier.close(0)
        world.check()
    assert journal.rows == learner.pacing.received == 200
    assert set(journal.sessions()) == {"a", "b"}


def test_rows_that_the_pilot_lost_are_counted_and_do_not_stop_the_stream(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.drive(20)
    push(world.board, make_rows(25, 10))
    for _ in range(100):
        world.turn()
    status = world.board.courier.read()
    assert status is not None
    assert status["lost"][0] == 5
    sequences = world.learner.rows("s")["sequence"].tolist()
    assert sequences == [*range(20), *range(25, 35)]
    assert world.server.counts["lost"] == 5
    assert status["durable"][0] == 35


def test_what_found_its_ring_full_is_counted_as_lost_even_by_a_later_courier(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.drive(20)
    for _ in range(100):
        world.turn()
    slots = world.board.steps._slots
    for first in range(20, 20 + slots + 7, 100):  # nobody is there to take them
        push(world.board, make_rows(first, min(100, 20 + slots + 7 - first)))
    world.start_courier()  # the old one was killed
    for _ in range(200):
        world.turn()
    status = world.board.courier.read()
    assert status is not None
    assert status["lost"][0] == world.board.steps.dropped == 7
    world.courier.close(0)
    told = [e.event for e in read_log(tmp_path / "run").events if e.event.kind.endswith("_dropped")]
    assert [(event.kind, event.value) for event in told] == [("steps_dropped", 7.0)]


def test_another_contract_is_refused_with_a_difference_a_person_can_read(tmp_path: Path) -> None:
    world = World(tmp_path)
    other = CONTRACT.plain() | {"policy_hz": 25.0}
    assert world.courier.uplink is not None
    world.courier.uplink._contract = other
    world.drive(20)
    status = world.board.courier.read()
    assert status is not None
    assert not status["connected"][0]
    assert not world.learner.pacing.received
    world.courier.close(0)
    refused = [e.event for e in read_log(tmp_path / "run").events if e.event.kind == "learner_refused"]
    assert len(refused) == 1
    assert "policy_hz: ours 20.0, theirs 25.0" in refused[0].text


def policy_frame(version: int = 7, **changes: Any) -> bytes:
    parts: dict[str, Any] = {
        "key": KEY,
        "contract_hash": CONTRACT.hash(),
        "calibration_hash": CALIBRATION,
        "onnx": b"onnx",
    }
    parts |= changes
    return encode(sign_policy(version=version, **parts))[0]


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        (policy_frame(key=bytes(32)), "session's key"),
        (policy_frame(contract_hash="other"), "made for contract other"),
        (policy_frame(calibration_hash="other"), "under calibration other"),
        (policy_frame()[:-1] + b"?", "damaged"),
        (b"rubbish", "not a message"),
    ],
)
def test_a_policy_that_is_not_ours_or_not_whole_never_reaches_the_pilot(
    tmp_path: Path, frame: bytes, why: str
) -> None:
    world = World(tmp_path)
    world.far.publish(frame)
    world.courier.pump()
    assert world.board.policy.read() is None
    assert list((tmp_path / "run" / "policies").iterdir()) == []
    world.courier.close(0)
    refused = [e.event.text for e in read_log(tmp_path / "run").events if e.event.kind == "policy_refused"]
    assert len(refused) == 1
    assert why in refused[0]


def test_versions_only_go_up_across_restarts(tmp_path: Path) -> None:
    world = World(tmp_path)
    accepted = []
    for version in (3, 3, 2, 5, 4):
        world.far.publish(policy_frame(version, onnx=b"%d" % version))
        world.courier.pump()
        record = world.board.policy.read()
        assert record is not None
        accepted.append(int(record["version"][0]))
        path = tmp_path / "run" / "policies" / f"{accepted[-1]:06d}.onnx"
        assert path.read_bytes() == b"%d" % accepted[-1]
    assert accepted == [3, 3, 3, 5, 5]
    world.start_courier()
    world.far.publish(policy_frame(4))
    world.courier.pump()
    assert world.courier.policies.version == 5


def test_a_policy_that_was_lost_on_the_way_is_sent_again(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.drive(30)
    world.settle()
    published = world.server.version
    world.learner.done += 100
    world.clock.sleep_until(world.clock.now_ns() + 2 * 10**9)
    world.server.pump()
    assert world.server.version == published + 1
    world.far.publish(b"")  # what was waiting is gone
    world.link.link.policy()
    for _ in range(100):
        world.turn()
    assert world.courier.policies.version == world.server.version


def test_a_full_disk_stops_the_robot_and_loses_nothing(tmp_path: Path) -> None:
    disk = tmp_path / "run"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        world = World(tmp_path)
        world.courier.close(0)
        world.start_courier(minimum_free_bytes=0)
        (disk / "filler").write_bytes(bytes(170_000))
        rng = np.random.default_rng(0)
        while not world.courier.disk_full:
            assert world.made < 5_000
            ticks = make_ticks(world.ticks, 5)
            ticks["deviation"] = rng.normal(size=ticks["deviation"].shape)
            push_ticks(world.board, ticks)
            world.ticks += 5
            push(world.board, make_rows(world.made, 1))
            world.made += 1
            world.turn(learner=False)
        status = world.board.courier.read()
        assert status is not None
        assert status["disk_full"][0]
        assert len(read_log(disk).ticks) > 0
        world.drive(40)
        (disk / "filler").unlink()
        world.drive(40)
        world.settle()
        status = world.board.courier.read()
        assert status is not None
        assert not status["disk_full"][0]
        world.courier.close(0)
        world.check()
        assert [e.event.kind for e in read_log(disk).events].count(
            "disk_full"
        ) == 2  # both couriers said it once
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_a_disk_that_is_full_at_the_end_leaves_no_file_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)
    world.drive(10)
    courier = world.courier

    def full() -> None:
        raise DiskFullError("no room left")

    monkeypatch.setattr(courier.recorder, "flush", full)
    courier.close(0)
    left = [link.resolve() for link in Path("/proc/self/fd").iterdir()]
    assert not [path for path in left if path.is_relative_to(tmp_path / "run")]
    assert (
        courier.disk_full
        and Spool(tmp_path / "run" / "spool", CONTRACT.step_dtype(), "s").next_sequence == 10
    )


def test_a_learner_that_starts_afresh_is_not_taken_to_have_what_another_had(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.drive(30)
    world.settle()
    shutil.rmtree(tmp_path / "learner")
    world.start_learner()
    for _ in range(100):
        world.turn(learner=False)  # long enough to be missed and greeted
    for _ in range(3):
        world.turn()
    assert world.courier.uplink is not None
    assert world.courier.uplink.durable < 30, "what the new learner has not stored"
    world.settle()
    world.check()


def test_a_learner_that_begins_with_older_policies_is_told_once(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.drive(100)
    world.settle()

    def told() -> list[float]:
        world.courier.close()
        events = [e.event for e in read_log(tmp_path / "run").events if e.event.kind == "learner_behind"]
        world.start_courier()
        return [event.value for event in events]

    assert told() == []
    world.far.publish(policy_frame(50))
    for _ in range(200):
        world.turn()
    (version,) = told()
    assert version < 49 and world.courier.policies.version == 50


def test_a_disk_that_will_be_full_soon_is_told_once_and_nothing_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)
    world.courier.close(0)
    blocks = 10**9
    monkeypatch.setattr("robot.courier.os.statvfs", lambda path: SimpleNamespace(f_bavail=blocks, f_frsize=1))
    world.start_courier()
    world.drive(400)  # 20 s
    status = world.board.courier.read()
    assert status is not None and not status["disk_low"][0]
    written = world.courier.recorder.bytes + world.courier.spool.written_bytes
    blocks = MINIMUM_FREE_BYTES + written * 15  # 5 min
    world.drive(40)
    status = world.board.courier.read()
    assert status is not None
    assert status["disk_low"][0] and not status["disk_full"][0]
    world.courier.close(0)
    told = [e.event for e in read_log(tmp_path / "run").events if e.event.kind == "disk_low"]
    assert [event.value for event in told] == [blocks]
    assert told[0].text.endswith("last 4.9 min; free some space")


def test_a_large_log_goes_on_in_the_next_file_and_reads_as_one(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.courier.close(0)
    world.start_courier(rotate_bytes=60_000)
    world.drive(300)
    world.settle()
    world.start_courier(rotate_bytes=60_000)  # the one before was killed
    world.drive(100)
    world.settle()
    world.courier.close(0)
    world.check()
    files = log_files(tmp_path / "run")
    assert len(files) > 5
    assert all(file.stat().st_size < 90_000 for file in files)
    log = read_log(tmp_path / "run")
    assert log.complete
    assert (log.ticks == make_ticks(0, 2_000)).all()
    assert log.sequences[TICKS].tolist() == list(range(2_000))


def test_a_pulled_battery_costs_less_than_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the disk has after a power cut is the file as it was when its newest sync began."""
    world = World(tmp_path)
    world.courier.close(0)
    world.start_courier(sync_s=SYNC_S)
    path = world.courier.recorder.path
    durable = b""
    sync = world.courier.recorder.sync

    def synced() -> None:
        nonlocal durable
        sync()
        durable = path.read_bytes()

    monkeypatch.setattr(world.courier.recorder, "sync", synced)
    cut = tmp_path / "cut.mcap"
    rng = np.random.default_rng(0)
    for turn in range(120):
        ahead = int(rng.integers(0, 20_000_000))  # rounds are never of one length
        world.clock.sleep_until(world.clock.now_ns() + ahead)
        ticks = make_ticks(world.ticks, 5)
        ticks["time_ns"] = world.clock.now_ns()
        push_ticks(world.board, ticks)
        world.ticks += 5
        newest_ns = world.clock.now_ns()
        if durable and turn > 30:
            cut.write_bytes(durable)
            assert newest_ns - int(read_log(cut, [TICKS]).ticks["time_ns"][-1]) < 10**9
        world.turn(learner=False)
    assert durable


def test_little_space_left_is_told_while_there_is_room_to_close(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.courier.close(0)
    world.start_courier(minimum_free_bytes=1 << 62)
    world.drive(10)
    status = world.board.courier.read()
    assert status is not None
    assert status["disk_full"][0]
    world.courier.close(0)
    log = read_log(tmp_path / "run")
    assert log.complete
    assert "disk_full" in [e.event.kind for e in log.events]
