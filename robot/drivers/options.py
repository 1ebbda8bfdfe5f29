"""A device's options from the robot's file, checked against what its driver knows."""

from __future__ import annotations

from collections.abc import Mapping

from robot.camera_spec import Camera
from robot.errors import SpecError, nearest
from robot.spec import Device, OptionValue


def known_options(device: Device | Camera, defaults: Mapping[str, OptionValue]) -> dict[str, OptionValue]:
    """``defaults`` with the device's own options laid over them. Raises SpecError for an unknown name."""
    for name in device.options:
        if name not in defaults:
            raise SpecError(f"device {device.name} has no option {name!r}; {nearest(name, defaults)}")
    return {**defaults, **device.options}
