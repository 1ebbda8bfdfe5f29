"""A LeRobotDataset v3 as step rows: what was exported to the last bit, another's as if it had been ours."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

from launch.data import lerobot_layout as layout
from launch.data.foreign import contract_like, joined
from learners.environments.minari_prior import episode_rows
from robot.contract import TaskContract
from robot.errors import SandlotError
from robot.plain_data import decode_struct


@dataclass
class _Episode:
    """Of somebody else's: LeRobot has no final observation, so the last frame is it and its action unused.
    ``infos``: columns that are called as the contract's costs are."""

    observations: NDArray[Any]
    actions: NDArray[Any]
    rewards: NDArray[Any]
    terminations: NDArray[np.bool_]
    truncations: NDArray[np.bool_]
    infos: Mapping[str, Any] | None


def import_lerobot(folder: Path, like: TaskContract | None) -> tuple[NDArray[np.void], TaskContract]:
    """All rows and their contract: ``like``, what the dataset says, or one of its sizes. Raises SandlotError
    if the folder holds no such dataset or it is not of this contract."""
    info_file = folder / layout.INFO
    if not info_file.exists():
        raise SandlotError(f"{folder} is no LeRobotDataset: it has no {layout.INFO}")
    info = json.loads(info_file.read_text())
    if info.get("codebase_version") != layout.VERSION:
        raise SandlotError(
            f"{folder} is a LeRobotDataset {info.get('codebase_version')}; {layout.VERSION} is read here. "
            "lerobot converts older ones"
        )
    files = sorted(folder.glob("data/*/*.parquet"))
    if not files:
        raise SandlotError(f"{folder} has no rows: data/ holds no parquet file")
    if like is None and (folder / layout.CONTRACT).exists():
        plain = msgspec.json.decode((folder / layout.CONTRACT).read_bytes())
        contract = decode_struct(plain, TaskContract, str(folder / layout.CONTRACT))
        return _exported(folder, files, contract), contract
    columns = _wanted(info, () if like is None else like.cost_terms)
    table = pa.concat_tables([parquet.read_table(file, columns=columns) for file in files])
    return _foreign(folder.name, info, table, like)


def _exported(folder: Path, files: list[Path], contract: TaskContract) -> NDArray[np.void]:
    dtype = contract.step_dtype()
    parts = []
    names = {field: layout.column_name(field) for field in dtype.names or ()}
    names |= {"observation": layout.STATE, "action": "action"}
    for file in files:
        parts.append(_rows(parquet.read_table(file), dtype, names))
    own = {field: field for field in names} | {"observation": layout.STATE}
    parts.append(_rows(parquet.read_table(folder / layout.LAST), dtype, own))
    rows = joined(parts)
    return rows[np.argsort(rows["sequence"], kind="stable")]


def _rows(table: pa.Table, dtype: np.dtype[np.void], names: dict[str, str]) -> NDArray[np.void]:
    rows = np.zeros(len(table), dtype)
    for field, name in names.items():
        if name in table.column_names:
            rows[field] = column_values(table, name).reshape(rows[field].shape)
    return rows


def column_values(table: pa.Table, name: str) -> NDArray[Any]:
    """A column as (n,), or (n, k) if it is lists."""
    column = table.column(name).combine_chunks()
    if pa.types.is_fixed_size_list(column.type) or pa.types.is_list(column.type):
        flat: NDArray[Any] = column.flatten().to_numpy(zero_copy_only=False)
        return flat.reshape(len(column), -1)
    values: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return values


def _wanted(info: dict[str, Any], costs: tuple[str, ...]) -> list[str]:
    names = [layout.STATE, "action", "next.reward", layout.DONE, "next.success", "episode_index", *costs]
    missing = [name for name in names[:2] if name not in info["features"]]
    if missing:
        raise SandlotError(f"the dataset has no {' and no '.join(missing)}; there is nothing to learn from")
    return [name for name in names if name in info["features"]]


def _foreign(
    name: str, info: dict[str, Any], table: pa.Table, like: TaskContract | None
) -> tuple[NDArray[np.void], TaskContract]:
    """Without a reward every step's is 0: relabel them. ``next.done`` ends an episode, as a success does."""
    states, actions = column_values(table, layout.STATE), column_values(table, "action")
    number = column_values(table, "episode_index")
    zero = np.zeros(len(table))
    rewards = column_values(table, "next.reward") if "next.reward" in table.column_names else zero
    done = column_values(table, layout.DONE) if layout.DONE in table.column_names else zero.astype(bool)
    bounds = [(float(a), float(b)) for a, b in zip(actions.min(0), actions.max(0) + 1e-6, strict=True)]
    contract = like or contract_like(name, states.shape[1], actions.shape[1], float(info["fps"]), bounds)
    costs = {n: column_values(table, n) for n in contract.cost_terms if n in table.column_names}
    found, sequence = [], 0
    for index in np.unique(number):
        here = np.flatnonzero(number == index)
        if len(here) < 2:
            continue
        acted = here[:-1]
        terminated = done[acted].astype(bool)
        terminated[-1] |= bool(done[here[-1]])
        cut, infos = np.zeros(len(acted), bool), {name: column[acted] for name, column in costs.items()}
        episode = _Episode(states[here], actions[acted], rewards[acted], terminated, cut, infos)
        found.append(episode_rows(episode, contract, int(index), sequence))
        sequence += len(found[-1])
    return joined(found), contract
