"""Entries on disk and in a robot's description: what was measured counts, by date, with its covariance."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import pytest

from calibration.book import Book, robot_id, stamp
from calibration.entry import Check, Entry, Quantity, calibrated
from robot.errors import SandlotError, SpecError
from robot.spec import Correlation, load_spec
from sim.randomisation import draw, randomised

SPEC = load_spec(Path(__file__).parents[2] / "launch/robots/racer.toml")
NOW = datetime.datetime(2026, 11, 26, 12, tzinfo=datetime.UTC)
COVARIANCE = ((0.04, -0.0006), (-0.0006, 0.000016))


def entry(day: int = 0, mass: float = 3.9, passed: bool = True, procedure: str = "twin") -> Entry:
    date = NOW + datetime.timedelta(days=day)
    return Entry(
        procedure=procedure,
        robot="racer",
        date=stamp(date),
        expires=stamp(date + datetime.timedelta(days=30)),
        method="weighed",
        software="test",
        log_sha256="00",
        source="here",
        quantities=(Quantity("mass", "kg", mass), Quantity("yaw_inertia", "kg m^2", 0.05)),
        covariance=COVARIANCE,
        checks=(Check("residual", "m", 0.5 if passed else 1.5, 1.0),),
    )


def test_what_is_added_is_read_back_and_nothing_is_lost(tmp_path: Path) -> None:
    book = Book("racer", tmp_path)
    assert book.current() == () and book.history("twin") == ()
    for day in range(3):
        book.add(entry(day, 3.8 + 0.1 * day))
    assert [e.quantities[0].value for e in book.history("twin")] == pytest.approx([3.8, 3.9, 4.0])
    assert book.current() == (entry(2, 3.8 + 0.1 * 2),)
    assert book.on("twin", "2026-11-27") == entry(1, 3.8 + 0.1)
    with pytest.raises(SandlotError, match=r"no twin entry of 2025.*2026-11-26"):
        book.on("twin", "2025")
    with pytest.raises(SandlotError, match="racer does not belong"):
        Book("racer@worn", tmp_path).add(entry())
    assert not list(book.folder.glob(".*"))


def test_a_file_that_was_cut_off_is_named(tmp_path: Path) -> None:
    book = Book("racer", tmp_path)
    path = book.add(entry())
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(SandlotError, match=r"twin\.toml"):
        book.current()


def test_a_surrogate_and_the_twin_have_books_of_their_own() -> None:
    assert [robot_id("racer"), robot_id("racer", "worn", True), robot_id("racer", twin=True)] == [
        "racer",
        "racer@worn",
        "racer@twin",
    ]


def test_values_that_passed_take_the_file_s_place_and_the_hash_follows() -> None:
    found = calibrated(SPEC, [entry()])
    assert found.scalar("mass") == 3.9
    assert found.calibration["mass"].sigma == pytest.approx(0.2)
    assert found.calibration["mass"].expires == entry().expires
    assert found.calibration_hash() != SPEC.calibration_hash()
    assert found.contract() == SPEC.contract()
    assert calibrated(SPEC, [entry(passed=False)]) == SPEC
    assert calibrated(SPEC, [entry(2, 4.0, procedure="weigh"), entry()]).scalar("mass") == 4.0


def test_an_entry_s_expiry_says_its_time_zone() -> None:
    fields = {f: getattr(entry(), f) for f in Entry.__struct_fields__}
    with pytest.raises(ValueError, match="no time in UTC"):
        Entry(**fields | {"expires": "2026-01-31T10:00:00"})


def test_elements_of_a_vector_take_their_places_in_it() -> None:
    measured = Entry(
        **{f: getattr(entry(procedure="antenna"), f) for f in Entry.__struct_fields__}
        | {"quantities": (Quantity("gnss_antenna_x", "m", -0.11), Quantity("gnss_antenna_y", "m", 0.02))}
    )
    found = calibrated(SPEC, [entry(), measured])
    assert found.vector("gnss_antenna") == (-0.11, 0.02, 0.12)
    assert found.calibration["gnss_antenna"].sigma == pytest.approx(0.2)
    assert found.calibration["gnss_antenna"].expires == measured.expires
    assert "gnss_antenna_x" not in found.calibration
    assert found.calibration_hash() != calibrated(SPEC, [entry()]).calibration_hash()
    assert [c.names for c in found.correlations] == [("mass", "yaw_inertia")]
    # What ends alike without being an element of a vector stays a name of its own.
    camera = Entry(
        **{f: getattr(entry(), f) for f in Entry.__struct_fields__}
        | {"quantities": (Quantity("camera_x", "m", 0.1), Quantity("mass_x", "kg", 4.0))}
    )
    assert calibrated(SPEC, [camera]).scalar("camera_x") == 0.1
    assert calibrated(SPEC, [camera]).scalar("mass") == SPEC.scalar("mass")


def test_what_is_not_a_number_has_not_passed() -> None:
    assert not Check("r", "1", float("nan"), 1.0).passed
    assert not Check("r", "1", float("nan"), 1.0, least=True).passed
    with pytest.raises(ValueError, match="2 quantities need a covariance of 2 x 2"):
        Entry(**{f: getattr(entry(), f) for f in Entry.__struct_fields__} | {"covariance": ((1.0,),)})


def test_validation_draws_from_the_covariance_of_what_was_measured_together() -> None:
    found = calibrated(SPEC, [entry()])
    drawn = draw(randomised(found, 10.0), 4000, seed=0)
    both = np.stack((drawn.column("mass"), drawn.column("yaw_inertia")))
    np.testing.assert_allclose(np.cov(both), COVARIANCE, rtol=0.08)
    np.testing.assert_array_less(np.abs(both.mean(axis=1) - [3.9, 0.05]), [0.012, 0.0003])
    # What was measured alone is drawn as it was, and so is everything in the robot's file.
    alone, before = (draw(randomised(s, 10.0), 5, seed=3) for s in (found, SPEC))
    for name in set(alone.names) - {"mass", "yaw_inertia"}:
        np.testing.assert_array_equal(alone.column(name), before.column(name))


def test_an_overruled_value_is_no_longer_correlated_with_what_it_was_measured_with() -> None:
    newer = Entry(
        **{f: getattr(entry(1, procedure="weigh"), f) for f in Entry.__struct_fields__}
        | {"quantities": (Quantity("mass", "kg", 4.0),), "covariance": ((0.0001,),)}
    )
    assert calibrated(SPEC, [entry(), newer]).correlations == ()
    assert calibrated(SPEC, [entry()]).correlations[0].names == ("mass", "yaw_inertia")


def test_a_correlation_that_is_none_is_refused() -> None:
    import msgspec

    wrong = Correlation(("mass", "yaw_inertia"), ((1.0, 2.0), (2.0, 1.0)))
    with pytest.raises(SpecError, match="no correlation matrix"):
        randomised(
            msgspec.structs.replace(calibrated(SPEC, [entry()]), correlations=(wrong,)), course_length=10.0
        )
