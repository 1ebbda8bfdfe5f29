"""``sandlot bench transport``: step rows from robot to learner over loopback, against raw ZeroMQ.

Each stream has two phases of equal length: as fast as it goes (transitions per second), then paced as a
robot would (latency, from the row's making to the learner's having it). The product's path is the whole of
it: spool on disk, checksums, window, journal with syncs, acknowledgements. The raw one is a PUSH and a PULL
socket that carry the same bytes in messages of the same size and do nothing with them.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import numpy as np
import zmq  # the yardstick; the product's only module with sockets is robot.transport
from numpy.typing import NDArray

from launch.bench.row_sink import KEY, RowSink
from learners.journal import Journal
from learners.server import LearnerServer, ServerConfig
from robot.clock import MonotonicClock
from robot.contract import ObservationTerm, TaskContract
from robot.errors import SandlotError
from robot.spec import ActionTerm
from robot.spool import Spool
from robot.transport import LearnerLink, RobotLink
from robot.uplink import BATCH_BYTES, Uplink

Rows = NDArray[np.void]

STATE_ELEMENTS: Final = 50
IMAGE_SHAPE: Final = (128, 128, 3)
PACE_HZ: Final = {"state": 200.0, "image": 50.0}
"""Of the paced phase: an order above the racer's 20 Hz; a fast camera."""
MOST_BYTES: Final = 1 << 30
"""The unpaced phase ends here even if there is time left: rows go to the disk twice."""
_DRAIN_S: Final = 60.0
_LOOPBACK: Final = "tcp://127.0.0.1:*"


class ImageContract(TaskContract):
    """A contract whose observation is one colour image rather than named numbers."""

    def step_dtype(self) -> np.dtype[np.void]:
        state = TaskContract.step_dtype(self)
        fields: list[Any] = [
            (name, *((field.base, field.shape) if field.shape else (field,)))
            for name, (field, *_) in (state.fields or {}).items()
            if name != "observation"
        ]
        return np.dtype([*fields, ("observation", "u1", IMAGE_SHAPE)], align=True)


def contract_of(kind: str) -> TaskContract:
    """``state``: 50 numbers; ``image``: 128 x 128 x 3 bytes."""
    term = ObservationTerm(
        name="numbers", unit="1", scale=1.0, elements=tuple(map(str, range(STATE_ELEMENTS)))
    )
    actions = tuple(ActionTerm(name=n, actuator=n, lower=-1.0, upper=1.0) for n in ("speed", "steering"))
    made = ImageContract if kind == "image" else TaskContract
    return made(
        robot={"robot": "bench"},
        task=kind,
        policy_hz=20.0,
        observation=(term,),
        actions=actions,
        reward_terms=("reward",),
    )


def run(seconds: float) -> dict[str, float]:
    """Measure both kinds of row, ``seconds`` for each of the four streams."""
    figures: dict[str, float] = {}
    for kind in ("state", "image"):
        ours, raw = _ours(kind, seconds), _raw(kind, seconds)
        figures |= {
            f"{kind}_row_bytes": contract_of(kind).step_dtype().itemsize,
            f"{kind}_transitions_per_s": ours["rate"],
            f"{kind}_raw_zeromq_transitions_per_s": raw["rate"],
            f"{kind}_throughput_ratio": ours["rate"] / raw["rate"],
            f"{kind}_latency_p50_ms": ours["p50"],
            f"{kind}_latency_p99_ms": ours["p99"],
            f"{kind}_raw_zeromq_latency_p50_ms": raw["p50"],
            f"{kind}_raw_zeromq_latency_p99_ms": raw["p99"],
            f"{kind}_latency_p99_ratio": ours["p99"] / raw["p99"],
            f"{kind}_sent_rows": ours["sent"],
            f"{kind}_lost_rows": ours["sent"] - ours["unique"],
            f"{kind}_doubled_rows": ours["rows"] - ours["unique"],
        }
    return figures


def _blank(kind: str, count: int) -> Rows:
    """Rows with some content: nothing on the way compresses, so what it is does not matter."""
    dtype = contract_of(kind).step_dtype()
    noise = np.random.default_rng(0).integers(0, 255, count * dtype.itemsize, np.uint8)
    return np.frombuffer(bytearray(noise.tobytes()), dtype)


