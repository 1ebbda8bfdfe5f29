"""What people's hands arrive through: stops by network, emergency stop mailboxes, a gamepad's events.
Whatever is in them can stop the robot and do nothing else, and only a sound record says that all is well."""

from __future__ import annotations

import os
import random
import struct
import zlib
from pathlib import Path

import msgspec
import numpy as np
from fuzz_bytes import EDGES, NUMBERS, damaged, plain_lie
from fuzz_target import Case, Tally, Target
from small_session import SPEC

from robot import wire
from robot.clock import SimulatedClock
from robot.direct_link import direct_link_pair
from robot.estop.gamepad import GamepadButton
from robot.estop.stop_receiver import HOLD_NS, StopReceiver
from robot.estop_inbox import EstopInbox
from robot.messages import ESTOP_DTYPE, SCHEMA_VERSION, EstopState, Stop, state_dtype
from robot.people_spec import Estop, EstopSource
from robot.shared_memory import Mailbox

TIMEOUT_NS = 200_000_000


def start_stops(folder: Path) -> Case:
    """The courier's end of ``sandlot stop``: pressed exactly while a valid message is young."""
    clock = SimulatedClock(10**9)
    robot, far = direct_link_pair()
    mailbox = Mailbox(folder / "estop.mailbox", ESTOP_DTYPE, create=True)
    state = Mailbox(folder / "state.mailbox", state_dtype(SPEC), create=True)
    receiver = StopReceiver(far, mailbox, state, "s", clock, lambda kind, value, text: None)
    until = [0]

    def case(rng: random.Random, tally: Tally) -> None:
        message = wire.encode(Stop(schema=SCHEMA_VERSION, reason=rng.choice(("", "a cat", "x" * 2000))))
        frames = message
        how = rng.random()
        if how < 0.4:
            frames = [damaged(rng, message, bytes((0x80, 0xA0, 0xC1, 0xDB, 0xDF)))]
        elif how < 0.7:
            frames = [msgspec.msgpack.encode(plain_lie(rng, msgspec.msgpack.decode(message[0])))]
        elif how < 0.8:
            frames = rng.choice(([], message * 2, [b""]))
        try:
            valid = len(frames) == 1 and len(frames[0]) <= 1024
            plain = msgspec.msgpack.decode(frames[0]) if valid else None
            right = {"type": "Stop", "schema": SCHEMA_VERSION, "reason": str(plain["reason"])}
            valid = {"type": "Stop"} | plain == right  # one of its kind need not say which it is
        except (msgspec.DecodeError, ValueError, KeyError, TypeError, RecursionError):
            valid = False
        robot.send(frames)
        tally.bytes += sum(map(len, frames))
        now, refused = clock.now_ns(), receiver.refused
        receiver.pump()
        if valid:
            until[0] = now + HOLD_NS
            assert wire.decode_stopped(robot.receive()[-1]).session == "s", "a stop is answered"
            tally.taken += 1
        else:
            assert receiver.refused == refused + 1
            tally.refused["no stop"] += 1
        record = mailbox.read()
        assert record is not None
        pressed = int(record["state"][0]) == EstopState.OPEN
        assert pressed == (now < until[0]), "pressed without a stop, or not pressed with one"
        clock.sleep_until(now + rng.choice((10_000_000, HOLD_NS, 2 * HOLD_NS)))

    return case


