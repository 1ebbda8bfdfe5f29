"""Every parser of bytes from outside, fuzzed with a seed; and proof by seeded defects that the fuzzing would
notice. More of it: ``python tests/fuzz --bytes 1e9``."""

from __future__ import annotations

import importlib
import inspect
import sys
import types
from pathlib import Path
from typing import Any

import fuzz_network
import fuzz_people
import fuzz_serial
import fuzz_storage
import pytest
from fuzz_all import TARGETS, portions
from fuzz_bytes import damaged, stream
from fuzz_target import FuzzError, Target, generator, run_target

from robot import log_reader, log_repair

CAMPAIGN_BYTES = 1.2e7
SEED = 20


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS, ids=[t.name for t in TARGETS])
def test_nothing_escapes(target: Target, tmp_path: Path) -> None:
    portion = dict(portions(TARGETS, CAMPAIGN_BYTES))[target]
    tally = run_target(target, tmp_path, SEED, portion)
    assert tally.bytes >= portion
    assert tally.taken > 0, "nothing was whole: the target is not fuzzed but showered"
    assert sum(tally.refused.values()) > 0, "nothing was refused"


DEFECTS: dict[str, tuple[str, str, str, str]] = {
    "VESC: checksum ignored": (
        "vesc_stream",
        "robot.drivers.vesc_frame",
        "if crc_hqx(payload, 0) != buffer[at + total - 3] << 8 | buffer[at + total - 2]:",
        "if False:",
    ),
    "VESC: stop byte ignored": (
        "vesc_stream",
        "robot.drivers.vesc_frame",
        "if buffer[at + total - 1] != _STOP:",
        "if False:",
    ),
    "VESC: a bad frame swallows what is in it": (
        "vesc_stream",
        "robot.drivers.vesc_frame",
        'self._wrong("bad_stop", at, total)\n                at += 1',
        'self._wrong("bad_stop", at, total)\n                at += total',
    ),
    "VESC: a length of any size is waited for": (
        "vesc_stream",
        "robot.drivers.vesc_frame",
        "if size > self._max:",
        "if False:",
    ),
    "VESC: an index beyond the end": (
        "vesc_stream",
        "robot.drivers.vesc_frame",
        "if end - at < total:",
        "if end - at < total - 1:",
    ),
    "UBX: checksum ignored": (
        "ubx_stream",
        "robot.drivers.ubx_frame",
        "if checksum(frame[2:-2]) != (frame[-2], frame[-1]):",
        "if False:",
    ),
    "UBX: a length of any size is waited for": (
        "ubx_stream",
        "robot.drivers.ubx_frame",
        "if size > self._max:",
        "if False:",
    ),
    "wire: rows that were damaged": ("wire", "robot.wire", "if zlib.crc32(data) != steps.crc:", "if False:"),
    "wire: a policy of anybody": (
        "wire",
        "robot.wire",
        "if not hmac.compare_digest(expected, policy.signature):",
        "if False:",
    ),
    "wire: msgspec's own errors": (
        "wire",
        "robot.wire",
        "except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:",
        "except (KeyError, TypeError) as error:",
    ),
    "wire: counts of any size": (
        "policy_store",
        "robot.wire",
        "not least <= value <= most",
        "value > 2 * most",
    ),
    "frame file: checksum ignored": (
        "frame_file",
        "robot.frame_file",
        "if zlib.crc32(body, zlib.crc32(header[: _CHECKED.size])) != crc:",
        "if False:",
    ),
    "spool: nonsense in a sound frame": (
        "spool",
        "robot.spool",
        "if rest or not count or not follows:",
        "if False:",
    ),
    "log: a chunk's checksum ignored": (
        "log",
        "robot.mcap_records",
        "if len(data) != chunk.uncompressed_size or zlib.crc32(data) != chunk.uncompressed_crc:",
        "if False:",
    ),
    "log: errors of libraries": (
        "log",
        "robot.mcap_records",
        "except _NONSENSE as error:",
        "except KeyError as error:",
    ),
    "mailbox: checksum ignored": (
        "mailboxes",
        "robot.shared_memory",
        'if zlib.crc32(body) == int.from_bytes(data[self._size :], "little"):',
        "if True:",
    ),
    "ring: cursors taken at their word": (
        "rings",
        "robot.shared_memory",
        "return rows if whole.all() else rows[: int(whole.argmin())]",
        "return rows",
    ),
    "gate: infinity": (
        "mailboxes",
        "robot.safety.command_gate",
        "if not all(map(math.isfinite, setpoint.tolist())):",
        "if np.isnan(setpoint).any():",
    ),
    "bundle: content that was not signed": (
        "bundle",
        "robot.bundle",
        "if ours != theirs:",
        "if False:",
    ),
    "bundle: a signature of anybody": (
        "bundle",
        "robot.bundle",
        "if not signed_by(manifest.signer, DOMAIN + said, files[_SIGNATURE]):",
        "if False:",
    ),
    "CRSF: checksum ignored": (
        "crsf",
        "robot.drivers.crsf_frame",
        "if crc8(body) != buffer[at + 1 + length]:",
        "if False:",
    ),
    "CRSF: an index beyond the end": (
        "crsf",
        "robot.drivers.crsf_frame",
        "if end - at < length + 2:",
        "if end - at < length + 1:",
    ),
    "emergency stop: all is well at any age": (
        "estops",
        "robot.estop_inbox",
        "0 <= now_ns - self._time_ns <= self._timeout_ns",
        "True",
    ),
    "emergency stop: what is not open is closed": (
        "estops",
        "robot.estop_inbox",
        "EstopState.CLOSED if fresh and self._state == EstopState.CLOSED else",
        "EstopState.CLOSED if fresh else",
    ),
    "stop by network: let go at once": (
        "stops",
        "robot.estop.stop_receiver",
        "if now_ns < self._until_ns else",
        "if asked else",
    ),
    "gamepad: a press that is over is forgotten": (
        "gamepad",
        "robot.estop.gamepad",
        "if pressed or self._down else",
        "if self._down else",
    ),
    "inbox: an old operator": (
        "mailboxes",
        "robot.inbox",
        "0 <= now_ns - self._time_ns <= self._timeout_ns",
        "True",
    ),
    "inbox: a pose of any age": (
        "mailboxes",
        "robot.inbox",
        "0 <= now_ns - self.time_ns <= POSE_AGE_NS",
        "True",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("defect", DEFECTS)
def test_a_seeded_defect_is_found(defect: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target_name, module_name, right, wrong = DEFECTS[defect]
    original = importlib.import_module(module_name)
    source = inspect.getsource(original)
    assert source.count(right) >= 1, f"the defect's place is not in the source: {right!r}"
    defective = types.ModuleType(module_name)
    defective.__file__ = original.__file__
    monkeypatch.setitem(sys.modules, module_name, defective)
    exec(compile(source.replace(right, wrong), "defective", "exec"), defective.__dict__)
    for user in (fuzz_serial, fuzz_network, fuzz_people, fuzz_storage, log_reader, log_repair):
        for name, value in vars(user).copy().items():
            if getattr(value, "__module__", "") == module_name and hasattr(defective, name):
                monkeypatch.setattr(user, name, getattr(defective, name))
            elif value is original:
                monkeypatch.setattr(user, name, defective)
    if module_name == "robot.wire":
        for name in ("decode_policy", "verify_policy"):
            monkeypatch.setattr("robot.policy_store." + name, getattr(defective, name))
    if module_name == "robot.frame_file":
        monkeypatch.setattr(defective, "SandlotError", original.SandlotError)
    target = next(t for t in TARGETS if t.name == target_name)
    with pytest.raises(FuzzError):
        run_target(target, tmp_path, SEED, 1e7)


def test_a_case_is_its_numbers(tmp_path: Path) -> None:
    """A failure is reported by seed, target and case; the same bytes must come of them again."""
    for case in range(20):
        first, again = (generator(3, "t", case) for _ in range(2))
        valid = [b"one frame", b"another frame"]
        assert stream(first, valid, b"\x02\x03", 5) == stream(again, valid, b"\x02\x03", 5)


def test_every_kind_of_damage_happens() -> None:
    rng = generator(1, "damage", 0)
    frame = bytes(range(40))
    seen: list[Any] = [damaged(rng, [frame], b"\x02") for _ in range(500)]
    assert frame in seen and frame * 2 in seen
    assert any(frame.startswith(d) and len(d) < 40 for d in seen), "truncated"
    assert any(frame.endswith(d) and len(d) < 40 for d in seen), "beheaded"
    assert any(len(d) == 40 and sum(a != b for a, b in zip(d, frame, strict=True)) == 1 for d in seen), (
        "flipped"
    )
    assert len(set(seen)) > 200
