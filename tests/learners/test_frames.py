"""Pictures: once each on the disk, in the right stacks, and whole or gone whatever happened to the file."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from step_histories import DISCOUNT, expected, expected_stack, histories, stream

from learners.frames import Frames
from learners.replay import Replay
from robot.contract import ImageTerm, TaskContract
from robot.errors import SandlotError
from robot.frame_file import DiskFullError, StorageError
from robot.messages import Actor

Rows = NDArray[np.void]
FRONT = ImageTerm(name="front", height=3, width=5, stack=1)


def cameras(stack: int) -> tuple[ImageTerm, ...]:
    return (FRONT, ImageTerm(name="back", height=2, width=2, channels=1, stack=stack))


def pictures(images: tuple[ImageTerm, ...], numbers: NDArray[Any]) -> Rows:
    """Every pixel tells the number of its frame, cameras apart."""
    frames = np.zeros(len(numbers), Frames(images, 2).dtype)
    for k, image in enumerate(images):
        frames[image.name] = (numbers % 120 + 120 * k)[:, None, None, None]
    return frames


def drawn_numbers(found: tuple[NDArray[np.uint8], ...], k: int) -> list[list[int]]:
    """The frames' numbers in each stack of camera k, once it is sure that all pixels agree."""
    flat = found[k].reshape(*found[k].shape[:2], -1)
    assert (flat == flat[..., :1]).all()
    return (flat[..., 0].astype(int) - 120 * k).tolist()


