from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from learners.config import DrqConfig, LearnerConfig
from learners.critic_kernel import kernel_figures, tangent_kernel, value
from learners.critic_report import examine, judge, load_learner
from learners.journal import Journal
from learners.learner import Learner
from learners.networks import Critics
from learners.offline import learn_offline
from learners.offline_config import AlgorithmConfig, IqlConfig
from learners.sac import Sac
from robot.contract import ImageTerm, TaskContract
from robot.errors import SandlotError
from robot.messages import Actor

Rows = NDArray[np.void]


def critic(hidden: tuple[int, ...], layer_norm: bool = True) -> dict[str, Tensor]:
    """One critic of four inputs with random weights, float64."""
    generator = torch.Generator().manual_seed(0)
    shapes = Critics(1, 4, hidden, layer_norm=layer_norm).shapes
    return {
        name: torch.randn(shape[1:], dtype=torch.float64, generator=generator)
        for name, shape in shapes.items()
    }


@pytest.mark.parametrize("layer_norm", [True, False])
@pytest.mark.parametrize("hidden", [(7,), (5, 6)])
def test_the_kernel_is_the_jacobian_s_gram_matrix(hidden: tuple[int, ...], layer_norm: bool) -> None:
    weights, inputs = critic(hidden, layer_norm), torch.randn(9, 4, dtype=torch.float64)
    names = tuple(weights)

    def values(*tensors: Tensor) -> Tensor:
        one = dict(zip(names, tensors, strict=True))
        h = inputs
        for k in range(len(hidden)):
            h = h @ one[f"weight{k}"] + one[f"bias{k}"]
            if layer_norm:
                scale, shift = one[f"norm_scale{k}"], one[f"norm_bias{k}"]
                h = torch.nn.functional.layer_norm(h, h.shape[1:], scale, shift, 1e-6)
            h = h.clamp(min=0)
        return (h @ one["value_weight"] + one["value_bias"])[:, 0]

    jacobians = torch.autograd.functional.jacobian(values, tuple(weights.values()))
    jacobian = torch.cat([j.flatten(1) for j in jacobians], 1)
    assert jacobian.shape == (9, sum(w.numel() for w in weights.values()))
    torch.testing.assert_close(tangent_kernel(weights, len(hidden), inputs), jacobian @ jacobian.t())


def test_spectral_norm_is_in_the_kernel_and_its_direction_is_no_weight() -> None:
    shapes = Critics(1, 4, (5, 6), spectral_norm=True).shapes
    generator = torch.Generator().manual_seed(0)
    one = {n: torch.randn(s[1:], dtype=torch.float64, generator=generator) for n, s in shapes.items()}
    inputs, direction = torch.randn(9, 4, dtype=torch.float64), one.pop("direction1")

    def stretch(weight: Tensor) -> Tensor:
        return torch.einsum("i,io->o", direction, weight).square().sum().sqrt()

    def values(*tensors: Tensor) -> Tensor:
        weights = dict(zip(one, tensors, strict=True))
        weights["weight1"] = weights["weight1"] / stretch(weights["weight1"])
        return torch.stack([value(weights, 2, row) for row in inputs])

    jacobians = torch.autograd.functional.jacobian(values, tuple(one.values()))
    jacobian = torch.cat([j.flatten(1) for j in jacobians], 1)
    found = tangent_kernel(one | {"direction1": direction}, 2, inputs)
    torch.testing.assert_close(found, jacobian @ jacobian.t())


def test_a_small_step_moves_values_as_the_kernel_says() -> None:
    weights, inputs = critic((6, 5)), torch.randn(8, 4, dtype=torch.float64)

    def values(of: dict[str, Tensor]) -> Tensor:
        return torch.stack([value(of, 2, x) for x in inputs])

    wanted = torch.randn(8, dtype=torch.float64)
    leaves = {name: w.clone().requires_grad_() for name, w in weights.items()}
    loss = 0.5 * (values(leaves) - (values(weights) + wanted)).square().sum()
    steps = torch.autograd.grad(loss, list(leaves.values()))
    rate = 1e-7
    moved = values({n: w - rate * s for (n, w), s in zip(weights.items(), steps, strict=True)})
    moved = (moved - values(weights)) / rate
    kernel = tangent_kernel(weights, 2, inputs)
    torch.testing.assert_close(moved, kernel @ wanted, rtol=1e-4, atol=1e-3)
    cosine = float(moved @ wanted / moved.norm() / wanted.norm())
    assert kernel_figures(kernel, wanted).cosine == pytest.approx(cosine, abs=1e-4)


def test_a_table_and_a_constant() -> None:
    wanted = torch.tensor([1.0, -2.0, 4.0])
    assert kernel_figures(3.0 * torch.eye(3), wanted) == pytest.approx((0.0, 1.0))
    assert kernel_figures(torch.full((3, 3), 2.0), wanted).row_ratio == pytest.approx(1.0)
    away = torch.tensor([[1.0, -0.5], [-0.5, 1.0]])
    assert kernel_figures(away, torch.tensor([1.0, 1.0])).row_ratio == pytest.approx(0.5)


