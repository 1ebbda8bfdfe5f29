"""The VESC driver against a port that says exactly what each case needs."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_port import ScriptedPort

from robot.drivers.vesc import VescDriver
from robot.drivers.vesc_frame import FrameParser, frame
from robot.drivers.vesc_protocol import Command, Firmware, encode_firmware, masked_layout
from robot.errors import SpecError
from robot.interface import Measurements
from robot.spec import RobotSpec, load_spec

with warnings.catch_warnings():
    warnings.simplefilter("ignore", SyntaxWarning)
    pyvesc = pytest.importorskip("pyvesc")

SPEC = load_spec(Path(__file__).parents[3] / "launch/robots/racer.toml")
TICK = 10_000_000
BYTE_NS = 10e9 / 115200
FIRMWARE = frame(encode_firmware(Firmware(6, 5, "60")))
SPEED, STEERING = SPEC.actuators


def make(spec: RobotSpec = SPEC) -> tuple[VescDriver, ScriptedPort, Measurements]:
    port = ScriptedPort()
    return VescDriver(spec, spec.devices[0], port), port, Measurements(spec)


def ready() -> tuple[VescDriver, ScriptedPort, Measurements]:
    """A driver at time 0 whose controller has answered."""
    driver, port, measurements = make()
    driver.open(0)
    port.incoming = FIRMWARE
    driver.poll(0, measurements)
    port.take()
    return driver, port, measurements


def sent_by(port: ScriptedPort) -> dict[int, bytes]:
    """Payloads written since the last call, by command."""
    return {payload[0]: payload[1:] for payload in FrameParser(pytest.fail).feed(port.take())}


def reply(port: ScriptedPort, **values: float) -> bytes:
    """The controller's answer to the request for values that was just written."""
    mask = int.from_bytes(sent_by(port)[Command.GET_VALUES_SELECTIVE], "big")
    return frame(masked_layout(Command.GET_VALUES_SELECTIVE, mask).encode(values))


def imu_reply(*numbers: float) -> bytes:
    layout = masked_layout(Command.GET_IMU_DATA, 0x1F8)
    return frame(layout.encode(dict(zip(layout.names, numbers, strict=True))))


def test_nothing_is_driven_before_the_controller_has_named_its_firmware() -> None:
    driver, port, measurements = make()
    driver.open(0)
    assert sent_by(port) == {Command.FW_VERSION: b""}
    assert np.isnan(driver.command(TICK, np.array([1.0, 0.1]))).all()
    assert port.take() == b""
    assert not np.isnan(driver.stop(TICK, True)).any()  # a stop is always sent
    assert Command.SET_CURRENT_BRAKE in sent_by(port)
    port.incoming = FIRMWARE
    driver.poll(2 * TICK, measurements)
    assert driver.health.firmware == "VESC 6.05 on 60"
    assert set(sent_by(port)) == set()
    driver.command(2 * TICK, np.array([1.0, 0.1]))
    assert set(sent_by(port)) == {
        Command.SET_RPM, Command.SET_SERVO_POS, Command.GET_VALUES_SELECTIVE, Command.GET_IMU_DATA
    }  # fmt: skip


def test_a_port_with_no_controller_behind_it_is_said_to_be_one() -> None:
    driver, port, measurements = make()
    driver.open(0)
    for k in range(1, 130):
        driver.poll(k * TICK, measurements)
    assert driver.health.errors["no_answer"] == 1
    assert "VESC protocol" in driver.health.last_error
    assert 10 <= port.take().count(frame(b"\x00")) <= 14  # it went on asking


@given(st.floats(-10, 10), st.floats(-2, 2))
def test_the_returned_setpoint_is_what_an_independent_decoder_reads_from_the_wire(
    speed: float, steering: float
) -> None:
    driver, port, _ = ready()
    sent = driver.command(0, np.array([speed, steering])).copy()
    payloads = sent_by(port)
    servo = int.from_bytes(payloads[Command.SET_SERVO_POS], "big") / 1e3
    assert sent[1] == pytest.approx(
        (servo - SPEC.scalar("servo_offset")) / SPEC.scalar("servo_gain"), abs=1e-12
    )
    if Command.SET_RPM in payloads:
        raw = frame(bytes((Command.SET_RPM,)) + payloads[Command.SET_RPM])
        erpm = pyvesc.decode(raw)[0].rpm
        assert sent[0] == pytest.approx(erpm / SPEC.scalar("erpm_per_speed"), abs=1e-12)
        assert abs(erpm) >= 900
    else:
        assert sent[0] == 0.0
        assert abs(np.clip(speed, SPEED.lower, SPEED.upper)) < 901 / 4614
        assert Command.SET_CURRENT_BRAKE in payloads
    assert SPEED.lower <= sent[0] <= SPEED.upper
    assert STEERING.lower <= sent[1] <= STEERING.upper
    low, high = SPEC.vector("servo_range")
    assert low <= servo <= high
    # As near to what was asked as the wire's steps and the limits allow.
    assert abs(sent[1] - np.clip(steering, STEERING.lower, STEERING.upper)) <= 1e-3 / 1.2135
    if sent[0]:
        assert abs(sent[0] - np.clip(speed, SPEED.lower, SPEED.upper)) <= 1.0 / 4614


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("which", [0, 1])
def test_a_setpoint_that_is_not_finite_becomes_a_stop(bad: float, which: int) -> None:
    driver, port, _ = ready()
    driver.command(0, np.array([1.0, 0.1]))
    steering = sent_by(port)[Command.SET_SERVO_POS]
    setpoint = np.array([2.0, -0.1])
    setpoint[which] = bad
    sent = driver.command(TICK, setpoint)
    payloads = sent_by(port)
    assert Command.SET_RPM not in payloads
    assert payloads[Command.SET_SERVO_POS] == steering
    assert sent[0] == 0.0
    assert driver.health.errors == {"not_finite": 1}


