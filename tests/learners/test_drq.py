"""DrQ's updates against a second implementation in float64: convolutions as sums over windows, autograd
through encoder and critics, its own Adam. Then: what is frozen stays, what is loaded is loaded, and what is
exported acts alike."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime as ort
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from learners.config import DrqConfig, LearnerConfig
from learners.drq import Drq
from learners.encoder import Network, merged
from learners.learner import Learner
from learners.sac import Batch
from robot.contract import ActionMap, ImageTerm, TaskContract
from robot.errors import ContractMismatchError, SandlotError, SpecError
from robot.messages import Actor

CAMERAS = (
    ImageTerm(name="front", height=11, width=9, channels=3, stack=2),
    ImageTerm(name="back", height=8, width=8, channels=1, stack=1),
)
SMALL = {
    "hidden": (12, 10),
    "batch": 6,
    "filters": (4, 3),
    "strides": (2, 1),
    "features": 5,
    "shift": 2,
    "updates_per_step": 2,
    "learning_rate": 1e-2,
    "polyak": 0.1,
    "actor_average": 0.3,
    "capacity": 200,
    "prior_capacity": 200,
    "warmup": 0,
}


@pytest.fixture(scope="module")
def seeing(contract: TaskContract) -> TaskContract:
    return msgspec.structs.replace(contract, images=CAMERAS)


def random_batch(contract: TaskContract, updates: int, size: int, seed: int = 0) -> Batch:
    rng = np.random.default_rng(seed)
    reach = ActionMap(contract.actions, contract.policy_hz)

    def observations() -> NDArray[Any]:
        found = rng.normal(size=(updates, size, contract.observation_size))
        found[..., contract.previous_action] = rng.uniform(-1, 1, (updates, size, contract.action_size))
        return found

    def pictures() -> tuple[Tensor, ...]:
        shapes = [(updates, size, i.stack, i.height, i.width, i.channels) for i in contract.images]
        return tuple(torch.from_numpy(rng.integers(0, 256, shape, np.uint8)) for shape in shapes)

    observation, raw = observations(), rng.uniform(-1, 1, (updates, size, contract.action_size))
    arrays = (
        observation,
        reach.reach(raw, observation[..., contract.previous_action]),
        rng.normal(size=(updates, size)),
        (rng.uniform(size=(updates, size)) < 0.8) * 0.9,
        observations(),
    )
    plain = (torch.as_tensor(a, dtype=torch.get_default_dtype()) for a in arrays)
    return Batch(*plain)._replace(images=pictures(), next_images=pictures())


class Reference:
    """The paper's equations, slowly."""

    def __init__(self, contract: TaskContract, config: DrqConfig, drq: Drq) -> None:
        self.contract, self.config = contract, config
        encoder, sac = drq.encoder.parameters.tensors, drq.sac
        self.encoder = {k: v.clone().requires_grad_() for k, v in encoder.items()}
        self.published = {k: v.detach().clone() for k, v in self.encoder.items()}
        self.actor = {k: v.clone().requires_grad_() for k, v in sac.actor.parameters.tensors.items()}
        self.critics = {k: v.clone().requires_grad_() for k, v in sac.critics.parameters.tensors.items()}
        self.targets = {k: v.detach().clone() for k, v in self.critics.items()}
        self.log_temperature = torch.tensor(math.log(config.initial_temperature), requires_grad=True)
        self.noise = torch.Generator()
        self.noise.set_state(drq.generator.get_state())
        self.moments: dict[Tensor, tuple[Tensor, Tensor, int]] = {}

    def encode(self, pictures: list[Tensor]) -> Tensor:
        parts = []
        for camera, picture in enumerate(pictures):
            h = picture.double() / 255 - 0.5  # (N, H, W, C)
            for k, stride in enumerate(self.config.strides):
                kernel = self.encoder[f"kernel{camera}_{k}"]
                windows = h.unfold(1, 3, stride).unfold(2, 3, stride)  # (N, H', W', C, 3, 3)
                h = torch.einsum("nyxcij,ocij->nyxo", windows, kernel)
                h = (h + self.encoder[f"kernel_bias{camera}_{k}"]).clamp(min=0)
            parts.append(h.reshape(len(h), -1))
        h = torch.cat(parts, 1) @ self.encoder["projection"] + self.encoder["projection_bias"]
        h = (h - h.mean(1, keepdim=True)) / (h.var(1, keepdim=True, correction=0) + 1e-5).sqrt()
        return torch.tanh(h * self.encoder["norm_scale"] + self.encoder["norm_bias"])

    def moved(self, images: tuple[Tensor, ...], g: int) -> list[Tensor]:
        found = []
        most = self.config.shift
        for stacks in images:
            offsets = torch.randint(-most, most + 1, (2, stacks.shape[1]), generator=self.noise)
            pictures = []
            for stack, down, right in zip(stacks[g].numpy(), *offsets.numpy(), strict=True):
                merged = np.concatenate(list(stack), -1)
                padded = np.pad(merged, ((most, most), (most, most), (0, 0)), mode="edge")
                y, x = most + down, most + right
                pictures.append(padded[y : y + merged.shape[0], x : x + merged.shape[1]])
            found.append(torch.from_numpy(np.stack(pictures)))
        return found

    def normalise(self, observation: Tensor) -> Tensor:
        offset, scale = (torch.as_tensor(a, dtype=torch.float64) for a in self.contract.normaliser())
        return (observation - offset) / scale

    def values(self, critics: dict[str, Tensor], features: Tensor, state: Tensor, action: Tensor) -> Tensor:
        h = torch.cat([features, self.normalise(state), action], -1)
        for k in range(len(self.config.hidden)):
            h = h @ critics[f"weight{k}"] + critics[f"bias{k}"][:, None]
            h = (h - h.mean(-1, keepdim=True)) / (h.var(-1, keepdim=True, correction=0) + 1e-6).sqrt()
            h = (h * critics[f"norm_scale{k}"][:, None] + critics[f"norm_bias{k}"][:, None]).clamp(min=0)
        return (h @ critics["value_weight"])[..., 0] + critics["value_bias"]

    def policy(self, features: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        noise = torch.randn(len(state), self.contract.action_size, generator=self.noise)
        h = torch.cat([features, self.normalise(state)], -1)
        for k in range(len(self.config.hidden)):
            h = (h @ self.actor[f"weight{k}"] + self.actor[f"bias{k}"]).clamp(min=0)
        mean = h @ self.actor["mean_weight"] + self.actor["mean_bias"]
        log_std = (h @ self.actor["log_std_weight"] + self.actor["log_std_bias"]).clamp(-20, 2)
        before = mean + log_std.exp() * noise
        density = torch.distributions.Normal(mean, log_std.exp()).log_prob(before)
        raw = before.tanh()
        previous = state[:, self.contract.previous_action]
        change = torch.tensor([2 * (6 / 20) / 4, 2.0])
        smoothing = torch.tensor([0.7, 1.0])
        low, high = (previous - change).clamp(min=-1), (previous + change).clamp(max=1)
        action = previous + smoothing * (low + (high - low) * (raw + 1) / 2 - previous)
        return action, (density - torch.log(1 - raw.pow(2))).sum(-1)

    def adam(self, loss: Tensor, tensors: list[Tensor], rate: float) -> None:
        for tensor, gradient in zip(tensors, torch.autograd.grad(loss, tensors), strict=True):
            m, v, t = self.moments.get(tensor, (torch.zeros_like(tensor), torch.zeros_like(tensor), 0))
            m, v, t = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2, t + 1
            self.moments[tensor] = m, v, t
            with torch.no_grad():
                tensor -= rate * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)

    def update(self, batch: Batch) -> None:
        c = self.config
        for g in range(len(batch.reward)):
            now, then = self.moved(batch.images, g), self.moved(batch.next_images, g)
            temperature = self.log_temperature.exp().detach()
            with torch.no_grad():
                ahead, state = self.encode(then), batch.next_observation[g]
                action, log_density = self.policy(ahead, state)
                target = self.values(self.targets, ahead, state, action).min(0).values
                target = batch.reward[g] + batch.discount[g] * (target - temperature * log_density)
            features, state = self.encode(now), batch.observation[g]
            values = self.values(self.critics, features, state, batch.action[g])
            learned = [*self.critics.values(), *([] if c.frozen_encoder else self.encoder.values())]
            self.adam((values - target).pow(2).mean(), learned, c.learning_rate)
            for name, w in self.targets.items():
                w.copy_((1 - c.polyak) * w + c.polyak * self.critics[name].detach())
            for name, w in self.published.items():
                w.copy_((1 - c.actor_average) * w + c.actor_average * self.encoder[name].detach())
            action, log_density = self.policy(features.detach(), state)
            value = self.values(self.critics, features.detach(), state, action).mean(0)
            loss = (temperature * log_density - value).mean()
            self.adam(loss, list(self.actor.values()), c.learning_rate)
            excess = -log_density.mean().detach() - c.entropy_per_action * self.contract.action_size
            self.adam(
                self.log_temperature.exp() * excess, [self.log_temperature], c.temperature_learning_rate
            )


