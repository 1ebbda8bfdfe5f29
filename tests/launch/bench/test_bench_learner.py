"""The learner's bench counts the products that an update really makes, and reports flat figures."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from launch.bench.against import ALGORITHMS, MODULES, Package
from launch.bench.command import learner as command
from launch.bench.learner import _racer, _rows, products
from launch.cli import missing
from launch.options.bench_speed import BenchLearnerOptions
from learners.config import LearnerConfig
from learners.learner import Learner
from robot.messages import Actor


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"critics": 5, "subset": 2, "updates_per_step": 3, "hidden": (24, 40, 16)},
        {"hidden": (64,), "dropout": 0.01},
    ],
)
def test_the_products_counted_are_those_made(settings: dict[str, object]) -> None:
    contract = _racer()
    config = LearnerConfig(batch=32, warmup=0, **settings)
    learner = Learner(contract, config, seed=0)
    learner.add("s", _rows(contract, Actor.SCRIPT, np.random.default_rng(0), 100))
    with FlopCounterMode(display=False) as made:
        learner.pretrain(1)
    counted = products(contract, config)
    assert sum(p.flop * count for p, count in counted.items()) == made.get_total_flops()


@pytest.mark.slow
def test_figures_are_flat_finite_and_of_all_three_learners(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("launch.bench.learner.CANDIDATES", (4,))
    assert command(BenchLearnerOptions(seconds=0.02, json=True)) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert all(math.isfinite(value) for value in figures.values())
    for name in ("rlpd", "droq", "racer"):
        assert figures[f"{name}_updates_per_s"] > 0
        assert 0 < figures[f"{name}_sampling_cpu_ratio"] < 1
    assert figures["rlpd_mflop_per_update"] == pytest.approx(1328, rel=0.01)
    assert torch.get_num_threads() == 1


def test_what_it_is_compared_with_must_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("launch.bench.against.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError) as raised:
        command(BenchLearnerOptions(against="sbx"))
    assert "pip install '.[sbx]'" in missing(raised.value)


@pytest.mark.slow
@pytest.mark.parametrize("package", ["sb3", "sbx"])
def test_figures_of_both_sides(package: Package, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip(MODULES[package])
    assert command(BenchLearnerOptions(seconds=0.1, against=package, json=True)) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    for algorithm in ALGORITHMS[package]:
        ours, theirs = (figures[f"{algorithm}_{side}_updates_per_s"] for side in ("ours", "theirs"))
        assert figures[f"{algorithm}_times_theirs"] == pytest.approx(ours / theirs, rel=1e-3)
