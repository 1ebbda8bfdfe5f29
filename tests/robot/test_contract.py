"""The action map: what a policy asks is always reachable, and every reachable action can be asked for."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot.contract import (
    PREVIOUS_ACTION,
    ActionMap,
    ImageTerm,
    ObservationTerm,
    TaskContract,
    require_same,
    task_contract,
)
from robot.errors import ContractMismatchError, SpecError
from robot.plain_data import decode_struct
from robot.spec import ActionTerm, load_spec

SPEC = load_spec(Path(__file__).parents[2] / "launch" / "robots" / "racer.toml")
unit = st.floats(-1, 1)


def contract(scale: float = 1.0) -> TaskContract:
    terms = (
        ObservationTerm(name="velocity_body", unit="m/s", scale=scale, elements=("x", "y"), history=2),
        ObservationTerm(name=PREVIOUS_ACTION, unit="1", scale=1.0, elements=("speed", "steering")),
    )
    return task_contract(SPEC, "test", terms, ("progress", "failure"))


@given(raw=unit, previous=unit, slew=st.floats(0.01, 100), smoothing=st.floats(0.05, 1))
def test_reach_stays_within_slew_and_range(raw, previous, slew, smoothing) -> None:
    term = ActionTerm(name="a", actuator="speed", lower=-2.0, upper=3.0, slew=slew, smoothing=smoothing)
    mapping = ActionMap((term,), policy_hz=20.0)
    action = mapping.reach(np.array([raw]), np.array([previous]))
    assert -1 - 1e-12 <= action[0] <= 1 + 1e-12
    change = mapping.to_units(action) - mapping.to_units(np.array([previous]))
    assert abs(change[0]) <= slew / 20.0 + 1e-9


@given(raw=unit, other=unit, previous=unit)
def test_reach_is_strictly_increasing_so_the_gradient_never_vanishes(raw, other, previous) -> None:
    mapping = ActionMap(SPEC.actions, SPEC.rates.policy_hz)
    low, high = sorted((raw, other))
    a = mapping.reach(np.full(2, low), np.full(2, previous))
    b = mapping.reach(np.full(2, high), np.full(2, previous))
    assert np.all(b >= a)
    if high - low > 1e-6:
        assert np.all(b > a)


@given(action=st.tuples(unit, unit))
def test_units_round_trip(action) -> None:
    mapping = ActionMap(SPEC.actions, SPEC.rates.policy_hz)
    np.testing.assert_allclose(mapping.from_units(mapping.to_units(np.array(action))), action, atol=1e-12)


def test_limit_is_the_reachable_action_nearest_to_the_wanted_one() -> None:
    mapping = ActionMap(SPEC.actions, SPEC.rates.policy_hz)
    rng = np.random.default_rng(0)
    for _ in range(200):
        wanted, previous = rng.uniform(-1, 1, (2, 2))
        reachable = np.array([mapping.reach(np.full(2, u), previous) for u in np.linspace(-1, 1, 401)])
        best = reachable[np.abs(reachable - wanted).argmin(axis=0), [0, 1]]
        np.testing.assert_allclose(mapping.limit(wanted, previous), best, atol=2e-3)


def test_a_contract_survives_its_plain_form_and_keeps_its_hash() -> None:
    ours = contract()
    again = decode_struct(ours.plain(), TaskContract, "metadata")
    assert again == ours and again.hash() == ours.hash()


def test_images_are_part_of_a_contract_and_their_absence_is_not() -> None:
    """The hash of a contract without images is what it was before contracts could have any."""
    plain = TaskContract({}, "t", 10.0, (ObservationTerm("x", "m", 1.0),), (), ("r",))
    assert plain.hash() == "a6ba6f76f1934cd469ecfc3d223e3ba1748f64eb8a01b33e6c092545b2b4029e"
    seen = msgspec.structs.replace(plain, images=(ImageTerm(name="front", height=4, width=6, stack=3),))
    assert seen.hash() != plain.hash()
    assert decode_struct(seen.plain(), TaskContract, "metadata") == seen
    assert seen.frame_dtype()["front"].shape == (4, 6, 3) and seen.step_dtype() == plain.step_dtype()
    with pytest.raises(ContractMismatchError, match="images"):
        require_same(plain, seen, "policy 7")
    with pytest.raises(SpecError, match="at least 1"):
        ImageTerm(name="front", height=0, width=6)
    for name in ("observation", "noise", "action"):
        with pytest.raises(SpecError, match=f"image '{name}': .*give the camera another name"):
            ImageTerm(name=name, height=4, width=6)


def test_a_mismatch_is_refused_with_the_difference() -> None:
    with pytest.raises(
        ContractMismatchError, match=r"observation\[velocity_body\].scale: ours 1.0, theirs 2.0"
    ):
        require_same(contract(), contract(scale=2.0), "policy 7")


def test_layout_has_history_oldest_first() -> None:
    ours = contract()
    assert ours.observation_size == 6
    assert ours.observation_layout.names[:4] == (
        "velocity_body_x_0",
        "velocity_body_y_0",
        "velocity_body_x_1",
        "velocity_body_y_1",
    )
    assert ours.previous_action == slice(4, 6)
    offset, scale = ours.normaliser()
    assert offset.shape == scale.shape == (6,)
