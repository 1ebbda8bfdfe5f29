"""The error model that is fitted is the one that errors were made with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from launch.bench.estimate import fit, save
from robot.spec import load_spec
from sim.estimate_errors import ErrorFile, load_errors

SPEC = load_spec(Path(__file__).parents[3] / "launch/robots/racer.toml")
LAYOUT = SPEC.state_layout


def test_lag_noise_and_drift_are_told_apart(tmp_path: Path) -> None:
    rng, ticks, rate = np.random.default_rng(0), 6000, 100.0
    lag_s, noise, drift, time_s = 0.013, 0.02, 0.05, 0.5
    truths, estimates = [], []
    for _ in range(4):
        times = np.arange(ticks + 20) / rate
        phases = rng.uniform(0.0, 6.0, LAYOUT.size)
        truth = 3.0 * np.sin(2.0 * times[:, None] + phases)
        late = 3.0 * np.sin(2.0 * (times[:, None] - lag_s) + phases)
        wander, kept = np.zeros_like(truth), np.exp(-1.0 / (rate * time_s))
        wander[0] = drift * rng.standard_normal(LAYOUT.size)
        for k in range(1, len(truth)):
            wander[k] = kept * wander[k - 1] + np.sqrt(1 - kept**2) * drift * rng.standard_normal(LAYOUT.size)
        error = wander + noise * rng.standard_normal(truth.shape)
        truths.append(truth[20:])
        estimates.append((late + error)[20:])
    found = fit(LAYOUT, rate, estimates, truths, [np.full_like(t, 0.07) for t in truths])
    for element in found:
        if element.name == "impact":  # made of the forces
            assert element.noise == element.drift == 0.0
            continue
        assert element.lag_s == pytest.approx(lag_s, abs=0.0021), element.name
        assert element.noise == pytest.approx(noise, rel=0.3), element.name
        assert element.drift == pytest.approx(drift, rel=0.25), element.name
        assert element.drift_time_s == pytest.approx(time_s, rel=0.7), element.name
        assert element.deviation == 0.07
    path = tmp_path / "racer.toml"
    save(ErrorFile("racer", "here", found), path)
    np.testing.assert_array_equal(load_errors(SPEC, path).drift, [e.drift for e in found])
