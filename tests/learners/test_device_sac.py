"""Updates as whole operations with autograd against the engine's, which are written by hand; and that host
and device never differ in what they have. On a GPU too, where there is one."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from learners import device_sac
from learners.algorithm import make_algorithm
from learners.config import LearnerConfig
from learners.device_sac import DeviceSac
from learners.device_update import Draws
from learners.engine.dropout import Dropout
from learners.lagrangian import Constraint
from learners.learner import Learner
from learners.offline_config import BcConfig
from learners.range_growth import RangeGrowth
from learners.sac import Sac
from robot.contract import TaskContract
from robot.errors import SandlotError, SpecError
from tests.learners.test_sac import BASE, CASES, random_batch

DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
    ),
]
DEVICE_CASES = {name: case for name, case in CASES.items() if "spectral_norm" not in case}


def drawn_as_the_engine_does(
    config: LearnerConfig, updates: int, actions: int, generator: torch.Generator
) -> Draws:
    """What an update of ``Sac`` draws."""
    keep = None
    if config.dropout:
        rows, critics = config.batch, config.critics
        dropout = Dropout(
            config.dropout, [rows * width for _ in range(critics) for width in config.hidden], generator
        )
        dropout.draw_ahead(2 * updates + 1)
        passes = []
        for _ in range(2 * updates + 1):
            dropout.draw()
            layers = [dropout.drops(k).mask((rows, width)) for k, width in enumerate(critics * config.hidden)]
            depth = len(config.hidden)
            passes.append([torch.cat(layers[depth * e : depth * (e + 1)], 1) for e in range(critics)])
        keep = torch.stack([torch.stack(one) for one in passes])
    noise = [torch.randn(updates, config.batch, actions, generator=generator)]
    members = None
    if config.subset < config.critics:
        members = torch.stack(
            [torch.randperm(config.critics, generator=generator)[: config.subset] for _ in range(updates)]
        )
    noise.append(torch.randn(1, config.batch, actions, generator=generator))
    return Draws(torch.cat(noise), members, keep)


@pytest.mark.usefixtures("_float64")
@pytest.mark.parametrize("case", DEVICE_CASES)
def test_updates_equal_the_engine_s(
    contract: TaskContract, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = LearnerConfig(**{**BASE, "entropy_decay_steps": 2, **DEVICE_CASES[case]})
    engine, there = Sac(contract, config, seed=5), DeviceSac(contract, config, seed=5)
    draws: list[Draws] = []
    monkeypatch.setattr(device_sac.Draws, "of", lambda *_: draws[-1])
    for seed in range(4):
        batch = random_batch(contract, config.updates_per_step, config.batch, seed)
        updates = len(batch.reward)
        generator = torch.Generator()
        generator.set_state(engine.generator.get_state())
        draws.append(drawn_as_the_engine_does(config, updates, engine.actions, generator))
        wanted, found = engine.update(batch), there.update(batch)
        assert found == pytest.approx(wanted, rel=1e-7, abs=1e-9)
    arrays = there.arrays()
    for name, array in engine.arrays().items():
        if name != "generator":
            np.testing.assert_allclose(arrays[name], array, rtol=1e-7, atol=1e-9, err_msg=name)


def device_learner(contract: TaskContract, device: str, seed: int = 0) -> DeviceSac:
    config = LearnerConfig(
        critics=4, subset=2, hidden=(32, 32), batch=32, dropout=0.1, matmul="float32", device=device
    )
    return DeviceSac(contract, config, seed)


@pytest.mark.parametrize("device", DEVICES)
def test_going_on_from_a_copy_equals_never_having_stopped(contract: TaskContract, device: str) -> None:
    whole, copy = device_learner(contract, device), device_learner(contract, device, seed=9)
    for seed in range(6):
        if seed == 3:
            copy.restore({name: array.copy() for name, array in whole.arrays().items()})
        whole.update(random_batch(contract, 3, 32, seed))
        if seed >= 3:
            copy.update(random_batch(contract, 3, 32, seed))
    theirs = copy.arrays()
    for name, array in whole.arrays().items():
        assert array.tobytes() == theirs[name].tobytes(), name


@pytest.mark.parametrize("device", DEVICES)
def test_another_number_of_minibatches_changes_nothing_else(contract: TaskContract, device: str) -> None:
    """Recording an update for them tries it, and puts back what the trial changed."""
    one, other = device_learner(contract, device), device_learner(contract, device)
    other.update(random_batch(contract, 2, 32))  # records
    one.update(random_batch(contract, 2, 32))
    before = {name: array.copy() for name, array in other.arrays().items()}
    other.update(random_batch(contract, 3, 32))  # records anew
    other.restore(before)
    for sac in (one, other):
        sac.update(random_batch(contract, 2, 32, 1))
    theirs = other.arrays()
    for name, array in one.arrays().items():
        assert array.tobytes() == theirs[name].tobytes(), name


@pytest.mark.parametrize("device", DEVICES)
def test_host_and_device_agree_on_values_and_actions(contract: TaskContract, device: str) -> None:
    """What is asked of the host after updates is of the device's networks."""
    sac = device_learner(contract, device)
    first = sac.act(torch.zeros(1, contract.observation_size), torch.zeros(1, sac.actions))
    for seed in range(3):
        metrics = sac.update(random_batch(contract, 4, 32, seed))
    assert metrics["temperature"] == pytest.approx(float(sac._there.log_temperature.flat[0].exp()))
    assert not torch.equal(
        sac.act(torch.zeros(1, contract.observation_size), torch.zeros(1, sac.actions)), first
    )
    sac.assess(random_batch(contract, 1, 32), 0)
    torch.testing.assert_close(sac.critics.parameters.flat, sac._there.critics.flat.cpu())
    assert sac.finite()


