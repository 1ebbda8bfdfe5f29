"""Environments by name. What is not installed is skipped."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from learners.environments.catalogue import find
from learners.environments.contract import environment_contract
from learners.environments.episodes import Episodes
from robot.contract import ImageTerm
from robot.errors import SandlotError
from robot.messages import Actor


def test_a_wrong_name_is_answered_with_the_nearest() -> None:
    pytest.importorskip("gymnasium", reason="gymnasium is not installed")
    with pytest.raises(SandlotError, match="no environment 'Pendulm-v1'; did you mean Pendulum-v1"):
        find("Pendulm-v1")
    with pytest.raises(SandlotError, match=r"no environment 'nosuch_module:Some-v0'; .*nosuch_module"):
        find("nosuch_module:Some-v0")


def test_a_module_that_registers_an_environment_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gymnasium", reason="gymnasium is not installed")
    (tmp_path / "my_tasks.py").write_text(
        "import gymnasium\n"
        "gymnasium.register('Mine-v0', 'gymnasium.envs.classic_control.pendulum:PendulumEnv')\n"
        "gymnasium.register('Theirs-v0', 'my_tasks:make')\n"
        "def make(): import no_such_package\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert find("my_tasks:Mine-v0")().action_space.shape == (1,)
    with pytest.raises(SandlotError, match="no environment 'my_tasks:Mine-v1'"):
        find("my_tasks:Mine-v1")
    with pytest.raises(SandlotError, match=r"Theirs-v0 needs what is not installed here: .*no_such_package"):
        find("my_tasks:Theirs-v0")()


def test_gymnasium_s_own_time_limit_is_a_truncation() -> None:
    pytest.importorskip("gymnasium", reason="gymnasium is not installed")
    environment = find("Pendulum-v1")()
    episodes = Episodes(environment, environment_contract(environment, "Pendulum-v1"), 1000)
    episodes.begin(0, 1)
    while not episodes.over:
        rows = episodes.step(np.zeros(1), Actor.POLICY)
    assert episodes.step_number == 200
    assert rows["truncated"].tolist() == [True, False] and not rows["terminated"].any()


def test_dm_control_s_tasks_are_environments_too(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dm_control", reason="dm_control is not installed")
    with pytest.raises(SandlotError, match="did you mean dm_control/cheetah-run"):
        find("dm_control/cheetah-rum")
    environment = find("dm_control/reacher-easy")()
    contract = environment_contract(environment, "reacher")
    assert (contract.observation_size, contract.action_size, contract.policy_hz) == (8, 2, 50.0)
    episodes = Episodes(environment, contract, 10_000)

    def played(seed: int) -> list[float]:
        episodes.begin(0, seed)
        return episodes.observation.tolist()

    assert played(1) == played(1) != played(2)
    while not episodes.over:
        rows = episodes.step(np.ones(2), Actor.POLICY)
    assert episodes.step_number == 1000
    assert rows["truncated"].tolist() == [True, False] and not rows["terminated"].any()


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for package, name in (("gymnasium", "Pendulum-v1"), ("dm_control", "dm_control/cheetah-run")):
        monkeypatch.setitem(sys.modules, package, None)
        monkeypatch.delitem(sys.modules, "learners.environments.dm_control_suite", raising=False)
        with pytest.raises(ModuleNotFoundError, match=package):
            find(name)


def test_dm_control_s_tasks_can_be_seen() -> None:
    pytest.importorskip("dm_control", reason="dm_control is not installed")
    environment = find("dm_control/cartpole-swingup", 32)()
    contract = environment_contract(environment, "cartpole", stack=3)
    assert contract.images == (ImageTerm(name="pixels", height=32, width=32, stack=3),)
    assert contract.observation_size == contract.action_size == 1, "the previous action and the picture only"
    episodes = Episodes(environment, contract, 10_000)
    try:
        episodes.begin(0, 1)
    except (ImportError, RuntimeError, AttributeError) as error:
        pytest.skip(f"nothing can be rendered here: {error}")
    episodes.step(np.ones(1), Actor.POLICY)
    assert episodes.pictures is not None and episodes.pictures["pixels"].std() > 0
    (stack,) = episodes.images
    np.testing.assert_array_equal(stack[0], stack[1])
    assert (stack[1] != stack[2]).any()


def test_a_gymnasium_environment_is_not_made_to_show_pictures() -> None:
    with pytest.raises(SandlotError, match=r"only tasks of dm_control.*AddRenderObservation"):
        find("Pendulum-v1", 84)
