"""BC, IQL and IDQL: whole updates against float64 and autograd, the file against the actor, and resuming."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from slow_networks import (
    SlowAdam,
    Weights,
    actor,
    cosine,
    critic,
    layer_norm,
    leaves,
    normalised,
    raw_action,
)
from torch import Tensor

from learners.bc import Bc
from learners.critic_health import td_error
from learners.engine import compiled
from learners.idql import Idql
from learners.implicit_q import ImplicitQ, expectile_loss, expectile_weight
from learners.iql import Iql
from learners.journal import Journal
from learners.learner import Learner
from learners.offline import learn_offline
from learners.offline_config import BcConfig, IdqlConfig, ImplicitConfig, IqlConfig
from learners.sac import Batch
from robot.contract import ActionMap, TaskContract
from robot.errors import SandlotError, SpecError
from robot.messages import Actor
from robot.policy import Policy

Rows = NDArray[np.void]
CLOSE = {"rtol": 1e-7, "atol": 1e-9}
COMMON: dict[str, Any] = {
    "hidden": (16, 24),
    "batch": 8,
    "updates_per_step": 3,
    "learning_rate": 1e-2,
    "actor_decay_steps": 20,
    "actor_average": 0.2,
}
IMPLICIT: dict[str, Any] = COMMON | {"polyak": 0.1, "discount": 0.9, "reward_scale": 2.0, "reward_shift": 0.3}
DIFFUSION: dict[str, Any] = {
    "actor_width": 12,
    "actor_blocks": 2,
    "time_features": 6,
    "candidates": 5,
    "weight_decay": 0.1,
}
CONFIGS = {
    "bc": BcConfig(**COMMON),
    "iql": IqlConfig(**IMPLICIT),
    "idql": IdqlConfig(**IMPLICIT, **DIFFUSION),
}


def random_batch(contract: TaskContract, updates: int, size: int, seed: int) -> Batch:
    rng = np.random.default_rng(seed)
    reach = ActionMap(contract.actions, contract.policy_hz)
    shape = (updates, size)
    observation, following = rng.normal(size=(2, *shape, contract.observation_size))
    observation[..., contract.previous_action] = rng.uniform(-1, 1, (*shape, contract.action_size))
    raw = rng.uniform(-1, 1, (*shape, contract.action_size))
    arrays = (
        observation,
        reach.reach(raw, observation[..., contract.previous_action]),
        rng.normal(size=shape),
        (rng.uniform(size=shape) < 0.8).astype(float),
        following,
    )
    return Batch(*(torch.as_tensor(a, dtype=torch.get_default_dtype()) for a in arrays))


class SlowCritics:
    """IQL's equations 5 and 6, after its released program's order: V, then Q by the new V."""

    def __init__(self, contract: TaskContract, config: ImplicitConfig, ours: ImplicitQ) -> None:
        self.contract, self.config = contract, config
        self.q = [leaves(ours.q.parameters.tensors, e) for e in range(config.critics)]
        self.targets = [{k: w.detach().clone() for k, w in q.items()} for q in self.q]
        self.v = leaves(ours.v.parameters.tensors, 0)
        self.adam_q = SlowAdam([w for q in self.q for w in q.values()])
        self.adam_v = SlowAdam(list(self.v.values()))

    def update(self, batch: Batch, g: int) -> Tensor:
        c, depth = self.config, len(self.config.hidden)
        observation = normalised(self.contract, batch.observation[g])
        inputs = torch.cat([observation, batch.action[g]], -1)
        with torch.no_grad():
            least = torch.stack([critic(q, depth, inputs) for q in self.targets]).min(0).values
        error = least - critic(self.v, depth, observation)
        loss = torch.where(error > 0, c.tau * error**2, (1 - c.tau) * error**2).mean()
        self.adam_v.descend(loss, c.learning_rate)
        with torch.no_grad():
            advantage = least - critic(self.v, depth, observation)
            following = critic(self.v, depth, normalised(self.contract, batch.next_observation[g]))
            reward = c.reward_scale * batch.reward[g] + c.reward_shift
            target = reward + batch.discount[g] * following
        losses = [(critic(q, depth, inputs) - target).pow(2).mean() for q in self.q]
        self.adam_q.descend(torch.stack(losses).mean(), c.learning_rate)
        for q, slow in zip(self.q, self.targets, strict=True):
            for name, w in slow.items():
                w.copy_((1 - c.polyak) * w + c.polyak * q[name].detach())
        return advantage

    def check(self, ours: ImplicitQ) -> None:
        for e in range(self.config.critics):
            same({k: w[e] for k, w in ours.q.parameters.tensors.items()}, self.q[e])
            same({k: w[e] for k, w in ours.q.targets.tensors.items()}, self.targets[e])
        for parameters in (ours.v.parameters, ours.v.targets):
            same({k: w[0] for k, w in parameters.tensors.items()}, self.v)


def same(ours: Weights, theirs: Weights) -> None:
    for name, w in theirs.items():
        torch.testing.assert_close(ours[name], w.detach(), **CLOSE, msg=lambda m, n=name: f"{n}: {m}")


class Average:
    """What is published."""

    def __init__(self, weights: Weights, share: float) -> None:
        self.weights, self.share = weights, share
        self.value = {k: w.detach().clone() for k, w in weights.items()}

    def follow(self) -> None:
        for k, w in self.weights.items():
            self.value[k] = (1 - self.share) * self.value[k] + self.share * w.detach()


def slowly_clone(contract: TaskContract, config: BcConfig, ours: Bc) -> Callable[[Batch], Any]:
    weights, depth = leaves(ours.actor.parameters.tensors), len(config.hidden)
    adam, average = SlowAdam(list(weights.values())), Average(weights, config.actor_average)

    def update(batch: Batch) -> None:
        for observation, action in zip(batch.observation, batch.action, strict=True):
            mean, log_std = actor(weights, depth, normalised(contract, observation))
            policy = torch.distributions.TransformedDistribution(
                torch.distributions.Normal(mean, log_std.clamp(-20, 2).exp()),
                torch.distributions.transforms.TanhTransform(),
            )
            raw = raw_action(contract, action, observation[:, contract.previous_action])
            loss = -policy.log_prob(raw.clamp(-1 + 1e-5, 1 - 1e-5)).sum(-1).mean()
            adam.descend(loss, cosine(config.learning_rate, adam.t, config.actor_decay_steps))
            average.follow()

    def check(found: Bc) -> None:
        same(found.actor.parameters.tensors, weights)
        same(found.actor.published.tensors, average.value)

    update.check = check  # type: ignore[attr-defined]
    return update


def slowly_iql(contract: TaskContract, config: IqlConfig, ours: Iql) -> Callable[[Batch], Any]:
    weights, depth = leaves(ours.actor.parameters.tensors), len(config.hidden)
    adam, average = SlowAdam(list(weights.values())), Average(weights, config.actor_average)
    critics = SlowCritics(contract, config, ours.critics)

    def update(batch: Batch) -> None:
        for g, (observation, action) in enumerate(zip(batch.observation, batch.action, strict=True)):
            advantage = critics.update(batch, g)
            mean, _ = actor(weights, depth, normalised(contract, observation))
            std = weights["log_std_bias"].clamp(min=-5).exp().expand_as(mean)
            raw = raw_action(contract, action, observation[:, contract.previous_action])
            log_density = torch.distributions.Normal(mean.tanh(), std).log_prob(raw).sum(-1)
            weight = torch.exp(config.beta * advantage).clamp(max=config.largest_weight)
            rate = cosine(config.learning_rate, adam.t, config.actor_decay_steps)
            adam.descend(-(weight * log_density).mean(), rate)
            if rate:
                average.follow()

    def check(found: Iql) -> None:
        same(found.actor.parameters.tensors, weights)
        same(found.actor.published.tensors, average.value)
        assert not found.actor.parameters.tensors["log_std_weight"].any()
        critics.check(found.critics)

    update.check = check  # type: ignore[attr-defined]
    return update


def slow_epsilon(weights: Weights, blocks: int, inputs: Tensor, time: Tensor, masks: list[Tensor]) -> Tensor:
    """IDQL's network: ``inputs`` noisy action beside observation, ``time`` (B, 1)."""
    turns = 2 * math.pi * time * weights["frequency"]
    h = torch.cat([torch.cos(turns), torch.sin(turns)], -1)
    h = h @ weights["time_weight0"] + weights["time_bias0"]
    h = h * torch.sigmoid(h) @ weights["time_weight1"] + weights["time_bias1"]
    whole = torch.cat([weights["by_action"], weights["by_observation"], weights["by_time"]])
    x = torch.cat([inputs, h], -1) @ whole + weights["bias"]
    for k in range(blocks):
        h = layer_norm(x * masks[k]) * weights[f"norm_scale{k}"] + weights[f"norm_bias{k}"]
        h = h @ weights[f"up{k}"] + weights[f"up_bias{k}"]
        x = x + h * torch.sigmoid(h) @ weights[f"down{k}"] + weights[f"down_bias{k}"]
    return x * torch.sigmoid(x) @ weights["out"] + weights["out_bias"]