def test_a_braking_stop_and_a_powerless_one_hold_the_steering() -> None:
    driver, port, _ = ready()
    held = driver.command(0, np.array([2.0, 0.2]))[1]
    servo = sent_by(port)[Command.SET_SERVO_POS]
    for torque, command, amperes in [
        (True, Command.SET_CURRENT_BRAKE, 20.0),
        (False, Command.SET_CURRENT, 0.0),
    ]:
        assert driver.stop(TICK, torque).tolist() == [0.0, held]
        raw = port.written
        assert raw[2] == command  # the stop goes out before anything else
        payloads = sent_by(port)
        assert int.from_bytes(payloads[command], "big", signed=True) == amperes * 1e3
        assert payloads[Command.SET_SERVO_POS] == servo


def test_in_silence_nothing_is_sent_that_keeps_the_timeout_from_expiring() -> None:
    driver, port, _ = ready()
    held = driver.command(0, np.array([2.0, 0.2]))[1]
    sent_by(port)
    for k in range(1, 20):
        assert driver.silence(k * TICK).tolist() == [0.0, held]
    assert set(sent_by(port)) <= {Command.GET_VALUES_SELECTIVE, Command.GET_IMU_DATA}


def test_samples_carry_si_units_and_the_time_their_request_arrived() -> None:
    driver, port, measurements = ready()
    now = 123 * TICK
    driver.command(now, np.array([1.0, 0.0]))
    port.incoming = reply(
        port,
        erpm=-4614.0,
        motor_current=12.34,  # it draws, turning backwards
        q_axis_current=-12.34,
        input_voltage=11.6,
        fet_temperature=31.2,
        motor_temperature=40.1,
    )
    port.incoming += imu_reply(1.0, -2.0, 0.5, 180.0, -90.0, 1.0)
    driver.poll(now + TICK, measurements)
    assert measurements.values("drive").tolist() == [-4614.0, -12.34, 11.6, 31.2, 40.1, 0.0]
    g = 9.80665
    expected = [g, -2 * g, 0.5 * g, math.pi, -math.pi / 2, math.pi / 180]
    assert measurements.values("imu") == pytest.approx(expected, rel=1e-7)
    # Two requests go first, of 10 and 8 bytes at 115,200 baud, ten bits a byte.
    assert measurements.time_ns("drive") == now + round(10 * BYTE_NS)
    assert measurements.time_ns("imu") == now + round(18 * BYTE_NS)
    assert driver.health.errors == {}


def test_one_request_of_a_kind_at_a_time_and_late_ones_are_counted_and_given_up() -> None:
    driver, port, measurements = ready()
    setpoint = np.array([1.0, 0.0])
    requests = []
    for k in range(8):
        driver.poll(k * TICK, measurements)
        driver.command(k * TICK, setpoint)
        requests.append(Command.GET_IMU_DATA in sent_by(port))
    assert requests == [True, False, False, True, False, False, True, False]
    assert driver.health.errors == {"late": 4}
    assert measurements.sequence("imu") == 0


def test_a_reply_that_nobody_asked_for_is_counted_and_not_stored() -> None:
    driver, port, measurements = ready()
    driver.command(0, np.array([1.0, 0.0]))
    port.take()
    port.incoming = imu_reply(*[0.0] * 6) * 2
    driver.poll(TICK, measurements)
    assert measurements.sequence("imu") == 1
    assert driver.health.errors == {"unexpected_packet": 1}


