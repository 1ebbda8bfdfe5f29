"""The guardian's process stays small: nothing in it learns, simulates, infers or talks to a network."""

from __future__ import annotations

import subprocess
import sys

from launch.catalogue import find

CODE = """
import sys
from pathlib import Path
import launch.processes, robot.guardian
from robot.interface import load_class
from robot.spec import load_spec
spec = load_spec(Path(sys.argv[1]))
for driver in (*(device.driver for device in spec.devices), spec.estimator.driver):
    load_class(driver, "test")
heavy = {"zmq", "onnxruntime", "torch", "mujoco", "onnx", "mcap", "matplotlib", "rich", "tyro", "scipy"}
print(*sorted(heavy & set(sys.modules)))
"""


def test_the_guardian_imports_nothing_heavy() -> None:
    command = [sys.executable, "-c", CODE, str(find("robots", "racer"))]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert not done.stdout.split()
