"""What comes over the network: messages, rows, policies; taken by the code that takes them on the robot and
at the learner, with nothing in between but the link."""

from __future__ import annotations

import hashlib
import random
import shutil
import socket
import zlib
from pathlib import Path
from typing import Any

import msgspec
from counting_learner import CountingLearner
from fuzz_bytes import anything, cut, damaged, plain_lie, stream
from fuzz_target import Case, Tally, Target
from small_session import CALIBRATION, CONTRACT, KEY, SPEC, STEP, make_rows

from learners.journal import Journal
from learners.server import LearnerServer, ServerConfig
from robot import wire
from robot.board import POLICY_DTYPE, Board
from robot.clock import SimulatedClock
from robot.courier import Courier
from robot.direct_link import direct_link_pair
from robot.errors import PolicyError, WireError
from robot.messages import SCHEMA_VERSION, Acknowledgement, Hello, Refusal, Steps, Welcome
from robot.policy_store import PolicyStore
from robot.shared_memory import Mailbox
from robot.transport import LearnerLink, RobotLink

DENSE = bytes((0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC1, 0xC4, 0xC6, 0xDC, 0xDD, 0xDE, 0xDF, 0xFF))
"""Maps, lists, texts and binaries of MessagePack, those with 32-bit lengths among them."""

Frames = list[bytes]


def emptied(folder: Path) -> Path:
    """The same folder with nothing in it: a long campaign must not fill the disk."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def hello(rng: random.Random, session: str = "s") -> Hello:
    return Hello(
        schema=SCHEMA_VERSION,
        robot="racer",
        session=session,
        contract=CONTRACT.plain(),
        calibration_hash=CALIBRATION,
        first_sequence=rng.choice((0, 0, 0, 3)),
    )


def acknowledgement(rng: random.Random, session: str = "s") -> Acknowledgement:
    number = rng.choice((0, 5, 100, 2**40))
    return Acknowledgement(
        schema=SCHEMA_VERSION,
        session=session,
        received=number,
        durable=rng.choice((0, number)),
        updates=number,
        steps=number,
        updates_per_s=rng.choice((0.0, 6.5, float("nan"))),
        update_ratio=1.0,
        policy_version=rng.choice((0, 7)),
    )


def liar(rng: random.Random, frames: Frames) -> Frames:
    """A message damaged as bytes, as data, or in its number of frames."""
    how = rng.random()
    if how < 0.35:
        which = rng.randrange(len(frames) or 1)
        frames = [damaged(rng, [f], DENSE) if k == which else f for k, f in enumerate(frames)]
    elif how < 0.75:
        try:
            plain = msgspec.msgpack.decode(frames[0])
        except (msgspec.DecodeError, ValueError, IndexError):
            return frames  # damaged before
        frames = [_packed(plain_lie(rng, plain)), *frames[1:]]
    elif how < 0.8:
        frames = [_packed(anything(rng)), *frames[1:]]
    elif how < 0.85:
        frames = rng.choice(([], frames * 2, frames[::-1], [*frames, b""], [b"", *frames]))
    return frames


def _packed(plain: object) -> bytes:
    try:
        return msgspec.msgpack.encode(plain)
    except (OverflowError, ValueError):
        return b"\xc1"


def honest_or_not(rng: random.Random) -> Frames:
    """A message of any kind, in either direction, whole or not."""
    first = rng.choice((0, 5, 2**62))
    rows = make_rows(first % 1000, rng.randrange(1, 6))
    frames = rng.choice(
        (
            lambda: wire.encode(hello(rng)),
            lambda: wire.encode(acknowledgement(rng)),
            lambda: wire.encode(Welcome(schema=SCHEMA_VERSION, next_sequence=rng.choice((0, 9, 2**63 - 1)))),
            lambda: wire.encode(Refusal(schema=SCHEMA_VERSION, reason="because")),
            lambda: wire.encode_steps("s", first, rows),
            lambda: wire.encode(wire.sign_policy(KEY, 3, CONTRACT.hash(), CALIBRATION, rng.randbytes(100))),
        )
    )()
    return liar(rng, frames)


def start_wire(folder: Path) -> Case:
    def case(rng: random.Random, tally: Tally) -> None:
        frames = honest_or_not(rng)
        tally.bytes += sum(map(len, frames))
        for decode in (wire.decode_from_robot, wire.decode_from_learner):
            try:
                message = decode(frames)
                assert message.schema == SCHEMA_VERSION
                wire.encode(message)
                tally.taken += 1
                if isinstance(message, Steps):
                    rows = wire.decode_rows(message, frames, STEP)
                    assert zlib.crc32(frames[1]) == message.crc and rows.tobytes() == frames[1]
                    assert len(rows) == message.count
            except WireError as error:
                tally.refused[str(error)[:24]] += 1
        for frame in frames[:1]:
            try:
                policy = wire.decode_policy(frame)
                wire.verify_policy(KEY, policy)
                signed = wire.sign_policy(
                    KEY, policy.version, policy.contract_hash, policy.calibration_hash, policy.onnx
                )
                assert signed == policy and hashlib.sha256(policy.onnx).digest() == policy.sha256
                tally.taken += 1
            except (WireError, PolicyError) as error:
                tally.refused[str(error)[:24]] += 1
        described = wire.describe(STEP)
        try:
            dtype = wire.dtype_from(plain_lie(rng, described) if rng.random() < 0.9 else described)
            assert not dtype.hasobject and dtype.itemsize <= wire.MAX_ROWS
        except WireError as error:
            tally.refused[str(error)[:24]] += 1

    return case


def start_policy_store(folder: Path) -> Case:
    def case(rng: random.Random, tally: Tally) -> None:
        directory = emptied(folder / "store")
        mailbox = Mailbox(directory / "policy.mailbox", POLICY_DTYPE, create=True)
        store = PolicyStore(directory / "policies", CONTRACT, CALIBRATION, KEY, mailbox, sync=False)
        honest: dict[int, bytes] = {}
        for _ in range(rng.randrange(1, 12)):
            onnx = rng.randbytes(rng.choice((0, 40, 400)))
            version = rng.choice((1, 2, 3, 99, 2**32 - 1, 2**32, 2**63, -1))
            key = KEY if rng.random() < 0.8 else bytes(32)
            contract = CONTRACT.hash() if rng.random() < 0.8 else rng.choice(("", "x" * 64))
            policy = wire.sign_policy(key, version, contract, CALIBRATION, onnx)
            frames = liar(rng, wire.encode(policy)) if rng.random() < 0.6 else wire.encode(policy)
            frame = frames[0] if frames else b""
            tally.bytes += len(frame)
            before = store.version
            try:
                taken = store.offer(frame, 1)
            except (WireError, PolicyError) as error:
                tally.refused[str(error)[:24]] += 1
                assert store.version == before
                continue
            if taken is not None:
                assert frame == wire.encode(policy)[0] and key is KEY and contract == CONTRACT.hash()
                assert taken == version == store.version > before
                honest[version] = onnx
                tally.taken += 1
        names = {path.name for path in (directory / "policies").iterdir()}
        assert names == {f"{version:06d}.onnx" for version in honest}, "a file that no policy of ours made"
        for version, onnx in honest.items():
            assert (directory / "policies" / f"{version:06d}.onnx").read_bytes() == onnx
        record = mailbox.read()
        assert (0 if record is None else int(record["version"][0])) == max(honest, default=0)

    return case


class Replies:
    """A robot's end of a link on which anything may arrive."""

    def __init__(self) -> None:
        self.arriving: list[Frames] = []
        self.newest: bytes | None = None
        self.sent: list[Frames] = []

    def send(self, frames: Frames) -> bool:
        self.sent.append(frames)
        return True

    def receive(self) -> list[Frames]:
        messages, self.arriving = self.arriving, []
        return messages

    def policy(self) -> bytes | None:
        frame, self.newest = self.newest, None
        return frame

    def wait(self, seconds: float) -> None: ...

    def close(self) -> None: ...


