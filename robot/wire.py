"""Messages to bytes and back: MessagePack for the header, one raw array frame for rows, never a pickle.

Everything that arrives is untrusted. Decoding checks size, schema version, shape and checksum, and raises
WireError only, whatever the bytes.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import zlib
from typing import Any, ClassVar, Final, Protocol, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from robot.errors import PolicyError, WireError
from robot.messages import (
    SCHEMA_VERSION,
    Acknowledgement,
    Hello,
    PolicyMessage,
    Refusal,
    Steps,
    Stop,
    Stopped,
    Welcome,
)

Rows = NDArray[np.void]
FromRobot = Hello | Steps
FromLearner = Welcome | Refusal | Acknowledgement
Message = FromRobot | FromLearner | PolicyMessage | Stop | Stopped

MAX_HEADER: Final = 1 << 20
"""Largest header [bytes]; a contract with thousands of named terms fits."""
MAX_STOP: Final = 1 << 10
"""Largest request to stop, and its answer [bytes]."""
MAX_ROWS: Final = 1 << 26
"""Largest array frame [bytes]: 64 MiB, a thousand 128 x 128 colour images."""
MAX_POLICY: Final = 1 << 26
"""Largest policy message [bytes]."""

MAX_COUNT: Final = (1 << 63) - 1
"""Largest sequence or count in a message: they are kept in 64-bit fields."""
MAX_VERSION: Final = (1 << 32) - 1
"""Largest policy version: records hold it in 32 bits."""

_RANGES: Final = {
    "version": (0, MAX_VERSION),
    "policy_version": (0, MAX_VERSION),
    "safety_state": (-1, 255),  # -1: not known
}
"""What a message's whole numbers may be, where that is not 0 to MAX_COUNT."""

_PRIMITIVE = re.compile(r"[<|](?:[iu][1248]|f[248]|b1|S[1-9][0-9]{0,4})")
_MAX_DEPTH = 16
_MAX_FIELDS = 4096


class _Versioned(Protocol):
    __struct_fields__: ClassVar[tuple[str, ...]]

    @property
    def schema(self) -> int: ...


M = TypeVar("M", bound=_Versioned)

_from_robot: msgspec.msgpack.Decoder[FromRobot] = msgspec.msgpack.Decoder(FromRobot)
_from_learner: msgspec.msgpack.Decoder[FromLearner] = msgspec.msgpack.Decoder(FromLearner)
_policy = msgspec.msgpack.Decoder(PolicyMessage)
_stop = msgspec.msgpack.Decoder(Stop)
_stopped = msgspec.msgpack.Decoder(Stopped)
_any = msgspec.msgpack.Decoder()
_encoder = msgspec.msgpack.Encoder()


def encode(message: Message) -> list[bytes]:
    """Frames of a message without rows (``encode_steps`` makes the one with)."""
    return [_encoder.encode(message)]


def encode_steps(session: str, first_sequence: int, rows: Rows) -> list[bytes]:
    """A Steps message for ``rows`` (shape (n,)), whose first one has the sequence ``first_sequence``."""
    data = rows.tobytes()
    steps = Steps(
        schema=SCHEMA_VERSION,
        session=session,
        first_sequence=first_sequence,
        count=len(rows),
        crc=zlib.crc32(data),
    )
    return [_encoder.encode(steps), data]


def decode_from_robot(frames: list[bytes]) -> FromRobot:
    """A robot's message. Raises WireError. The rows of a Steps message are taken out by ``decode_rows``."""
    return _decode(frames, _from_robot, MAX_HEADER, (1, 2))


def decode_from_learner(frames: list[bytes]) -> FromLearner:
    """A learner's message. Raises WireError."""
    return _decode(frames, _from_learner, MAX_HEADER, (1,))


def decode_stop(frames: list[bytes]) -> Stop:
    """A request to stop. Raises WireError."""
    return _decode(frames, _stop, MAX_STOP, (1,))


def decode_stopped(frames: list[bytes]) -> Stopped:
    """A robot's answer to one. Raises WireError."""
    return _decode(frames, _stopped, MAX_STOP, (1,))


def decode_policy(frame: bytes) -> PolicyMessage:
    """A published policy, not yet verified (``verify_policy``). Raises WireError."""
    return _decode([frame], _policy, MAX_POLICY, (1,))


def decode_rows(steps: Steps, frames: list[bytes], dtype: np.dtype[np.void]) -> Rows:
    """The rows of a Steps message, read-only, shape (count,). Raises WireError if size or checksum differ."""
    if len(frames) != 2:
        raise WireError(f"a Steps message has a header and an array frame; got {len(frames)} frame(s)")
    data = frames[1]
    if len(data) > MAX_ROWS:
        raise WireError(f"an array frame of {len(data)} bytes; at most {MAX_ROWS} are accepted")
    expected = steps.count * dtype.itemsize
    if steps.count < 1 or steps.first_sequence < 0 or len(data) != expected:
        raise WireError(
            f"{steps.count} rows of {dtype.itemsize} bytes from sequence {steps.first_sequence} would be "
            f"{expected} bytes; the array frame has {len(data)}"
        )
    if zlib.crc32(data) != steps.crc:
        raise WireError("the array frame's checksum differs; it was damaged on the way")
    return np.frombuffer(data, dtype)


