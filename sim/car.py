"""The car's true physical parameters and its MuJoCo body: primitives only, every number from the calibration.

The body frame sits at the centre of mass of the whole car, x forward, y left, z up. Each wheel is one ellipsoid,
hence one contact: cylinders touch with four points each, which scrub and turn a 1.6 m circle into 3 m. The four
wheels hang on three open differentials, which is one fixed tendon: the motor turns with the mean wheel speed
and every wheel gets a quarter of the torque.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

from robot.errors import SpecError, nearest
from robot.spec import RobotSpec

WHEELS = ("front_left", "front_right", "rear_left", "rear_right")


@dataclass(frozen=True)
class CarParameters:
    """True values of one car. Those without a default are the calibration's; the rest are not measured on
    the car and matter little, each with its source."""

    front_axle: float
    rear_axle: float
    track_width: float
    length: float
    width: float
    wheel_radius: float
    wheel_mass: float
    mass: float
    yaw_inertia: float
    centre_of_mass_height: float
    tyre_friction: float
    rolling_resistance: float
    servo_gain: float
    servo_offset: float
    steering_time_constant: float
    steering_rate: float
    motor_torque_constant: float
    motor_resistance: float
    gear_ratio: float
    drivetrain_efficiency: float
    battery_voltage: float
    battery_resistance: float
    steering_limit: float = 0.4189
    """Mechanical end stop [rad]; f1tenth_gym s_max."""
    rotor_inertia: float = 4.0e-6
    """Motor rotor [kg m^2]; estimate for a 36 mm rotor of 60 g, 6 % of the car's mass once geared."""
    duty_limit: float = 0.95
    """Largest duty cycle [1]; VESC default l_max_duty."""
    wall_friction: float = 0.2
    """Polycarbonate body on painted board [1]; engineering tables."""
    bumper_frequency: float = 75.0
    """Natural frequency [rad/s] of the car against a wall; foam bumper, 2 m/s in about 20 ms."""
    bumper_damping: float = 0.45
    """Damping ratio [1] of that contact; rebound at about a fifth of the speed."""
    motor_heat_capacity: float = 120.0
    """[J/K]; 0.26 kg of copper and iron."""
    motor_thermal_resistance: float = 3.0
    """Winding to air [K/W]; closed 1/10-scale motor in moving air, order of magnitude."""
    controller_resistance: float = 0.004
    """Transistors and board [ohm]; two phases of a VESC 6."""
    controller_heat_capacity: float = 60.0
    """[J/K]; board and heat spreader."""
    controller_thermal_resistance: float = 5.0
    """Board to air [K/W]; order of magnitude."""
    ambient_temperature: float = 22.0
    """[degC]"""


def car_parameters(spec: RobotSpec, truth: Mapping[str, float] | None = None) -> CarParameters:
    """The calibration's values with ``truth`` laid over them. Raises SpecError for a name neither has."""
    truth = truth or {}
    names = [f.name for f in fields(CarParameters)]
    for name in truth:
        if name not in names:
            raise SpecError(f"the twin has no parameter {name!r}; {nearest(name, names)}")
    measured = {n: spec.scalar(n) for n in names if n in spec.calibration or not hasattr(CarParameters, n)}
    return CarParameters(**(measured | {name: float(value) for name, value in truth.items()}))


def wheel_places(car: CarParameters) -> tuple[tuple[float, float], ...]:
    """x, y of the wheel centres in the body frame [m], in the order of ``WHEELS``."""
    half = car.track_width / 2
    return ((car.front_axle, half), (car.front_axle, -half), (-car.rear_axle, half), (-car.rear_axle, -half))


def ackermann(car: CarParameters, steering: float) -> tuple[float, float]:
    """Angles of the front left and right wheel [rad] that turn about one centre on the rear axle's line, for
    the steering angle of the bicycle between them."""
    length, half = car.front_axle + car.rear_axle, car.track_width / 2
    tangent = math.tan(steering)
    return (
        math.atan(length * tangent / (length - half * tangent)),
        math.atan(length * tangent / (length + half * tangent)),
    )


def chassis_inertia(
    car: CarParameters,
) -> tuple[tuple[float, float, float], float, tuple[float, float, float]]:
    """Centre of mass in the body frame [m], mass [kg] and principal inertias [kg m^2] of the car without its
    wheels, such that with them mass, yaw inertia and centre of mass are the calibration's.

    Roll and pitch inertia are not measured: 0.35 and 0.85 of yaw, as of a slab 0.3 x 0.15 x 0.08 m.
    """
    mass = car.mass - 4 * car.wheel_mass
    places = wheel_places(car)
    below = car.wheel_radius - car.centre_of_mass_height
    x = -car.wheel_mass * sum(p[0] for p in places) / mass
    z = -car.wheel_mass * 4 * below / mass
    _, across = wheel_inertia(car)
    wheels = sum(car.wheel_mass * (p[0] ** 2 + p[1] ** 2) + across for p in places)
    yaw = car.yaw_inertia - wheels - mass * x**2
    if mass <= 0 or yaw <= 0:
        raise SpecError(
            f"the wheels alone have {4 * car.wheel_mass:.3f} kg and {wheels:.4f} kg m^2 of yaw inertia; the "
            f"whole car must have more than that, got mass {car.mass} and yaw_inertia {car.yaw_inertia}"
        )
    return (x, 0.0, z), mass, (0.35 * yaw, 0.85 * yaw, yaw)


