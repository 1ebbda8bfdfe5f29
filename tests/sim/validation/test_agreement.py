"""G8: the twin's order against the robot's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from launch.results import add_result, read_pairs, results_file
from robot.errors import SandlotError
from sim.validation.agreement import agreement, agreement_gate
from sim.validation.score import Pair, lap_score
from sim.validation.targets import Targets


def pairs(twin: list[float], robot: list[float]) -> list[Pair]:
    return [Pair(str(k), *both) for k, both in enumerate(zip(twin, robot, strict=True))]


def test_a_twin_that_orders_as_the_robot_does_passes_and_one_that_does_not_is_advisory() -> None:
    robot = [0.1, 0.3, 0.5, 0.8, 1.0]
    good = agreement_gate(pairs([0.2, 0.4, 0.6, 0.9, 1.0], robot), Targets(), "file")
    bad = agreement_gate(pairs([1.0, 0.9, 0.6, 0.4, 0.2], robot), Targets(), "file")
    assert (good.verdict, bad.verdict) == ("pass", "advisory")
    assert "advisory" in bad.detail
    # In the closed form: every policy's largest wrong gap is to the best or to the worst.
    reversed_order = agreement(pairs([1.0, 0.9, 0.6, 0.4, 0.2], robot))
    assert reversed_order.rank_violation == pytest.approx(np.mean([0.9, 0.7, 0.5, 0.7, 0.9]))
    assert reversed_order.calibration_error == pytest.approx(np.mean([0.9, 0.6, 0.1, 0.4, 0.8]))


def test_too_few_policies_say_nothing_and_a_robot_that_fails_with_all_makes_it_advisory() -> None:
    assert agreement_gate(pairs([0.1, 0.9], [0.1, 0.9]), Targets(), "file").verdict == "skipped"
    same = agreement_gate(pairs([0.1, 0.2, 0.3, 0.4, 0.5], [0.0] * 5), Targets(), "file")
    assert same.verdict == "advisory" and same.measured is None


def test_results_pair_the_newest_of_the_twin_with_all_laps_of_the_robot(tmp_path: Path) -> None:
    file = results_file(tmp_path, "racer")
    assert read_pairs(file, "oval") == []
    add_result(file, "twin", "oval", "a", 1, 9, tmp_path)
    add_result(file, "twin", "oval", "a", 9, 1, tmp_path)
    add_result(file, "twin", "kidney", "a", 0, 1, tmp_path)
    add_result(file, "robot", "oval", "a", 3, 1, tmp_path)
    add_result(file, "robot", "oval", "a", 4, 0, tmp_path)
    add_result(file, "robot", "oval", "b", 4, 0, tmp_path)
    assert read_pairs(file, "oval") == [Pair("a", 0.9, lap_score(7, 1))]
    add_result(file, "twin", "oval", "c", 9, 1, tmp_path)
    add_result(file, "robot", "oval", "c", 0, 0, tmp_path)
    assert [pair.policy for pair in read_pairs(file, "oval")] == ["a"], "c never began a lap on the robot"
    add_result(file, "robot", "oval", "c", 0, 1, tmp_path)
    assert read_pairs(file, "oval")[1] == Pair("c", 0.9, 0.0)
    assert read_pairs(file, "oval", {"b": 0.4})[2] == Pair("b", 0.4, 1.0)
    assert results_file(tmp_path, "racer", "bicycle") != file
    file.write_text(file.read_text() + "x,nowhere,oval,a,1,1,1,\n")
    with pytest.raises(SandlotError, match="line 11"):
        read_pairs(file, "oval")
