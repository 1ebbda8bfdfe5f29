from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from learners.action_reach import ActionReach
from robot.contract import ActionMap, ObservationTerm, TaskContract
from robot.spec import ActionTerm

unit = st.floats(-1, 1, width=32)


def contract_with(slew: float | None, smoothing: float, history: int = 1) -> TaskContract:
    return TaskContract(
        robot={},
        task="t",
        policy_hz=20.0,
        observation=(
            ObservationTerm(name="x", unit="m", scale=1.0),
            ObservationTerm(name="previous_action", unit="1", scale=1.0, history=history),
        ),
        actions=(ActionTerm(name="a", actuator="a", lower=-0.3, upper=2.0, slew=slew, smoothing=smoothing),),
        reward_terms=("r",),
    )


@given(
    st.none() | st.floats(0.1, 100),
    st.floats(0.01, 1),
    st.lists(st.tuples(unit, unit), min_size=1, max_size=20),
)
def test_it_is_the_contract_s_own_map(
    slew: float | None, smoothing: float, pairs: list[tuple[float, float]]
) -> None:
    contract = contract_with(slew, smoothing)
    raw, previous = np.array(pairs, np.float32).T[:, :, None]
    ours = ActionReach(contract)(torch.from_numpy(raw), torch.from_numpy(previous)).numpy()
    theirs = ActionMap(contract.actions, contract.policy_hz).reach(raw, previous)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert np.all(np.abs(ours) <= 1 + 1e-6)


@settings(deadline=None)
@given(
    st.none() | st.floats(0.1, 100),
    st.floats(0.1, 1),
    st.lists(st.tuples(unit, unit), min_size=1, max_size=20),
)
def test_raw_is_its_inverse(slew: float | None, smoothing: float, pairs: list[tuple[float, float]]) -> None:
    reach = ActionReach(contract_with(slew, smoothing))
    reach.max_change, reach.smoothing = reach.max_change.double(), reach.smoothing.double()
    raw, previous = torch.tensor(pairs, dtype=torch.float64).T[:, :, None]
    torch.testing.assert_close(reach.raw(reach(raw, previous), previous), raw, rtol=0, atol=1e-9)
    beyond = reach(torch.ones_like(raw), previous) + 0.1
    torch.testing.assert_close(reach.raw(beyond, previous), torch.ones_like(raw))


@given(unit, unit)
def test_its_slope_is_half_the_reachable_interval_and_never_zero(raw: float, previous: float) -> None:
    contract = contract_with(slew=4.0, smoothing=0.5)
    reach = ActionReach(contract)
    u = torch.tensor([[raw]], requires_grad=True)
    (slope,) = torch.autograd.grad(reach(u, torch.tensor([[previous]])).sum(), u)
    ends = reach(torch.tensor([[-1.0], [1.0]]), torch.tensor([[previous]]))
    np.testing.assert_allclose(slope.item(), (ends[1] - ends[0]).item() / 2, rtol=1e-5)
    change = reach.max_change.item()
    assert 0.5 * change / 2 <= slope.item() * (1 + 1e-5)


def test_the_newest_action_of_a_history_is_the_previous_one() -> None:
    observation = torch.tensor([[9.0, 0.1, 0.2, 0.3]])
    assert ActionReach(contract_with(1.0, 1.0, history=3)).previous(observation).item() == np.float32(0.3)
