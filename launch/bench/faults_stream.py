"""Faults of the learner, its link and the disk: whatever they do, not one bit of the drive changes.

The courier is the real one, on a link within this thread; the learner's end is scripted, so that it can
misbehave. What arrives as a policy goes through the real store and the real loader.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from launch.bench import faults_defective_devices as broken
from launch.bench import faults_defects as defective
from launch.bench.faults_cell import cell
from launch.bench.faults_judge import Expected
from launch.bench.faults_run import Run
from robot.contract import step_dtype
from robot.courier import Courier
from robot.direct_link import direct_link_pair
from robot.errors import WireError
from robot.messages import SCHEMA_VERSION, Acknowledgement, Hello, PolicyMessage, Steps, Welcome
from robot.policy import PolicyLoader
from robot.uplink import SILENCE_NS
from robot.wire import decode_from_robot, encode, sign_policy

PUMP_TICKS = 2
"""The courier's round: 20 ms, as in real time."""
FLOOD = 300
KEY = bytes(range(32))


class Stream:
    """A courier and a learner that answers, streaming rows, from now on. ``answers``: the learner's end takes
    and acknowledges; without, it is silent. ``takes``: it reads at all."""

    def __init__(self, run: Run) -> None:
        drive, session = run.drive, run.drive.session
        self._run, self._drive = run, drive
        self.answers = self.takes = True
        directory = session.directory / f"run-{os.getpid()}"
        near, self.far = direct_link_pair()
        self.courier = Courier(
            session.spec,
            session.contract,
            drive.board,
            directory,
            near,
            drive.clock,
            KEY,
            session.manifest.session,
            session.manifest.calibration_hash,
            sync_s=None,
        )
        self.loader = PolicyLoader(
            directory / "policies",
            session.contract,
            session.manifest.calibration_hash,
            drive.board,
            drive.clock,
        )
        self.loaded = 0
        self._row = np.zeros(1, step_dtype(session.contract))
        self._received = 0
        for _ in range(4):
            self._pump()
        run.on_tick.append(self._tick)

    @property
    def connected(self) -> bool:
        uplink = self.courier.uplink
        return uplink is not None and uplink.connected(self._drive.now_ns)

    def _tick(self, now_ns: int) -> None:
        ticks = self._drive.ticks
        if ticks % self._drive.spec.ticks_per_step == 0:
            self._row["sequence"] = self._drive.board.steps.written
            self._row["time_ns"] = now_ns
            self._drive.board.steps.push(self._row)
        if ticks % PUMP_TICKS == 0:
            self._pump()

    def _pump(self) -> None:
        self.courier.pump()
        self.loaded += self.loader.take() is not None
        if not self.takes:
            return
        for identity, frames in self.far.receive():
            if not self.answers:
                continue
            try:
                message = decode_from_robot(frames)
            except WireError:
                continue
            if isinstance(message, Hello):
                self.far.send(identity, encode(Welcome(schema=SCHEMA_VERSION, next_sequence=self._received)))
            elif isinstance(message, Steps):
                self._received = message.first_sequence + message.count
                self.far.send(identity, encode(self.acknowledgement()))

    def acknowledgement(self) -> Acknowledgement:
        return Acknowledgement(
            schema=SCHEMA_VERSION,
            session=self._drive.session.manifest.session,
            received=self._received,
            durable=self._received,
            updates=0,
            steps=self._received,
            updates_per_s=0.0,
            update_ratio=0.0,
            policy_version=0,
        )


def stream(run: Run) -> Stream:
    """Rows flowing, the learner connected: counts as struck only then."""
    streaming = Stream(run)
    if streaming.connected:
        run.hit()
    run.watch_s = 1.0
    return streaming


@cell("learner death", defective.guardian_that_minds_the_learner, compare=True)
def learner_dies(run: Run) -> Expected:
    """The learner says nothing any more, and takes nothing: rows wait in the spool."""
    streaming = stream(run)
    streaming.takes = False
    before = streaming.courier.spool.next_sequence
    if streaming.courier.uplink is not None:
        streaming.courier.uplink._heard_ns = run.drive.now_ns - SILENCE_NS  # long enough to count as gone

    def kept() -> str | None:
        rows = streaming.courier.spool.next_sequence - before
        return None if rows > 10 and not streaming.connected else f"{rows} rows were spooled"

    run.checks.append(kept)
    return Expected("never")