@pytest.mark.usefixtures("_float64")
@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("cameras", [1, 2])
@pytest.mark.parametrize("threads", [1, 2])
def test_updates_equal_the_reference_s(
    seeing: TaskContract, frozen: bool, cameras: int, threads: int
) -> None:
    seeing = msgspec.structs.replace(seeing, images=CAMERAS[:cameras])
    settings = {"entropy_backup": True, "final_entropy_per_action": -0.5, "critics": 3, "subset": 3}
    config = DrqConfig(**{**SMALL, **settings, "frozen_encoder": frozen, "threads": threads})
    drq = Drq(seeing, config, seed=3)
    reference = Reference(seeing, config, drq)
    for seed in range(3):
        batch = random_batch(seeing, config.updates_per_step, config.batch, seed)
        drq.update(batch)
        reference.update(batch)
    for ours, theirs in (
        (drq.encoder.parameters, reference.encoder),
        (drq.encoder.published, reference.published),
        (drq.sac.critics.parameters, reference.critics),
        (drq.sac.critics.targets, reference.targets),
        (drq.sac.actor.parameters, reference.actor),
    ):
        for name, w in theirs.items():
            torch.testing.assert_close(ours.tensors[name], w.detach(), rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(drq.sac.temperature.value, float(reference.log_temperature.detach().exp()))


def test_a_frozen_encoder_does_not_change_and_has_nothing_to_change_by(seeing: TaskContract) -> None:
    frozen = Drq(seeing, DrqConfig(**SMALL, frozen_encoder=True), seed=0)
    free = Drq(seeing, DrqConfig(**SMALL), seed=0)
    before = {name: array.tobytes() for name, array in frozen.arrays().items()}
    for seed in range(3):
        for one in (frozen, free):
            one.update(random_batch(seeing, 2, 6, seed))
    after = frozen.arrays()
    for name in ("encoder", "encoder.published"):
        assert after[name].tobytes() == before[name] != free.arrays()[name].tobytes()
    assert not [name for name in after if name.startswith("optimiser.encoder")]
    assert [name for name in free.arrays() if name.startswith("optimiser.encoder")]
    for name in ("critics", "actor", "targets"):
        assert after[name].tobytes() != before[name]
    with pytest.raises(SandlotError, match="frozen"):
        frozen.encoder.descend(torch.zeros(1), torch.zeros(1))


def practised(contract: TaskContract, config: DrqConfig, seed: int, folder: Path | None = None) -> Learner:
    learner = Learner(contract, config, seed, frames=folder)
    rows, pictures = episode(contract, seed)
    learner.add("s", rows, pictures)
    learner.pretrain(2)
    return learner


def episode(contract: TaskContract, seed: int, count: int = 40) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    rows = np.zeros(count, contract.step_dtype())
    rows["step"], rows["actor"] = np.arange(count), Actor.POLICY
    rows["observation"] = rng.uniform(-1, 1, rows["observation"].shape)
    rows["reward"], rows["last"][-1] = rng.normal(size=count), True
    pictures = np.zeros(count, contract.frame_dtype())
    for camera in contract.images:
        pictures[camera.name] = rng.integers(0, 256, pictures[camera.name].shape)
    return rows, pictures


def shown(contract: TaskContract, seed: int = 9) -> tuple[NDArray[np.uint8], ...]:
    rng = np.random.default_rng(seed)
    shapes = [(i.stack, i.height, i.width, i.channels) for i in contract.images]
    return tuple(rng.integers(0, 256, shape, np.uint8) for shape in shapes)


@pytest.mark.parametrize("frozen", [False, True])
def test_a_pretrained_encoder_is_loaded_whole_and_nothing_but_it(
    seeing: TaskContract, tmp_path: Path, frozen: bool
) -> None:
    """A release once loaded everything except the encoder: features of the two must be equal to the bit, and
    critics and actor those of a learner that loaded nothing."""
    before = practised(seeing, DrqConfig(**SMALL), 1)
    before.save(tmp_path)
    settings = {**SMALL, "frozen_encoder": frozen}
    loaded = Drq(seeing, DrqConfig(**settings, encoder=str(tmp_path)), seed=2)
    fresh = Drq(seeing, DrqConfig(**settings), seed=2)
    theirs = before.algorithm
    assert isinstance(theirs, Drq)
    pictures = tuple(torch.from_numpy(np.concatenate(list(stack), -1))[None] for stack in shown(seeing))
    assert torch.equal(loaded.encoder(pictures), theirs.encoder(pictures))
    assert not torch.equal(fresh.encoder(pictures), theirs.encoder(pictures))
    ours, unloaded = loaded.arrays(), fresh.arrays()
    assert ours["encoder.published"].tobytes() == ours["encoder"].tobytes()
    for name in ours:
        assert (ours[name].tobytes() == unloaded[name].tobytes()) == (not name.startswith("encoder"))


def test_an_encoder_for_other_pictures_or_settings_is_refused(seeing: TaskContract, tmp_path: Path) -> None:
    practised(seeing, DrqConfig(**SMALL), 1).save(tmp_path)
    other = msgspec.structs.replace(seeing, images=CAMERAS[:1])
    with pytest.raises(ContractMismatchError, match="images"):
        Drq(other, DrqConfig(**SMALL, encoder=str(tmp_path)), seed=0)
    with pytest.raises(ContractMismatchError, match="filters"):
        Drq(seeing, DrqConfig(**{**SMALL, "filters": (4, 4)}, encoder=str(tmp_path)), seed=0)


def test_the_critics_are_judged_by_pictures_as_they_are_and_nothing_changes(
    seeing: TaskContract, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("learners.prior_data.LEAST_HELD_OUT", 1)

    def learn(every: int) -> Learner:
        monkeypatch.setattr("learners.critic_health.EVERY", every)
        learner = Learner(seeing, DrqConfig(**SMALL, held_out=0.5), 3)
        for number in range(2):
            rows, pictures = episode(seeing, number)
            rows["episode"] = number
            learner.add("s", rows, pictures)
        learner.pretrain(6)
        return learner

    seldom, often = learn(100), learn(1)
    ours, theirs = ({k: v.tobytes() for k, v in one.state_dict().items()} for one in (seldom, often))
    assert ours == theirs
    found = often.metrics
    assert found["held_out_error"] > 0.0 and found["value_lower_bound"] < found["value_upper_bound"]

    drq = often.algorithm
    batch = often.experience.held_out_batch(np.random.default_rng(0))
    with torch.no_grad():
        features = drq.encoder.network(
            drq.encoder.parameters.tensors, tuple(merged(stacks[0]) for stacks in batch.images)
        )
    felt = drq.sac.normalise(torch.cat([features, batch.observation[0]], -1))
    wanted = drq.sac.critics.slope(torch.cat([felt, batch.action[0]], -1))[0].clone()
    torch.testing.assert_close(drq.assess(batch, 1).values, wanted)


def test_a_learner_goes_on_from_checkpoint_journal_and_pictures_to_the_bit(
    seeing: TaskContract, tmp_path: Path
) -> None:
    config = DrqConfig(**SMALL, n_step=3)
    first = practised(seeing, config, 4, tmp_path / "frames")
    first.save(tmp_path / "checkpoints")
    second = Learner(seeing, config, 4, frames=tmp_path / "frames")
    second.load(tmp_path / "checkpoints")
    second.add("s", episode(seeing, 4)[0])
    for learner in (first, second):
        learner.pretrain(2)
    ours, theirs = (learner.algorithm.arrays() for learner in (first, second))
    assert {k: v.tobytes() for k, v in ours.items()} == {k: v.tobytes() for k, v in theirs.items()}


@pytest.mark.parametrize(
    ("noise", "names"), [(0.0, ("front", "back")), (1.0, ("state", "camera0")), (1.0, ("_state", "__felt"))]
)
def test_the_exported_file_acts_as_the_learner(
    seeing: TaskContract, noise: float, names: tuple[str, str]
) -> None:
    """Whatever the cameras are called, as tensors inside the graph could be."""
    named = zip(seeing.images, names, strict=True)
    images = tuple(msgspec.structs.replace(image, name=name) for image, name in named)
    seeing = msgspec.structs.replace(seeing, images=images)
    learner = practised(seeing, DrqConfig(**{**SMALL, "updates_per_step": 5}), 5)
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(learner.export(3), options, providers=["CPUExecutionProvider"])
    assert {i.name: i.type for i in session.get_inputs()} == {
        "observation": "tensor(float)",
        "noise": "tensor(float)",
        **dict.fromkeys(names, "tensor(uint8)"),
    }
    rng = np.random.default_rng(0)
    for seed in range(5):
        observation = rng.normal(size=seeing.observation_size).astype(np.float32)
        drawn = (noise * rng.normal(size=seeing.action_size)).astype(np.float32)
        stacks = shown(seeing, seed)
        pictures = {
            image.name: np.concatenate(list(stack), -1)[None]
            for image, stack in zip(seeing.images, stacks, strict=True)
        }
        feeds = {"observation": observation[None], "noise": drawn[None], **pictures}
        (action,) = session.run(["action"], feeds)
        np.testing.assert_allclose(action[0], learner.act(observation, drawn, stacks), rtol=0, atol=1e-5)


@pytest.mark.parametrize("strides", [(1,), (2,), (2, 1), (2, 1, 1, 1), (2, 2, 2, 1), (1, 3)])
def test_pictures_must_be_as_large_as_the_convolutions_need(strides: tuple[int, ...]) -> None:
    """At the size that an error names they are seen, below it they are refused."""

    def network(height: int, width: int) -> Network:
        image = ImageTerm(name="front", height=height, width=width, channels=1)
        return Network((image,), (2,) * len(strides), strides, 4)

    with pytest.raises(SpecError, match="image 'front' has 1 x 99 pixels") as refused:
        network(1, 99)
    (least,) = map(int, re.findall(r"at least (\d+) x", str(refused.value)))
    least_network = network(least, least)
    weights = {name: torch.ones(shape) for name, shape in least_network.shapes.items()}
    seen = least_network(weights, (torch.zeros((3, least, least, 1), dtype=torch.uint8),))
    assert seen.shape == (3, 4)
    for height, width in ((least - 1, least), (least, least - 1)):
        with pytest.raises(SpecError, match=f"at least {least} x {least}"):
            network(height, width)


def test_pictures_and_algorithm_must_fit(contract: TaskContract, seeing: TaskContract) -> None:
    with pytest.raises(SandlotError, match="has no images"):
        Learner(contract, DrqConfig(**SMALL), 0)
    with pytest.raises(SandlotError, match="drq learns from them"):
        Learner(seeing, LearnerConfig(capacity=10, prior_capacity=10), 0)
    with pytest.raises(SpecError, match="a stride is needed"):
        DrqConfig(filters=(4,), strides=(1, 1))