def kept_since(config: IdqlConfig, time: Tensor) -> Tensor:
    """Alpha-bar of steps counted from 0, from the integral of beta(t) = 0.1 + 9.9 t."""
    t = (time + 1) / config.denoising_steps
    return torch.exp(-0.1 * t - 0.5 * 9.9 * t**2)


def slowly_idql(contract: TaskContract, config: IdqlConfig, ours: Idql) -> Callable[[Batch], Any]:
    weights = leaves(ours.actor.tensors)
    adam = SlowAdam(list(weights.values()), config.weight_decay)
    average = Average(weights, config.actor_average)
    critics = SlowCritics(contract, config, ours.critics)
    random = torch.Generator()
    random.set_state(ours.generator.get_state())

    def update(batch: Batch) -> None:
        for g, (observation, action) in enumerate(zip(batch.observation, batch.action, strict=True)):
            critics.update(batch, g)
            rate = cosine(config.learning_rate, adam.t, config.actor_decay_steps)
            if not rate:
                continue
            raw = raw_action(contract, action, observation[:, contract.previous_action])
            time = torch.randint(config.denoising_steps, (len(raw),), generator=random)[:, None]
            noise = torch.randn(raw.shape, generator=random)
            share, shape = config.actor_dropout, (len(raw), config.actor_width)
            masks = [
                (torch.rand(shape, generator=random) >= share) / (1 - share) if share else torch.ones(shape)
                for _ in range(config.actor_blocks)
            ]
            kept = kept_since(config, time)
            noisy = kept.sqrt() * raw + (1 - kept).sqrt() * noise
            inputs = torch.cat([noisy, normalised(contract, observation)], -1)
            estimate = slow_epsilon(weights, config.actor_blocks, inputs, time.double(), masks)
            adam.descend((estimate - noise).pow(2).sum(-1).mean(), rate)
            average.follow()

    def check(found: Idql) -> None:
        same(found.actor.tensors, weights)
        same(found.published.tensors, average.value)
        critics.check(found.critics)

    update.check = check  # type: ignore[attr-defined]
    return update


