"""``sandlot bench calibration`` counts what holds, of all robots and of those that would be used."""

from __future__ import annotations

from launch.bench.calibration import Row, agrees, figures


def row(robot: int, physics: str, accepted: int, estimate: float, half: float) -> Row:
    """Of a parameter that is 2.0, and 1.0 in the file."""
    low, high = estimate - half, estimate + half
    return Row(
        robot, physics, "mass", 2.0, 1.0, estimate, low, high, accepted, 1, 0.0, 9.0, 1.0, 8.0, 1.5, 10.0, 9.0
    )


def test_what_would_not_be_used_is_counted_apart() -> None:
    rows = [
        row(0, "twin", 1, 2.1, 0.2),
        row(0, "twin", 1, 1.9, 0.05),
        row(1, "twin", 0, 3.0, 0.1),
        row(3, "sim.bicycle:Bicycle", 0, 4.0, 0.1),
    ]
    found = figures(rows)
    assert (found["robots"], found["twin_robots"], found["twin_robots_accepted"]) == (3, 2, 1)
    assert (found["twin_intervals"], found["twin_intervals_hold"]) == (3, 1)
    assert (found["twin_accepted_intervals"], found["twin_accepted_intervals_hold"]) == (2, 1)
    assert (found["other_robots_accepted"], found["other_intervals_hold"]) == (0, 0)
    assert found["twin_median_error_before_ratio"] == 0.5


def test_fewer_than_so_many_are_no_accident() -> None:
    assert agrees(95, 100) > 0.9 and agrees(80, 100) < 1e-6