@pytest.mark.slow
@settings(deadline=None, max_examples=200)
@given(histories, st.integers(2, 70), st.integers(1, 4), st.integers(1, 3), st.integers(1, 6))
def test_stacks_are_what_the_actor_saw(
    contract: TaskContract,
    happenings: list[tuple[str, str, Actor]],
    capacity: int,
    stack: int,
    count: int,
    cut: int,
) -> None:
    """First and next stacks by hand; transitions with a picture missing are the only ones that are missing,
    however the ring has turned. The same from the file alone, as another process would."""
    sent = stream(contract.step_dtype(), happenings)
    images = cameras(stack)
    frames = Frames(images, capacity)
    live = Replay(contract.step_dtype(), capacity, frames)
    for number, (session, row) in enumerate(sent):
        live.add(session, row, row["actor"] == Actor.POLICY, pictures(images, np.array([number])))
    again = Replay(contract.step_dtype(), capacity, frames)
    for session, row in sent:
        again.add(session, row, row["actor"] == Actor.POLICY)

    starting = expected(sent, capacity, count, (Actor.POLICY,))
    stacks = {i: expected_stack(sent, i, stack, capacity) for i in starting}
    wanted = {i: found for i, found in starting.items() if stacks[i] is not None}
    assert live.transitions == again.transitions == len(wanted)
    if not wanted:
        return
    first, now, then = live.sample_pictures(40 * len(wanted), np.random.default_rng(0), count, DISCOUNT)
    assert {int(o[0]) for o in first.observation} == set(wanted)
    backs = zip(first.observation[:, 0], drawn_numbers(now, 1), drawn_numbers(then, 1), strict=True)
    for number, seen, seen_next in backs:
        assert seen == stacks[int(number)]
        following = wanted[int(number)].following
        if following is not None:
            assert seen_next == expected_stack(sent, following, stack, capacity)
    assert drawn_numbers(now, 0) == first.observation[:, :1].astype(int).tolist()
    other = again.sample_pictures(40 * len(wanted), np.random.default_rng(0), count, DISCOUNT)
    for ours, theirs in zip((*first, *now, *then), (*other[0], *other[1], *other[2]), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@settings(deadline=None, max_examples=60)
@given(histories, st.integers(2, 40), st.integers(1, 4), st.integers(1, 7))
def test_how_rows_are_cut_into_messages_does_not_matter(
    contract: TaskContract, happenings: list[tuple[str, str, Actor]], capacity: int, stack: int, size: int
) -> None:
    images = cameras(stack)
    one, many = (Replay(contract.step_dtype(), capacity, Frames(images, capacity)) for _ in range(2))
    sent = [row for session, row in stream(contract.step_dtype(), happenings) if session == "a"]
    if not sent:
        return
    rows = np.concatenate(sent)
    frames = pictures(images, np.arange(len(rows)))
    for replay, step in ((one, 1), (many, size)):
        for start in range(0, len(rows), step):
            replay.add("a", rows[start : start + step], None, frames[start : start + step])
    assert one.transitions == many.transitions
    if one.transitions:
        drawn = [r.sample_pictures(50, np.random.default_rng(0), 2, DISCOUNT) for r in (one, many)]
        for a, b in zip(*((*d[0], *d[1], *d[2]) for d in drawn), strict=True):
            np.testing.assert_array_equal(a, b)


def filled(path: Path | None, contract: TaskContract, rows: Rows, capacity: int, stack: int = 3) -> Replay:
    images = cameras(stack)
    replay = Replay(contract.step_dtype(), capacity, Frames(images, capacity, path))
    replay.add("s", rows, None, pictures(images, np.arange(len(rows))))
    return replay


def from_file(path: Path, contract: TaskContract, rows: Rows, capacity: int, stack: int = 3) -> Replay:
    replay = Replay(contract.step_dtype(), capacity, Frames(cameras(stack), capacity, path))
    replay.add("s", rows)
    return replay


@pytest.mark.parametrize("capacity", [40, 12])
def test_another_process_finds_the_same_in_the_file(
    contract: TaskContract, make_rows: Callable[..., Rows], tmp_path: Path, capacity: int
) -> None:
    rows, path = make_rows(30), tmp_path / "frames" / "practice.frames"
    first = filled(path, contract, rows, capacity)
    second = from_file(path, contract, rows, capacity)
    assert first.transitions == second.transitions == (30 if capacity == 40 else 9)
    for a, b in zip(
        *(r.sample_pictures(99, np.random.default_rng(0), 3, 0.9)[1] for r in (first, second)), strict=True
    ):
        np.testing.assert_array_equal(a, b)


@settings(deadline=None, max_examples=60)
@given(where=st.floats(0, 1, exclude_max=True), kind=st.sampled_from(["flip", "cut", "zeros"]))
def test_a_damaged_picture_takes_part_in_nothing_and_the_others_stay(
    contract: TaskContract,
    make_rows: Callable[..., Rows],
    tmp_path_factory: pytest.TempPathFactory,
    where: float,
    kind: str,
) -> None:
    """A bit that flipped, a file cut short, a page that never reached the disk."""
    path = tmp_path_factory.mktemp("frames") / "f"
    rows = make_rows(30)
    frames = filled(path, contract, rows, 40).frames
    assert frames is not None
    stride, before = frames.dtype.itemsize, path.read_bytes()
    start = len(before) - 40 * stride
    at = start + int(where * 31 * stride)
    after = bytearray(before)
    if kind == "flip":
        after[at] ^= 4
    else:
        end = len(after) if kind == "cut" else at + 2 * stride
        after[at:end] = bytes(len(after[at:end]))
    path.write_bytes(after[:at] if kind == "cut" else after)
    spans = [slice(start + k * stride, start + (k + 1) * stride) for k in range(31)]
    broken = {k for k, span in enumerate(spans) if before[span] != after[span]}
    found = from_file(path, contract, rows, 40)
    needed = {i: {max(i - 2, 0), max(i - 1, 0), i, i + 1} for i in range(30)}
    assert found.transitions == sum(not broken & frames for frames in needed.values())
    if found.transitions:
        drawn, now, _ = found.sample_pictures(300, np.random.default_rng(0), 1, 1.0)
        index = {float(row["observation"][0]): k for k, row in enumerate(rows)}
        for o, stack in zip(drawn.observation[:, 0], drawn_numbers(now, 1), strict=True):
            k = index[float(o)]
            assert stack == [max(k - 2, 0), max(k - 1, 0), k]


def test_what_a_killed_process_wrote_over_is_gone_and_the_rest_stays(
    contract: TaskContract, make_rows: Callable[..., Rows], tmp_path: Path
) -> None:
    """25 frames in a ring of 10; the rows that count are the first 20. 20 to 24 lie where 10 to 14 did."""
    rows = make_rows(40)
    filled(tmp_path / "f", contract, rows[:25], 10, stack=1)
    found = from_file(tmp_path / "f", contract, rows[:20], 10, stack=1)
    assert (found.not_pictured, found.not_finite) == (15, 0)
    assert found.transitions == 4  # 15 to 18; nothing follows 19 yet
    found.add("s", rows[20:22], None, pictures(cameras(1), np.arange(20, 22)))
    assert found.transitions == 6
    drawn, now, _ = found.sample_pictures(200, np.random.default_rng(0), 1, 1.0)
    np.testing.assert_array_equal(np.unique(drawn.observation[:, 0]), np.sort(rows["observation"][15:21, 0]))
    assert {n for (n,) in drawn_numbers(now, 0)} == set(range(15, 21))


def test_a_full_disk_is_an_error_that_says_so(
    contract: TaskContract, make_rows: Callable[..., Rows], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, images = make_rows(30), cameras(2)
    replay = filled(None, contract, rows[:10], 40, stack=2)
    write, calls = os.pwrite, 0

    def full(file: int, data: Any, at: int) -> int:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, data, at)

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(DiskFullError, match=r"no room left to write .*pictures.* free some space"):
        replay.add("s", rows[10:20], None, pictures(images, np.arange(10, 20)))
    assert replay.rows == 10 and replay.transitions == 9
    replay.add("s", rows[10:20], None, pictures(images, np.arange(10, 20)))
    assert replay.transitions == 19


def test_a_file_of_other_cameras_is_refused_and_left_alone(tmp_path: Path) -> None:
    Frames(cameras(1), 10, tmp_path / "f").close()
    before = (tmp_path / "f").read_bytes()
    for images, capacity in ((cameras(2), 10), (cameras(1), 100)):
        with pytest.raises(StorageError, match="other cameras, another capacity"):
            Frames(images, capacity, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == before


def test_frames_of_other_cameras_are_refused() -> None:
    with pytest.raises(SandlotError, match="expected frames of"):
        Frames(cameras(1), 10).write(0, np.zeros(1, [("front", "u1", (4, 4, 3))]))


def test_a_hundred_thousand_transitions_of_two_cameras_take_less_than_ten_gigabytes() -> None:
    """And the last of them lies beyond 32 bits, where it should."""
    images = tuple(ImageTerm(name=name, height=128, width=128) for name in ("left", "right"))
    frames = Frames(images, 100_000)
    assert frames.size_bytes < 10e9
    rng = np.random.default_rng(0)
    ends = np.zeros(2, frames.dtype)
    for name in ("left", "right"):
        ends[name] = rng.integers(0, 256, ends[name].shape)
    frames.write(99_999, ends)  # the last slot, and the first one again
    found = frames.stacks(np.array([[99_999], [0]]))
    np.testing.assert_array_equal(found[0][:, 0], ends["left"])
    np.testing.assert_array_equal(found[1][:, 0], ends["right"])
    assert frames.whole(np.array([99_999, 100_000, 0, 5, 3 * 2**40])).tolist() == [
        True,
        True,
        False,
        False,
        False,
    ]


def test_a_file_that_is_cut_while_in_use_is_an_error(tmp_path: Path) -> None:
    frames = Frames(cameras(1), 10, tmp_path / "f")
    frames.write(0, pictures(cameras(1), np.arange(10)))
    os.truncate(tmp_path / "f", frames.size_bytes - 1)
    assert frames.stacks(np.array([[8]]))[0].max() == 8
    with pytest.raises(StorageError, match="became shorter while in use"):
        frames.stacks(np.array([[9]]))
