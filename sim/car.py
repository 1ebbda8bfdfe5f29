"""The car's true physical parameters and its MuJoCo body: primitives only, numbers from the calibration.

The body frame sits at the centre of mass of the whole car, x forward, y left, z up. Each wheel is one
ellipsoid, hence one contact: cylinders touch with four points each, which scrub and turn a 1.6 m circle into
3 m. The four wheels hang on three open differentials, which is one fixed tendon: the motor turns with the
mean wheel speed and every wheel gets a quarter of the torque.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from robot.errors import SpecError, nearest
from robot.spec import RobotSpec
from sim.bodywork import body_bodywork, wheel_bodywork
from sim.plant import Array

if TYPE_CHECKING:  # a robot's own computer asks for parameters, and has no mujoco
    import mujoco

Number = TypeVar("Number", float, Array)

GRAVITY = 9.81
"""[m/s^2]; MuJoCo's default."""
IMPEDANCE = 0.1
"""MuJoCo's solimp d of the tyres [1]: low, so that they are springs rather than constraints."""
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
    steering_backlash: float = 0.0
    """Play between servo and wheels, from stop to stop [rad]; none in a new linkage."""
    rotor_inertia: float = 4.0e-6
    """Motor rotor [kg m^2]; estimate for a 36 mm rotor of 60 g, 6 % of the car's mass once geared."""
    duty_limit: float = 0.95
    """Largest duty cycle [1]; VESC default l_max_duty."""
    tyre_deflection: float = 0.0005
    """Of the loaded tyre [m]; order of magnitude for a foam-filled tyre, with which nothing chatters."""
    tyre_damping: float = 0.5
    """Damping ratio [1] of the car bouncing on its tyres; estimate."""
    tyre_slip_rate: float = 50.0
    """How fast slip below the friction limit decays [1/s]; at 3 m/s in 6 cm, a tyre's relaxation length."""
    wall_friction: float = 0.2
    """Polycarbonate body on painted board [1]; engineering tables."""
    bumper_frequency: float = 60.0
    """Natural frequency [rad/s] of the car against a wall; estimate for a foam
    bumper that gives 3 cm: 2 m/s end in about 20 ms at 12 g."""
    bumper_damping: float = 0.45
    """Damping ratio [1] of that contact; head on it rebounds at a third of the speed."""
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


def ackermann(
    tangent: Number, wheelbase: Number, side: Number, root: Callable[[Number], Number]
) -> tuple[Number, Number]:
    """Quaternion's w and z of a front wheel's frame, ``side`` [m] to the right of the middle, that turns
    about the same centre on the rear axle's line as the bicycle whose steering angle has this ``tangent``.

    Half-angle formulas. The square ``root`` is math's or numpy's: either rounds correctly, so that one car
    and a fleet agree to the last bit, which arctangents and cosines of two libraries do not.
    """
    turn = wheelbase * tangent / (wheelbase + side * tangent)
    cosine = 1.0 / root(1.0 + turn * turn)
    w = root((1.0 + cosine) / 2.0)
    return w, turn * cosine / (2.0 * w)


def chassis_inertia(
    car: CarParameters,
) -> tuple[tuple[float, float, float], float, tuple[float, float, float]]:
    """Centre of mass in the body frame [m], mass [kg] and principal inertias [kg m^2] of the car without its
    wheels, such that with them mass, yaw inertia and centre of mass are the calibration's.

    Roll and pitch inertia are not measured: 0.35 and 0.85 of yaw, as of a slab 0.3 x 0.15 x 0.08 m.
    """
    mass = car.mass - 4 * car.wheel_mass
    places = wheel_places(car)
    below = hub_height(car) - car.centre_of_mass_height
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


def hub_height(car: CarParameters) -> float:
    """Of the wheel centres above the floor at rest [m]. The tyre in MuJoCo is larger by half its deflection
    and sinks in by all of it: contact is in the middle, so the car rolls on the calibrated radius."""
    return car.wheel_radius - car.tyre_deflection / 2


class CarElements(NamedTuple):
    """The car's share of an MJCF file: the content of these elements."""

    worldbody: str
    contact: str
    tendon: str
    actuator: str


