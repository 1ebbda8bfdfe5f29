"""A manoeuvre on the twin as calibrated, without noise and without an estimator, as if it were a log."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from calibration.drive import Drive, Samples
from calibration.manoeuvre import Leg, Manoeuvre
from robot.spec import RobotSpec
from sim.fleet import CarFleet
from sim.fleet_drive import FleetDrive
from sim.log_windows import Recording
from sim.plant import Array
from sim.randomisation import command_delay
from sim.replay import HALL, SETTLE_STEPS

SLEWS = (8.0, 1.6)
"""Of speed [m/s^2] and steering [rad/s], as the guardian's REDUCED state leaves them on the racer."""


def rehearse(spec: RobotSpec, legs: Sequence[Leg]) -> Drive:
    """Drive ``legs`` from rest; what a car's motor controller, perfect inertial sensors and a perfect
    estimator would log."""
    fleet = CarFleet(spec, HALL, [{}], threads=1, settle_steps=SETTLE_STEPS)
    loop, manoeuvre = FleetDrive(spec, fleet), Manoeuvre(spec, tuple(legs))
    loop.start(np.zeros(1, np.intp), np.zeros(1))
    layout, rate = spec.state_layout, spec.rates.guardian_hz
    delay, never = np.array([round(1e3 * command_delay(spec))]), np.zeros(1, bool)
    motors = next(s.layout for s in spec.sensors if s.name == "drive")
    states: list[Array] = []
    sent: list[Array] = []
    motor: list[Array] = []
    inertial: list[Array] = []
    setpoint, wanted, most = np.zeros(2), np.zeros(2), np.array(SLEWS) / rate
    while not manoeuvre.finished:
        rotation = fleet.attitude()[0]
        state = np.zeros(layout.size)
        state[layout["position_world"]] = fleet.position[0, :2]
        state[layout.index("heading")] = np.arctan2(rotation[1, 0], rotation[0, 0])
        state[layout["velocity_body"]] = (rotation.T @ fleet.velocity[0])[:2]
        state[layout.index("yaw_rate")] = fleet.angular_velocity[0, 2]
        if len(states) % spec.ticks_per_step == 0:
            wanted = manoeuvre.command(len(states) / rate, state)
        setpoint = setpoint + np.clip(wanted - setpoint, -most, most)
        row = np.zeros(motors.size)
        row[motors.index("erpm")] = loop.erpm()[0]
        row[motors.index("motor_current")] = loop.mean_current()[0]
        row[motors.index("input_voltage")] = fleet.motor.input_voltage[0]
        states.append(state)
        motor.append(row)
        inertial.append(fleet.inertial()[0])
        sent.append(loop.command(setpoint[None], delay, never)[0])
        for _ in range(round(1e3 / rate)):
            loop.step()
    n = len(states)
    time_ns = (np.arange(n) * round(1e9 / rate)).astype(np.int64)
    every, time_s = np.ones(n, bool), np.asarray(time_ns * 1e-9, np.float64)
    measured = np.array(motor)
    erpm = measured[:, motors.index("erpm")].copy()
    recording = Recording(time_ns, time_ns, time_ns, np.array(sent), np.array(states), erpm, every)
    sensors = {"drive": Samples(time_s, measured), "imu": Samples(time_s, np.array(inertial))}
    return Drive(spec, time_s, time_s, np.array(sent), np.array(states), every, sensors, 0, recording)
