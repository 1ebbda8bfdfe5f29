"""The smoke gate's rule: beginners pass, clear loss is held back, what is no action never passes."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper

from launch.episodes import course_setting
from learners.export import policy_file
from robot.errors import PolicyError
from sim.validation.smoke import PATIENCE, Drive, SmokeGate, comparison


def drive(cycles: float | list[float], failed: int = 0, of: int = 10) -> Drive:
    """``of`` episodes that come so far, the first ``failed`` of which fail."""
    return Drive(np.arange(of) < failed, np.broadcast_to(np.array(cycles, float), of).copy())


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


GOOD, BAD, UNSAFE = b"good", b"bad", b"unsafe"


class Scripted(SmokeGate):
    """How the policies drive is given."""

    def __init__(self) -> None:
        super().__init__(course_setting("racer", "oval"), seed=0)
        self.driven: list[bytes] = []

    def _try(self, onnx: bytes) -> Drive:
        self.driven.append(onnx)
        if onnx == UNSAFE:
            raise PolicyError("no action")
        return {GOOD: drive(0.5), BAD: drive(0.1, failed=10)}[onnx]


def test_patience_ends_and_the_published_one_is_compared_with_from_then_on() -> None:
    gate = Scripted()
    assert gate.judge(GOOD, None) is None
    assert all("clearly worse" in (gate.judge(BAD, GOOD) or "") for _ in range(PATIENCE))
    assert gate.gave_way == ""
    assert gate.judge(BAD, GOOD) is None
    assert f"after {PATIENCE} in a row" in gate.gave_way
    assert gate.judge(BAD, BAD) is None, "as bad as what is published now"
    assert gate.gave_way == ""
    assert gate.judge(GOOD, BAD) is None
    assert gate.judge(BAD, GOOD) is not None


def test_a_candidate_is_compared_with_what_drives_whoever_let_that_pass() -> None:
    """After a restart the first candidate meets a published policy that this gate never judged."""
    gate = Scripted()
    assert "clearly worse" in (gate.judge(BAD, GOOD) or "")
    assert "clearly worse" in (gate.judge(BAD, GOOD) or "")
    assert gate.driven == [BAD, GOOD, BAD], "what drives is driven once"
    assert gate.judge(BAD, UNSAFE) is None, "an unsafe one protects nothing"
    assert gate.judge(BAD, None) is None
    assert "clearly worse" in (gate.judge(BAD, GOOD) or ""), "what passed was not published"


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
        assert "not finite for finite" in (gate.judge(nan, None) or "")
        assert "outside [-1, 1]" in (gate.judge(far, None) or "")
        assert "unsafe" in (gate.judge(b"no policy", None) or "")
