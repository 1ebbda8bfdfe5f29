"""Whole updates against a second implementation: float64 and autograd, one critic at a time,
torch.distributions, its own Adam, written from the papers' equations."""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec
import numpy as np
import pytest
import torch
from torch import Tensor

from learners.config import LearnerConfig
from learners.engine import compiled
from learners.lagrangian import Constraint
from learners.range_growth import RangeGrowth
from learners.sac import Batch, Sac
from robot.contract import ActionMap, TaskContract
from robot.errors import SandlotError
from robot.spec import ActionTerm


def random_batch(contract: TaskContract, updates: int, size: int, seed: int = 0) -> Batch:
    rng = np.random.default_rng(seed)
    reach = ActionMap(contract.actions, contract.policy_hz)

    def observations() -> np.ndarray:
        o = rng.normal(size=(updates, size, contract.observation_size))
        o[..., contract.previous_action] = rng.uniform(-1, 1, (updates, size, contract.action_size))
        return o

    observation, raw = observations(), rng.uniform(-1, 1, (updates, size, contract.action_size))
    arrays = (
        observation,
        reach.reach(raw, observation[..., contract.previous_action]),
        rng.normal(size=(updates, size)),
        (rng.uniform(size=(updates, size)) < 0.8) * 0.97 ** rng.integers(1, 4, (updates, size)),
        observations(),
    )
    return Batch(*(torch.as_tensor(a, dtype=torch.get_default_dtype()) for a in arrays))


