"""Prior data from a Minari dataset on this machine: its episodes as a journal of step rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from learners.journal import Journal
from robot.contract import ActionMap, TaskContract
from robot.errors import SandlotError
from robot.frame_file import made_whole
from robot.messages import Actor

PREFIX: Final = "minari:"
"""Of the name of such a dataset where a folder could stand: ``minari:mujoco/hopper/medium-v0``."""


class Episode(Protocol):
    """``minari.EpisodeData``: T steps, T + 1 observations. Its ``infos`` begin with the reset's, so they are
    T + 1 too, except in a dataset that somebody put together with one for each step; None if there are
    none."""

    observations: Any
    actions: Any
    rewards: NDArray[Any]
    terminations: NDArray[np.bool_]
    truncations: NDArray[np.bool_]
    infos: Mapping[str, Any] | None


def copy_minari(name: str, contract: TaskContract, into: Path) -> None:
    """Write all episodes of a dataset that Minari has here, or none. Raises SandlotError if there is no such
    dataset, or if it is not of this environment."""
    import minari

    try:
        dataset = minari.load_dataset(name)
    except FileNotFoundError:
        raise SandlotError(
            f"Minari has no dataset {name!r} on this machine; minari download {name} fetches it"
        ) from None
    with made_whole(into) as folder:
        journal, sequence = Journal(folder / "minari.journal", contract.step_dtype()), 0
        for number, episode in enumerate(dataset.iterate_episodes()):
            rows = episode_rows(episode, contract, number, sequence)
            journal.append("minari", sequence, rows)
            sequence += len(rows)
        journal.close()


def episode_rows(episode: Episode, contract: TaskContract, number: int, sequence: int) -> NDArray[np.void]:
    """Rows of one episode, the last one included, (T + 1,). Raises SandlotError unless its sizes are the
    contract's and its infos have the contract's costs. An episode that is neither terminated nor truncated
    at its end was cut off there."""
    steps, actions = len(episode.rewards), contract.action_size
    size = contract.observation_size - actions
    shapes = np.shape(episode.observations), np.shape(episode.actions)
    if shapes != ((steps + 1, size), (steps, actions)):
        raise SandlotError(
            f"episode {number} of the Minari dataset: expected observations {(steps + 1, size)} and actions "
            f"{(steps, actions)} of this environment; got {shapes[0]} and {shapes[1]}"
        )
    action = ActionMap(contract.actions, contract.policy_hz).from_units(np.asarray(episode.actions))
    previous = np.concatenate([np.zeros((1, actions)), action])
    rows = np.zeros(steps + 1, contract.step_dtype())
    rows["sequence"], rows["episode"] = sequence + np.arange(steps + 1), number
    rows["step"] = np.arange(steps + 1)
    rows["time_ns"] = np.round(rows["sequence"] * 1e9 / contract.policy_hz)
    rows["observation"] = np.concatenate([np.asarray(episode.observations), previous], 1)
    rows["actor"][:-1], rows["actor"][-1] = int(Actor.SCRIPT), int(Actor.NOBODY)
    rows["last"][-1] = True
    rows["action"][:-1], rows["reward"][:-1] = action, episode.rewards
    rows["reward_terms"][:-1] = np.asarray(episode.rewards)[:, None]
    rows["cost_terms"][:-1] = _costs(episode, contract.cost_terms, number)
    rows["terminated"][:-1] = episode.terminations
    rows["truncated"][:-1] = episode.truncations & ~episode.terminations
    rows["truncated"][-2] |= not episode.terminations[-1]
    return rows


def _costs(episode: Episode, names: tuple[str, ...], number: int) -> NDArray[np.float64]:
    """(T, n_costs)"""
    steps, infos = len(episode.rewards), episode.infos or {}
    missing = [name for name in names if name not in infos]
    if missing:
        raise SandlotError(
            f"episode {number} of the dataset: expected each step's costs {', '.join(names)} in its infos; "
            f"it has {', '.join(infos) or 'nothing'} there, and without {', '.join(missing)} every step "
            "would seem to cost nothing"
        )
    costs = np.zeros((steps, len(names)))
    for k, name in enumerate(names):
        found = np.asarray(infos[name])
        if found.size != len(found) or found.size not in (steps, steps + 1):
            raise SandlotError(
                f"episode {number} of the dataset: expected a number for each of {steps} steps as the cost "
                f"{name}, or one more for the reset; got shape {found.shape}"
            )
        costs[:, k] = found.reshape(-1)[-steps:]
    return costs
