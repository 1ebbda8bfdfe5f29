"""A robot's own targets: over the usual ones, by name, within what they can be, with a reason."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest

from launch.catalogue import find
from robot.errors import SpecError
from robot.spec import RobotSpec, Target, load_spec
from sim.validation.targets import Targets, targets_of

RACER = load_spec(find("robots", "racer"))


def having(**targets: Target) -> RobotSpec:
    return msgspec.structs.replace(RACER, targets=targets)


def test_what_a_robot_does_not_name_is_as_usual() -> None:
    assert targets_of(having()) == Targets()
    named = targets_of(having(nominal_success=Target(0.99, "a child may stand there")))
    assert named == dataclasses.replace(Targets(), nominal_success=0.99)
    assert targets_of(having(twin_ratio=Target(3.5, "a soft boat"))).twin_ratio == 3.5


def test_the_racers_own_are_those_that_its_documents_name() -> None:
    assert RACER.targets and targets_of(RACER) == Targets()
    assert all(len(target.reason) > 20 for target in RACER.targets.values())


@pytest.mark.parametrize(
    ("name", "value", "reason", "says"),
    [
        ("nominal_sucess", 0.9, "because", "nominal_success"),
        ("tail_share", 1.1, "because", "in .0, 1."),
        ("nominal_success", 1.0, "because", "in .0, 0.999."),
        ("latency_share", 0.0, "because", "in .0.001, 1."),
        ("extra_delay", 0.09, "because", "in .0, 0.08."),
        ("twin_ratio", 0.0, "because", "in .1, inf."),
        ("policies", 0.0, "because", "in .3, inf."),
        ("policies", 2.0, "because", "in .3, inf."),
        ("nominal_success", -0.1, "because", "in .0, 0.999."),
        ("extra_delay", float("nan"), "because", "finite"),
        ("extra_delay", float("inf"), "because", "finite"),
        ("cell_success", 0.5, " ", "say why"),
    ],
)
def test_a_target_that_is_none_is_refused(name: str, value: float, reason: str, says: str) -> None:
    with pytest.raises(SpecError, match=says):
        targets_of(having(**{name: Target(value, reason)}))