@pytest.mark.parametrize("layer_norm", [False, True])
def test_the_engine_s_values_are_this_function_s(contract: TaskContract, layer_norm: bool) -> None:
    config = LearnerConfig(batch=8, hidden=(16, 16), matmul="float32", layer_norm=layer_norm)
    sac = Sac(contract, config, 0)
    inputs = torch.randn(8, contract.observation_size + 2)
    values, _ = sac.critics.slope(inputs)
    for member in range(2):
        weights = {name: w[member] for name, w in sac.critics.parameters.tensors.items()}
        torch.testing.assert_close(values[member], torch.stack([value(weights, 2, x) for x in inputs]))


@pytest.mark.parametrize("robot", [False, True])
def test_a_run_s_critics_are_examined_and_nothing_is_changed(
    contract: TaskContract, make_rows: Callable[..., Rows], tmp_path: Path, robot: bool
) -> None:
    home = tmp_path / "learner" if robot else tmp_path
    path = home / "journal" / "rows.journal" if robot else home / "rows.journal"
    journal = Journal(path, contract.step_dtype())
    config = LearnerConfig(hidden=(16, 16), batch=32, warmup=0, updates_per_step=2, held_out=0.5)
    learner = Learner(contract, config, 0)
    for number in range(2):  # the second is held out
        rows = make_rows(50, number, Actor.POLICY, number)
        journal.append("s", 51 * number, rows)
        learner.add("s", rows)
    journal.close()
    with path.open("ab") as file:
        file.write(b"half a fra")  # a run that is going on
    learner.pretrain(3)
    learner.save(home / "checkpoints")
    before = path.read_bytes()
    found = examine(tmp_path)
    assert path.read_bytes() == before
    assert (found.updates, found.held_out_steps) == (6, 50)
    assert found.held_out_error is not None and found.held_out_error > 0.0
    assert 0.0 < found.row_ratio < 1.0 and -1.0 <= found.cosine <= 1.0
    assert found.value_lower_bound < found.value_min < found.value_max < found.value_upper_bound


def test_who_practised_in_a_robot_s_run_is_no_demonstrator(
    contract: TaskContract, make_rows: Callable[..., Rows], tmp_path: Path
) -> None:
    """What was learned from a robot's journal alone has the rows that it was learned with; to a run in an
    environment all prior data is demonstrations."""
    journal = Journal(tmp_path / "robot" / "rows.journal", contract.step_dtype())
    for number, actor in enumerate((Actor.POLICY, Actor.SCRIPT, Actor.POLICY)):
        journal.append("s", 51 * number, make_rows(50, number, actor, number))
    journal.close()
    config = LearnerConfig(hidden=(16, 16), batch=32, warmup=0, updates_per_step=2, held_out=0.0)
    learner = Learner(contract, config, 0)
    learn_offline(learner, tmp_path / "robot", tmp_path / "run", 2, lambda line: None)
    found = load_learner(tmp_path / "run").experience
    assert (found.practice.transitions, found.prior.transitions) == (100, 50)
    assert learner.experience.practice.transitions == 100
    (tmp_path / "run" / "settings.toml").touch()
    found = load_learner(tmp_path / "run").experience
    assert (found.practice.transitions, found.prior.transitions) == (0, 150)


@pytest.mark.parametrize("config", [DrqConfig(filters=(4,), strides=(2,)), IqlConfig()])
def test_other_critics_are_refused_by_their_name(
    contract: TaskContract, make_rows: Callable[..., Rows], tmp_path: Path, config: AlgorithmConfig
) -> None:
    if isinstance(config, DrqConfig):
        eye = ImageTerm(name="eye", height=8, width=8, channels=1, stack=1)
        contract = msgspec.structs.replace(contract, images=(eye,))
    Learner(contract, config, 0).save(tmp_path / "checkpoints")
    journal = Journal(tmp_path / "rows.journal", contract.step_dtype())
    journal.append("s", 0, make_rows(50, 0, Actor.POLICY))
    journal.close()
    with pytest.raises(SandlotError, match=f"SAC or one of its relatives; got {type(config).__name__}"):
        examine(tmp_path)


def test_there_must_be_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(SandlotError, match="checkpoints/"):
        examine(tmp_path)


def test_verdicts() -> None:
    good = {
        "value_min": -11.0,
        "value_max": 11.0,
        "value_lower_bound": -10.0,
        "value_upper_bound": 10.0,
        "cosine": 0.3,
        "held_out_error": 0.2,
        "trained_error": 0.1,
        "row_ratio": 0.3,
    }
    assert judge(good) == [] == judge(good | {"held_out_error": None})
    for wrong, said in (
        ({"value_max": 12.5}, "diverging"),
        ({"value_min": -np.inf}, "not finite"),
        ({"cosine": -0.1}, "away"),
        ({"held_out_error": 1.2}, "on unseen episodes the critics are worse than a constant"),
        ({"trained_error": 1.3, "held_out_error": None}, "they do not learn, or it is too early"),
        ({"row_ratio": 0.95}, "all values alike"),
    ):
        (line,) = judge(good | wrong)
        assert said in line
