"""What stands around the guardian, defective on purpose: drivers, an estimator, a courier, a motor
controller. Nothing but the campaign and its tests uses them."""

from __future__ import annotations

from typing import Any
from unittest import mock

from launch.bench.faults_defects import ENDLESS_NS, replace
from launch.bench.faults_drive import Drive
from robot.interface import Measurements


def estimator_that_believes_the_wheels(drive: Drive) -> None:
    """Takes the wheels' speed for the robot's."""
    estimator: Any = drive.guardian._senses.estimator
    update = estimator.update
    forward = drive.spec.state_layout.index("velocity_body_x")
    gain = drive.spec.scalar("erpm_per_speed")

    def believing(now_ns: int, measurements: Measurements, *rest: Any) -> Any:
        estimate = update(now_ns, measurements, *rest)
        estimate.values[forward] = measurements.values("drive")[0] / gain
        return estimate

    replace(estimator, "update", believing)


def courier_without_verification(drive: Drive) -> None:
    """Hands on whatever says that it is a policy."""
    from robot import policy_store

    def anything(self: Any, frame: bytes, now_ns: int) -> int:
        self._directory.mkdir(parents=True, exist_ok=True)
        (self._directory / "000001.onnx").write_bytes(frame)
        self.version = 1
        self._announce(now_ns)
        return 1

    mock.patch.object(policy_store.PolicyStore, "offer", anything).start()


def driver_without_checksum(drive: Drive) -> None:
    """Believes every frame that looks like one, whatever its checksum says."""
    from robot.drivers import vesc_frame

    driver: Any = drive.drivers["vesc"]
    feed = driver._parser.feed

    def believing(data: bytes) -> Any:
        with mock.patch.object(vesc_frame, "crc_hqx", lambda payload, start: _AnyChecksum()):
            return feed(data)

    replace(driver._parser, "feed", believing)


class _AnyChecksum:
    """Differs from nothing."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False


def driver_that_dates_samples_on_arrival(drive: Drive) -> None:
    """Takes a reply for a measurement of this moment."""
    driver: Any = drive.drivers["vesc"]
    poll = driver.poll

    def dated(now_ns: int, measurements: Measurements) -> None:
        put = measurements.put
        with mock.patch.object(
            measurements, "put", lambda sensor, time_ns, values: put(sensor, now_ns, values)
        ):
            poll(now_ns, measurements)

    driver._late_ns = ENDLESS_NS
    replace(driver, "poll", dated)


def driver_that_never_rewords(drive: Drive) -> None:
    """Asks the same again after an answer that did not come, and takes the late one for the new."""
    driver: Any = drive.drivers["vesc"]
    for question in driver._questions.values():
        replace(question, "reword", lambda: None)


def driver_that_expects_an_order(drive: Drive) -> None:
    """Takes only answers that come in the order of the questions."""
    driver: Any = drive.drivers["vesc"]
    take = driver._take
    last = 65

    def ordered(payload: bytes, *rest: Any) -> None:
        nonlocal last
        expected = 50 if last == 65 else 65
        if payload[0] == expected:
            last = expected
            take(payload, *rest)

    replace(driver, "_take", ordered)


def drive_without_timeout(drive: Drive) -> None:
    """A motor controller that goes on with the last command (not a guardian's defect: what stands behind
    it)."""
    replace(drive.rig.devices["vesc"], "timeout_ns", ENDLESS_NS)


def drive_that_coasts_on_timeout(drive: Drive) -> None:
    """A motor controller as it comes: it times out, but does not brake."""
    replace(drive.rig.devices["vesc"], "_timeout_brake", 0.0)


def drive_with_the_factory_timeout(drive: Drive) -> None:
    """A motor controller as it comes: it times out after a second."""
    replace(drive.rig.devices["vesc"], "timeout_ns", 1_000_000_000)