class Reference:
    """SAC and RLPD's changes, slowly."""

    def __init__(self, contract: TaskContract, config: LearnerConfig, sac: Sac) -> None:
        self.contract, self.config = contract, config
        self.actor = {k: v.clone().requires_grad_() for k, v in sac.actor.parameters.tensors.items()}
        self.critics = [
            {k: v[e].clone().requires_grad_() for k, v in sac.critics.parameters.tensors.items()}
            for e in range(config.critics)
        ]
        self.targets = [{k: v.detach().clone() for k, v in c.items()} for c in self.critics]
        self.costs = [
            [{k: v[e].clone().requires_grad_() for k, v in one.parameters.tensors.items()} for e in range(2)]
            for one in sac.costs
        ]
        self.cost_targets = [
            [{k: v.detach().clone() for k, v in c.items()} for c in two] for two in self.costs
        ]
        self.multipliers = sac.multipliers
        self.share = sac.action_share
        self.log_temperature = torch.tensor(math.log(config.initial_temperature), requires_grad=True)
        self.updates = 0
        self.noise = torch.Generator()
        self.noise.set_state(sac.generator.get_state())
        self.moments: dict[Tensor, tuple[Tensor, Tensor, int]] = {}

    def normalise(self, observation: Tensor) -> Tensor:
        offset, scale = (torch.as_tensor(a, dtype=torch.float64) for a in self.contract.normaliser())
        return (observation - offset) / scale

    def masks(self, rows: int, passes: int) -> Iterator[list[list[Tensor]]]:
        """Fresh dropout masks for each pass, critic and layer: 1 where a unit is kept. The gaps between
        dropped units are geometric, through all passes, critics, layers and rows in this order."""
        c = self.config
        sizes = [rows * width for _ in range(passes * c.critics) for width in c.hidden]
        whole = torch.ones(sum(sizes))
        if c.dropout:
            spread = math.sqrt(sum(sizes) * c.dropout * (1 - c.dropout))
            count = math.ceil(sum(sizes) * c.dropout + 10 * spread) + 10
            unit = -1
            for u in torch.rand(count, generator=self.noise).tolist():
                unit += 1 + int(math.log1p(-u) / math.log1p(-c.dropout))
                if unit < len(whole):
                    whole[unit] = 0
        layers = iter([m.view(rows, -1) for m in whole.split(sizes)])
        for _ in range(passes):
            yield [[next(layers) for _ in c.hidden] for _ in range(c.critics)]

    def value(
        self, critic: dict[str, Tensor], observation: Tensor, action: Tensor, masks: list[Tensor]
    ) -> Tensor:
        h = torch.cat([self.normalise(observation), action], -1)
        for k in range(len(self.config.hidden)):
            weight = critic[f"weight{k}"]
            if self.config.spectral_norm and k == len(self.config.hidden) - 1:
                weight = weight / (weight.T @ critic[f"direction{k}"].detach()).pow(2).sum().sqrt()
            h = h @ weight + critic[f"bias{k}"]
            h = h * masks[k] / (1 - self.config.dropout)
            if self.config.layer_norm:
                centred = h - h.mean(-1, keepdim=True)
                h = centred / (centred.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt()
                h = h * critic[f"norm_scale{k}"] + critic[f"norm_bias{k}"]
            h = h.clamp(min=0)
        return (h @ critic["value_weight"] + critic["value_bias"])[:, 0]

    def policy(self, observation: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        h = self.normalise(observation)
        for k in range(len(self.config.hidden)):
            h = (h @ self.actor[f"weight{k}"] + self.actor[f"bias{k}"]).clamp(min=0)
        mean = h @ self.actor["mean_weight"] + self.actor["mean_bias"]
        log_std = (h @ self.actor["log_std_weight"] + self.actor["log_std_bias"]).clamp(-20, 2)
        before = mean + log_std.exp() * noise
        density = torch.distributions.Normal(mean, log_std.exp()).log_prob(before)
        raw = before.tanh()
        log_density = (density - torch.log(1 - raw.pow(2))).sum(-1)
        return self.executed(raw, observation[:, self.contract.previous_action]), log_density

    def executed(self, raw: Tensor, previous: Tensor) -> Tensor:
        columns = []
        for i, term in enumerate(self.contract.actions):
            change = math.inf if term.slew is None else term.slew / self.contract.policy_hz
            change = 2 * change / (term.upper - term.lower)
            low, high = (previous[:, i] - change).clamp(min=-1), (previous[:, i] + change).clamp(max=1)
            low, high = self.restricted(low, high, term)
            wanted = low * (1 - raw[:, i]) / 2 + high * (1 + raw[:, i]) / 2
            columns.append((1 - term.smoothing) * previous[:, i] + term.smoothing * wanted)
        return torch.stack(columns, -1)

    def restricted(self, low: Tensor, high: Tensor, term: ActionTerm) -> tuple[Tensor, Tensor]:
        """What lies in the part of the range that there is, or the one end that is nearest to it."""
        middle = (term.lower + term.upper) / 2
        neutral = self.config.growth.neutral.get(term.name, middle)
        ends = (neutral + self.share * (end - neutral) for end in (term.lower, term.upper))
        least, most = ((end - middle) / (term.upper - middle) for end in ends)
        inside = (
            torch.maximum(low, torch.full_like(low, least)),
            torch.minimum(high, torch.full_like(high, most)),
        )
        above, below = low > most, high < least
        return (
            torch.where(above, low, torch.where(below, high, inside[0])),
            torch.where(above, low, torch.where(below, high, inside[1])),
        )

    def adam(self, loss: Tensor, tensors: list[Tensor], rate: float) -> None:
        for tensor, gradient in zip(tensors, torch.autograd.grad(loss, tensors), strict=True):
            m, v, t = self.moments.get(tensor, (torch.zeros_like(tensor), torch.zeros_like(tensor), 0))
            m, v, t = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2, t + 1
            self.moments[tensor] = m, v, t
            with torch.no_grad():
                tensor -= rate * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)

    def update(self, batch: Batch) -> None:
        c = self.config
        updates, size = batch.reward.shape
        temperature = self.log_temperature.exp().detach()
        passes = list(self.masks(size, 2 * updates + 1))
        noise = torch.randn(updates * size, self.contract.action_size, generator=self.noise)
        next_actions = []
        for g in range(updates):
            with torch.no_grad():
                action, log_density = self.policy(batch.next_observation[g], noise[g * size : (g + 1) * size])
                next_actions.append(action)
                members = list(range(c.critics))
                if c.subset < c.critics:
                    members = torch.randperm(c.critics, generator=self.noise)[: c.subset].tolist()
                masks = passes.pop(0)
                values = [
                    self.value(self.targets[e], batch.next_observation[g], action, masks[e]) for e in members
                ]
                target = torch.stack(values).min(0).values
                if c.entropy_backup:
                    target = target - temperature * log_density
                target = batch.reward[g] + batch.discount[g] * target
            losses = [
                (self.value(critic, batch.observation[g], batch.action[g], m) - target).pow(2).mean()
                for critic, m in zip(self.critics, passes.pop(0), strict=True)
            ]
            weights = [w for one in self.critics for name, w in one.items() if "direction" not in name]
            self.adam(torch.stack(losses).mean(), weights, c.learning_rate)
            for critic, target_critic in zip(self.critics, self.targets, strict=True):
                for name, w in target_critic.items():
                    w.copy_((1 - c.polyak) * w + c.polyak * critic[name].detach())
            if c.spectral_norm:
                for critic in (*self.critics, *self.targets):
                    self.iterate(critic)
            with torch.no_grad():
                for critic in self.critics:
                    for name, w in critic.items():
                        w *= 1 - c.learning_rate * c.weight_decay * ("weight" in name)
        self.update_costs(batch, next_actions)
        observation = batch.observation[-1]
        noise = torch.randn(size, self.contract.action_size, generator=self.noise)
        action, log_density = self.policy(observation, noise)
        values = [
            self.value(critic, observation, action, m)
            for critic, m in zip(self.critics, passes.pop(0), strict=True)
        ]
        value = torch.stack(values)
        value = value.min(0).values if c.actor_value == "min" else value.mean(0)
        objective = (temperature * log_density - value).mean()
        for two, multiplier in zip(self.costs, self.multipliers, strict=True):
            costs = [self.value(one, observation, action, self.whole(size)) for one in two]
            objective = objective + multiplier * torch.stack(costs).mean()
        objective = objective / (1 + sum(self.multipliers))
        self.adam(objective, list(self.actor.values()), c.learning_rate)
        decayed = min(1.0, self.updates / c.entropy_decay_steps)
        per_action = (1 - decayed) * c.entropy_per_action + decayed * c.final_entropy_per_action
        excess = -log_density.mean().detach() - per_action * self.contract.action_size
        self.updates += 1
        self.adam(self.log_temperature.exp() * excess, [self.log_temperature], c.temperature_learning_rate)

    def iterate(self, critic: dict[str, Tensor]) -> None:
        """A step of power iteration for the left singular vector."""
        k = len(self.config.hidden) - 1
        with torch.no_grad():
            direction, weight = critic[f"direction{k}"], critic[f"weight{k}"]
            moved = weight @ (weight.T @ direction)
            direction.copy_(moved / moved.pow(2).sum().sqrt())

    def whole(self, size: int) -> list[Tensor]:
        """Masks that drop nothing."""
        return [torch.ones(size, width) for width in self.config.hidden]

    def update_costs(self, batch: Batch, next_actions: list[Tensor]) -> None:
        c, size = self.config, batch.reward.shape[1]
        names = self.contract.cost_terms
        for k, (two, targets) in enumerate(zip(self.costs, self.cost_targets, strict=True)):
            column = names.index(c.constraints[k].cost)
            for g, action in enumerate(next_actions):
                with torch.no_grad():
                    values = [
                        self.value(one, batch.next_observation[g], action, self.whole(size))
                        for one in targets
                    ]
                    target = batch.cost[g, :, column] + batch.discount[g] * torch.stack(values).max(0).values
                losses = [
                    (self.value(one, batch.observation[g], batch.action[g], self.whole(size)) - target)
                    .pow(2)
                    .mean()
                    for one in two
                ]
                self.adam(
                    torch.stack(losses).mean(), [w for one in two for w in one.values()], c.learning_rate
                )
                for one, follower in zip(two, targets, strict=True):
                    for name, w in follower.items():
                        w.copy_((1 - c.polyak) * w + c.polyak * one[name].detach())


BASE = {"hidden": (16, 24), "batch": 8, "updates_per_step": 3, "polyak": 0.1, "learning_rate": 1e-2}
CASES = {
    "two critics": {},
    "entropy backup": {"entropy_backup": True},
    "subset": {"critics": 4, "subset": 2, "entropy_backup": True},
    "one of three": {"critics": 3, "subset": 1},
    "RLPD's ensemble": {"critics": 10, "subset": 2},
    "three hidden layers": {"critics": 3, "hidden": (16, 24, 8)},
    "one hidden layer": {"hidden": (7,)},
    "odd sizes": {"critics": 3, "hidden": (13, 17), "batch": 11, "updates_per_step": 1},
    "one transition": {"batch": 1, "updates_per_step": 5},
    "DroQ": {"dropout": 0.01, "hidden": (64, 64), "batch": 32},
    "much dropout": {"dropout": 0.4, "critics": 4, "subset": 2, "hidden": (9, 11, 6), "batch": 7},
    "weight decay": {"weight_decay": 0.5, "critics": 3},
    "spectral norm": {"spectral_norm": True, "layer_norm": False, "critics": 3, "threads": 2},
    "spectral norm of one layer": {"spectral_norm": True, "hidden": (7,), "weight_decay": 0.5},
    "SAC": {"layer_norm": False, "actor_value": "min", "entropy_backup": True},
    "the least of four": {"actor_value": "min", "critics": 4},
    "REDQ": {"layer_norm": False, "critics": 10, "subset": 2, "entropy_backup": True},
    "dropout alone": {"layer_norm": False, "dropout": 0.3, "hidden": (16, 24, 8), "threads": 2},
    "two threads": {"critics": 5, "dropout": 0.1, "threads": 2},
}


@pytest.mark.usefixtures("_float64")
@pytest.mark.parametrize("case", CASES)
def test_updates_equal_the_reference_s(
    contract: TaskContract, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of our own kernels, and those without a compiler."""
    config = LearnerConfig(**{**BASE, "entropy_decay_steps": 2, **CASES[case]})
    fast = Sac(contract, config, seed=5)
    monkeypatch.setattr(compiled, "COMPILERS", ())
    slow = Sac(contract, config, seed=5)
    assert fast.slow is None and slow.slow is not None
    reference = Reference(contract, config, fast)
    for seed in range(4):
        batch = random_batch(contract, config.updates_per_step, config.batch, seed)
        for learner in (fast, slow, reference):
            learner.update(batch)
    close = {"rtol": 1e-7, "atol": 1e-9}
    for ours in (fast, slow):
        for name, w in reference.actor.items():
            torch.testing.assert_close(ours.actor.parameters.tensors[name], w.detach(), **close)
        for e in range(config.critics):
            for name, w in reference.critics[e].items():
                torch.testing.assert_close(ours.critics.parameters.tensors[name][e], w.detach(), **close)
            for name, w in reference.targets[e].items():
                torch.testing.assert_close(ours.critics.targets.tensors[name][e], w, **close)
        torch.testing.assert_close(
            ours.temperature.parameters.flat[0], reference.log_temperature.detach(), **close
        )


@pytest.mark.usefixtures("_float64")
@pytest.mark.parametrize("multipliers", [(0.0, 0.0), (0.7, 2.0)])
def test_constrained_updates_equal_the_reference_s(
    contract: TaskContract, multipliers: tuple[float, float]
) -> None:
    """Two constraints, not in the order of the contract's costs: their critics and the actor's objective."""
    costly = msgspec.structs.replace(contract, cost_terms=("heat", "noise", "wear"))
    constraints = (Constraint(cost="wear", limit=1.0), Constraint(cost="heat", limit=1.0))
    config = LearnerConfig(**BASE, constraints=constraints)
    sac = Sac(costly, config, seed=5)
    sac.multipliers = multipliers
    reference = Reference(costly, config, sac)
    for seed in range(4):
        batch = random_batch(costly, config.updates_per_step, config.batch, seed)
        batch = batch._replace(cost=torch.rand(*batch.reward.shape, 3))
        sac.update(batch)
        reference.update(batch)
    close = {"rtol": 1e-7, "atol": 1e-9}
    for name, w in reference.actor.items():
        torch.testing.assert_close(sac.actor.parameters.tensors[name], w.detach(), **close)
    for ours, two, followers in zip(sac.costs, reference.costs, reference.cost_targets, strict=True):
        for e in range(2):
            for name, w in two[e].items():
                torch.testing.assert_close(ours.parameters.tensors[name][e], w.detach(), **close)
            for name, w in followers[e].items():
                torch.testing.assert_close(ours.targets.tensors[name][e], w, **close)


@pytest.mark.usefixtures("_float64")
def test_updates_in_a_part_of_the_range_equal_the_reference_s(contract: TaskContract) -> None:
    """Two neutral actions, one at an end of its range; previous actions inside and outside the part."""
    growth = RangeGrowth(start=0.2, neutral={"a": -1.0, "b": 0.5})
    config = LearnerConfig(**BASE, entropy_backup=True, growth=growth)
    sac = Sac(contract, config, seed=5)
    reference = Reference(contract, config, sac)
    for seed, share in enumerate((0.2, 0.2, 0.5, 0.9)):
        sac.action_share = reference.share = share
        batch = random_batch(contract, config.updates_per_step, config.batch, seed)
        sac.update(batch)
        reference.update(batch)
    close = {"rtol": 1e-7, "atol": 1e-9}
    for name, w in reference.actor.items():
        torch.testing.assert_close(sac.actor.parameters.tensors[name], w.detach(), **close)
    for e in range(config.critics):
        for name, w in reference.critics[e].items():
            torch.testing.assert_close(sac.critics.parameters.tensors[name][e], w.detach(), **close)
    torch.testing.assert_close(
        sac.temperature.parameters.flat[0], reference.log_temperature.detach(), **close
    )


@pytest.mark.parametrize(("actions", "critics"), [(2, 5), (1, 3), (1, 2)])
def test_what_is_learned_does_not_depend_on_the_number_of_threads(
    contract: TaskContract, actions: int, critics: int
) -> None:
    position, previous, speed = contract.observation
    acting = msgspec.structs.replace(
        contract,
        actions=contract.actions[:actions],
        observation=(
            position,
            msgspec.structs.replace(previous, elements=previous.elements[:actions]),
            speed,
        ),
    )

    def learnt(threads: int) -> dict[str, bytes]:
        config = LearnerConfig(critics=critics, hidden=(32, 32), batch=32, dropout=0.1, threads=threads)
        sac = Sac(acting, config, seed=0)
        for seed in range(3):
            sac.update(random_batch(acting, 4, 32, seed))
        return {name: array.tobytes() for name, array in sac.arrays().items()}

    assert learnt(1) == learnt(2) == learnt(3)


def test_minibatches_of_another_size_are_refused(contract: TaskContract) -> None:
    sac = Sac(contract, LearnerConfig(hidden=(8,), batch=4), seed=0)
    with pytest.raises(SandlotError, match=r"minibatches of 4 .* got 1"):
        sac.update(random_batch(contract, 2, 1))


def test_what_is_published_is_the_running_average_of_the_actor(contract: TaskContract) -> None:
    config = LearnerConfig(hidden=(16,), batch=8, updates_per_step=1, actor_average=0.25, learning_rate=1e-2)
    sac = Sac(contract, config, seed=1)
    average = sac.actor.parameters.flat.clone()
    for seed in range(3):
        sac.update(random_batch(contract, 1, 8, seed))
        average = 0.75 * average + 0.25 * sac.actor.parameters.flat
    torch.testing.assert_close(sac.actor.published.flat, average)
    assert not torch.equal(average, sac.actor.parameters.flat)


@pytest.mark.parametrize(("operand", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.05)])
def test_working_precision_stays_near_float64(
    contract: TaskContract, operand: torch.dtype, tolerance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Critics after some updates as shipped against float64, relative to the values' spread over inputs."""
    config = LearnerConfig(critics=4, updates_per_step=2)
    monkeypatch.setattr("learners.engine.backend.operand_type", lambda wanted: operand)
    sac = Sac(contract, config, seed=0)
    for seed in range(2):
        sac.update(random_batch(contract, 2, config.batch, seed))
    batch = random_batch(contract, 1, config.batch, 9)
    inputs = sac._inputs(batch.observation, batch.action)[0]
    values = sac.critics.target_values(inputs, range(4)).double()
    torch.set_default_dtype(torch.float64)
    try:
        reference = Reference(contract, config, sac)
        exact = [{name: w[e].double() for name, w in sac.critics.targets.tensors.items()} for e in range(4)]
        observation, action = batch.observation[0].double(), batch.action[0].double()
        masks = next(reference.masks(config.batch, 1))[0]
        wanted = torch.stack([reference.value(c, observation, action, masks) for c in exact])
    finally:
        torch.set_default_dtype(torch.float32)
    assert ((values - wanted).abs().amax(1) < tolerance * wanted.std(1)).all()


def constant_critics(sac: Sac, values: list[float]) -> None:
    """Target critics that answer a constant each."""
    weights = sac.critics.targets.tensors
    weights["value_weight"].zero_()
    weights["value_bias"].copy_(torch.tensor(values)[:, None])


def test_targets_discount_what_comes_next(contract: TaskContract) -> None:
    sac = Sac(contract, LearnerConfig(critics=2, batch=2), seed=0)
    constant_critics(sac, [10.0, 7.0])
    batch = random_batch(contract, 1, 2)
    bootstrap, backup = sac._bootstrap(batch)
    target = sac._target(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 0.9]), bootstrap[0], backup[0])
    torch.testing.assert_close(target, torch.tensor([1.0, 2.0 + 0.9 * 7.0]))


