"""The shared memory of one session: who writes what, in one place.

| record         | kind    | writer          | readers                      |
|----------------|---------|-----------------|------------------------------|
| state          | mailbox | guardian        | pilot, terminal view         |
| first_fault    | mailbox | guardian        | who looks for the reason     |
| command        | mailbox | pilot           | guardian                     |
| operator       | mailbox | operator        | guardian                     |
| hand           | mailbox | an input device | pilot, operator              |
| cues           | mailbox | operator        | pilot                        |
| pose           | mailbox | a pose feeder   | guardian                     |
| estop_NAME     | mailbox | its feeder      | guardian                     |
| pilot          | mailbox | pilot           | courier, terminal view       |
| policy         | mailbox | courier         | pilot                        |
| courier        | mailbox | courier         | terminal view                |
| ticks          | ring    | guardian        | courier                      |
| steps          | ring    | pilot           | courier                      |
| guardian_events, pilot_events, operator_events, camera_events | ring | named | courier |
| camera_NAME    | frames  | cameras         | courier                      |
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from robot.contract import TaskContract, step_dtype
from robot.frame_ring import FrameRing
from robot.messages import (
    COURIER_DTYPE,
    CUE_DTYPE,
    ESTOP_DTYPE,
    EVENT_DTYPE,
    OPERATOR_DTYPE,
    PILOT_DTYPE,
    POSE_DTYPE,
    command_dtype,
    fault_dtype,
    hand_dtype,
    state_dtype,
    tick_dtype,
)
from robot.shared_memory import Mailbox, Ring
from robot.spec import RobotSpec

RING_SECONDS = 60
"""How long the courier may be away before the rings overflow (the logs' and the stream's only loss)."""

FRAME_SECONDS = 8
"""The same for pictures, which take more room."""

POLICY_DTYPE = np.dtype([("sequence", "<u8"), ("time_ns", "<i8"), ("version", "<u4")], align=True)
"""Courier to pilot: a verified policy lies in the session's ``policies`` folder under this version."""


class Board:
    """All mailboxes and rings of a session in ``directory``. The supervisor creates, the processes attach."""

    def __init__(
        self, directory: Path, spec: RobotSpec, contract: TaskContract, create: bool = False
    ) -> None:
        self.directory = directory

        def mailbox(name: str, dtype: np.dtype[np.void]) -> Mailbox:
            return Mailbox(directory / f"{name}.mailbox", dtype, create)

        def ring(name: str, dtype: np.dtype[np.void], slots: int) -> Ring:
            return Ring(directory / f"{name}.ring", dtype, slots, create)

        self.state = mailbox("state", state_dtype(spec))
        self.first_fault = mailbox("first_fault", fault_dtype(spec))
        self.command = mailbox("command", command_dtype(spec))
        self.operator = mailbox("operator", OPERATOR_DTYPE)
        self.hand = mailbox("hand", hand_dtype(spec))
        self.cues = mailbox("cues", CUE_DTYPE)
        self.pose = mailbox("pose", POSE_DTYPE)
        self.estops = {s.name: mailbox(f"estop_{s.name}", ESTOP_DTYPE) for s in spec.estop.sources}
        self.pilot = mailbox("pilot", PILOT_DTYPE)
        self.policy = mailbox("policy", POLICY_DTYPE)
        self.courier = mailbox("courier", COURIER_DTYPE)
        self.ticks = ring("ticks", tick_dtype(spec), round(spec.rates.guardian_hz * RING_SECONDS))
        self.steps = ring("steps", step_dtype(contract), round(spec.rates.policy_hz * RING_SECONDS))
        self.guardian_events = ring("guardian_events", EVENT_DTYPE, 1024)
        self.pilot_events = ring("pilot_events", EVENT_DTYPE, 1024)
        self.operator_events = ring("operator_events", EVENT_DTYPE, 256)
        self.camera_events = ring("camera_events", EVENT_DTYPE, 256)
        self.frames = {
            camera.name: FrameRing(
                directory / f"camera_{camera.name}.ring",
                camera.name,
                camera.most_bytes,
                round(camera.rate_hz * FRAME_SECONDS) + 1,
                create,
            )
            for camera in spec.cameras
        }

    @property
    def rings(self) -> dict[str, Ring]:
        """All rings of records, by name."""
        return {name: part for name, part in vars(self).items() if isinstance(part, Ring)}

    @property
    def dropped(self) -> dict[str, int]:
        """How many records, and frames of each camera, ever found their ring full."""
        records = {name: ring.dropped for name, ring in self.rings.items()}
        return records | {f"camera_{name}": frames.dropped for name, frames in self.frames.items()}