@cell("half-open TCP", defective.guardian_that_minds_the_learner, compare=True)
def link_half_open(run: Run) -> Expected:
    """The link takes rows and never answers."""
    streaming = stream(run)
    streaming.answers = False
    uplink = streaming.courier.uplink

    def waiting() -> str | None:
        return None if uplink is None or uplink.sent > uplink.received else "the learner answered"

    run.checks.append(waiting)
    return Expected("never")


@cell("flood", defective.guardian_that_minds_the_learner, compare=True)
def link_floods(run: Run) -> Expected:
    """The learner's end sends hundreds of messages a tick: nonsense, answers, policies."""
    streaming = stream(run)
    answer = encode(streaming.acknowledgement())

    def flood(now_ns: int) -> None:
        noise = run.rng.bytes(FLOOD * 200)
        sizes, nonsense = run.rng.integers(1, 200, FLOOD), run.rng.random(FLOOD) < 0.5
        for k, (size, garbage) in enumerate(zip(sizes.tolist(), nonsense.tolist(), strict=True)):
            data = noise[200 * k : 200 * k + size]
            streaming.far.send(streaming.far.IDENTITY, [data] if garbage else answer)
        streaming.far.publish(run.rng.bytes(1000))
        run.hit(now_ns)

    run.on_tick.append(flood)
    return Expected("never")


@cell("bad bundle", broken.courier_without_verification, compare=True)
def policy_bundle_bad(run: Run) -> Expected:
    """A policy that is garbage, altered, unsigned, for another robot, or signed and no policy: never
    loaded."""
    streaming = stream(run)
    session = run.drive.session
    contract, calibration = session.contract.hash(), session.manifest.calibration_hash
    kinds = ("garbage", "altered", "signature", "contract", "calibration", "torn", "no policy")
    kind = run.choose("kind", *kinds)
    onnx = run.rng.bytes(int(run.rng.integers(100, 5000)))
    key = run.rng.bytes(32) if kind == "signature" else KEY
    made = sign_policy(
        key,
        1 + int(run.rng.integers(1000)),
        "0" * 64 if kind == "contract" else contract,
        "0" * 64 if kind == "calibration" else calibration,
        onnx,
    )
    frame = _policy_frame(made)
    if kind == "garbage":
        frame = run.rng.bytes(len(frame))
    elif kind == "altered":
        at = frame.rindex(onnx) + int(run.rng.integers(len(onnx)))
        frame = frame[:at] + bytes([frame[at] ^ 1 << int(run.rng.integers(8))]) + frame[at + 1 :]
    elif kind == "torn":
        frame = frame[: int(run.rng.integers(1, len(frame)))]
    announced = run.drive.board.policy.sequence

    def publish(now_ns: int) -> None:
        streaming.far.publish(frame)
        run.hit(now_ns)

    def refused() -> str | None:
        if streaming.loaded:
            return "the policy was loaded"
        if kind == "no policy":
            # Ours by its signature: the store cannot know; the loader does.
            return None if streaming.loader.refused else "nobody looked at it"
        if run.drive.board.policy.sequence != announced:
            return "the policy was handed to the pilot"
        return None if streaming.courier.policies.refused else "nobody looked at it"

    run.on_tick.append(publish)
    run.checks.append(refused)
    return Expected("never")


def _policy_frame(message: PolicyMessage) -> bytes:
    (frame,) = encode(message)
    return frame


@cell("disk full", defective.guardian_that_minds_the_learner, compare=True)
def disk_full(run: Run) -> Expected:
    """No room left on the courier's disk: it says so, and rows wait in their ring."""
    streaming = stream(run)
    write = os.write

    def full(descriptor: int, data: Any) -> int:
        if Path(f"/proc/self/fd/{descriptor}").readlink().is_relative_to(run.drive.session.directory):
            run.hit()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data)

    mock.patch.object(os, "write", full).start()

    def told() -> str | None:
        return None if streaming.courier.disk_full else "the courier did not notice"

    run.checks.append(told)
    return Expected("never")