def wheel_inertia(car: CarParameters) -> tuple[float, float]:
    """About the axle and across it [kg m^2]: most of the mass is in tyre and rim."""
    square = car.wheel_mass * car.wheel_radius**2
    return 0.7 * square, 0.4 * square


def car_mjcf(car: CarParameters, floor_friction: float) -> tuple[str, str, str]:
    """The car's ``worldbody``, ``tendon`` and ``actuator`` elements.

    The car's geoms collide with the world's only (contype 0, conaffinity 1). Geoms of group 3 collide and are
    not drawn, those of group 1 are drawn and do not collide. A wheel's friction is the true tyre's on this
    floor, by priority over the floor's.
    """
    place, mass, inertia = chassis_inertia(car)
    radius, half_width = car.wheel_radius, (car.width - car.track_width) / 2
    spin, across = wheel_inertia(car)
    friction = car.tyre_friction * floor_friction
    drag = car.rolling_resistance * car.mass * 9.81 * radius / 4
    ground = -car.centre_of_mass_height
    half_length, half_body = car.length / 2, car.width / 2
    middle = (car.front_axle - car.rear_axle) / 2
    rotor = car.rotor_inertia * car.gear_ratio**2
    wheels = "".join(
        f"""
      <body name="wheel_{name}" pos="{x} {y} {ground + radius}">
        <inertial pos="0 0 0" mass="{car.wheel_mass}" diaginertia="{across} {spin} {across}"/>
        <joint name="{name}" type="hinge" axis="0 1 0" frictionloss="{drag}" damping="1e-5"/>
        <geom name="tyre_{name}" class="solid" type="ellipsoid" size="{radius} {half_width} {radius}"
          condim="3" priority="1" friction="{friction} 0 0" solref="0.01 1"/>
        <geom class="drawn" type="cylinder" size="{radius} {half_width}" euler="{math.pi / 2} 0 0" rgba="0.12 0.12 0.13 1"/>
        <geom class="drawn" type="cylinder" size="{0.55 * radius} {half_width + 0.001}" euler="{math.pi / 2} 0 0" rgba="0.75 0.75 0.78 1"/>
        <geom class="drawn" type="box" size="{0.5 * radius} {half_width + 0.002} {0.12 * radius}" rgba="0.3 0.3 0.33 1"/>
      </body>"""
        for name, (x, y) in zip(WHEELS, wheel_places(car), strict=True)
    )
    body = f"""
    <body name="car" pos="0 0 {car.centre_of_mass_height}">
      <freejoint name="car"/>
      <inertial pos="{place[0]} {place[1]} {place[2]}" mass="{mass}" diaginertia="{inertia[0]} {inertia[1]} {inertia[2]}"/>
      <geom name="bumper" class="solid" type="box" pos="{middle} 0 {ground + 0.075}"
        size="{half_length} {half_body} 0.035"/>
      <geom name="shell" class="solid" type="box" pos="{middle - 0.03} 0 {ground + 0.13}"
        size="{0.3 * car.length} {0.8 * half_body} 0.02"/>
      <geom class="drawn" type="box" pos="{middle} 0 {ground + 0.05}" size="{half_length - 0.03} 0.07 0.02" rgba="0.15 0.15 0.17 1"/>
      <geom class="drawn" type="box" pos="{middle + half_length - 0.015} 0 {ground + 0.06}" size="0.015 {0.85 * half_body} 0.02" rgba="0.1 0.1 0.1 1"/>
      <geom class="drawn" type="box" pos="{middle} 0 {ground + 0.085}" size="{half_length - 0.04} {0.68 * half_body} 0.02" rgba="0.85 0.16 0.1 1"/>
      <geom class="drawn" type="box" pos="{middle + 0.13} 0 {ground + 0.1055}" size="0.11 0.02 0.001" rgba="0.97 0.95 0.9 1"/>
      <geom class="drawn" type="box" pos="{middle - 0.035} 0 {ground + 0.125}" size="0.09 {0.55 * half_body} 0.022" rgba="0.12 0.17 0.25 1"/>
      <geom class="drawn" type="box" pos="{middle - 0.035} 0 {ground + 0.149}" size="0.07 {0.5 * half_body} 0.003" rgba="0.85 0.16 0.1 1"/>
      <geom class="drawn" type="box" pos="{middle - half_length + 0.03} 0 {ground + 0.14}" size="0.025 {0.8 * half_body} 0.003" rgba="0.85 0.16 0.1 1"/>
      <geom class="drawn" type="cylinder" pos="{middle - 0.035} 0 {ground + 0.165}" size="0.018 0.012" rgba="0.9 0.9 0.88 1"/>{wheels}
    </body>"""
    joints = "".join(f'<joint joint="{name}" coef="0.25"/>' for name in WHEELS)
    tendon = f'<fixed name="drivetrain" armature="{rotor}">{joints}</fixed>'
    return body, tendon, '<motor name="torque" tendon="drivetrain"/>'
