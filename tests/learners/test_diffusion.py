"""Noise put in and taken out again: against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from learners.diffusion import EpsilonNetwork, Schedule, denoise, denoising_loss
from learners.engine.parameters import Parameters

pytestmark = pytest.mark.usefixtures("_float64")


@pytest.mark.parametrize("steps", [1, 5, 50])
def test_the_schedule_is_the_closed_form_s(steps: int) -> None:
    """d log(alpha-bar) = -beta(t) dt with beta from 0.1 to 10: its integral at t = (k + 1) / T."""
    schedule = Schedule(steps)
    t = torch.arange(1, steps + 1) / steps
    torch.testing.assert_close(schedule.kept_since, torch.exp(-0.1 * t - 9.9 * t**2 / 2))
    torch.testing.assert_close(schedule.kept + schedule.added, torch.ones(steps))
    assert schedule.kept_since[-1] == pytest.approx(math.exp(-5.05))


def test_noise_added_step_by_step_is_noise_added_at_once() -> None:
    """Mean and variance of x <- sqrt(alpha) x + sqrt(beta) noise, k + 1 times, against ``noised``'s."""
    schedule = Schedule(7)
    mean, variance = 0.8, 0.0
    zero, one = torch.zeros(1, 1), torch.ones(1, 1)
    for k in range(7):
        mean = mean * math.sqrt(schedule.kept[k])
        variance = variance * float(schedule.kept[k]) + float(schedule.added[k])
        step = torch.tensor([k])
        assert float(schedule.noised(torch.tensor([[0.8]]), step, zero)) == pytest.approx(mean)
        assert float(schedule.noised(zero, step, one)) == pytest.approx(math.sqrt(variance))


def exact_epsilon(schedule: Schedule, modes: list[float], spread: float):  # type: ignore[no-untyped-def]
    """The best estimate of the noise in x when data are equal parts of Gaussians round ``modes``."""
    means = torch.tensor(modes)

    def epsilon(x: Tensor, step: int) -> Tensor:
        kept = schedule.kept_since[step]
        variance = kept * spread**2 + 1 - kept
        distance = x[..., None] - kept.sqrt() * means
        share = torch.softmax(-0.5 * distance**2 / variance, -1)
        return (1 - kept).sqrt() * (share * distance).sum(-1) / variance

    return epsilon


def test_one_step_of_sampling_is_the_gaussian_posterior() -> None:
    """From x_k to x_{k-1} with data N(m, 0) known exactly: q(x_{k-1} | x_k, x_0 = m)'s mean (Ho et al.,
    equation 7), for every step."""
    schedule, m = Schedule(5), 0.3
    epsilon = exact_epsilon(schedule, [m], 0.0)
    x = torch.linspace(-2, 2, 9)
    for k in range(1, 5):
        by_x, by_epsilon, by_noise = schedule.gains(k)
        ours = by_x * x - by_epsilon * epsilon(x, k)
        kept, before, since = schedule.kept[k], schedule.kept_since[k - 1], schedule.kept_since[k]
        of_data = before.sqrt() * (1 - kept) / (1 - since)
        of_x = kept.sqrt() * (1 - before) / (1 - since)
        torch.testing.assert_close(ours, of_data * m + of_x * x)
        assert by_noise == pytest.approx(math.sqrt(1 - float(kept)))
    assert schedule.gains(0)[2] == 0.0


def sampled(steps: int, modes: list[float], spread: float, count: int = 40_000) -> Tensor:
    schedule = Schedule(steps)
    noise = torch.from_numpy(np.random.default_rng(0).normal(size=(steps, count, 1)))
    return denoise(schedule, exact_epsilon(schedule, modes, spread), noise)[:, 0]


@pytest.mark.parametrize(("mean", "spread"), [(0.2, 0.1), (-0.5, 0.05), (0.0, 0.2)])
def test_many_steps_recover_a_gaussian(mean: float, spread: float) -> None:
    found = sampled(400, [mean], spread)
    assert float(found.mean()) == pytest.approx(mean, abs=0.005)
    assert float(found.std()) == pytest.approx(spread, rel=0.05)


@pytest.mark.parametrize(("steps", "near", "between"), [(5, 0.62, 0.15), (20, 0.98, 0.01), (200, 0.99, 0.0)])
def test_two_modes_are_recovered_as_two_modes(steps: int, near: float, between: float) -> None:
    """Each as often as the other. Even with the exact noise, five steps leave one sample in eight in the
    middle third, where there is no data: the last step returns the mean of what may have been meant."""
    found = sampled(steps, [-0.6, 0.6], 0.05)
    assert float((found > 0).double().mean()) == pytest.approx(0.5, abs=0.02)
    assert float(((found.abs() - 0.6).abs() < 0.15).double().mean()) > near
    assert float((found.abs() < 0.2).double().mean()) <= between


def test_samples_stay_within_the_actions_range() -> None:
    found = sampled(5, [3.0], 0.1, 1000)
    assert float(found.max()) == 1.0 and float(found.min()) >= -1.0


@pytest.mark.slow
def test_the_network_learns_which_mode_belongs_to_which_observation() -> None:
    """Modes at +-0.6, one of them ruled out by the observation's sign: learned, then sampled."""
    generator = torch.Generator().manual_seed(0)
    network, schedule = EpsilonNetwork(1, 1, 32, 1, 8), Schedule(5)
    parameters = Parameters(network.shapes)
    network.initialise(parameters.tensors, generator)
    weights = {name: w.clone().requires_grad_() for name, w in parameters.tensors.items()}
    optimiser = torch.optim.Adam(weights.values(), 3e-3)
    for _ in range(500):
        observation = torch.randint(2, (128, 1), generator=generator) * 2.0 - 1.0
        action = 0.6 * observation + 0.05 * torch.randn(128, 1, generator=generator)
        step = torch.randint(5, (128,), generator=generator)
        noise = torch.randn(128, 1, generator=generator)
        optimiser.zero_grad()
        denoising_loss(network, schedule, weights, observation, action, step, noise, None).backward()
        optimiser.step()
    with torch.no_grad():
        times = network.time(weights, torch.arange(5))
        for side in (-1.0, 1.0):
            seen = torch.full((500, 1), side) @ weights["by_observation"]
            noise = torch.randn(5, 500, 1, generator=generator)
            found = denoise(schedule, lambda x, k, s=seen: network(weights, x, s + times[k]), noise)
            assert float(found.mean()) == pytest.approx(0.6 * side, abs=0.05)
            assert float(found.std()) < 0.15
