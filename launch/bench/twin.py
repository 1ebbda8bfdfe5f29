"""Closed-loop episodes of the twin: how much of the time is bare physics, and how many there are in a minute.

The same cars, drawn once, are stepped with their motors and firmware, then behind the safety kernel, then
driven by a policy. A share is the time inside ``mujoco.batch`` of all the time that it takes, on one thread,
in processor seconds: other programs on the machine disturb that least.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from mujoco.batch import Batch
from onnx import helper

from launch.episodes import course_setting
from learners.export import policy_file
from robot.contract import TaskContract
from sim.estimate_errors import load_errors
from sim.fleet import CarFleet, Numbers
from sim.fleet_drive import FleetDrive
from sim.fleet_guardian import FleetGuardian
from sim.fleet_pilots import PolicyFile, PolicyPilots
from sim.fleet_senses import FleetSenses
from sim.randomisation import Draws, draw, randomised
from sim.rollout import SETTLE_STEPS, START_NS, Rollout, Setting, rollout
from sim.validation.smoke import EPISODES as TRIAL_EPISODES
from sim.validation.smoke import SECONDS as TRIAL_SECONDS
from sim.validation.smoke import SmokeGate

ROBOT = "racer"
UNITS = 256
"""Hidden units of each of the network's two layers: a large policy for such an observation."""
TYPICAL_S = 20.0
"""What an episode takes that succeeds: two laps at 2 m/s."""
SPEED = 1.0
"""At which cars roll straight on where no policy drives [m/s]."""


def run(
    course: str,
    episodes: int,
    seconds: float,
    repeats: int,
    policy: Path | None,
    timestep: float,
    processors: int,
) -> dict[str, float]:
    """Flat figures: shares of the bare physics' speed [1], steps a second, episodes a minute, and what
    it costs to try a policy during practice, in a few short episodes."""
    setting = course_setting(ROBOT, course, seconds, timestep, threads=1)
    draws = draw(randomised(setting.spec, setting.course.length), episodes, seed=0)
    pilots = _pilots(setting, policy)
    started = time.process_time()
    fleet = _fleet(setting, draws)
    figures = {"set_up_cpu_s": time.process_time() - started}
    steps = round(seconds / timestep) * episodes

    def closed(threads: int) -> tuple[float, float, float, bytes]:
        ready = Rollout(replace(setting, threads=threads), pilots, draws)
        wall, results = time.perf_counter(), []
        cpu, share = _share(ready.fleet, lambda: results.append(ready.run()))
        wall, rows = time.perf_counter() - wall, results[0].rows
        made = float(rows["duration"].sum()) / timestep
        return cpu / made, wall / made, share, rows.tobytes()

    bare, driven, guarded, whole, spread = [], [], [], [], []
    for _ in range(repeats):
        cpu, _ = _share(fleet, lambda: _bare(fleet, round(seconds / timestep)))
        bare.append(cpu / steps)
        driven.append(_share(fleet, lambda: _driven(setting, fleet, seconds))[1])
        guarded.append(_share(fleet, lambda: _guarded(setting, fleet, draws, seconds))[1])
        whole.append(closed(1))
        spread.append(closed(processors))
    tried = _trial_cpu_s(setting, policy, repeats)
    cpu = min(w[0] for w in whole)
    wall, wall_spread = min(w[1] for w in whole), min(w[1] for w in spread)
    control = setting.contract.policy_hz * timestep
    return figures | {
        "episodes": float(episodes),
        "physics_steps_per_cpu_s": 1.0 / min(bare),
        "share_with_firmware": float(np.median(driven)),
        "share_with_safety_kernel": float(np.median(guarded)),
        "share_with_policy": float(np.median([w[2] for w in whole])),
        "control_steps_per_cpu_s": control / cpu,
        "control_steps_per_s": control / wall_spread,
        "times_real_time": timestep / wall_spread,
        "episodes_per_minute": 60.0 * timestep / wall_spread / TYPICAL_S,
        "smoke_gate_cpu_s": tried,
        "smoke_gate_over_bare_physics": tried / (TRIAL_EPISODES * TRIAL_SECONDS / timestep * min(bare)),
        "processors": float(processors),
        "speed_up_over_one_thread": wall / wall_spread,
        "bit_identical": float(len({w[3] for w in (*whole, *spread)}) == 1),
    }


def agreement(
    course: str, episodes: int, policy: Path | None, timesteps: tuple[float, float]
) -> dict[str, float]:
    """What comes of whole randomised episodes at two timesteps [s] of the physics, the same draws in both."""
    rows = []
    for timestep in timesteps:
        setting = course_setting(ROBOT, course, timestep=timestep)
        draws = draw(randomised(setting.spec, setting.course.length), episodes, seed=0)
        rows.append(rollout(setting, _pilots(setting, policy), draws).rows)
    ours, theirs = rows
    both = ours["success"] & theirs["success"]
    difference = (ours["best_cycle"] - theirs["best_cycle"])[both]
    return {
        "successes": float(ours["success"].sum()),
        "successes_against": float(theirs["success"].sum()),
        "other_outcome": float((ours["success"] != theirs["success"]).sum()),
        "lap_difference_mean_s": float(difference.mean()) if both.any() else math.nan,
        "lap_difference_worst_s": float(np.abs(difference).max()) if both.any() else math.nan,
    }


