"""A robot of which the safety package's tests need only names and numbers."""

from __future__ import annotations

from typing import Any

from robot.plain_data import decode_struct, merge
from robot.spec import RobotSpec


def small_robot(
    limits: list[dict[str, Any]] | None = None,
    signals: list[dict[str, Any]] | None = None,
    **more: Any,
) -> RobotSpec:
    """One actuator ``u``, sensors ``one`` (required) and ``two``, state elements ``a`` and ``b``; ``more`` is
    laid over the plain file."""
    field = [{"name": "a", "unit": "1"}, {"name": "b", "unit": "1"}]
    sensor = {"device": "d", "rate_hz": 100, "latency_s": 0.0, "stale_s": 0.05}
    plain: dict[str, Any] = {
        "name": "r",
        "description": "",
        "rates": {"guardian_hz": 100, "policy_hz": 20},
        "devices": [{"name": "d", "driver": "x:Y"}],
        "actuators": [{"name": "u", "device": "d", "unit": "1", "lower": -1, "upper": 1, "slew": 1}],
        "sensors": [
            {"name": "one", "fields": field, **sensor},
            {"name": "two", "fields": field, **sensor, "required": False},
        ],
        "actions": [],
        "estimator": {"driver": "x:Y", "state": field},
        "stop": {"kind": "brake", "hold_s": 1, "deadline_s": 1, "standstill": "a", "standstill_below": 0.1},
        "enable": {"source": "held_key", "timeout_s": 0.2},
        "safety": {
            "command_timeout_s": 0.1,
            "arming_s": 0.1,
            "reduced_scale": 0.5,
            "reduced_dwell_s": 0.2,
            "overrun_s": 0.05,
            "limits": limits or [],
            "signals": signals or [],
        },
        "practice": {
            "stuck_seconds": 1,
            "stuck_metres": 1,
            "crash_g": 1,
            "flip_cosine": 0,
            "settle_seconds": 1,
            "recovery": [],
            "recovered_metres": 1,
            "cycles": 1,
        },
        "calibration": {},
    }
    return decode_struct(merge(plain, more), RobotSpec, "r")