def start_courier(folder: Path) -> Case:
    """The whole courier against a learner that says anything: no row is lost before it was acknowledged."""

    def case(rng: random.Random, tally: Tally) -> None:
        directory = emptied(folder / "courier")
        board = Board(directory / "board", SPEC, CONTRACT, create=True)
        link, clock = Replies(), SimulatedClock(10**9)
        run = directory / "run"
        courier = Courier(
            SPEC, CONTRACT, board, run, link, clock, KEY, "s", CALIBRATION, sync_s=None, minimum_free_bytes=0
        )
        uplink, made = courier.uplink, 0
        assert uplink is not None
        for _ in range(rng.randrange(20, 60)):
            for row in make_rows(made, 2):
                made += board.steps.push(row)
            for _ in range(rng.choice((0, 1, 3))):
                welcome = Welcome(schema=SCHEMA_VERSION, next_sequence=rng.choice((0, made)))
                kind = rng.randrange(3)
                answer = wire.encode(welcome if kind == 0 else acknowledgement(rng))
                answer = honest_or_not(rng) if kind == 2 else answer
                link.arriving.append(liar(rng, answer) if rng.random() < 0.5 else answer)
            tally.bytes += sum(len(f) for frames in link.arriving for f in frames)
            if rng.random() < 0.3:
                link.newest = (honest_or_not(rng) or [b""])[0]
                tally.bytes += len(link.newest)
            courier.pump()
            clock.sleep_until(clock.now_ns() + rng.choice((10_000_000, 600_000_000, 6_000_000_000)))
            assert 0 <= uplink.received <= uplink.sent
            assert courier.spool.next_sequence == made, "a row did not reach the spool"
            assert courier.spool.first_sequence <= max(min(uplink.durable, uplink.received), 0)
        tally.taken += len(link.sent)
        tally.refused["bad_message"] += uplink.bad_messages
        courier.close(0.0)

    return case


