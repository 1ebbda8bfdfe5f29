"""Pictures from a camera to the log: each once, as of when it was taken, and what is lost is seen to be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from small_session import CALIBRATION, CONTRACT, KEY, SPEC, make_ticks, push_ticks

from robot.board import Board
from robot.camera_feeder import CameraFeeder
from robot.camera_spec import Camera
from robot.clock import MonotonicClock, SimulatedClock
from robot.courier import Courier
from robot.drivers.camera import OpenCvCamera, Shot
from robot.errors import PortError, SpecError
from robot.frame_ring import FrameRing
from robot.image_message import Frame
from robot.log_reader import frames_of, read_log
from robot.shared_memory import Mailbox
from robot.spec import RobotSpec
from sim.emulators.camera import SyntheticCamera
from sim.emulators.truth import TRUTH, TRUTH_DTYPE

FRONT = Camera("front", "robot.drivers.camera:OpenCvCamera", 64, 48, 30.0)
SEEING: RobotSpec = msgspec.structs.replace(
    SPEC, cameras=(FRONT, msgspec.structs.replace(FRONT, name="rear", rate_hz=15.0))
)
PERIOD_NS = 33_333_333


def frame(number: int, size: int = 100, camera: str = "front") -> Frame:
    data = bytes((number + k) % 256 for k in range(size))
    return Frame(camera, number, 1000 + number, 2000 + number, "jpeg", data)


class Script:
    """A camera that sends what it is told; None: nothing came."""

    def __init__(self, shots: list[Shot | None], opens: Callable[[int], bool] = lambda attempt: True) -> None:
        self.shots, self.opens, self.attempts, self.closed = shots, opens, 0, 0

    def open(self) -> None:
        self.attempts += 1
        if not self.opens(self.attempts):
            raise PortError("not plugged in")

    def read(self) -> Shot | None:
        return self.shots.pop(0)

    def close(self) -> None:
        self.closed += 1


def test_a_ring_gives_back_what_it_took_and_counts_what_it_did_not(tmp_path: Path) -> None:
    ring = FrameRing(tmp_path / "front.ring", "front", 300, 4, create=True)
    assert [ring.push(frame(k, 50 * (k + 1))) for k in range(5)] == [True] * 4 + [False]
    other = FrameRing(tmp_path / "front.ring", "front", 300, 4)
    assert other.peek(0) == [frame(k, 50 * (k + 1)) for k in range(4)] and other.peek(2)[0] == frame(2, 150)
    other.consume(3)
    assert ring.push(frame(5)) and not ring.push(frame(6, 301)) and ring.dropped == 2
    assert ring.peek(0) == [frame(3, 200), frame(5)] and ring.last() == frame(5)


def test_a_picture_that_never_came_is_a_gap_in_the_numbers(tmp_path: Path) -> None:
    picture = np.zeros((48, 64, 3), np.uint8)
    clock, told = SimulatedClock(10**9), list[tuple[str, str]]()
    ring = FrameRing(tmp_path / "front.ring", "front", FRONT.most_bytes, 100, create=True)

    def feeder(capture: Script) -> CameraFeeder:
        return CameraFeeder(FRONT, capture, ring, clock, lambda kind, _, text: told.append((kind, text)))

    times = [0, 1, 2, 5, 6, 6.7, 7.8]  # periods; the camera's clock is not exactly the nominal one
    shots: list[Shot | None] = [Shot(10**9 + round(t * PERIOD_NS), picture) for t in times]
    capture = Script([*shots, None, Shot(10**9 + 20 * PERIOD_NS, picture)], lambda attempt: attempt != 2)
    feeding = feeder(capture)
    for _ in range(10):
        feeding.step()
    assert [f.number for f in ring.peek(0)] == [0, 1, 2, 5, 6, 7, 8, 20]
    assert [f.captured_ns for f in ring.peek(0)][:7] == [s.captured_ns for s in shots if s]
    assert [kind for kind, _ in told] == ["camera_open", "camera_lost", "camera_lost", "camera_open"]
    assert "no longer sends" in told[1][1] and "not plugged in" in told[2][1] and capture.closed == 1
    shown = cv2.imdecode(np.frombuffer(ring.peek(0)[0].data, np.uint8), cv2.IMREAD_COLOR)
    assert shown.shape == picture.shape
    again = feeder(Script([Shot(10**9 + 22 * PERIOD_NS, picture)]))
    again.step()
    last = ring.last()
    assert last is not None and last.number == 22, "a process that comes back goes on counting"


def test_a_pictures_stamp_is_earlier_by_what_its_camera_is_known_to_be_late(tmp_path: Path) -> None:
    camera, clock = msgspec.structs.replace(FRONT, latency_s=0.02), SimulatedClock(10**9)
    ring = FrameRing(tmp_path / "front.ring", "front", FRONT.most_bytes, 100, create=True)
    picture = np.zeros((48, 64, 3), np.uint8)
    shots: list[Shot | None] = [Shot(10**9 + k * PERIOD_NS, picture) for k in (0, 1, 3)]
    feeding = CameraFeeder(camera, Script(shots), ring, clock, lambda *_: None)
    for _ in range(3):
        feeding.step()
    stamps = [(f.number, f.captured_ns) for f in ring.peek(0)]
    assert stamps == [(k, 10**9 + k * PERIOD_NS - 20_000_000) for k in (0, 1, 3)]


def test_opencv_reads_a_file_and_says_what_does_not_open(tmp_path: Path) -> None:
    path = str(tmp_path / "front.avi")
    writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"MJPG"), 30.0, (64, 48))
    for k in range(3):
        writer.write(np.full((48, 64, 3), 60 * k, np.uint8))
    writer.release()
    camera = OpenCvCamera(msgspec.structs.replace(FRONT, port=path), MonotonicClock())
    camera.open()
    shots = [camera.read() for _ in range(4)]
    camera.close()
    assert shots[3] is None
    seen = [shot for shot in shots if shot is not None]
    assert [round(float(np.mean(shot.picture)) / 60) for shot in seen] == [0, 1, 2]
    assert seen[0].captured_ns < seen[1].captured_ns < MonotonicClock().now_ns()
    with pytest.raises(PortError, match="front: '/dev/video97' does not open"):
        OpenCvCamera(msgspec.structs.replace(FRONT, port="/dev/video97"), MonotonicClock()).open()
    with pytest.raises(SpecError, match="no option 'encode'"):
        OpenCvCamera(msgspec.structs.replace(FRONT, options={"encode": True}), MonotonicClock())


def test_an_emulated_camera_takes_pictures_at_its_own_instants(tmp_path: Path) -> None:
    clock = SimulatedClock(10**9)
    truth, turning = Mailbox(tmp_path / TRUTH, TRUTH_DTYPE, create=True), np.zeros(1, TRUTH_DTYPE)
    turning["angular_velocity"][0, 2] = 1.0
    truth.write(turning)
    camera = SyntheticCamera(msgspec.structs.replace(FRONT, port=str(tmp_path)), clock)
    camera.open()
    shots = [camera.read() for _ in range(3)]
    clock.sleep_until(clock.now_ns() + round(3.5 * PERIOD_NS))
    shots += [camera.read() for _ in range(4)]
    clock.sleep_until(clock.now_ns() + round(10.5 * PERIOD_NS))
    shots += [camera.read() for _ in range(5)]
    times = [shot.captured_ns for shot in shots if shot is not None]
    gaps = np.rint(np.diff(times) / PERIOD_NS).tolist()
    assert gaps == [1] * 6 + [7, 1, 1, 1, 1], "four pictures wait in the driver, more are lost"
    assert isinstance(shots[0], Shot) and isinstance(shots[2], Shot)
    assert np.any(shots[0].picture != shots[2].picture), "it turns with the robot"


def test_each_frame_is_in_the_log_once_though_the_courier_dies(tmp_path: Path) -> None:
    board, clock = Board(tmp_path / "board", SEEING, CONTRACT, create=True), SimulatedClock(10**9)

    def courier() -> Courier:
        return Courier(
            SEEING, CONTRACT, board, tmp_path / "run", None, clock, KEY, "session", CALIBRATION, sync_s=None
        )  # fmt: skip

    sent = [frame(k, 40 + k) for k in (0, 1, 2, 4, 5, 6, 7, 8)]
    first = courier()
    push_ticks(board, make_ticks(0, 20))
    for k in range(3):
        board.frames["front"].push(sent[k])
        board.frames["rear"].push(frame(k, camera="rear"))
    commit = first.drain._commit
    setattr(first.drain, "_commit", lambda: None)  # noqa: B010  (it dies between the log and the ring)
    first.pump()
    first.recorder.sync()
    assert board.frames["front"].consumed == 0 and commit is not None
    for each in sent[3:5]:
        board.frames["front"].push(each)
    second = courier()
    for each in sent[5:]:
        board.frames["front"].push(each)
    second.pump()
    second.close()
    log = read_log(tmp_path / "run")
    assert log.frames["front"] == sent, "no frame is lost or doubled, and none is numbered anew"
    assert list(frames_of(tmp_path / "run", "front")) == sent
    assert log.frames["rear"] == [frame(k, camera="rear") for k in range(3)]
    assert board.frames["front"].consumed == len(sent)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"name": "Front"}, "a name of its own"),
        ({"name": "rear"}, "a name of its own"),
        ({"width": 0}, "above 0"),
        ({"rate_hz": float("nan")}, "above 0"),
        ({"quality": 0}, "expected 1 to 100"),
        ({"latency_s": 20.0}, "expected less than 1 s"),
    ],
)
def test_a_camera_that_cannot_be_is_refused(change: dict[str, object], why: str) -> None:
    with pytest.raises(SpecError, match=why):
        msgspec.structs.replace(SEEING, cameras=(msgspec.structs.replace(FRONT, **change), SEEING.cameras[1]))
    assert SEEING.contract() == SPEC.contract(), "cameras are no part of the contract"


def test_a_frame_that_has_not_arrived_whole_waits_for_the_next_time(tmp_path: Path) -> None:
    ring = FrameRing(tmp_path / "front.ring", "front", 300, 4, create=True)
    for k in range(3):
        ring.push(frame(k))
    at = ring._region.slot(1) + 60
    byte = ring._region.memory[at]
    ring._region.memory[at] = byte ^ 1
    assert ring.peek(0) == [frame(0)]
    ring._region.memory[at] = byte
    assert ring.peek(0) == [frame(0), frame(1), frame(2)]
