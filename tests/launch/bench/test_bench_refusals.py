"""Bad policies are bad in the way that is meant, bundles are refused, and the sums are right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from line_follower import line_follower
from numpy.typing import NDArray
from small_bundle import report

from launch.bench.refusals import summary
from launch.bench.refusals_bundles import BundleDesk
from launch.bench.refusals_defects import DEFECTS, RARE, RARE_SCALES, defective
from launch.conditions import conditions
from launch.episodes import course_setting
from learners.config import LearnerConfig
from learners.journal import Journal
from learners.learner import Learner
from robot.errors import ContractMismatchError, SandlotError
from robot.plain_data import sha256
from robot.policy import Policy

SETTING = course_setting("racer", "oval")
CONTRACT = SETTING.contract
OFFSET, SCALE = CONTRACT.normaliser()
BAD = {defect.name: defect for defect in DEFECTS}


@pytest.fixture(scope="module")
def good() -> bytes:
    return Learner(CONTRACT, LearnerConfig(hidden=(16, 16)), 3, SETTING.spec.calibration_hash()).export(1)


def means(policy: bytes, observations: NDArray[np.float32]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(policy)
    noise = np.zeros((len(observations), CONTRACT.action_size), np.float32)
    (actions,) = session.run(["action"], {"observation": observations, "noise": noise})
    return np.asarray(actions)


def seen(count: int = 200) -> NDArray[np.float32]:
    rng = np.random.default_rng(0)
    return (OFFSET + SCALE * rng.uniform(-1, 1, (count, CONTRACT.observation_size))).astype(np.float32)


def test_each_defect_is_the_one_that_is_meant(good: bytes, tmp_path: Path) -> None:
    observations, was = seen(), means(good, seen())
    speed, steering = 0, 1
    assert [term.actuator for term in CONTRACT.actions] == ["speed", "steering"]

    flipped = means(defective(good, BAD["flipped"], CONTRACT, tmp_path), observations)
    np.testing.assert_allclose(flipped, was * [1, -1], atol=1e-6)

    fast = means(defective(good, BAD["over-fast"], CONTRACT, tmp_path), observations)
    assert (fast[:, speed] > 0.99).all()
    np.testing.assert_allclose(fast[:, steering], was[:, steering], atol=1e-6)

    raw = means(defective(good, BAD["normaliser"], CONTRACT, tmp_path), observations)
    np.testing.assert_allclose(raw, means(good, OFFSET + SCALE * observations), atol=1e-4)

    rare = observations.copy()
    k = CONTRACT.observation_layout.index(RARE)
    rare[::2, k] = OFFSET[k] + (RARE_SCALES + 0.1) * SCALE[k]
    nan = means(defective(good, BAD["nan"], CONTRACT, tmp_path), rare)
    assert np.isnan(nan[::2]).all()
    np.testing.assert_allclose(nan[1::2], was[1::2], atol=1e-6)

    path = tmp_path / "slew.onnx"
    path.write_bytes(defective(good, BAD["no slew limits"], CONTRACT, tmp_path))
    with pytest.raises(ContractMismatchError, match="slew"):
        Policy(path, CONTRACT)


def test_the_late_one_acts_on_what_the_journal_says_was_seen_a_step_ago(good: bytes, tmp_path: Path) -> None:
    """Observations that each follow linearly from the next: least squares finds them exactly."""
    rng = np.random.default_rng(1)
    turn, _ = np.linalg.qr(rng.standard_normal((CONTRACT.observation_size,) * 2))
    rows = np.zeros(300, CONTRACT.step_dtype())
    rows["sequence"], rows["step"] = np.arange(300), np.arange(300) % 100
    rows["episode"] = np.arange(300) // 100
    state = rng.standard_normal((3, CONTRACT.observation_size))
    for k in range(300):
        state[k // 100] = turn @ state[k // 100]
        rows["observation"][k] = OFFSET + SCALE * state[k // 100]
    (tmp_path / "learner" / "journal").mkdir(parents=True)
    journal = Journal(tmp_path / "learner" / "journal" / "rows.journal", CONTRACT.step_dtype())
    journal.append("s", 0, rows)
    journal.close()
    late = means(defective(good, BAD["late"], CONTRACT, tmp_path), rows["observation"][1:100])
    np.testing.assert_allclose(late, means(good, rows["observation"][:99]), atol=1e-3)


def test_bundles_that_must_not_be_installed_are_not(tmp_path: Path) -> None:
    policy = line_follower(CONTRACT, 3.0, SETTING.spec.calibration_hash())
    tried = conditions(SETTING.spec, SETTING.course, SETTING.world)
    digests = {"policy_sha256": sha256(policy), "contract_hash": CONTRACT.hash()}
    passed = report(**digests, course="oval", conditions=tried)
    refused = {}
    for name, ask in BundleDesk(tmp_path, SETTING.spec, CONTRACT).cases():
        try:
            ask(policy, passed)
        except SandlotError as error:
            refused[name] = str(error)
    assert list(refused) == [
        "truncated bundle",
        "tampered byte",
        "replayed old version",
        "bundle driven on another course",
    ]
    assert "replayed" in refused["replayed old version"]


def test_the_sums_count_who_was_refused_by_anybody_and_bound_false_refusals() -> None:
    rows = [
        {"case": "late", "asked": "practice", "refused": "0"},
        {"case": "late", "asked": "validate", "refused": "1"},
        {"case": "jumpy", "asked": "practice", "refused": "0"},
        *[{"case": "good", "asked": "practice", "refused": "0"}] * 20,
    ]
    found = summary(rows)
    assert (found["bad"], found["bad_refused"], found["bad_not_refused"]) == (2, 1, "jumpy")
    assert found["good_practice"] == 20 and found["good_practice_refused"] == 0
    assert found["false_refusals_practice_below"] == pytest.approx(1 - 0.05 ** (1 / 20), abs=1e-4)
    assert "false_refusals_full_below" not in found
