"""One parameter at a time: what is varied, and boundaries where a known car fails."""

from __future__ import annotations

import numpy as np
import pytest

from sim.episode_results import Ending, EpisodeResults, episode_dtype
from sim.randomisation import Draws, Parameter, draw
from sim.validation.extremes import LIKELY, boundaries, episodes, outward, points, split, varied

GRIP = Parameter("tyre_friction", "1", 1.0, "measured", sigma=0.1, least=0.1)
MASS = Parameter("mass", "kg", 3.0, "measured", sigma=0.1, least=0.3)
START = Parameter("start_offset", "m", 0.0, "by hand", sigma=0.1)
FIXED = Parameter("duty_limit", "1", 0.95, "always")
PARAMETERS = (GRIP, MASS, START, FIXED)


def drive(draws: Draws) -> EpisodeResults:
    """A policy that needs friction of 0.61 and carries 3.9 kg."""
    rows = np.zeros(len(draws), episode_dtype(len(draws.names), 0))
    rows["number"], rows["draws"] = draws.numbers, draws.values
    rows["success"] = (draws.column("tyre_friction") >= 0.61) & (draws.column("mass") <= 3.9)
    rows["ending"] = np.where(rows["success"], Ending.FINISHED, Ending.CRASH)
    return EpisodeResults(rows, draws.names, (), draws.seed)


def test_only_what_is_uncertain_is_varied_and_never_the_start() -> None:
    assert varied(PARAMETERS) == [GRIP, MASS]


def test_an_extreme_changes_one_parameter_of_the_same_episodes() -> None:
    base = draw(PARAMETERS, 2, seed=0)
    chosen = points([GRIP, MASS], LIKELY)
    every = episodes(base, chosen)
    assert len(every) == 8
    np.testing.assert_array_equal(every.numbers, np.tile(base.numbers, 4))
    for k, point in enumerate(chosen):
        block = every.values[2 * k : 2 * k + 2]
        changed = every.names.index(point.parameter.name)
        np.testing.assert_array_equal(block[:, changed], point.value)
        np.testing.assert_array_equal(np.delete(block, changed, 1), np.delete(base.values, changed, 1))
    cells = split(drive(every), [point.label for point in chosen])
    assert [len(cell.results) for cell in cells] == [2, 2, 2, 2]
    np.testing.assert_array_equal(cells[2].results.rows["draws"], every.values[4:6])


def test_boundaries_are_where_the_policy_fails_and_nowhere_else() -> None:
    parameters = [GRIP, MASS]
    base = draw(PARAMETERS, 2, seed=0).having({"tyre_friction": 1.0, "mass": 3.0})
    lines = outward(parameters)
    first = [line[0] for line in lines]
    cells = split(drive(episodes(base, first)), [point.label for point in first])
    found = boundaries(drive, base, lines, {cell.label: cell for cell in cells}, 0.5)
    assert [b.parameter.name for b in found] == ["tyre_friction", "mass"]
    grip, mass = found
    assert grip.bad < 0.61 <= grip.good
    assert mass.good <= 3.9 < mass.bad
    # Between one and two distances of 0.23, halved three times.
    assert grip.good - grip.bad == pytest.approx(2.326 * 0.1 / 8, abs=1e-4)
    assert grip.words().startswith("crashed below tyre friction 0.")
    assert mass.words().startswith("crashed above mass 3.")
    assert mass.words().endswith("kg")


def test_positive_quantities_stay_positive_outward() -> None:
    thin = Parameter("battery_resistance", "ohm", 0.02, "measured", sigma=0.01, least=0.002)
    assert all(point.value >= 0.002 for line in outward([thin]) for point in line)


def test_no_car_is_built_that_cannot_be() -> None:
    lines = outward([MASS], possible=lambda name, value: value > 2.6)
    assert [len(line) for line in lines] == [1, 3]
    assert all(point.value > 2.6 for line in lines for point in line)