def _pilots(setting: Setting, policy: Path | None) -> PolicyPilots:
    with tempfile.TemporaryDirectory() as folder:
        file = policy or follower(setting.contract, Path(folder) / "follower.onnx")
        return PolicyPilots(PolicyFile(file, setting.contract), setting.contract)


def follower(contract: TaskContract, path: Path) -> Path:
    """A policy file that follows the course at about 2 m/s: the size of a learned one, with a linear law."""
    rng, layout, size = np.random.default_rng(0), contract.observation_layout, contract.observation_size
    law = np.zeros((size, contract.action_size), np.float32)
    law[layout.index("velocity_body_x"), 0], law[layout.index("preview_2_y"), 1] = -1.0, 1.5
    constants = {
        "law": law,
        "bias": np.array([2.0, 0.0], np.float32),
        "first": rng.normal(0.0, 0.05, (size, UNITS)).astype(np.float32),
        "second": rng.normal(0.0, 0.05, (UNITS, UNITS)).astype(np.float32),
        "last": np.zeros((UNITS, contract.action_size), np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["observation", "first"], ["linear0"]),
        helper.make_node("Relu", ["linear0"], ["hidden0"]),
        helper.make_node("MatMul", ["hidden0", "second"], ["linear1"]),
        helper.make_node("Relu", ["linear1"], ["hidden1"]),
        helper.make_node("Gemm", ["hidden1", "last", "bias"], ["correction"]),
        helper.make_node("MatMul", ["observation", "law"], ["lawful"]),
        helper.make_node("Sum", ["correction", "lawful", "noise"], ["before"]),
        helper.make_node("Tanh", ["before"], ["action"]),
    ]
    path.write_bytes(policy_file(contract, nodes, constants, contract.action_size, "", 1))
    return path


def _trial_cpu_s(setting: Setting, policy: Path | None, repeats: int) -> float:
    """What the smoke gate of practice takes for one candidate [processor seconds]."""
    with tempfile.TemporaryDirectory() as folder:
        onnx = (policy or follower(setting.contract, Path(folder) / "follower.onnx")).read_bytes()
    gate, taken = SmokeGate(setting, seed=0), []
    for _ in range(repeats):
        began = time.process_time()
        gate.judge(onnx, None)
        taken.append(time.process_time() - began)
    return min(taken)


def _fleet(setting: Setting, draws: Draws) -> CarFleet:
    return CarFleet(
        setting.spec, setting.world, draws.truths(), setting.timestep, setting.threads, SETTLE_STEPS
    )


def _share(fleet: CarFleet, work: Callable[[], None]) -> tuple[float, float]:
    """Processor seconds that ``work`` takes, and the share of them inside the physics."""
    inside, step = 0.0, Batch.step

    def timed(cars: Numbers | None = None, steps: int = 1) -> None:
        nonlocal inside
        began = time.process_time()
        try:
            step(fleet.batch, cars, steps)
        finally:
            inside += time.process_time() - began

    fleet.batch.step = timed
    began = time.process_time()
    try:
        work()
    finally:
        total = time.process_time() - began
        del fleet.batch.step
    return total, inside / total


def _begin(fleet: CarFleet) -> None:
    poses = np.tile(fleet.world.start_pose, (fleet.size, 1))
    fleet.place(np.arange(fleet.size), poses, np.full(fleet.size, SPEED))


def _bare(fleet: CarFleet, steps: int) -> None:
    _begin(fleet)
    step = fleet.batch.step
    for _ in range(steps):
        step()


def _driven(setting: Setting, fleet: CarFleet, seconds: float) -> None:
    _begin(fleet)
    drive, n = FleetDrive(setting.spec, fleet), fleet.size
    drive.start(np.arange(n), np.full(n, SPEED))
    setpoint, delay, brakes = np.tile([SPEED, 0.0], (n, 1)), np.full(n, 3), np.zeros(n, bool)
    for millisecond in range(round(seconds * 1e3)):
        if millisecond % 10 == 0:
            drive.command(setpoint, delay, brakes)
        drive.step()


def _guarded(setting: Setting, fleet: CarFleet, draws: Draws, seconds: float) -> None:
    _begin(fleet)
    spec, n = setting.spec, fleet.size
    drive, guardian = FleetDrive(spec, fleet), FleetGuardian(spec, n)
    drive.start(np.arange(n), np.full(n, SPEED))
    errors = load_errors(spec)
    senses = FleetSenses(spec, fleet, drive, errors, draws.generators(), draws.column("estimate_error"))
    senses.start()
    setpoint, delay = np.tile([SPEED, 0.0], (n, 1)), np.full(n, 3)
    guardian.start(START_NS, setpoint)
    everyone, deviations = np.ones(n, bool), senses.deviation[None]
    period_ns = round(1e9 / spec.rates.guardian_hz)
    for tick in range(round(seconds * spec.rates.guardian_hz)):
        now = START_NS + tick * period_ns
        senses.tick(now)
        if tick % spec.ticks_per_step == 0:
            guardian.offer(now, everyone, np.full(n, now), setpoint)
        allowed, brakes = guardian.tick(
            now, senses.estimate[None], deviations, senses.sensors, senses.times_ns, senses.sequences
        )
        guardian.went(drive.command(allowed, delay, brakes))
        for _ in range(period_ns // 1_000_000):
            drive.step()
            senses.step()
