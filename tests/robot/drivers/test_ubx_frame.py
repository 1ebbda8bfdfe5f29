"""UBX framing: pyubx2 agrees on every frame, and no stream of bytes yields a wrong one or an exception."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise

import pyubx2
from hypothesis import given, settings
from hypothesis import strategies as st

from robot.drivers.ubx_frame import MAX_PAYLOAD, UbxParser, checksum

FLUSH = bytes(MAX_PAYLOAD + 8)


def ubx(payload: bytes) -> bytes:
    return pyubx2.UBXMessage("INF", "INF-NOTICE", pyubx2.GET, payload=payload).serialize()


def parse(*chunks: bytes) -> tuple[list[bytes], Counter[str]]:
    counts: Counter[str] = Counter()
    parser = UbxParser(lambda name: counts.update([name]))
    return [found for chunk in chunks for found in parser.feed(chunk)], counts


@given(st.lists(st.binary(max_size=100).map(ubx), max_size=4), st.randoms(use_true_random=False))
def test_any_split_of_the_stream_gives_the_same_frames(sent: list[bytes], rnd: random.Random) -> None:
    stream = b"".join(sent)
    edges = [0, *sorted(rnd.randrange(len(stream) + 1) for _ in range(8)), len(stream)]
    chunks = [stream[a:b] for a, b in pairwise(edges)]
    assert parse(*chunks) == (sent, Counter())


@given(st.lists(st.tuples(st.binary(max_size=60), st.binary(max_size=60).map(ubx)), max_size=4))
def test_whatever_lies_between_frames_all_of_them_are_found(parts: list[tuple[bytes, bytes]]) -> None:
    found, _ = parse(b"".join(junk + sent for junk, sent in parts) + FLUSH)
    rest = iter(found)
    assert all(sent in rest for _, sent in parts)


@given(st.lists(st.binary(max_size=60).map(ubx), min_size=1, max_size=4), st.data())
def test_a_flipped_bit_costs_a_frame_and_never_yields_a_wrong_one(
    sent: list[bytes], data: st.DataObject
) -> None:
    stream = bytearray(b"".join(sent))
    bit = data.draw(st.integers(0, len(stream) * 8 - 1))
    stream[bit // 8] ^= 1 << bit % 8
    found, counts = parse(bytes(stream) + FLUSH)
    assert set(found) <= set(sent)
    assert len(found) >= len(sent) - 1
    assert set(counts) & {"bad_checksum", "garbage", "oversize"}


@given(st.binary(max_size=200))
def test_the_checksum_is_pyubx2s(data: bytes) -> None:
    assert bytes(checksum(data)) == pyubx2.calc_checksum(data)


def test_other_protocols_on_the_line_are_one_run_of_garbage() -> None:
    sentence = b"$GNGGA,,,,,,0,00,99.99,,,,,,*56\r\n"
    assert parse(sentence + sentence + ubx(b"hi")) == ([ubx(b"hi")], Counter(garbage=1))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_million_random_bytes_raise_nothing(seed: int) -> None:
    rnd = random.Random(seed)
    parser = UbxParser(lambda name: None)
    noise = rnd.randbytes(56_000) + bytes(rnd.choices((0xB5, 0x62, 0, 1, 3), k=4_000))
    for at in range(0, len(noise), 977):
        parser.feed(noise[at : at + 977])
