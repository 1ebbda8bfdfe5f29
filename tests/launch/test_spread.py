"""Episodes that are shared out are the same as those that are driven here, bit for bit."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest
from swerving_policy import swerving_policy

from launch import spread
from launch.episodes import course_setting
from launch.ray_cluster import RayCluster
from robot.errors import SandlotError
from sim.randomisation import Draws, draw, randomised
from sim.rollout import Setting
from sim.validation.examination import drive_here

EPISODES = 7


@pytest.fixture(scope="module")
def setting() -> Setting:
    return course_setting("racer", "oval", seconds=0.6, threads=1)


@pytest.fixture
def draws(setting: Setting) -> Draws:
    return draw(randomised(setting.spec, setting.course.length), EPISODES, 5)


@pytest.fixture
def policy(setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(spread, "PART", 3)
    return swerving_policy(setting.contract, tmp_path / "policy.onnx")


def backwards(orders: Sequence[bytes], each: spread.Each) -> None:
    """Workers that answer in another order than they were asked."""
    for number in reversed(range(len(orders))):
        each(number, spread.carry_out(orders[number]))


def test_any_partition_and_any_order_give_the_same_results(
    setting: Setting, draws: Draws, policy: Path
) -> None:
    told: list[tuple[float, int]] = []
    shared = spread.spread(backwards, policy, setting, draws, lambda share, left: told.append((share, left)))
    here = drive_here(policy, setting, draws, lambda share, driving: None)
    assert shared.rows.tobytes() == here.rows.tobytes()
    assert (shared.parameters, shared.limits, shared.seed) == (here.parameters, here.limits, here.seed)
    assert [share for share, _ in told] == pytest.approx([1 / 3, 2 / 3, 1.0]) and told[-1][1] == 0


@pytest.mark.parametrize("wrong", ["missing", "exchanged", "cut"])
def test_parts_that_are_not_what_was_asked_for_are_refused(
    setting: Setting, draws: Draws, policy: Path, wrong: str
) -> None:
    answers = [spread.carry_out(order) for order in spread.orders(policy.read_bytes(), setting, draws)]
    bad = {"missing": answers[:-1], "exchanged": answers[::-1], "cut": [*answers[:-1], answers[-1][:-1]]}
    with pytest.raises(SandlotError, match="7 episodes were shared out and others came back"):
        spread.together(bad[wrong], setting, draws)


def test_errors_that_a_worker_would_not_know_of_are_refused(setting: Setting, draws: Draws) -> None:
    mine = dataclasses.replace(setting, errors=object())  # type: ignore[arg-type]
    with pytest.raises(SandlotError, match="the robot's own errors"):
        spread.orders(b"", mine, draws)


@pytest.mark.slow
def test_two_workers_of_a_ray_cluster_give_the_same_results(
    setting: Setting, draws: Draws, policy: Path
) -> None:
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    machines = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    machines.add_node(num_cpus=1)
    cluster = RayCluster(machines.address, spread.carry_out)
    try:
        shared = spread.spread(cluster, policy, setting, draws, lambda share, driving: None)
    finally:
        cluster.close()
        machines.shutdown()
    here = drive_here(policy, setting, draws, lambda share, driving: None)
    assert shared.rows.tobytes() == here.rows.tobytes()


def test_no_cluster_is_told_with_what_to_do() -> None:
    pytest.importorskip("ray")
    with pytest.raises(SandlotError, match="`ray start --head` starts one"):
        RayCluster("auto", spread.carry_out)
