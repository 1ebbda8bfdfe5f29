"""``sandlot keys``: who may connect, stop and vouch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from launch.options.defaults import KEYS


@dataclass(frozen=True)
class KeysMakeOptions:
    """Make a key pair for this machine.

    Example: sandlot keys make racer
    """

    name: Annotated[str, Positional]
    """The pair's name: which robot or learner this machine is."""
    keys: Path = KEYS
    """Where this machine's keys are kept."""


@dataclass(frozen=True)
class KeysAllowOptions:
    """List another machine's public key, so that it may connect.

    Example: sandlot keys allow racer.pub
    """

    file: Annotated[Path, Positional]
    """The public key file NAME.pub that the other machine's 'sandlot keys make' wrote."""
    stop_only: bool = False
    """It may stop this robot (sandlot stop) and do nothing else."""
    keys: Path = KEYS
    """Where this machine's keys are kept."""


@dataclass(frozen=True)
class KeysSessionOptions:
    """Make the secret that streamed policies are signed with; both machines need it.

    Example: sandlot keys session
    """

    keys: Path = KEYS
    """Where this machine's keys are kept."""


@dataclass(frozen=True)
class KeysSigningOptions:
    """Make a key that signs policy bundles; robots drive what a key they trust has signed.

    Example: sandlot keys signing lab
    """

    name: Annotated[str, Positional]
    """The key's name: who vouches for policies."""
    keys: Path = KEYS
    """Where this machine's keys are kept."""


@dataclass(frozen=True)
class KeysTrustOptions:
    """Let this robot drive what the owner of a key has signed.

    Example: sandlot keys trust lab.pub
    """

    file: Annotated[Path, Positional]
    """The public key file NAME.pub that 'sandlot keys signing' wrote."""
    keys: Path = KEYS
    """Where this machine's keys are kept."""


@dataclass(frozen=True)
class KeysShowOptions:
    """List this machine's keys and the peers it allows.

    Example: sandlot keys show
    """

    keys: Path = KEYS
    """Where this machine's keys are kept."""
    json: bool = False
    """Print as one JSON object on the last line."""
