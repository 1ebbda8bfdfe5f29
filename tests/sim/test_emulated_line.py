"""Pacing: bytes never come faster than a real line carries them; none is lost, doubled or reordered."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from sim.emulators.line import SerialLine

times = st.integers(0, 50_000_000)


@given(
    st.lists(st.tuples(times, st.binary(min_size=1, max_size=40)), max_size=8), st.lists(times, max_size=20)
)
@example([(0, b"now"), (1_000_000, bytes(40))], [500_000])  # a gap between two frames
def test_a_uart_delivers_each_byte_when_its_stop_bit_has_passed(
    sends: list[tuple[int, bytes]], looks: list[int]
) -> None:
    line = SerialLine(115200)
    bit = 1e9 / 115200
    due: list[tuple[float, int]] = []  # an independent account: when each byte has arrived
    busy = 0.0
    for at, data in sorted(sends, key=lambda s: s[0]):
        line.send(data, at)
        for byte in data:
            busy = max(busy, at) + 10 * bit
            due.append((busy, byte))
    out = b""
    for now in [*sorted(looks), 1_000_000_000]:
        out += line.take(now)
        expected = bytes(byte for arrives, byte in due if arrives <= now)
        # The two accounts round differently at the very nanosecond of arrival.
        assert out in (
            expected,
            bytes(b for a, b in due if a <= now - 2),
            bytes(b for a, b in due if a <= now + 2),
        )
    assert out == bytes(byte for _, byte in due)
    assert not line.pending


@given(st.lists(st.tuples(times, st.binary(min_size=1, max_size=2000)), max_size=6))
def test_usb_hands_bytes_over_at_its_polls_and_no_faster_than_it_can(sends: list[tuple[int, bytes]]) -> None:
    line = SerialLine(0)
    sent = sorted(sends, key=lambda s: s[0])
    for at, data in sent:
        line.send(data, at)
    total = b"".join(data for _, data in sent)
    out, before = b"", 0
    for now in range(0, 80_000_000, 1_000_000):
        out += line.take(now)
        assert len(out) - before <= 1217
        assert len(out) <= sum(len(data) for at, data in sent if at < now)
        before = len(out)
    assert out == total


def test_a_pulled_plug_loses_what_was_under_way() -> None:
    line = SerialLine(115200)
    line.send(b"lost", 0)
    line.clear()
    assert line.take(10**9) == b""
