"""Key files: who this computer is, whom it lets in, and the session's policy key.

A key file is TOML with mode 0600. An allow-list is a folder of ``NAME.pub`` files, each one public key.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
import tomllib
from dataclasses import dataclass
from pathlib import Path

from robot.errors import SandlotError

_Z85 = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")  # ZeroMQ RFC 32

SESSION_KEY_BYTES = 32
"""HMAC-SHA256 gains nothing from more (RFC 2104)."""


@dataclass(frozen=True)
class KeyPair:
    """A CURVE key pair in ZeroMQ's Z85 text (40 characters each)."""

    public: str
    secret: str

    def __repr__(self) -> str:
        return f"KeyPair(public={self.public!r}, secret=hidden)"


@dataclass(frozen=True)
class RobotKeys:
    """A robot's own pair and the public key its learner must prove to have."""

    own: KeyPair
    learner: str


@dataclass(frozen=True)
class LearnerKeys:
    """A learner's own pair and the public keys of those it serves; everybody else gets nothing."""

    own: KeyPair
    allowed: frozenset[str]


def write_pair(directory: Path, name: str, pair: KeyPair) -> tuple[Path, Path]:
    """Write ``NAME.key`` (private, mode 0600) and ``NAME.pub`` (to hand out); returns both paths.

    Raises SandlotError if the key exists: overwriting one locks its owner out everywhere.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    private, public = directory / f"{name}.key", directory / f"{name}.pub"
    write_private(private, f'public = "{pair.public}"\nsecret = "{pair.secret}"\n')
    public.write_text(f'public = "{pair.public}"\n')
    return private, public


def load_pair(path: Path) -> KeyPair:
    """Read ``NAME.key``. Raises SandlotError if it is absent, readable by others, or not a key."""
    plain = read_key_file(path, private=True)
    return KeyPair(_key(plain, "public", path), _key(plain, "secret", path))


def load_public(path: Path) -> str:
    """Read the public key from a ``NAME.pub`` (or ``NAME.key``) file."""
    return _key(read_key_file(path, private=False), "public", path)


def load_allowed(directory: Path) -> frozenset[str]:
    """All public keys in a folder. Raises SandlotError if there is none: such a learner serves nobody."""
    files = sorted(directory.glob("*.pub")) if directory.is_dir() else []
    if not files:
        raise SandlotError(
            f"no public keys (*.pub) in {directory}; fetch each robot's NAME.pub and run: "
            "sandlot keys allow NAME.pub"
        )
    return frozenset(load_public(path) for path in files)


def load_robot_keys(own: Path, learner: Path) -> RobotKeys:
    """From the robot's ``.key`` file and its learner's ``.pub`` file."""
    return RobotKeys(load_pair(own), load_public(learner))


def load_learner_keys(own: Path, allowed: Path) -> LearnerKeys:
    """From the learner's ``.key`` file and the folder of its robots' ``.pub`` files."""
    return LearnerKeys(load_pair(own), load_allowed(allowed))


def make_session_key(path: Path) -> bytes:
    """Make a session key, mode 0600: shared by robot and learner, it authenticates streamed policies."""
    key = secrets.token_bytes(SESSION_KEY_BYTES)
    write_private(path, f'session = "{key.hex()}"\n')
    return key


def load_session_key(path: Path) -> bytes:
    """Read a session key. Raises SandlotError if it is absent, readable by others, or too short."""
    plain = read_key_file(path, private=True)
    try:
        key = bytes.fromhex(str(plain.get("session", "")))
    except ValueError:
        key = b""
    if len(key) < SESSION_KEY_BYTES:
        raise SandlotError(
            f"{path} holds no session key of {SESSION_KEY_BYTES} bytes; move it away and make one with: "
            "sandlot keys session"
        )
    return key


def write_private(path: Path, text: str) -> None:
    """Write a secret, mode 0600. Raises SandlotError if the file exists."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise SandlotError(f"{path} exists; move it away first if a new key is really wanted") from None
    with os.fdopen(handle, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def read_key_file(path: Path, private: bool) -> dict[str, object]:
    """What a key file holds. Raises SandlotError if it is none, or ``private`` and readable by others."""
    try:
        mode = path.stat().st_mode
        text = path.read_text()
    except OSError as error:
        raise SandlotError(
            f"cannot read the key {path}: {error.strerror}; make one with `sandlot keys`"
        ) from None
    except UnicodeDecodeError:
        raise SandlotError(f"{path} is not a key file; make one with `sandlot keys`") from None
    if private and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SandlotError(f"{path} can be read by others (mode {mode & 0o777:o}); run: chmod 600 {path}")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise SandlotError(f"{path} is not a key file; make one with `sandlot keys`") from None


def _key(plain: dict[str, object], name: str, path: Path) -> str:
    value = plain.get(name)
    if not isinstance(value, str) or not _Z85.fullmatch(value):
        raise SandlotError(f"{path} has no {name} key of 40 characters; make a pair: sandlot keys make NAME")
    return value