def car_mjcf(car: CarParameters, floor_friction: float) -> CarElements:
    """The car for a scene that has a geom "floor" and default classes "solid" and "drawn".

    Tyre and floor are explicit pairs. That gives friction its own reference: with MuJoCo's default a sliding
    tyre is pushed off the floor by its own slip (12 mm at 0.3 m/s), hops, and unloads the wheel diagonal.
    """
    place, mass, inertia = chassis_inertia(car)
    radius, half_width = car.wheel_radius + car.tyre_deflection / 2, (car.width - car.track_width) / 2
    spin, across = wheel_inertia(car)
    drag = car.rolling_resistance * car.mass * GRAVITY * car.wheel_radius / 4
    ground = -car.centre_of_mass_height
    # A tendon's armature cannot couple wheels of different branches, so each carries its share of the rotor:
    # exact while they turn together, a little too inert when one spins alone.
    rotor = car.rotor_inertia * car.gear_ratio**2 / 4
    wheels = "".join(
        f"""
      <body name="wheel_{name}" pos="{x} {y} {ground + hub_height(car)}">
        <inertial pos="0 0 0" mass="{car.wheel_mass}" diaginertia="{across} {spin} {across}"/>
        <joint name="{name}" type="hinge" axis="0 1 0" armature="{rotor}" frictionloss="{drag}"
          damping="1e-6"/>
        <geom name="tyre_{name}" class="solid" type="ellipsoid" size="{radius} {half_width} {radius}"/>
        {wheel_bodywork(radius, half_width)}
      </body>"""
        for name, (x, y) in zip(WHEELS, wheel_places(car), strict=True)
    )
    middle = (car.front_axle - car.rear_axle) / 2
    body = f"""
    <body name="car" pos="0 0 {car.centre_of_mass_height}">
      <freejoint name="car"/>
      <inertial pos="{_numbers(place)}" mass="{mass}" diaginertia="{_numbers(inertia)}"/>
      <geom name="bumper" class="solid" type="box" pos="{middle} 0 {ground + 0.075}"
        size="{car.length / 2} {car.width / 2} 0.035"/>
      <geom name="shell" class="solid" type="box" pos="{middle - 0.03} 0 {ground + 0.13}"
        size="{0.3 * car.length} {0.4 * car.width} 0.02"/>
      {body_bodywork(middle, ground, car.length, car.width)}{wheels}
    </body>"""
    # The slip rate is scaled by the impedance inside MuJoCo; springs are put in by ``spring_tyres``.
    friction = car.tyre_friction * floor_friction
    contact = "".join(
        f'<pair name="{name}" geom1="floor" geom2="tyre_{name}" condim="3" '
        f'friction="{friction} {friction} 0 0 0" solimp="{IMPEDANCE} {IMPEDANCE} 0.001" '
        f'solreffriction="-1 {-car.tyre_slip_rate * IMPEDANCE}"/>'
        for name in WHEELS
    )
    joints = "".join(f'<joint joint="{name}" coef="0.25"/>' for name in WHEELS)
    tendon = f'<fixed name="drivetrain">{joints}</fixed>'
    return CarElements(body, contact, tendon, '<motor name="torque" tendon="drivetrain"/>')


def spring_tyres(model: mujoco.MjModel, car: CarParameters) -> None:
    """Give a compiled model's tyres the springs that sink in by ``tyre_deflection`` under the car at rest.

    MuJoCo's springs are per mass that a contact has to move, which it takes from the whole car's masses and
    inertias as compiled (its documentation, "Solver parameters"): in a contact that does not accelerate,
    force = stiffness x depth / ((1 - impedance) x inverse weight). With the weight alone in its place, some
    cars' tyres would sink in by a fifth more or less, and roll on a radius that is off by 0.1 %.
    """
    wheelbase = car.front_axle + car.rear_axle
    for name, (x, _) in zip(WHEELS, wheel_places(car), strict=True):
        load = car.mass * GRAVITY * (1.0 - abs(x) / wheelbase) / 2.0
        inverse_weight = model.body(f"wheel_{name}").invweight0[0]
        stiffness = load * (1.0 - IMPEDANCE) * inverse_weight / car.tyre_deflection
        damping = 2.0 * car.tyre_damping * math.sqrt(stiffness)
        model.pair(name).solref[:] = -stiffness, -damping


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(str(value) for value in values)
