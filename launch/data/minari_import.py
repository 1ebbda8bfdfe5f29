"""A Minari dataset as step rows: to the last bit what was exported, or another's as if it had been here."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from launch.data.foreign import contract_like, joined
from learners.environments.minari_prior import episode_rows
from robot.contract import TaskContract
from robot.errors import SandlotError
from robot.plain_data import decode_struct

MARK = "sandlot contract: "


def import_minari(name: str, like: TaskContract | None) -> tuple[NDArray[np.void], TaskContract]:
    """All rows and their contract: ``like``, or what the dataset says. Raises SandlotError if there is no
    such dataset here or its sizes are not the contract's."""
    import minari

    try:
        dataset = minari.load_dataset(name)
    except FileNotFoundError:
        raise SandlotError(
            f"Minari has no dataset {name!r} here; minari download {name} fetches it"
        ) from None
    told = str(dataset.storage.metadata.get("description", ""))
    if like is None and MARK in told:
        plain = msgspec.json.decode(told.partition(MARK)[2])
        contract = decode_struct(plain, TaskContract, name)
        return joined([_exported(e, contract) for e in dataset.iterate_episodes()]), contract
    episodes = list(dataset.iterate_episodes())
    found = like or contract_like(
        name, np.shape(episodes[0].observations)[1], np.shape(episodes[0].actions)[1]
    )
    rows, sequence = [], 0
    for number, episode in enumerate(episodes):
        rows.append(episode_rows(episode, found, number, sequence))
        sequence += len(rows[-1])
    return joined(rows), found


def _exported(episode: Any, contract: TaskContract) -> NDArray[np.void]:
    rows = np.zeros(len(episode.observations), contract.step_dtype())
    rows["observation"] = episode.observations
    rows["action"] = episode.infos["recorded_action"]
    for field in rows.dtype.names or ():
        if field in episode.infos:
            rows[field] = np.asarray(episode.infos[field]).reshape(rows[field].shape)
    return rows
