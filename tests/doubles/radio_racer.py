"""The racer with a radio receiver on a third port, whose fifth channel enables motion."""

from __future__ import annotations

import tomllib
from pathlib import Path

from robot.plain_data import decode_struct, merge
from robot.spec import RobotSpec

ROBOTS = Path(__file__).parents[2] / "launch" / "robots"
DEVICE = {
    "name": "receiver",
    "driver": "robot.drivers.crsf:CrsfDriver",
    "port": "/dev/sandlot/receiver",
    "emulator": "sim.emulators.crsf:CrsfDevice",
}
SENSOR = {
    "name": "transmitter",
    "device": "receiver",
    "rate_hz": 50,
    "latency_s": 0.01,
    "stale_s": 0.2,
    "required": False,
    "source": "CRSF receiver at 50 Hz",
    "fields": [{"name": "channel_5", "unit": "1"}],
}
ENABLE = {"source": "transmitter", "timeout_s": 0.5, "channel": "transmitter.channel_5", "threshold": 0.5}


def radio_racer() -> RobotSpec:
    plain = tomllib.loads((ROBOTS / "racer.toml").read_text())
    plain["devices"].append(DEVICE)
    plain["sensors"].append(SENSOR)
    return decode_struct(merge(plain, {"enable": ENABLE}), RobotSpec, "racer with a radio")
