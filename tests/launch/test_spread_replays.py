"""Replays that are shared out are the same as those that are made here, bit for bit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from launch import spread_replays
from launch.ray_cluster import RayCluster
from launch.spread import Each
from launch.spread_replays import SpreadReplays, carry_out
from robot.errors import SandlotError
from robot.spec import load_spec
from sim.log_windows import Windows
from sim.replay import Replayed, replay_drive
from sim.steering_memory import POINTS

SPEC = load_spec(Path(__file__).parents[2] / "launch/robots/racer.toml")
N, LEAD, SLOTS = 5, 10, 30
TRUTHS = [{"mass": 3.5 + 0.1 * k, "servo_gain": -1.2} for k in range(N)]
DELAYS_S = np.array([0.003, 0.004, 0.003, 0.0, 0.007])


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spread_replays, "PART", 2)


@pytest.fixture(scope="module")
def windows() -> Windows:
    rng = np.random.default_rng(0)
    sent = np.stack((rng.uniform(1.0, 3.0, (N, LEAD + SLOTS)), rng.uniform(-0.2, 0.2, (N, LEAD + SLOTS))), -1)
    states = np.zeros((N, LEAD + SLOTS + 1, 6))
    states[..., 3] = 2.0
    return Windows(
        LEAD,
        sent,
        np.ones((N, LEAD + SLOTS), np.int64),
        states,
        np.tile((0.02, 9_000.0), (N, 1)),
        rng.uniform(-0.2, 0.2, (N, POINTS)),
        np.ones((N, SLOTS + 1), bool),
        np.arange(N),
    )


@pytest.fixture(scope="module")
def here(windows: Windows) -> Replayed:
    return replay_drive(SPEC, windows, TRUTHS, DELAYS_S, 0.002, threads=1, held=False)


def same(one: Replayed, other: Replayed) -> bool:
    return all(
        getattr(one, name).tobytes() == getattr(other, name).tobytes() for name in spread_replays.REPLAYED
    )


def backwards(orders: Sequence[bytes], each: Each) -> None:
    """Workers that answer in another order than they were asked."""
    assert len(orders) == 3
    for number in reversed(range(len(orders))):
        each(number, carry_out(orders[number]))


def test_any_partition_and_any_order_give_the_same_replays(windows: Windows, here: Replayed) -> None:
    assert same(SpreadReplays(backwards)(SPEC, windows, TRUTHS, DELAYS_S, 0.002), here)


def test_replays_that_did_not_come_back_are_missed(windows: Windows) -> None:
    def shorter(orders: Sequence[bytes], each: Each) -> None:
        for number in range(len(orders)):
            each(number, carry_out(orders[0]))

    with pytest.raises(SandlotError, match="5 replays were shared out and 6 came back"):
        SpreadReplays(shorter)(SPEC, windows, TRUTHS, DELAYS_S, 0.002)


@pytest.mark.slow
def test_two_workers_of_a_ray_cluster_make_the_same_replays(windows: Windows, here: Replayed) -> None:
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    machines = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    machines.add_node(num_cpus=1)
    cluster = RayCluster(machines.address, carry_out)
    try:
        shared = SpreadReplays(cluster)(SPEC, windows, TRUTHS, DELAYS_S, 0.002)
    finally:
        cluster.close()
        machines.shutdown()
    assert same(shared, here)