def test_every_subset_of_targets_is_equally_likely(contract: TaskContract) -> None:
    """Of critics answering 0, 1, 2, 3 the smaller of a random pair is 0, 1, 2 in 3, 2, 1 cases of 6."""
    sac = Sac(contract, LearnerConfig(critics=4, subset=2, hidden=(4,), batch=1), seed=0)
    constant_critics(sac, [0.0, 1.0, 2.0, 3.0])
    batch = random_batch(contract, 1, 1)
    bootstrap, backup = sac._bootstrap(batch)
    drawn = [sac._target(torch.zeros(1), torch.ones(1), bootstrap[0], backup[0]).item() for _ in range(1200)]
    counts = np.array([drawn.count(v) for v in (0.0, 1.0, 2.0, 3.0)])
    np.testing.assert_allclose(counts, [600, 400, 200, 0], atol=60)  # 3.5 standard deviations


def test_bootstrap_actions_respect_the_slew_limit(contract: TaskContract) -> None:
    """Even an actor that wants the far end of the range moves one step's change from the last action."""
    sac = Sac(contract, LearnerConfig(batch=64), seed=0)
    sac.actor.parameters.tensors["mean_bias"].fill_(50.0)
    batch = random_batch(contract, 2, 64)
    bootstrap, _ = sac._bootstrap(batch)
    previous = batch.next_observation[..., contract.previous_action]
    change = 0.7 * (torch.clamp(previous[..., 0] + 2 * (6 / 20) / 4, max=1.0) - previous[..., 0])
    torch.testing.assert_close(bootstrap[..., -2], previous[..., 0] + change)
    torch.testing.assert_close(bootstrap[..., -1], torch.ones(2, 64))
