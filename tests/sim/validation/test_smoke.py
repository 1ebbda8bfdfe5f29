"""The smoke gate's rule: beginners pass, clear loss is held back, what is no action never passes."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper

from launch.episodes import course_setting
from learners.export import policy_file
from sim.validation.smoke import PATIENCE, Drive, SmokeGate, comparison


def drive(cycles: float | list[float], failed: int = 0, of: int = 10) -> Drive:
    """``of`` episodes that come so far, the first ``failed`` of which fail."""
    return Drive(np.arange(of) < failed, np.broadcast_to(np.array(cycles, float), of).copy(), True)


@pytest.mark.parametrize("lost", range(11))
def test_eight_episodes_lost_and_none_won_are_clearly_worse(lost: int) -> None:
    """(1/2)^8 = 0.0039 is below 0.005, (1/2)^7 is not."""
    candidate = drive([0.2] * lost + [0.5] * (10 - lost), failed=lost)
    assert (comparison(candidate, drive(0.5)) is not None) == (lost >= 8)


def test_who_is_bad_beside_another_who_is_bad_is_a_beginner() -> None:
    assert comparison(drive(0.01, failed=10), drive(0.3, failed=10)) is None
    assert comparison(drive(0.01, failed=10), drive(0.3, failed=3)) is None


def test_who_fails_further_on_has_tried_something() -> None:
    assert comparison(drive(0.31, failed=10), drive(0.3)) is None
    assert comparison(drive(0.29, failed=10), drive(0.3)) is not None


def test_standing_still_is_no_failure_but_loses_to_who_drives() -> None:
    assert comparison(drive(0.0), drive(0.3)) is not None
    assert comparison(drive(0.16), drive(0.3)) is None
    assert comparison(drive(0.3), drive(0.0)) is None
    assert comparison(drive(0.0), drive(0.0)) is None


class Scripted(SmokeGate):
    """What each candidate drives is given."""

    def __init__(self, drives: list[Drive]) -> None:
        super().__init__(course_setting("racer", "oval"), seed=0)
        self._drives = iter(drives)

    def _try(self, onnx: bytes) -> tuple[str | None, Drive | None]:
        return None, next(self._drives)


def test_patience_ends_and_the_published_one_is_compared_with_from_then_on() -> None:
    bad, good = drive(0.1, failed=10), drive(0.5)
    gate = Scripted([good, *[bad] * (PATIENCE + 2), good, bad])
    assert gate.judge(b"") is None
    assert all("clearly worse" in (gate.judge(b"") or "") for _ in range(PATIENCE))
    assert gate.gave_way == ""
    assert gate.judge(b"") is None
    assert f"after {PATIENCE} in a row" in gate.gave_way
    assert gate.judge(b"") is None, "as bad as what is published now"
    assert gate.gave_way == ""
    assert gate.judge(b"") is None
    assert gate.judge(b"") is not None


def policy(*nodes: onnx.NodeProto) -> bytes:
    """Acts on the observation's first element times two, ``doubled``, as the nodes say; 0 at 0."""
    contract = course_setting("racer", "oval").contract
    weight = np.zeros((contract.observation_size, 2), np.float32)
    weight[0] = 2.0
    constants = {"weight": weight, "one": np.ones(2, np.float32), "zero": np.zeros(2, np.float32)}
    before = helper.make_node("Gemm", ["observation", "weight", "zero"], ["doubled"])
    after = helper.make_node("Add", ["mean", "noise"], ["action"])
    return policy_file(contract, [before, *nodes, after], constants, 2, "", 1)


def test_what_is_no_action_never_passes_not_even_first() -> None:
    gate = SmokeGate(course_setting("racer", "oval"), seed=0)
    nan = policy(
        helper.make_node("Add", ["doubled", "one"], ["more"]), helper.make_node("Log", ["more"], ["mean"])
    )
    far = policy(helper.make_node("Identity", ["doubled"], ["mean"]))
    for _ in range(PATIENCE + 2):
        assert "not finite for finite" in (gate.judge(nan) or "")
        assert "outside [-1, 1]" in (gate.judge(far) or "")
        assert "unsafe" in (gate.judge(b"no policy") or "")
