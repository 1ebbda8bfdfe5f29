from __future__ import annotations

import pytest

from learners.presets import ALGORITHMS, preset
from robot.errors import SpecError

PUBLISHED = {
    "sac": {"critics": 2, "updates_per_step": 1, "dropout": 0.0},
    "redq": {"critics": 10, "subset": 2, "updates_per_step": 20, "dropout": 0.0},
    "droq": {"critics": 2, "subset": 2, "updates_per_step": 20, "dropout": 0.01},
    "rlpd": {"critics": 10, "subset": 2, "updates_per_step": 20, "prior_fraction": 0.5},
    "drq": {
        "critics": 2,
        "updates_per_step": 1,
        "n_step": 3,
        "hidden": (1024, 1024),
        "polyak": 0.01,
        "learning_rate": 1e-4,
        "filters": (32, 32, 32, 32),
        "strides": (2, 1, 1, 1),
        "features": 50,
        "shift": 4,
    },
}
SHARED = {"batch": 256, "hidden": (256, 256), "discount": 0.99, "polyak": 0.005, "learning_rate": 3e-4}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_papers_numbers(name: str) -> None:
    config = preset(name)
    for key, value in (SHARED | PUBLISHED[name]).items():
        assert getattr(config, key) == value, key


def test_single_settings_are_replaced_and_unknown_names_corrected() -> None:
    assert preset("droq", {"hidden": [32], "critics": 3}).hidden == (32,)
    with pytest.raises(SpecError, match=r"settings of droq.*did you mean critics"):
        preset("droq", {"critcs": 3})
    with pytest.raises(SpecError, match="did you mean redq"):
        preset("reqd")
