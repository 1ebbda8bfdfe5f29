"""Updates from pictures on a device against ``Drq``'s on the processor."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch
from torch import Tensor

from learners import device_drq
from learners.config import DrqConfig
from learners.device_drq import DeviceDrq, SeeingDraws
from learners.drq import Drq
from robot.contract import TaskContract
from tests.learners.test_device_sac import DEVICES, drawn_as_the_engine_does
from tests.learners.test_drq import CAMERAS, SMALL, random_batch


@pytest.fixture(scope="module")
def seeing(contract: TaskContract) -> TaskContract:
    return msgspec.structs.replace(contract, images=CAMERAS)


def drawn_as_drq_does(config: DrqConfig, actions: int, state: Tensor) -> list[SeeingDraws]:
    """What an update of ``Drq`` draws from a generator in this state."""
    generator = torch.Generator()
    generator.set_state(state)
    drawn = []
    for _ in range(config.updates_per_step):
        moves = [
            torch.randint(-config.shift, config.shift + 1, (2, config.batch), generator=generator)
            for _ in range(2 * len(CAMERAS))
        ]
        felt = drawn_as_the_engine_does(config, 1, actions, generator)
        drawn.append(SeeingDraws(torch.stack(moves).view(2, len(CAMERAS), 2, -1), felt))
    return drawn


@pytest.mark.usefixtures("_float64")
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"frozen_encoder": True},
        {"critics": 4, "dropout": 0.2, "layer_norm": True, "entropy_backup": True},
    ],
)
def test_updates_equal_the_processor_s(
    seeing: TaskContract, settings: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = DrqConfig(**{**SMALL, "entropy_decay_steps": 3, **settings})
    here, there = Drq(seeing, config, seed=5), DeviceDrq(seeing, config, seed=5)
    draws: list[SeeingDraws] = []
    monkeypatch.setattr(device_drq.SeeingDraws, "of", lambda *_: draws.pop(0))
    for seed in range(3):
        batch = random_batch(seeing, config.updates_per_step, config.batch, seed)
        draws += drawn_as_drq_does(config, here.sac.actions, here.generator.get_state())
        assert there.update(batch) == pytest.approx(here.update(batch), rel=1e-7, abs=1e-9)
    arrays = there.arrays()
    assert set(arrays) == set(here.arrays())
    for name, array in here.arrays().items():
        if name != "generator":
            np.testing.assert_allclose(arrays[name], array, rtol=1e-7, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("device", DEVICES)
def test_going_on_from_a_copy_equals_never_having_stopped(seeing: TaskContract, device: str) -> None:
    """And what acts is what was learned."""
    config = DrqConfig(**{**SMALL, "matmul": "float32", "device": device})
    whole, copy = DeviceDrq(seeing, config, 0), DeviceDrq(seeing, config, 9)
    batches = [random_batch(seeing, config.updates_per_step, config.batch, seed) for seed in range(4)]
    for k, batch in enumerate(batches):
        if k == 2:
            copy.restore({name: array.copy() for name, array in whole.arrays().items()})
        whole.update(batch)
        if k >= 2:
            copy.update(batch)
    seen = (batches[0].observation[0], torch.zeros(config.batch, whole.sac.actions))
    images = tuple(stacks[0] for stacks in batches[0].images)
    assert torch.equal(whole.act(*seen, images), copy.act(*seen, images))
    assert whole.finite()
    torch.testing.assert_close(whole.encoder.published.flat, whole._published_encoder.flat.cpu())
    theirs = copy.arrays()
    for name, array in whole.arrays().items():
        np.testing.assert_allclose(theirs[name], array, rtol=1e-5, atol=1e-6, err_msg=name)
