"""Windows of a robot's log on the twin: started from the log, sent what the robot was sent, many at once.

In a window's lead-in the twin is held to the log: every slot its pose and velocity are put where the log has
them, while servo, motor, speed loop, wheels and suspension follow. Then it is let go, and nobody corrects. Or
it is let go at the lead-in's begin: whatever the log has wrong, it is forgotten by the window's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from robot.spec import RobotSpec
from sim.fleet import CarFleet
from sim.fleet_drive import FleetDrive, period_ms
from sim.log_windows import HEADING, Windows
from sim.plant import Array
from sim.randomisation import command_delay
from sim.world import hall

TIMESTEP: Final = 0.001
"""Of the physics [s]; at 2 ms a tight bend parts from the twin by 5 mrad in half a second, at 1 ms by 2."""
SETTLE_STEPS: Final = 200
HALL: Final = hall(500.0)


@dataclass(frozen=True)
class Replayed:
    """What the twin made of each window; NaN once its physics has diverged. ``states``:
    ``log_windows.ELEMENTS`` at the beginning of each slot and the end of the last, shape (N, slots + 1, 6),
    headings unwrapped. ``current`` of the motor [A] and ``voltage`` at the controller's terminals [V] in each
    millisecond, shape (N, slots, ms) each."""

    states: Array
    current: Array
    voltage: Array


def replay(
    spec: RobotSpec,
    windows: Windows,
    truths: Sequence[Mapping[str, float]] | None = None,
    timestep: float = TIMESTEP,
    threads: int = 0,
) -> Array:
    """The ``states`` of ``replay_drive``."""
    return replay_drive(spec, windows, truths, timestep=timestep, threads=threads).states


def replay_drive(
    spec: RobotSpec,
    windows: Windows,
    truths: Sequence[Mapping[str, float]] | None = None,
    delays_s: Array | None = None,
    timestep: float = TIMESTEP,
    threads: int = 0,
    held: bool = True,
) -> Replayed:
    """What the twin makes of each window, held to the log in its lead-in or (``held`` False) not.

    ``truths``: for each window, values of ``sim.car.CarParameters`` that differ from the calibration;
    ``delays_s``: how long a command is on the wire [s], to the millisecond (None: as ``CONDITIONS`` has it).
    The same for any number of threads, and for any one window whatever others are replayed beside it.
    """
    n, lead = len(windows), windows.lead
    fleet = CarFleet(spec, HALL, truths or [{}] * n, timestep, threads, SETTLE_STEPS)
    drive = FleetDrive(spec, fleet)
    delays = np.full(n, command_delay(spec)) if delays_s is None else delays_s
    wire_ms = np.rint(1e3 * delays).astype(np.int64)
    slot_ms = period_ms(spec)
    everyone, never = np.arange(n), np.zeros(n, bool)
    first = windows.states[:, 0]
    fleet.place(everyone, first[:, :3], first[:, 3])
    integral, ramped = windows.memory.T
    drive.start(everyone, first[:, 3], integral, ramped, windows.steered)
    found = np.full((n, windows.slots + 1, first.shape[1]), np.nan)
    current = np.full((n, windows.slots, slot_ms), np.nan)
    voltage = current.copy()
    for slot in range(lead + windows.slots):
        if slot <= (lead if held else 0):
            fleet.seat(everyone, windows.states[:, slot, :3], windows.states[:, slot, 3:])
        if slot >= lead:
            found[:, slot - lead] = _state(fleet)
        drive.command(windows.sent[:, slot], windows.late_ms[:, slot] + wire_ms, never)
        for ms in range(slot_ms):
            drive.step()
            if slot >= lead:
                current[:, slot - lead, ms] = fleet.motor.current
                voltage[:, slot - lead, ms] = fleet.motor.input_voltage
    found[:, -1] = _state(fleet)
    for values in (found, current, voltage):
        values[fleet.diverged] = np.nan
    # Turns are counted as in the log.
    yaw = np.concatenate((windows.states[:, lead, HEADING, None], found[..., HEADING]), axis=1)
    found[..., HEADING] = np.unwrap(yaw, axis=1)[:, 1:]
    return Replayed(found, current, voltage)


def _state(fleet: CarFleet) -> Array:
    """Where the cars are now, shape (n, 6)."""
    rotation = fleet.attitude()
    velocity = np.einsum("nij,ni->nj", rotation, fleet.velocity)
    yaw = np.arctan2(rotation[:, 1, 0], rotation[:, 0, 0])
    return np.column_stack((fleet.position[:, :2], yaw, velocity[:, :2], fleet.angular_velocity[:, 2]))
