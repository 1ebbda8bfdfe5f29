"""A suggested manoeuvre is driven around where it began, and is the twin's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from measured_drive import Linkage, turning_drive

from calibration.suggested import ROUNDS, SuggestedProcedure
from calibration.suggestion import CANDIDATES
from launch.calibrate.procedures import named
from robot.errors import SandlotError
from robot.spec import load_spec

SPEC = load_spec(Path(__file__).parents[2] / "launch/robots/racer.toml")


@pytest.mark.parametrize("manoeuvre", CANDIDATES)
def test_all_of_it_is_driven(manoeuvre: str) -> None:
    procedure = named(f"twin: {manoeuvre}")
    assert procedure.name == "twin" and manoeuvre in procedure.about
    legs = procedure.legs(SPEC)
    assert tuple(leg for leg in legs if leg.speed and not leg.home) == ROUNDS * CANDIDATES[manoeuvre]


def test_it_stays_in_the_yard() -> None:
    """The one that goes straight on."""
    legs = SuggestedProcedure("starts and stops").legs(SPEC)
    drive = turning_drive(SPEC, legs, Linkage(-1.2135, 0.5304), np.random.default_rng(0))
    away = np.hypot(*(drive.states[:, SPEC.state_layout["position_world"]]).T)
    assert away.max() < 7.0
    assert drive.time_s[-1] < 0.6 * sum(leg.seconds for leg in legs)


def test_a_manoeuvre_that_is_none_is_named() -> None:
    with pytest.raises(SandlotError, match="did you mean quick weave"):
        SuggestedProcedure("quick weeve")
