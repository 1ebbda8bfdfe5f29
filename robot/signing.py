"""Ed25519 keys (RFC 8032) of those who vouch for policies, and the robot's list of whom it trusts.

In the keys folder: ``signing/NAME.key`` (a maker's secret), ``signing/NAME.pub`` (to give away), and on the
robot ``trusted/NAME.pub``. The cryptography itself is imported when it is needed, so that naming a key or a
mistake costs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from robot.errors import SandlotError
from robot.keys import read_key_file, write_private

SIGNING, TRUSTED = "signing", "trusted"
SIGNATURE_BYTES = 64
_HEX = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class SigningKey:
    """``public``, ``secret``: 32 bytes each, in hexadecimal."""

    public: str
    secret: str

    def __repr__(self) -> str:
        return f"SigningKey(public={self.public!r}, secret=hidden)"

    def sign(self, message: bytes) -> bytes:
        """The signature, 64 bytes; the same message gets the same one."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(self.secret)).sign(message)


def signed_by(public: str, message: bytes, signature: bytes) -> bool:
    """Whether ``signature`` is the one that the owner of ``public`` [hexadecimal] made of ``message``."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if not _HEX.fullmatch(public) or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def make_signing_key(keys: Path, name: str) -> tuple[Path, Path]:
    """Make ``signing/NAME.key`` (mode 0600) and ``signing/NAME.pub``; returns both paths.

    Raises SandlotError if the key exists: robots trust it, and would no longer.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    made = Ed25519PrivateKey.generate()
    public, secret = made.public_key().public_bytes_raw().hex(), made.private_bytes_raw().hex()
    private_path, public_path = (keys / SIGNING / f"{name}.{ending}" for ending in ("key", "pub"))
    private_path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(private_path, f'signing_public = "{public}"\nsigning_secret = "{secret}"\n')
    public_path.write_text(f'signing_public = "{public}"\n')
    return private_path, public_path


def load_signing_key(keys: Path, name: str) -> SigningKey:
    """A maker's own key. Raises SandlotError if it is absent, readable by others, or not one."""
    path = keys / SIGNING / f"{name}.key"
    if not path.exists():
        known = sorted(p.stem for p in path.parent.glob("*.key"))
        listed = f"there are: {', '.join(known)}" if known else f"make one with: sandlot keys signing {name}"
        raise SandlotError(f"no signing key {name!r} in {path.parent}; {listed}")
    plain = read_key_file(path, private=True)
    return SigningKey(_value(plain, "signing_public", path), _value(plain, "signing_secret", path))


def load_signing_public(path: Path) -> str:
    """The public key in a ``NAME.pub`` (or ``NAME.key``) file. Raises SandlotError if there is none."""
    return _value(read_key_file(path, private=False), "signing_public", path)


def trust_signer(keys: Path, name: str, public: str) -> Path:
    """Let a robot drive what ``public`` signs. Raises SandlotError if another key has that name."""
    path = keys / TRUSTED / f"{name}.pub"
    if path.exists() and load_signing_public(path) != public:
        raise SandlotError(f"{path} holds another key; remove it first if this one replaces it")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.write_text(f'signing_public = "{public}"\n')
    return path


def load_trusted(keys: Path) -> Mapping[str, str]:
    """Public keys [hexadecimal] to the names under which they are trusted; empty if nobody is."""
    return {load_signing_public(path): path.stem for path in sorted((keys / TRUSTED).glob("*.pub"))}


def _value(plain: dict[str, object], name: str, path: Path) -> str:
    value = plain.get(name)
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        raise SandlotError(
            f"{path} has no {name} of 64 hexadecimal digits; make one with: sandlot keys signing NAME"
        )
    return value