@pytest.mark.parametrize("device", DEVICES)
def test_every_draw_is_another_and_as_likely_as_it_should_be(contract: TaskContract, device: str) -> None:
    config = LearnerConfig(critics=4, subset=2, hidden=(64,), batch=64, dropout=0.25)
    generator = torch.Generator(device).manual_seed(0)
    draws = Draws.of(config, 500, contract.action_size, generator)
    assert draws.members is not None and draws.keep is not None
    counts = torch.bincount(draws.members.flatten(), minlength=4).cpu()
    assert (draws.members.sort(1).values.diff() > 0).all()  # no critic twice
    np.testing.assert_allclose(counts, 250, atol=45)  # 4 standard deviations
    assert float((draws.keep == 0).double().mean()) == pytest.approx(0.25, abs=1e-3)
    assert float(draws.keep.max()) == pytest.approx(1 / 0.75)
    assert float(draws.noise.std()) == pytest.approx(1.0, abs=0.01)
    assert not torch.equal(draws.noise[0], draws.noise[1])


def test_a_gpu_that_is_not_there_and_what_it_cannot_learn_are_named(
    contract: TaskContract, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SandlotError, match="sees no CUDA device"):
        make_algorithm(contract, LearnerConfig(device="cuda"), 0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    costly = msgspec.structs.replace(contract, cost_terms=("wear",))
    constraints = (Constraint(cost="wear", limit=1.0),)
    growth = RangeGrowth(start=0.2)
    for settings in ({"spectral_norm": True}, {"constraints": constraints}, {"growth": growth}):
        with pytest.raises(SpecError, match="without spectral_norm, constraints and growth"):
            make_algorithm(costly, LearnerConfig(device="cuda", **settings), 0)
    with pytest.raises(SpecError, match="got BcConfig"):
        make_algorithm(contract, BcConfig(device="cuda"), 0)


def test_a_checkpoint_goes_on_with_another_number_of_threads(contract: TaskContract, tmp_path: Path) -> None:
    first = Learner(contract, LearnerConfig(threads=2), 0)
    first.save(tmp_path)
    learner = Learner(contract, LearnerConfig(), 1)
    learner.load(tmp_path)
    np.testing.assert_equal(learner.state_dict(), first.state_dict())