BC_CASES: dict[str, dict[str, Any]] = {
    "as it is": {},
    "two threads, one hidden layer": {"threads": 2, "hidden": (7,)},
    "no decay": {"actor_decay_steps": 0},
}
IMPLICIT_CASES: dict[str, dict[str, Any]] = {
    "as it is": {},
    "a high expectile": {"tau": 0.9},
    "three critics, odd sizes": {"critics": 3, "hidden": (13, 9, 7), "batch": 5, "threads": 2},
    "an actor that has stopped": {"actor_decay_steps": 4},
}
IQL_CASES = IMPLICIT_CASES | {"clipped weights": {"beta": 50.0, "largest_weight": 2.0}}
IDQL_CASES = IMPLICIT_CASES | {"no dropout": {"actor_dropout": 0.0}, "ten steps": {"denoising_steps": 10}}
UPDATES = [
    *(("bc", case, settings) for case, settings in BC_CASES.items()),
    *(("iql", case, settings) for case, settings in IQL_CASES.items()),
    *(("idql", case, settings) for case, settings in IDQL_CASES.items()),
]


@pytest.mark.usefixtures("_float64")
@pytest.mark.parametrize(("name", "case", "settings"), UPDATES, ids=[f"{n}: {c}" for n, c, _ in UPDATES])
def test_updates_equal_the_slow_ones(
    contract: TaskContract, name: str, case: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of our own kernels, and those without a compiler."""
    config: Any = msgspec.structs.replace(CONFIGS[name], **settings)
    kind: Any = {"bc": Bc, "iql": Iql, "idql": Idql}[name]
    slowly: Any = {"bc": slowly_clone, "iql": slowly_iql, "idql": slowly_idql}[name]
    compiled_one = kind(contract, config, 5)
    monkeypatch.setattr(compiled, "COMPILERS", ())
    plain_one = kind(contract, config, 5)
    assert compiled_one.slow is None and plain_one.slow is not None
    slow = slowly(contract, config, compiled_one)
    for seed in range(3):
        batch = random_batch(contract, config.updates_per_step, config.batch, seed)
        for update in (compiled_one.update, plain_one.update, slow):
            update(batch)
    for ours in (compiled_one, plain_one):
        slow.check(ours)


@pytest.mark.usefixtures("_float64")
@pytest.mark.parametrize("name", ["iql", "idql"])
def test_critics_are_judged_as_they_are_trained(contract: TaskContract, name: str) -> None:
    """Q by r + discount * V, V by the expectile loss of the least target's error."""
    config: Any = CONFIGS[name]
    algorithm = {"iql": Iql, "idql": Idql}[name](contract, config, 5)
    for seed in range(3):
        algorithm.update(random_batch(contract, config.updates_per_step, config.batch, seed))
    batch, c = random_batch(contract, 1, config.batch, 9), config
    found = algorithm.assess(batch, 0)
    slow, depth = SlowCritics(contract, config, algorithm.critics), len(config.hidden)
    slow.targets = [
        {k: w[e].clone() for k, w in algorithm.critics.q.targets.tensors.items()} for e in range(c.critics)
    ]
    observation = normalised(contract, batch.observation[0])
    inputs = torch.cat([observation, batch.action[0]], -1)
    following = critic(slow.v, depth, normalised(contract, batch.next_observation[0]))
    target = c.reward_scale * batch.reward[0] + c.reward_shift + batch.discount[0] * following
    torch.testing.assert_close(found.target, target.detach(), **CLOSE)
    torch.testing.assert_close(
        found.values, torch.stack([critic(q, depth, inputs) for q in slow.q]).detach(), **CLOSE
    )
    least = torch.stack([critic(q, depth, inputs) for q in slow.targets]).min(0).values
    error = least - critic(slow.v, depth, observation).detach()
    loss = torch.where(error > 0, c.tau * error**2, (1 - c.tau) * error**2).mean()
    assert found.value_loss == pytest.approx(float(loss / least.var(correction=0)), rel=1e-7)


@pytest.mark.usefixtures("_float64")
def test_an_actor_is_judged_by_the_squared_error_of_its_mean(contract: TaskContract) -> None:
    """In units of what the best constant action's would be."""
    algorithm = Bc(contract, BcConfig(**COMMON), 5)
    batch = random_batch(contract, 1, COMMON["batch"], 9)
    observation = batch.observation[0]
    mean, _ = actor(
        leaves(algorithm.actor.parameters.tensors), len(COMMON["hidden"]), normalised(contract, observation)
    )
    done = raw_action(contract, batch.action[0], observation[:, contract.previous_action])
    constant = (done - done.mean(0)).square().sum()
    error = (mean.tanh() - done).square().sum() / constant
    assert td_error(algorithm.assess(batch, 0)) == pytest.approx(float(error.detach()), rel=1e-7)


def test_the_minimiser_of_the_expectile_loss_is_the_expectile() -> None:
    """The tau-expectile m of samples: what lies above outweighs what lies below by (1 - tau) to tau."""
    samples = torch.from_numpy(np.random.default_rng(0).gamma(2.0, size=4000))
    for tau in (0.5, 0.7, 0.9):
        grid = torch.linspace(0.0, 8.0, 4001, dtype=torch.float64)
        losses = torch.stack([expectile_loss(samples - m, tau).mean() for m in grid])
        m = grid[losses.argmin()]
        above, below = (samples - m).clamp(min=0).mean(), (m - samples).clamp(min=0).mean()
        assert float(tau * above) == pytest.approx(float((1 - tau) * below), rel=0.01)
        if tau == 0.5:
            assert float(m) == pytest.approx(float(samples.mean()), abs=2e-3)
    assert expectile_weight(torch.tensor([-1.0, 1.0]), 0.9).tolist() == pytest.approx([0.1, 0.9])


@pytest.mark.slow
@pytest.mark.usefixtures("_float64")
def test_v_becomes_the_expectile_of_q_over_the_data_s_actions(contract: TaskContract) -> None:
    """One state, Q fixed: V moves to what the grid finds. Without bootstrap (mask 0) Q becomes the reward."""
    config = IqlConfig(**IMPLICIT | {"batch": 64, "discount": 0.0, "tau": 0.8, "actor_average": 1.0})
    iql = Iql(contract, config, 0)
    batch = random_batch(contract, 1, 64, 0)
    one = batch._replace(observation=batch.observation[:, :1].expand_as(batch.observation).contiguous())
    inputs = torch.cat([iql.normalise(one.observation[0]), one.action[0]], -1)
    before = iql.critics.q.target_values(inputs, [0, 1]).amin(0)
    iql.critics.q.optimiser.rate = 0.0
    for step in range(600):
        iql.critics.v.optimiser.rate = 1e-2 * (1 - step / 600)
        iql.critics.update(one, 0)
    grid = torch.linspace(float(before.min()), float(before.max()), 20001)
    wanted = grid[torch.stack([expectile_loss(before - m, 0.8).mean() for m in grid]).argmin()]
    found = iql.critics.value(iql.normalise(one.observation[0]))
    torch.testing.assert_close(found, wanted.expand_as(found), rtol=0, atol=1e-3)


def learned(contract: TaskContract, name: str, rows: Rows, **settings: Any) -> Learner:
    config = msgspec.structs.replace(CONFIGS[name], matmul="float32", **settings)
    learner = Learner(contract, config, seed=3, calibration_hash="cal")
    learner.add("s", rows)
    learner.pretrain(20)
    return learner


@pytest.mark.parametrize("name", CONFIGS)
def test_the_file_acts_as_the_actor_does(
    contract: TaskContract, name: str, demonstration_and_practice: list[tuple[str, Rows]], tmp_path: Path
) -> None:
    """IDQL's makes the very same choice among its candidates; the robot's own code runs all three."""
    learner = learned(contract, name, demonstration_and_practice[0][1])
    exported = learner.export(7)
    onnx.checker.check_model(onnx.load_model_from_string(exported), full_check=True)
    session = onnxruntime.InferenceSession(exported, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    observation = rng.normal(size=(256, contract.observation_size)).astype(np.float32)
    observation[:, contract.previous_action] = rng.uniform(-1, 1, (256, 2))
    noise = rng.normal(size=(256, learner.noise_size)).astype(np.float32)
    noise[::4] = 0.0  # in one batch with the others
    noise[1] = -np.abs(noise[1])
    noise[1, 0] = 0.0  # nearly, but not the deterministic policy's
    ours = learner.algorithm.act(torch.from_numpy(observation), torch.from_numpy(noise)).numpy()
    (theirs,) = session.run(["action"], {"observation": observation, "noise": noise})
    np.testing.assert_allclose(theirs, ours, atol=1e-5)
    assert np.abs(ours).max() <= 1.0
    (tmp_path / "000007.onnx").write_bytes(exported)
    policy = Policy(tmp_path / "000007.onnx", contract, "cal")
    assert (policy.version, policy.noise_size) == (7, learner.noise_size)
    for k in range(8):
        np.testing.assert_allclose(policy.act(observation[k], noise[k]), ours[k], atol=1e-5)


def test_idql_takes_the_candidate_that_the_critics_like_best(
    contract: TaskContract, make_rows: Callable[..., Rows]
) -> None:
    """By the slow critic on what the slew limit and filter make of each candidate."""
    idql = learned(contract, "idql", make_rows(60)).algorithm
    assert isinstance(idql, Idql)
    rng = np.random.default_rng(1)
    observation = torch.from_numpy(rng.normal(size=(64, contract.observation_size)).astype(np.float32))
    observation[:, contract.previous_action] = observation[:, contract.previous_action].clamp(-1, 1)
    noise = torch.from_numpy(rng.normal(size=(64, idql.noise_size)).astype(np.float32))
    candidates, values = idql.candidates(observation, noise)
    reach = ActionMap(contract.actions, contract.policy_hz)
    weights = idql.critics.q.targets.tensors
    for n in range(64):
        previous = observation[n, contract.previous_action].double().numpy()
        executed = np.stack([reach.reach(raw.double().numpy(), previous) for raw in candidates[n]])
        seen = normalised(contract, observation[n].double()).expand(5, -1)
        inputs = torch.cat([seen, torch.from_numpy(executed)], -1)
        slow = [critic({k: w[e].double() for k, w in weights.items()}, 2, inputs) for e in range(2)]
        least = torch.stack(slow).min(0).values
        torch.testing.assert_close(values[n].double(), least, rtol=1e-4, atol=1e-4)
    chosen = idql.act(observation, noise)
    assert torch.equal(chosen, candidates[torch.arange(64), values.argmax(1)])
    assert len(set(values.argmax(1).tolist())) > 1, "the same candidate everywhere would prove nothing"


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("rows_first", [True, False])
def test_resuming_equals_never_having_stopped(
    contract: TaskContract,
    name: str,
    rows_first: bool,
    demonstration_and_practice: list[tuple[str, Rows]],
    make_rows: Callable[..., Rows],
    tmp_path: Path,
) -> None:
    config = msgspec.structs.replace(CONFIGS[name], warmup=140)

    def add_all(learner: Learner) -> None:
        for session, rows in demonstration_and_practice:
            learner.add(session, rows)

    def go_on(learner: Learner) -> None:
        learner.add("s", make_rows(10, 9, episode=3))
        while learner.due():
            learner.step()

    unbroken = Learner(contract, config, seed=4)
    add_all(unbroken)
    unbroken.pretrain(3)
    unbroken.step()
    unbroken.save(tmp_path)
    go_on(unbroken)
    resumed = Learner(contract, config, seed=99)
    if rows_first:
        add_all(resumed)
    resumed.load(tmp_path)
    if not rows_first:
        add_all(resumed)
    go_on(resumed)
    arrays = [{k: a.tobytes() for k, a in x.algorithm.arrays().items()} for x in (unbroken, resumed)]
    assert arrays[0] == arrays[1]
    assert resumed.metrics == unbroken.metrics and resumed.export(1) == unbroken.export(1)


@pytest.mark.parametrize("name", CONFIGS)
def test_what_has_diverged_is_never_exported(
    contract: TaskContract, name: str, make_rows: Callable[..., Rows]
) -> None:
    learner = learned(contract, name, make_rows(60, actor=Actor.SCRIPT))
    # IQL's actor may have come to rest while its critics go on: a checkpoint of theirs must not be lost.
    watched = {"published"} if name == "bc" else {"published", "targets", "value"}
    for part in watched:
        array = learner.algorithm.arrays()[part]
        kept, array[3] = array[3], np.nan
        with pytest.raises(SandlotError, match="not finite"):
            learner.export(1)
        array[3] = kept
    learner.export(1)


def test_bc_learns_from_demonstrations_only(
    contract: TaskContract, demonstration_and_practice: list[tuple[str, Rows]]
) -> None:
    shown, *practised = demonstration_and_practice
    with_practice, without = (Learner(contract, CONFIGS["bc"], 0) for _ in range(2))
    for learner in (with_practice, without):
        learner.add(*shown)
    for _, rows in practised:
        with_practice.add("another robot", rows)
    assert with_practice.pretrain(3) == without.pretrain(3)
    assert with_practice.export(1) == without.export(1)
    alone = Learner(contract, CONFIGS["bc"], 0)
    for _, rows in practised:
        alone.add("another robot", rows)
    assert alone.experience.transitions == alone.experience.held_out.transitions == 0


def test_a_first_checkpoint_that_was_never_finished_holds_nothing_up(
    contract: TaskContract, make_rows: Callable[..., Rows], tmp_path: Path
) -> None:
    journal = Journal(tmp_path / "robot" / "rows.journal", contract.step_dtype())
    journal.append("s", 0, make_rows(40))
    journal.close()
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "checkpoints" / "000000001.partial").write_bytes(b"cut short")
    told: list[str] = []
    learner = Learner(contract, CONFIGS["iql"], 0)
    policy = learn_offline(learner, tmp_path / "robot", tmp_path / "run", 2, told.append)
    assert policy.exists() and learner.pretrained == 2
    assert not any(line.startswith("going on") for line in told)
    with pytest.raises(SandlotError, match="no demonstration to learn from"):
        cloning = Learner(contract, CONFIGS["bc"], 0)
        learn_offline(cloning, tmp_path / "robot", tmp_path / "another", 2, told.append)


@pytest.mark.slow
def test_cloning_recovers_the_demonstrator(contract: TaskContract, make_rows: Callable[..., Rows]) -> None:
    """Raw actions of a linear policy with noise: the actor's mean becomes its, and the spread the noise's."""
    rows = make_rows(2000, 1, Actor.SCRIPT)
    rng, reach = np.random.default_rng(2), ActionMap(contract.actions, contract.policy_hz)
    before = np.stack([0.3 * rows["observation"][:, 4] / 2, np.full(len(rows), -0.4)], -1)
    raw = np.tanh(before + 0.2 * rng.normal(size=before.shape))
    previous = rows["observation"][:, contract.previous_action].astype(float)
    rows["action"] = np.stack([reach.reach(r, p) for r, p in zip(raw, previous, strict=True)])
    config = BcConfig(hidden=(32,), batch=128, updates_per_step=1, actor_average=1.0, learning_rate=3e-3)
    learner = Learner(contract, msgspec.structs.replace(config, actor_decay_steps=1500), 0)
    learner.add("s", rows)
    metrics = learner.pretrain(1500)
    assert metrics["std"] == pytest.approx(0.2, abs=0.03)
    acted = np.stack([learner.act(rows["observation"][k]) for k in range(100)])
    np.testing.assert_allclose(acted, np.tanh(before[:100]), atol=0.12)
    assert np.abs(acted - np.tanh(before[:100])).mean() < 0.03


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (IqlConfig, {"tau": 1.0}),
        (IqlConfig, {"beta": -1.0}),
        (IqlConfig, {"critics": 0}),
        (IdqlConfig, {"candidates": 0}),
        (IdqlConfig, {"time_features": 5}),
        (IdqlConfig, {"actor_dropout": 1.0}),
        (BcConfig, {"actor_decay_steps": -1}),
        (BcConfig, {"batch": 0}),
    ],
)
def test_settings_that_make_no_sense_are_refused(kind: Any, wrong: dict[str, object]) -> None:
    with pytest.raises(SpecError, match="learner: "):
        kind(**wrong)
