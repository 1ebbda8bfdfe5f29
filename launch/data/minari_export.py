"""A recording as a Minari dataset, in Minari's own folder on this machine."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from launch.data.demonstrations import columns, demonstrations
from launch.data.recording import Recording
from robot.errors import SandlotError


def export_minari(recording: Recording, name: str, task: str) -> int:
    """Make the dataset ``name``; returns how many episodes. Observations and actions are the contract's;
    the steps' ``infos`` hold every other field of their rows, and what the guardian was asked for, allowed
    and sent; each episode's metadata say who drove it at which task (``task``, or as recorded) and how it
    went. Raises SandlotError if Minari has one of that name or takes none."""
    import gymnasium
    import minari

    contract = recording.contract
    buffers: list[Any] = []
    found = []
    for demonstration in demonstrations(recording, task):
        now, then = demonstration.transitions()
        if not len(now):
            continue
        rows = np.concatenate([now, then[-1:]], dtype=now.dtype)
        infos = dict(columns(rows))
        infos["recorded_action"] = np.ascontiguousarray(rows["action"])
        for command, values in demonstration.commands.items():
            whole = np.full((len(rows), values.shape[1]), np.nan)
            whole[: len(now)] = values[: len(now)]
            infos[command] = whole
        found.append(demonstration.about)
        buffers.append(
            minari.data_collector.EpisodeBuffer(
                id=len(buffers),
                observations=list(rows["observation"]),
                actions=list(now["action"]),
                rewards=now["reward"].tolist(),
                terminations=now["terminated"].tolist(),
                truncations=now["truncated"].tolist(),
                infos=infos,
            )
        )
    if not buffers:
        raise SandlotError(f"{recording.path}: no episode has a step and what came of it")
    tasks = "; ".join(dict.fromkeys(about.task for about in found))
    size, actions = contract.observation_size, contract.action_size
    try:
        dataset = minari.create_dataset_from_buffers(
            name,
            buffers,
            observation_space=gymnasium.spaces.Box(-np.inf, np.inf, (size,), np.float32),
            action_space=gymnasium.spaces.Box(-1.0, 1.0, (actions,), np.float32),
            description=f"{tasks}. sandlot contract: {msgspec.json.encode(contract).decode()}",
            requirements=[],
        )
    except ValueError as error:
        raise SandlotError(f"Minari takes no dataset {name!r}: {error}") from error
    plain = [about.plain() for about in found]
    dataset.storage.update_episode_metadata(
        [about | ({"notes": "; ".join(about["notes"])} if "notes" in about else {}) for about in plain]
    )
    return len(buffers)
