"""A recording as robomimic's HDF5 (its documentation: dataset structure): one group for each episode.

``data/demo_K``: ``actions`` (T, A), ``rewards``, ``dones`` (T,), ``obs`` and ``next_obs`` with a dataset for
each term of the observation; beside them ``recorded``, every other field of the steps, and ``commands``. Its
attributes say who drove it at which task, and how it went.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from launch.data.demonstrations import columns, demonstrations
from launch.data.recording import Recording
from robot.errors import SandlotError

ENVIRONMENT_TYPE: Final = 2
"""robomimic's number for gymnasium's environments; it has none for a robot."""


def export_robomimic(recording: Recording, out: Path, task: str = "") -> int:
    """Write it to the file ``out``; returns how many episodes. Raises SandlotError if it exists."""
    import h5py

    if out.exists():
        raise SandlotError(f"{out} exists; choose another name")
    contract = recording.contract
    layout = contract.observation_layout
    partial = out.with_name(f".{out.name}.partial")
    count = total = 0
    try:
        with h5py.File(partial, "w") as file:
            data = file.create_group("data")
            for demonstration in demonstrations(recording, task):
                now, then = demonstration.transitions()
                if not len(now):
                    continue
                demo = data.create_group(f"demo_{count}")
                demo.attrs["num_samples"] = len(now)
                demo.attrs["episode"] = demonstration.number
                for key, value in demonstration.about.plain().items():
                    demo.attrs[key] = value
                demo["actions"] = now["action"]
                demo["rewards"] = now["reward"]
                demo["dones"] = (now["terminated"] | now["truncated"]).astype("i8")
                for term in contract.observation:
                    demo[f"obs/{term.name}"] = now["observation"][:, layout[term.name]]
                    demo[f"next_obs/{term.name}"] = then["observation"][:, layout[term.name]]
                for name, column in columns(now).items():
                    demo[f"recorded/{name}"] = column
                for name, command in demonstration.commands.items():
                    demo[f"commands/{name}"] = command[: len(now)]
                count, total = count + 1, total + len(now)
            data.attrs["total"] = total
            data.attrs["env_args"] = json.dumps(
                {
                    "env_name": contract.task,
                    "type": ENVIRONMENT_TYPE,
                    "env_kwargs": {"robot": recording.spec.name, "policy_hz": contract.policy_hz},
                }
            )
        if not count:
            raise SandlotError(f"{recording.path}: no episode has a step and what came of it")
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    return count