def _ours(kind: str, seconds: float) -> dict[str, float]:
    contract = contract_of(kind)
    batch = max(1, BATCH_BYTES // contract.step_dtype().itemsize)
    rows = _blank(kind, batch)
    clock = MonotonicClock()
    with tempfile.TemporaryDirectory() as directory, _child(_learner, kind, directory) as (answers, where):
        link = RobotLink(where[0], where[1])
        spool = Spool(Path(directory) / "spool", contract.step_dtype(), kind)
        uplink = Uplink(link, spool, contract, kind, "", lambda *event: None)

        def make(count: int) -> None:
            first = spool.next_sequence
            rows["sequence"][:count] = np.arange(first, first + count)
            rows["time_ns"][:count] = time.monotonic_ns()
            spool.append(first, rows[:count])

        def settle() -> None:
            deadline = time.monotonic() + _DRAIN_S
            while uplink.received < spool.next_sequence or not uplink.connected(clock.now_ns()):
                if time.monotonic() > deadline:
                    raise SandlotError(f"the learner did not take {kind} rows within {_DRAIN_S} s")
                uplink.pump(clock.now_ns())
                link.wait(0.001)

        settle()
        start, synced = time.monotonic(), time.monotonic()
        while time.monotonic() < start + seconds / 2 and spool.next_sequence * rows.itemsize < MOST_BYTES:
            while spool.next_sequence - uplink.sent < 2 * batch:
                make(batch)
            uplink.pump(clock.now_ns())
            link.wait(0.001)
            if time.monotonic() > synced + 1.0:
                spool.sync()
                synced = time.monotonic()
        settle()
        taken, burst = time.monotonic() - start, spool.next_sequence
        due = time.monotonic()
        while time.monotonic() < start + taken + seconds / 2:
            make(1)
            due += 1.0 / PACE_HZ[kind]
            while (remaining := due - time.monotonic()) > 0.0:
                uplink.pump(clock.now_ns())
                link.wait(min(remaining, 0.002))
        settle()
        answers.send(burst)
        found: dict[str, float] = answers.recv()
        link.close()
        spool.close()
    return found | {"rate": burst / taken, "sent": burst + round(found["paced"])}


def _learner(kind: str, directory: str, answers: Connection) -> None:
    """The learner's process, until it is asked what it got."""
    contract = contract_of(kind)
    link = LearnerLink(_LOOPBACK, _LOOPBACK)
    sink = RowSink(contract)
    journal = Journal(Path(directory) / "journal", contract.step_dtype())
    config = ServerConfig(publish_s=1e9, checkpoint_s=1e9)
    server = LearnerServer(link, sink, journal, Path(directory), MonotonicClock(), KEY, config)
    answers.send(link.endpoints)
    while not answers.poll():
        if not server.pump():
            link.wait(0.01)
    answers.send(sink.summary(int(answers.recv())))
    link.close()


def _raw(kind: str, seconds: float) -> dict[str, float]:
    rows = _blank(kind, max(1, BATCH_BYTES // contract_of(kind).step_dtype().itemsize))
    data, one = rows.tobytes(), rows[:1].tobytes()
    with _child(_raw_receiver, kind, "") as (answers, where):
        context = zmq.Context()
        socket = context.socket(zmq.PUSH)
        socket.set(zmq.SNDHWM, 64)
        socket.connect(where[0])
        start, sent = time.monotonic(), 0
        while time.monotonic() < start + seconds / 2 and sent * rows.itemsize < MOST_BYTES:
            socket.send_multipart([time.monotonic_ns().to_bytes(8, "little"), data])
            sent += len(rows)
        socket.send_multipart([b"", b""])
        answers.recv()
        taken = time.monotonic() - start
        due = time.monotonic()
        for _ in range(round(seconds / 2 * PACE_HZ[kind])):
            socket.send_multipart([time.monotonic_ns().to_bytes(8, "little"), one])
            due += 1.0 / PACE_HZ[kind]
            time.sleep(max(0.0, due - time.monotonic()))
        socket.send_multipart([b"", b""])
        late: NDArray[np.float64] = answers.recv()
        context.destroy(linger=0)
    return {"rate": sent / taken, "p50": float(np.median(late)), "p99": float(np.percentile(late, 99))}


def _raw_receiver(kind: str, directory: str, answers: Connection) -> None:
    context = zmq.Context()
    socket = context.socket(zmq.PULL)
    socket.set(zmq.RCVHWM, 64)
    socket.bind(_LOOPBACK)
    answers.send((socket.getsockopt(zmq.LAST_ENDPOINT).rstrip(b"\0").decode(),))  # type: ignore[union-attr]
    for _ in range(2):
        late = []
        while (frames := socket.recv_multipart())[0]:
            late.append((time.monotonic_ns() - int.from_bytes(frames[0], "little")) * 1e-6)
        answers.send(np.array(late))
    context.destroy(linger=0)


@contextmanager
def _child(target: Any, kind: str, directory: str) -> Iterator[tuple[Connection, tuple[str, ...]]]:
    """A process of its own, as robot and learner are; what it binds to comes first."""
    processes = multiprocessing.get_context("spawn")
    ours, theirs = processes.Pipe()
    child = processes.Process(target=target, args=(kind, directory, theirs), daemon=True)
    child.start()
    theirs.close()
    try:
        yield ours, ours.recv()
        child.join(10.0)
    finally:
        if child.is_alive():
            child.kill()
        child.join()
