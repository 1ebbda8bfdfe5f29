"""The robot description: two hashes with separate meanings, and errors that name what was meant."""

import datetime
import math
import tomllib
from pathlib import Path

import msgspec
import pytest
import tomli_w

from launch.calibrated import expired
from robot.errors import SpecError
from robot.layout import Field, Layout
from robot.plain_data import decode_struct, differences, digest, merge
from robot.spec import RobotSpec, load_spec

RACER = Path(__file__).parents[2] / "launch" / "robots" / "racer.toml"


@pytest.fixture(scope="module")
def plain() -> dict:
    return tomllib.loads(RACER.read_text())


def racer(plain: dict, **overrides) -> RobotSpec:
    return decode_struct(merge(plain, overrides), RobotSpec, "racer")


def test_every_number_of_the_racer_has_a_unit_and_a_source() -> None:
    spec = load_spec(RACER)
    for part in (*spec.actuators, *spec.sensors):
        assert part.source, f"{part.name} has no source"
    for name, value in spec.calibration.items():
        assert value.unit and value.source, name


def test_ports_and_drivers_change_neither_hash(plain: dict) -> None:
    other = merge(plain, {})
    other["devices"] = [d | {"port": "/dev/ttyOther", "options": {"baud": 9600}} for d in plain["devices"]]
    a, b = racer(plain), decode_struct(other, RobotSpec, "other")
    assert digest(a.contract()) == digest(b.contract())
    assert a.calibration_hash() == b.calibration_hash()


def test_a_measured_value_changes_the_calibration_hash_only(plain: dict) -> None:
    a = racer(plain)
    b = racer(plain, calibration={"servo_offset": {"value": 0.54}})
    assert digest(a.contract()) == digest(b.contract())
    assert a.calibration_hash() != b.calibration_hash()


@pytest.mark.parametrize("expires", ["2026-01-31T10:00:00", "2026-01-31", "2026-01-31T10:00+02:00", "soon"])
def test_an_expiry_says_its_time_zone(plain: dict, expires: str) -> None:
    with pytest.raises(SpecError, match=r"wheelbase: expires = .* no time in UTC, such as 2026-01-31"):
        racer(plain, calibration={"wheelbase": {"expires": expires}})
    zulu = racer(plain, calibration={"wheelbase": {"expires": "2026-01-31T10:00:00Z"}})
    assert expired(zulu, datetime.datetime(2026, 2, 1, tzinfo=datetime.UTC))


@pytest.mark.parametrize(
    ("table", "index", "change"),
    [
        ("actuators", 0, {"upper": 4.9}),
        ("actuators", 1, {"unit": "deg"}),
        ("actions", 0, {"slew": 5.0}),
        ("actions", 1, {"smoothing": 0.5}),
        ("sensors", 1, {"rate_hz": 50}),
    ],
)
def test_units_rates_limits_and_filters_change_the_contract(plain, table, index, change) -> None:
    rows = [dict(row) for row in plain[table]]
    rows[index] |= change
    a, b = racer(plain), decode_struct({**plain, table: rows}, RobotSpec, "changed")
    assert digest(a.contract()) != digest(b.contract())
    (line,) = differences(a.contract(), b.contract())
    assert next(iter(change)) in line and rows[index]["name"] in line


def test_an_unknown_key_is_rejected_with_the_nearest_name(plain: dict) -> None:
    with pytest.raises(SpecError, match="did you mean guardian_hz"):
        racer(plain, rates={"gardian_hz": 100})


def test_impossible_descriptions_are_refused(plain: dict) -> None:
    for rates in ({"policy_hz": 30}, {"policy_hz": 0}, {"policy_hz": -20}, {"guardian_hz": math.inf}):
        with pytest.raises(SpecError, match="whole multiple"):
            racer(plain, rates=rates)
    never = [sensor | {"rate_hz": 0} for sensor in plain["sensors"]]
    with pytest.raises(SpecError, match="sensor drive needs rate_hz > 0"):
        racer(plain, sensors=never)
    actions = [plain["actions"][0] | {"upper": 9.0}, plain["actions"][1]]
    with pytest.raises(SpecError, match="within its actuator"):
        racer({**plain, "actions": actions})
    with pytest.raises(SpecError, match="did you mean steering"):
        racer({**plain, "actions": [plain["actions"][0], plain["actions"][1] | {"actuator": "stering"}]})
    for index in (0, 1):
        actuators = [
            a | ({"acceleration": 0.0} if i == index else {}) for i, a in enumerate(plain["actuators"])
        ]
        with pytest.raises(SpecError, match="acceleration > 0"):
            racer({**plain, "actuators": actuators})


def test_a_spec_survives_toml(plain: dict) -> None:
    spec = racer(plain)
    text = tomli_w.dumps(_without_none(msgspec.to_builtins(spec)))
    assert decode_struct(tomllib.loads(text), RobotSpec, "again") == spec


def _without_none(value):
    if isinstance(value, dict):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [_without_none(v) for v in value]
    return value


def test_layout_slices_tile_the_vector_in_order() -> None:
    layout = Layout([Field(name="a", unit="m", elements=("x", "y")), Field(name="b", unit="1")])
    assert (layout["a"], layout["b"], layout.size) == (slice(0, 2), slice(2, 3), 3)
    assert layout.names == ("a_x", "a_y", "b") and layout.index("a_y") == 1
    with pytest.raises(SpecError, match="did you mean a_x"):
        layout.index("a_xx")
    with pytest.raises(SpecError, match="declared twice"):
        Layout([Field(name="a", unit="m"), Field(name="a", unit="m")])


LINE = {"name": "post", "kind": "line", "port": "/dev/ttyUSB9", "timeout_s": 0.25}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"enable": {"timeout_s": 0.0}}, "timeout_s"),
        ({"enable": {"source": "attendance"}}, "lease_s"),
        ({"enable": {"source": "attendance", "lease_s": 0.4}}, "lease_s"),
        ({"enable": {"source": "transmitter"}}, "no sensor.element"),
        ({"enable": {"source": "transmitter", "channel": "drive.erpn"}}, r"drive\.erpm"),
        ({"enable": {"source": "transmitter", "channel": "gnss.fix_type"}}, "stale_s"),
        ({"estop": {"sources": [LINE | {"name": "Post 1"}]}}, "name of its own"),
        ({"estop": {"sources": [LINE, LINE]}}, "name of its own"),
        ({"estop": {"sources": [LINE | {"timeout_s": 0.0}]}}, "timeout_s"),
        ({"estop": {"sources": [LINE | {"port": ""}]}}, "port"),
        ({"estop": {"sources": [LINE | {"kind": "gamepad"}]}}, "button"),
        ({"estop": {"sources": [LINE | {"kind": "wish"}]}}, "wish"),
    ],
)
def test_who_may_enable_and_who_may_stop_is_checked(plain: dict, change: dict, says: str) -> None:
    with pytest.raises(SpecError, match=says):
        racer(plain, **change)


def test_people_are_part_of_neither_hash(plain: dict) -> None:
    a = racer(plain)
    b = racer(plain, enable={"source": "attendance", "lease_s": 30.0}, estop={"sources": [LINE]})
    assert digest(a.contract()) == digest(b.contract())
    assert a.calibration_hash() == b.calibration_hash()
