"""A record's bytes are its CDR encoding, as an independent decoder reads it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcap_ros2._dynamic import generate_dynamic
from record_dtypes import record_dtypes
from small_session import CONTRACT, SPEC, STEP, TICK, make_rows

from robot.errors import SpecError
from robot.log_schema import RecordSchema, step_names, tick_names


def leaves(value: object) -> list[object]:
    """Every number of a numpy record, in order."""
    if isinstance(value, np.void):
        return [leaf for name in value.dtype.names or () for leaf in leaves(value[name])]
    if isinstance(value, np.ndarray):
        return [leaf for item in value for leaf in leaves(item)]
    return [value.item() if isinstance(value, np.generic) else value]


def decoded_leaves(schema: RecordSchema, data: bytes) -> list[object]:
    message = generate_dynamic("test_msgs/msg/Record", schema.text)["test_msgs/msg/Record"](data)
    found: list[object] = []
    for line in schema.text.splitlines():
        name = line.split()[1]
        if not name.startswith("padding"):
            value = getattr(message, name)
            found += list(value) if isinstance(value, list | tuple | bytes) else [value]
    return found


@given(record_dtypes, st.integers(0, 2**32 - 1))
def test_any_aligned_record_decodes_to_its_numbers(dtype: np.dtype[np.void], seed: int) -> None:
    data = np.random.default_rng(seed).integers(
        0, 2, 2 * dtype.itemsize, np.uint8
    )  # 0 and 1 are booleans, too
    rows = np.frombuffer(data.tobytes(), dtype)
    schema = RecordSchema(dtype)
    for row, message in zip(rows, schema.encode(rows), strict=True):
        assert decoded_leaves(schema, message) == leaves(row)


@given(record_dtypes, st.integers(0, 2**32 - 1))
def test_what_lay_in_padding_does_not_reach_the_log(dtype: np.dtype[np.void], seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = np.frombuffer(rng.integers(0, 2, dtype.itemsize, np.uint8).tobytes(), dtype)
    clean, dirty = np.zeros(1, dtype), np.full(dtype.itemsize, 255, np.uint8).view(dtype)
    for target in (clean, dirty):
        copy_leaves(values, target)
    assert RecordSchema(dtype).encode(clean) == RecordSchema(dtype).encode(dirty)


def copy_leaves(source: np.ndarray, target: np.ndarray) -> None:
    if source.dtype.names is None:
        target[...] = source
        return
    for name in source.dtype.names:
        copy_leaves(source[name], target[name])


def test_every_element_of_ticks_and_steps_has_its_own_name() -> None:
    ticks = RecordSchema(TICK, tick_names(SPEC)).text
    for line in (
        "float64 state_velocity_body_x",
        "float64 sent_steering",
        "float64 measured_imu_angular_velocity_z",
        "int64 measured_gnss_time_ns",
    ):
        assert line in ticks.splitlines()
    steps = RecordSchema(STEP, step_names(CONTRACT)).text
    for line in (
        "float32 observation_previous_action_steering",
        "float32 action_speed",
        "float32 reward_bumps",
    ):
        assert line in steps.splitlines()
    assert "[" not in ticks
    rows = make_rows(7, 3)
    schema = RecordSchema(STEP, step_names(CONTRACT))
    for row, data in zip(rows, schema.encode(rows), strict=True):
        assert decoded_leaves(schema, data) == leaves(row)


def test_images_stay_arrays_and_names_are_made_valid() -> None:
    dtype = np.dtype([("Camera Left!", "u1", (4, 4, 3)), ("9", "<f4"), ("camera_left", "u1")], align=True)
    schema = RecordSchema(dtype)
    assert schema.text.split() == ["uint8[48]", "camera_left", "float32", "field_9", "uint8", "camera_left_2",
                                   "uint8[3]", "padding"]  # fmt: skip
    generate_dynamic("test_msgs/msg/Record", schema.text)


def test_what_ros_cannot_say_is_refused() -> None:
    with pytest.raises(SpecError, match="no ROS 2 type"):
        RecordSchema(np.dtype([("half", "<f2")]))
    with pytest.raises(SpecError, match="align=True"):
        RecordSchema(np.dtype([("a", "u1"), ("b", "<f8")]))
    with pytest.raises(SpecError, match="2 elements; 1 names"):
        RecordSchema(np.dtype([("a", "<f8", (2,))]), {"a": ["x"]})
