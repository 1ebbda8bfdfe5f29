"""Framing: an independent implementation agrees; no stream of bytes yields a wrong frame or an exception."""

from __future__ import annotations

import random
import warnings
from binascii import crc_hqx
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robot.drivers.vesc_frame import MAX_PAYLOAD, FrameParser, frame
from robot.errors import WireError

with warnings.catch_warnings():
    warnings.simplefilter("ignore", SyntaxWarning)
    codec = pytest.importorskip("pyvesc.packet.codec")

payloads = st.binary(min_size=1, max_size=MAX_PAYLOAD)
FLUSH = bytes(MAX_PAYLOAD + 8)  # zeros start no frame and end any wait for the rest of one


def parse(*chunks: bytes) -> tuple[list[bytes], Counter[str]]:
    counts: Counter[str] = Counter()
    parser = FrameParser(lambda name: counts.update([name]))
    return [payload for chunk in chunks for payload in parser.feed(chunk)], counts


def test_crc_is_xmodem() -> None:
    assert crc_hqx(b"123456789", 0) == 0x31C3  # check value of CRC-16/XMODEM, Williams' catalogue


@pytest.mark.parametrize("size", [1, 2, 254, 255, 256, 257, 511, 512])
def test_frames_equal_those_of_an_independent_implementation(size: int) -> None:
    payload = random.Random(size).randbytes(size)
    assert frame(payload) == codec.frame(payload)
    assert codec.unframe(frame(payload)) == (payload, len(frame(payload)))


@pytest.mark.parametrize("size", [0, MAX_PAYLOAD + 1])
def test_a_payload_of_impossible_length_is_refused(size: int) -> None:
    with pytest.raises(WireError, match="1 to 512"):
        frame(bytes(size))


@given(st.lists(payloads, max_size=4), st.randoms(use_true_random=False))
def test_any_split_of_the_stream_gives_the_same_frames(sent: list[bytes], rnd: random.Random) -> None:
    stream = b"".join(map(frame, sent))
    cuts = sorted(rnd.randrange(len(stream) + 1) for _ in range(10))
    edges = [0, *cuts, len(stream)]
    chunks = [stream[a:b] for a, b in pairwise(edges)]
    assert parse(*chunks) == (sent, Counter())


@given(st.lists(st.tuples(st.binary(max_size=40), st.binary(min_size=1, max_size=60)), max_size=5))
def test_whatever_lies_between_frames_all_of_them_are_found(parts: list[tuple[bytes, bytes]]) -> None:
    stream = b"".join(junk + frame(payload) for junk, payload in parts)
    found, _ = parse(stream + FLUSH)
    # Junk may itself hold a valid frame (a chance of 2^-24 per byte); what was sent is there, in order.
    rest = iter(found)
    assert all(payload in rest for _, payload in parts)


@given(st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=4), st.data())
def test_a_flipped_bit_costs_a_frame_and_never_yields_a_wrong_one(
    sent: list[bytes], data: st.DataObject
) -> None:
    stream = bytearray(b"".join(map(frame, sent)))
    bit = data.draw(st.integers(0, len(stream) * 8 - 1))
    stream[bit // 8] ^= 1 << bit % 8
    found, counts = parse(bytes(stream) + FLUSH)
    assert set(found) <= set(sent)
    assert len(found) >= len(sent) - 1
    assert counts - Counter(garbage=counts["garbage"]) or counts["garbage"]


def test_each_kind_of_damage_is_counted_by_its_name() -> None:
    good = frame(b"good payload")
    bad_crc = bytearray(good)
    bad_crc[-2] ^= 1
    bad_stop = bytearray(good)
    bad_stop[-1] = 7
    assert parse(bytes(bad_crc), good) == ([b"good payload"], Counter(bad_crc=1))
    assert parse(bytes(bad_stop), good) == ([b"good payload"], Counter(bad_stop=1))
    assert parse(b"\x03\xff\xff", good, FLUSH)[1]["oversize"] == 1
    assert parse(b"hello", good) == ([b"good payload"], Counter(garbage=1))


def test_a_false_start_that_ends_with_a_real_frame_does_not_swallow_it() -> None:
    good = frame(b"good payload")
    # Start byte and length in the noise reach exactly to the real frame's stop byte: only the CRC is wrong.
    assert parse(bytes((2, len(good) - 3)) + good) == ([b"good payload"], Counter(bad_crc=1))


def test_a_frame_whose_end_never_comes_does_not_hide_the_next_one() -> None:
    parser = FrameParser(lambda name: None)
    assert parser.feed(frame(b"torn")[:-3] + frame(b"whole")) == [b"whole"]
    assert parser.feed(b"\x02\x40ab" + frame(b"whole")) == []
    assert parser.give_up() == [b"whole"]
    assert parser.pending == 0


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([64, 128, 512]))
def test_a_million_random_bytes_raise_nothing(seed: int, limit: int) -> None:
    rnd = random.Random(seed)
    noise = rnd.randbytes(60_000)
    # Half of the stream is thick with start bytes and small lengths, where the parser has most to decide.
    dense = bytes(rnd.choices((2, 3, 0, 1, 5, 255), k=4_000))
    parser = FrameParser(lambda name: None, limit)
    for at in range(0, len(noise), 977):
        parser.feed(noise[at : at + 977])
        assert parser.pending <= limit + 5
    parser.feed(dense)
    assert parser.pending <= limit + 5