def _decode(
    frames: list[bytes], decoder: msgspec.msgpack.Decoder[M], most: int, counts: tuple[int, ...]
) -> M:
    if len(frames) not in counts:
        raise WireError(f"expected {' or '.join(map(str, counts))} frame(s); got {len(frames)}")
    header = frames[0]
    if len(header) > most:
        raise WireError(f"a message of {len(header)} bytes; at most {most} are accepted")
    try:
        message = decoder.decode(header)
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:  # TypeError: msgspec 0.18
        raise WireError(_why(header, error)) from None
    if message.schema != SCHEMA_VERSION:
        raise WireError(_other_schema(message.schema))
    for name in message.__struct_fields__:
        value = getattr(message, name)
        least, most = _RANGES.get(name, (0, MAX_COUNT))
        if isinstance(value, int) and not least <= value <= most:
            raise WireError(f"{type(message).__name__}: {name} is {value}; expected {least} to {most}")
    return message


def _why(header: bytes, error: Exception) -> str:
    """A peer of another version also fails on its fields; say the version, which is what to mend."""
    try:
        plain = _any.decode(header)
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):
        plain = None
    if isinstance(plain, dict):
        schema = plain.get("schema")
        if isinstance(schema, int) and schema != SCHEMA_VERSION:
            return _other_schema(schema)
    return f"not a message of schema {SCHEMA_VERSION}: {error}"


def _other_schema(schema: int) -> str:
    return (
        f"the other side speaks schema {schema}, this one {SCHEMA_VERSION}; "
        "install the same version of sandlot on both"
    )


def describe(dtype: np.dtype[Any]) -> Any:
    """A dtype as plain data (text, lists, maps), with offsets, so that padding survives the trip."""
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return {"base": describe(base), "shape": list(shape)}
    if dtype.names is None:
        if not _PRIMITIVE.fullmatch(dtype.str):
            raise WireError(f"a dtype of kind {dtype.str!r} cannot go on the wire or into a log")
        return dtype.str
    fields = [_fields(dtype)[name] for name in dtype.names]
    return {
        "names": list(dtype.names),
        "formats": [describe(field[0]) for field in fields],
        "offsets": [int(field[1]) for field in fields],
        "itemsize": dtype.itemsize,
    }


def _fields(dtype: np.dtype[Any]) -> dict[str, Any]:
    return dict(dtype.fields or {})


def dtype_from(plain: Any, depth: int = 0) -> np.dtype[Any]:
    """The inverse of ``describe``. Only sized numbers, booleans and byte strings pass; raises WireError."""
    if depth > _MAX_DEPTH:
        raise WireError(f"a dtype nested more than {_MAX_DEPTH} deep")
    if isinstance(plain, str):
        if not _PRIMITIVE.fullmatch(plain):
            raise WireError(f"{plain!r} is not a dtype this wire carries")
        return np.dtype(plain)
    if not isinstance(plain, dict):
        raise WireError(f"a dtype is text or a map; got {type(plain).__name__}")
    try:
        dtype = _compound(plain, depth)
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise WireError(f"not a dtype description: {error}") from None
    if dtype.itemsize > MAX_ROWS:
        raise WireError(f"a dtype of {dtype.itemsize} bytes; at most {MAX_ROWS} are accepted")
    return dtype


def _compound(plain: dict[Any, Any], depth: int) -> np.dtype[Any]:
    if set(plain) == {"base", "shape"}:
        shape = plain["shape"]
        good = isinstance(shape, list) and all(type(n) is int and 0 <= n <= MAX_ROWS for n in shape)
        if not good or not 1 <= len(shape) <= 8:
            raise WireError(f"not a shape: {shape!r}")
        return np.dtype((dtype_from(plain["base"], depth + 1), tuple(shape)))
    if set(plain) != {"names", "formats", "offsets", "itemsize"} or len(plain["names"]) > _MAX_FIELDS:
        raise WireError(f"not a dtype description: keys {sorted(map(str, plain))}")
    if not all(isinstance(name, str) and name for name in plain["names"]):
        raise WireError("a dtype's field names must be text")
    formats = [dtype_from(inner, depth + 1) for inner in plain["formats"]]
    described: Any = {key: plain[key] for key in ("names", "offsets", "itemsize")} | {"formats": formats}
    dtype: np.dtype[Any] = np.dtype(described)
    return dtype


def sign_policy(
    key: bytes, version: int, contract_hash: str, calibration_hash: str, onnx: bytes
) -> PolicyMessage:
    """A policy message authenticated with the session's key (HMAC-SHA256)."""
    sha256 = hashlib.sha256(onnx).digest()
    return PolicyMessage(
        schema=SCHEMA_VERSION,
        version=version,
        contract_hash=contract_hash,
        calibration_hash=calibration_hash,
        sha256=sha256,
        signature=_signature(key, version, contract_hash, calibration_hash, sha256),
        onnx=onnx,
    )


def verify_policy(key: bytes, policy: PolicyMessage) -> None:
    """Raise PolicyError unless the file is whole and was signed with this session's key."""
    if not hmac.compare_digest(hashlib.sha256(policy.onnx).digest(), policy.sha256):
        raise PolicyError(f"policy {policy.version} was damaged on the way: its SHA-256 differs; not used")
    expected = _signature(key, policy.version, policy.contract_hash, policy.calibration_hash, policy.sha256)
    if not hmac.compare_digest(expected, policy.signature):
        raise PolicyError(
            f"policy {policy.version} was not signed with this session's key; not used. "
            "Start robot and learner with the same session key"
        )


def _signature(key: bytes, version: int, contract_hash: str, calibration_hash: str, sha256: bytes) -> bytes:
    # MessagePack carries every part's length, so no two different tuples share their bytes.
    signed = _encoder.encode(("sandlot policy", version, contract_hash, calibration_hash, sha256))
    return hmac.digest(key, signed, "sha256")
