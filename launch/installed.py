"""What a command needs of the packages that not every machine has."""

from __future__ import annotations

import importlib.util

EXTRAS = {
    "torch": "learn",
    "onnx": "learn",
    "mujoco": "twin",
    "scipy": "twin",
    "cv2": "camera",
    "matplotlib": "report",
    "gymnasium": "gym",
    "imageio": "gym",
    "tensorboard": "gym",
    "dm_control": "dm-control",
    "stable_baselines3": "sb3",
    "sbx": "sbx",
    "minari": "minari",
    "ray": "ray",
    "pyarrow": "data",
    "h5py": "data",
    "av": "data",
    "evdev": "teleop",
    "aiohttp": "teleop",
}
"""Which of our extras brings a package."""


def installing(module: str) -> str:
    """The command that brings one of those packages."""
    return f"pip install '.[{EXTRAS[module]}]'"


def need(*modules: str) -> None:
    """Raise ModuleNotFoundError for what is not installed, before anything is begun."""
    for name in modules:
        if importlib.util.find_spec(name) is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