def start_estops(folder: Path) -> Case:
    """The guardian's end: silence and nonsense stop, and only a young record that says so is all well."""
    clock = SimulatedClock(10**9)
    names = ("button", "network")
    timeout_s = TIMEOUT_NS / 1e9
    sources = tuple(EstopSource(name=n, kind="network", port="", timeout_s=timeout_s) for n in names)
    boxes = {n: Mailbox(folder / f"{n}.mailbox", ESTOP_DTYPE, create=True) for n in names}
    files = {n: os.open(folder / f"{n}.mailbox", os.O_RDWR) for n in names}

    def case(rng: random.Random, tally: Tally) -> None:
        inbox = EstopInbox(Estop(sources=sources), boxes)
        for _ in range(rng.randrange(1, 20)):
            now = clock.now_ns()
            for name in names:
                if rng.random() < 0.5:
                    continue
                record = np.frombuffer(bytearray(rng.randbytes(ESTOP_DTYPE.itemsize)), ESTOP_DTYPE)
                sound = rng.random() < 0.7
                if rng.random() < 0.9:
                    record["state"] = rng.choice((0, 1, 1, 1, 1, 2, 3, 255))
                    record["presses"] = rng.choice((0, 0, 0, 0, 1, 2**32 - 1))
                    age = rng.choice((0, 0, 0, TIMEOUT_NS, TIMEOUT_NS + 1, -1, 2**40))
                    record["time_ns"] = now - age
                sequence = (boxes[name].sequence + rng.choice((1, 1, 1, 7, rng.choice(NUMBERS)))) % 2**64
                record["sequence"] = sequence
                check = zlib.crc32(record.tobytes()) ^ (0 if sound else rng.choice(EDGES[1:]))
                os.pwrite(
                    files[name], record.tobytes() + check.to_bytes(4, "little"), 64 + 64 * (sequence & 1)
                )
                os.pwrite(files[name], sequence.to_bytes(8, "little"), 24)
                tally.bytes += ESTOP_DTYPE.itemsize + 12
            inbox.update(clock)
            assert bool(inbox.summary & 2) == inbox.pressed
            if inbox.summary == 0:
                for name in names:
                    last = boxes[name].read()
                    young = last is not None and 0 <= now - int(last["time_ns"][0]) <= TIMEOUT_NS
                    said = last is not None and int(last["state"][0]) == EstopState.CLOSED
                    torn = last is None
                    assert torn or (young and said), f"{name}: taken for well"
                tally.taken += 1
            else:
                tally.refused["pressed" if inbox.pressed else "silent"] += 1
            clock.sleep_until(now + rng.choice((10_000_000, TIMEOUT_NS)))

    return case


def start_gamepad(folder: Path) -> Case:
    """Linux input events from a pipe: the button is down exactly while the last event of its own says so."""
    path = folder / "pad"
    os.mkfifo(path)
    button = 0x130
    event = struct.Struct("llHHi")

    def case(rng: random.Random, tally: Tally) -> None:
        writer = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        pad = GamepadButton(str(path), button)
        assert pad.read(0) == EstopState.CLOSED, "nobody has pressed it"
        whole, down = b"", False
        for tick in range(rng.randrange(1, 10)):
            data = b""
            for _ in range(rng.randrange(5)):
                kind, code = rng.choice((0, 1, 1, 3)), rng.choice((button, 3, 7))
                one = event.pack(0, 0, kind, code, rng.choice((0, 1, 2, -5)))
                data += one if rng.random() < 0.9 else damaged(rng, [one], bytes(EDGES), 24)
            os.write(writer, data)
            tally.bytes += len(data)
            whole += data
            pressed = False
            while len(whole) >= event.size:
                _, _, kind, code, value = event.unpack(whole[: event.size])
                whole = whole[event.size :]
                if kind == 1 and code == button:
                    down = value != 0
                    pressed |= down
                elif kind == 0 and code == 3:
                    down = False  # a pipe cannot be asked which keys are down
            state = pad.read(tick)
            assert state == (EstopState.OPEN if pressed or down else EstopState.CLOSED)
            tally.taken += pressed
            tally.refused["not the button"] += not pressed
        os.close(writer)
        assert pad.read(100) == EstopState.UNKNOWN, "gone is not the same as not pressed"
        pad.close()

    return case


TARGETS = (
    Target("stops", start_stops, 0.3),
    Target("estops", start_estops, 0.3),
    Target("gamepad", start_gamepad, 0.3),
)