def start_server(folder: Path) -> Case:
    """The learner's server against a robot that says anything: what is in its journal is what was whole and
    in order."""

    def case(rng: random.Random, tally: Tally) -> None:
        directory = emptied(folder / "server")
        robot, far = direct_link_pair()
        learner, clock = CountingLearner(CONTRACT, CALIBRATION), SimulatedClock(10**9)
        journal = Journal(directory / "rows.journal", STEP)
        config = ServerConfig(pretrain=0, sync_s=None, publish_s=1e6, checkpoint_s=1e6)
        server = LearnerServer(far, learner, journal, directory, clock, KEY, config)
        at, expected = 0, 0
        for _ in range(rng.randrange(10, 60)):
            count = rng.randrange(1, 5)
            first = rng.choice((at, at, at, at, max(at - 2, 0), at + 1, 2**63 - 1))
            rows = make_rows(min(first, 10**6), count)
            frames = wire.encode_steps("s", first, rows)
            honest = rng.random() < 0.6
            if not honest:
                frames = liar(rng, frames) if rng.random() < 0.7 else honest_or_not(rng)
            if rng.random() < 0.2:
                robot.send(wire.encode(hello(rng)))
            robot.send(frames)
            tally.bytes += sum(map(len, frames))
            server.pump()
            clock.sleep_until(clock.now_ns() + 100_000_000)
            for answer in robot.receive():
                message: Any = wire.decode_from_learner(answer)
                if isinstance(message, Acknowledgement) and message.session == "s":
                    assert message.durable <= message.received
                    at = message.received
                elif isinstance(message, Welcome):
                    at = min(message.next_sequence, 10**6)
            expected = server.counts["rows"]
            assert journal.rows == expected == sum(len(r) for _, r in learner.batches)
        tally.taken += expected
        tally.refused["bad_message"] += server.counts["bad_messages"]
        server.close()
        again = Journal(directory / "rows.journal", STEP)
        stored = [rows for _, rows in again.replay()]
        again.close()
        assert sum(map(len, stored)) == expected
        assert all((a == b).all() for a, b in zip(stored, (r for _, r in learner.batches), strict=True))

    return case


GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01NULL".ljust(22, b"\0") + bytes(32)
READY = b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER"
"""What a ZeroMQ peer says first (ZMTP 3.1, RFC 37)."""


ABANDONED: list[LearnerLink] = []
"""Never closed: libzmq 4.3.5 aborts if a context ends while strangers are half-way through a handshake
(zmtp_engine.cpp:439). A learner closes its link last, when all data is on the disk."""


def start_sockets(folder: Path) -> Case:
    """Raw bytes to a learner's real ports, as anybody on its machine can send them: it lives, and serves the
    robot that comes after."""
    learner = LearnerLink("tcp://127.0.0.1:*", "tcp://127.0.0.1:*")
    ABANDONED.append(learner)
    ports = [int(endpoint.rpartition(":")[2]) for endpoint in learner.endpoints]
    message = wire.encode(Welcome(schema=SCHEMA_VERSION, next_sequence=9))[0]
    valid = [GREETING, READY, b"\0" + bytes((len(message),)) + message, GREETING + READY]

    def case(rng: random.Random, tally: Tally) -> None:
        data = stream(rng, valid, bytes((0, 1, 2, 3, 4, 5, 6, 127, 255)), rng.randrange(1, 6), 12)
        if rng.random() < 0.7:
            data = GREETING + data
        with socket.create_connection(("127.0.0.1", rng.choice(ports)), timeout=5.0) as line:
            for piece in cut(rng, data):
                try:
                    line.send(piece)
                except OSError:
                    break  # it hangs up on nonsense
        tally.bytes += len(data)
        tally.refused["nothing said"] += 1
        for _, frames in learner.receive():
            try:
                wire.decode_from_robot(frames)
                tally.taken += 1
            except WireError:
                tally.refused["no message"] += 1
        if tally.cases % 25 == 24:
            robot = RobotLink(*learner.endpoints)
            arrived: list[Frames] = []
            greeting = wire.encode(hello(rng))
            for _ in range(400):
                robot.send(greeting)
                learner.wait(0.05)
                arrived = [f for _, f in learner.receive() if f == greeting]
                if arrived:
                    break
            robot.close()
            assert arrived, "no robot gets through any more"
            tally.taken += 1

    return case


TARGETS = (
    Target("wire", start_wire, 3.0),
    Target("policy_store", start_policy_store, 0.5),
    Target("courier", start_courier, 1.0),
    Target("server", start_server, 1.0),
    Target("sockets", start_sockets, 0.05),
)
