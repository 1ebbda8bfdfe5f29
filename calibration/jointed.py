"""Which joints a robot has: actuators in rad whose position a sensor reports as ``joint_position_<name>``."""

from __future__ import annotations

from dataclasses import dataclass

from robot.spec import RobotSpec


@dataclass(frozen=True)
class Joint:
    """``stops`` as they were designed, whose middle tells the zero; ``range`` that it may be commanded [rad];
    ``column`` of ``sensor``."""

    name: str
    stops: tuple[float, ...]
    range: tuple[float, float]
    sensor: str
    column: int


def joints_of(spec: RobotSpec) -> tuple[Joint, ...]:
    """None of a robot without. A calibration value ``<its name>_stops`` says where a joint's stops were
    designed to be [rad]; otherwise its range lies in their middle."""
    found = []
    for actuator in spec.actuators:
        element, stops = f"joint_position_{actuator.name}", f"{actuator.name}_stops"
        limits = (actuator.lower, actuator.upper)
        designed = spec.vector(stops) if stops in spec.calibration else limits
        found += [
            Joint(actuator.name, designed, limits, sensor.name, sensor.layout.index(element))
            for sensor in spec.sensors
            if actuator.unit == "rad" and element in sensor.layout.names
        ]
    return tuple(found)