@pytest.mark.parametrize("late_ticks", range(24))
def test_a_reply_to_a_request_given_up_is_not_taken_for_the_next_ones(late_ticks: int) -> None:
    """For as long as the wordings differ: eight of them, each given up in the third tick."""
    driver, port, measurements = ready()
    driver.command(0, np.array([1.0, 0.0]))
    old = reply(port, erpm=1.0)
    new = old
    for k in range(1, late_ticks + 1):
        driver.poll(k * TICK, measurements)
        driver.command(k * TICK, np.array([1.0, 0.0]))
        payloads = sent_by(port)
        if Command.GET_VALUES_SELECTIVE in payloads:
            mask = int.from_bytes(payloads[Command.GET_VALUES_SELECTIVE], "big")
            new = frame(masked_layout(Command.GET_VALUES_SELECTIVE, mask).encode({"erpm": 2.0}))
    port.incoming = old + new
    driver.poll((late_ticks + 1) * TICK, measurements)
    assert measurements.sequence("drive") == 1
    assert measurements.values("drive")[0] == (1.0 if late_ticks < 3 else 2.0)
    assert driver.health.errors["unexpected_packet"] == 1
    asked_at = late_ticks // 3 * 3
    assert measurements.time_ns("drive") == asked_at * TICK + round(10 * BYTE_NS)


def test_a_short_reply_a_strange_one_and_one_that_is_no_number_are_counted() -> None:
    for damaged, name in [
        (frame(imu_reply(*[0.0] * 6)[2:-4]), "short_frame"),
        (imu_reply(math.nan, *[0.0] * 5), "not_finite"),
        (frame(bytes((99, 1, 2))), "unexpected_packet"),
        (frame(bytes((50,)) + bytes(19)), "unexpected_packet"),  # fields nobody had asked for
    ]:
        driver, port, measurements = ready()
        driver.command(0, np.array([1.0, 0.0]))
        port.incoming = damaged
        driver.poll(TICK, measurements)
        assert driver.health.errors == {name: 1}
        assert measurements.sequence("imu") == measurements.sequence("drive") == 0


def test_a_torn_reply_is_given_up_with_its_request() -> None:
    driver, port, measurements = ready()
    driver.command(0, np.array([1.0, 0.0]))
    port.incoming = reply(port, erpm=1.0)[:-4]
    driver.poll(TICK, measurements)
    driver.poll(4 * TICK, measurements)
    assert driver.health.errors["short_frame"] == 1
    driver.command(4 * TICK, np.array([1.0, 0.0]))
    port.incoming = reply(port, erpm=7.0)
    driver.poll(5 * TICK, measurements)
    assert measurements.values("drive")[0] == 7.0


def test_a_fault_code_is_shown_by_name_until_it_clears() -> None:
    driver, port, measurements = ready()
    for k, (code, name) in enumerate([(2.0, "under voltage"), (0.0, "")]):
        driver.command(2 * k * TICK, np.array([1.0, 0.0]))
        port.incoming = reply(port, fault_code=code) + imu_reply(*[0.0] * 6)
        driver.poll((2 * k + 1) * TICK, measurements)
        assert driver.health.fault == name


def test_a_lost_port_is_a_state_and_is_tried_again_twice_a_second() -> None:
    driver, port, measurements = ready()
    port.present = False
    driver.poll(TICK, measurements)
    assert driver.health.state == "lost"
    opens = port.opens
    for k in range(2, 202):
        driver.poll(k * TICK, measurements)
        assert np.isnan(driver.command(k * TICK, np.array([1.0, 0.0]))).all()
        assert np.isnan(driver.stop(k * TICK, True)).all()
    assert port.opens - opens == 4
    port.present = True
    for k in range(202, 260):
        driver.poll(k * TICK, measurements)
    assert (driver.health.state, driver.health.reconnections) == ("open", 1)
    # It might be another device now: who it is is asked before anything is driven.
    assert driver.health.firmware == ""
    assert np.isnan(driver.command(260 * TICK, np.array([1.0, 0.0]))).all()


def test_a_full_port_never_tears_a_frame_for_good() -> None:
    driver, port, _ = ready()
    port.room = 13
    assert np.isnan(driver.command(0, np.array([1.0, 0.0]))).all()
    assert driver.health.errors["write_overflow"] == 1
    port.room = 0
    assert np.isnan(driver.command(TICK, np.array([2.0, 0.0]))).all()
    port.room = 1 << 20
    assert not np.isnan(driver.command(2 * TICK, np.array([3.0, 0.0]))).any()
    commands = [payload[0] for payload in FrameParser(pytest.fail).feed(port.take())]
    assert commands[-2:] == [Command.SET_RPM, Command.SET_SERVO_POS]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=20))
def test_no_bytes_make_it_raise(chunks: list[bytes]) -> None:
    driver, port, measurements = ready()
    for k, chunk in enumerate(chunks):
        port.incoming = chunk
        driver.poll(k * TICK, measurements)
        assert not np.isnan(driver.command(k * TICK, np.array([1.0, 0.1]))).any()


def test_a_file_that_does_not_fit_is_refused_by_name() -> None:
    strange = msgspec.structs.replace(SPEC.devices[0], options={"bawd": 115200})
    with pytest.raises(SpecError, match="no option 'bawd'; did you mean baud"):
        VescDriver(SPEC, strange, ScriptedPort())
    with pytest.raises(SpecError, match="must serve sensors drive, imu"):
        VescDriver(SPEC, SPEC.devices[1], ScriptedPort())
