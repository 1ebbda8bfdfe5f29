"""``sandlot bench teleop``: from a person's input to the bytes for the drive, and what a robot does when the
input device vanishes.

A session on the twin in real time, as ``sandlot teleop`` starts it, with a script for a person. The log tells
for each input when it was made and in which guardian tick it was first obeyed.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import numpy as np
import tomli_w
from numpy.typing import NDArray

from launch.conduct import conduct
from launch.manifest import Setup
from launch.session import Session, create_session
from robot.errors import SandlotError
from robot.log_reader import Rows, read_log
from robot.messages import SafetyState

SETTLED_S: Final = 8.0
"""From the device's start to the first hold: everything else has to come up [s]."""
ARMING_S: Final = 4.0
"""How long it is held until it drives: the first input that the log has is then that of taking hold [s]."""
SPEED, BRAKING_S, HELD_S = 0.6, 3.0, 3.0
"""Of an axis while driving, and how long a vanished device stays away and a new hold lasts [s]."""
ROOM: Final = """
name = "room"
description = "room to turn on the spot, in the course's own directions"
half_width = 4.0
floor_friction = 1.0
wall = { height = 0.25, thickness = 0.1 }
start = { distance = 1.0 }
segments = [
    { length = 5.0 },
    { radius = 5.0, turn_degrees = 180.0 },
    { length = 5.0 },
    { radius = 5.0, turn_degrees = 180.0 },
]
"""
MOVES: Final = (int(SafetyState.ACTIVE), int(SafetyState.REDUCED))


def run(
    inputs: int = 200, vanishes: int = 10, seed: int = 0, progress: Callable[[str], None] = lambda line: None
) -> dict[str, float]:
    """Percentiles over ``inputs`` at random moments, and medians and worst over ``vanishes``. Raises
    SandlotError if the machine was too busy for any of it to be seen."""
    if inputs < 1 or vanishes < 1:
        raise SandlotError(f"inputs {inputs} and vanishes {vanishes}: at least 1 was expected")
    directory = Path(tempfile.mkdtemp(prefix="sandlot-teleop-"))
    try:
        script, gone_s, length_s = _script(inputs, vanishes, np.random.default_rng(seed))
        path = directory / "script.toml"
        path.write_text(tomli_w.dumps({"steps": script}))
        progress(f"{inputs} inputs and {vanishes} vanished devices: {length_s:.0f} s")
        session = _session(directory, path, seed, length_s)
        ending = conduct(session, "none", with_learner=False)
        if ending.error is not None:
            raise ending.error
        ticks = read_log(session.directory).ticks
        latency_ms = _latencies_ms(ticks)
        hold_ms, stands_ms = _stops_ms(session, ticks, gone_s)
        if len(latency_ms) < inputs // 2 or not hold_ms:
            raise SandlotError(f"of {inputs} inputs only {len(latency_ms)} were obeyed; is the machine busy?")
        return {
            "inputs_count": len(latency_ms),
            "input_to_sent_p50_ms": float(np.percentile(latency_ms, 50)),
            "input_to_sent_p99_ms": float(np.percentile(latency_ms, 99)),
            "policy_period_ms": 1e3 / session.spec.rates.policy_hz,
            "vanishes_count": len(hold_ms),
            "vanished_to_stop_p50_ms": float(np.median(hold_ms)),
            "vanished_to_stop_worst_ms": max(hold_ms),
            "vanished_to_standstill_worst_ms": max(stands_ms, default=float("nan")),
        }
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _script(
    inputs: int, vanishes: int, rng: np.random.Generator
) -> tuple[list[dict[str, object]], list[float], float]:
    """The steps, when the device vanishes and how long it all lasts [s]: round and round."""
    steps: list[dict[str, object]] = [{"at_s": 0.0, "held": False}, {"at_s": SETTLED_S}]
    at_s, gone_s = SETTLED_S + ARMING_S, []

    def drive() -> None:
        steering = -1.0 + 0.2 * rng.uniform()
        steps.append({"at_s": round(at_s, 4), "axes": {"speed": SPEED, "steering": steering}})

    for _ in range(inputs):
        drive()
        at_s += rng.uniform(0.12, 0.22)
    for _ in range(vanishes):
        gone_s.append(round(at_s, 4))
        steps.append({"at_s": gone_s[-1], "connected": False})
        at_s += BRAKING_S
        drive()
        at_s += HELD_S + rng.uniform(0.0, 0.1)
    steps.append({"at_s": at_s, "held": False})
    return steps, gone_s, at_s + 1.0


def _session(directory: Path, script: Path, seed: int, length_s: float) -> Session:
    world = directory / "room.toml"
    world.write_text(ROOM)
    setup = Setup(demonstration_laps=0, update_ratio=0, evaluate_every=0, teleop=f"script:{script}")
    return create_session(
        "racer",
        "oval",
        role="teleop",
        runs=directory / "runs",
        twin=True,
        attended=True,
        seed=seed,
        minutes=(length_s - SETTLED_S) / 60.0,
        world=str(world),
        setup=setup,
    )


def _latencies_ms(ticks: Rows) -> list[float]:
    """Of each input that found the robot moving, from when it was made to the end of the tick that first sent
    it."""
    made_ns, first = np.unique(ticks["command"]["input_ns"], return_index=True)
    rows = ticks[first]
    took_ms = (rows["time_ns"] + rows["busy_ns"] - made_ns) * 1e-6
    moves = np.isin(ticks["safety_state"], MOVES)
    then = np.searchsorted(ticks["time_ns"], made_ns) - 1
    obeyed = (made_ns > 0) & (then >= 0) & moves[then] & moves[first]
    return list(took_ms[obeyed].astype(float))


def _stops_ms(session: Session, ticks: Rows, gone_s: Iterable[float]) -> tuple[list[float], list[float]]:
    """From each vanishing to the tick in which the guardian stops the robot, and to its standstill."""
    spec = session.spec
    speed = ticks["state"][:, spec.state_layout.index(spec.stop.standstill)]
    began_ns = int(np.min(ticks["command"]["input_ns"][ticks["command"]["input_ns"] > 0]))
    time_ns: NDArray[np.int64] = ticks["time_ns"]
    moves = np.isin(ticks["safety_state"], MOVES)
    hold_ms, stands_ms = [], []
    for at_s in gone_s:
        at_ns = began_ns + round((at_s - SETTLED_S) * 1e9)
        at = int(np.searchsorted(time_ns, at_ns))
        until = int(np.searchsorted(time_ns, at_ns + round(BRAKING_S * 1e9)))
        if at == 0 or not moves[at - 1]:
            continue  # it had been stopped by something else
        stopped = np.flatnonzero(~moves[at:until])
        stands = np.flatnonzero(np.abs(speed[at:until]) < spec.stop.standstill_below)
        if len(stopped):
            hold_ms.append(float(time_ns[at + stopped[0]] - at_ns) * 1e-6)
        if len(stands):
            stands_ms.append(float(time_ns[at + stands[0]] - at_ns) * 1e-6)
    return hold_ms, stands_ms
