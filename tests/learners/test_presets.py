from __future__ import annotations

import msgspec
import pytest

from learners.presets import ALGORITHMS, IQL, preset
from robot.errors import SpecError

NORM = {"layer_norm": True, "actor_value": "mean"}
NO_NORM = {"layer_norm": False, "actor_value": "mean"}
PUBLISHED = {
    "sac": {"critics": 2, "updates_per_step": 1, "dropout": 0.0, "layer_norm": False, "actor_value": "min"},
    "redq": {"critics": 10, "subset": 2, "updates_per_step": 20, "dropout": 0.0} | NO_NORM,
    "droq": {"critics": 2, "subset": 2, "updates_per_step": 20, "dropout": 0.01} | NORM,
    "avtd": {"critics": 2, "subset": 2, "updates_per_step": 20, "held_out": 0.05},
    "rlpd": {"critics": 10, "subset": 2, "updates_per_step": 20, "prior_fraction": 0.5} | NORM,
    "bc": {"prior_fraction": 1.0},
    "iql": {
        "tau": 0.7,
        "beta": 3.0,
        "largest_weight": 100.0,
        "critics": 2,
        "actor_decay_steps": 1_000_000,
        "actor_average": 1.0,
    },
    "idql": {
        "tau": 0.7,
        "batch": 512,
        "critics": 2,
        "denoising_steps": 5,
        "actor_decay_steps": 3_000_000,
        "actor_average": 0.001,
        "actor_blocks": 3,
        "actor_dropout": 0.1,
    },
}
SHARED = {"hidden": (256, 256), "learning_rate": 3e-4}
"""Of all; further:"""
OF_CRITICS = {"discount": 0.99, "polyak": 0.005}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_papers_numbers(name: str) -> None:
    config = preset(name)
    shared = SHARED if name == "bc" else SHARED | OF_CRITICS
    for key, value in ({"batch": 256} | shared | PUBLISHED[name]).items():
        assert getattr(config, key) == value, key


def test_single_settings_are_replaced_and_unknown_names_corrected() -> None:
    assert preset("droq", {"hidden": [32], "critics": 3}).hidden == (32,)
    with pytest.raises(SpecError, match=r"settings of droq.*did you mean critics"):
        preset("droq", {"critcs": 3})
    assert preset("iql", {"tau": 0.9}) == msgspec.structs.replace(IQL, tau=0.9)
    with pytest.raises(SpecError, match=r"settings of rlpd.*unknown field `tau`"):
        preset("rlpd", {"tau": 0.9})
    with pytest.raises(SpecError, match=r"settings of iql.*'sac'"):
        preset("iql", {"family": "sac"})
    with pytest.raises(SpecError, match="did you mean droq"):
        preset("drq")
