"""``sandlot keys``: make, exchange and list the keys of machines that talk over a network.

In the keys folder: ``NAME.key`` (this machine's secret), ``NAME.pub`` (to give away), ``allowed/`` (the
public keys of those who may connect), ``session.key`` (the secret that authenticates streamed policies, on
both machines), ``stop/`` (the public keys of those who may only stop this robot); ``signing/`` (this
machine's keys for bundles) and ``trusted/`` (the public keys of those whose bundles this robot drives).
"""

from __future__ import annotations

import json
from pathlib import Path

from launch.options.keys import (
    KeysAllowOptions,
    KeysMakeOptions,
    KeysSessionOptions,
    KeysShowOptions,
    KeysSigningOptions,
    KeysTrustOptions,
)
from launch.session import SHARED_KEY
from robot.errors import SandlotError, nearest
from robot.keys import (
    LearnerKeys,
    RobotKeys,
    load_allowed,
    load_pair,
    load_public,
    make_session_key,
    write_pair,
)
from robot.signing import SIGNING, load_signing_public, load_trusted, make_signing_key, trust_signer
from robot.transport import endpoints, is_local, new_pair

ALLOWED = "allowed"
STOPPERS = "stop"
"""In the keys folder: the public keys of those who may stop this robot, and do nothing else."""


def make(options: KeysMakeOptions) -> int:
    """Make a key pair and say what to do with its public half."""
    folder = options.keys.expanduser()
    private, public = write_pair(folder, options.name, new_pair())
    print(f"made {private} (secret, stays here) and {public}")
    print(f"give {public.name} to the other machine and run there: sandlot keys allow {public.name}")
    return 0


def allow(options: KeysAllowOptions) -> int:
    """Copy a peer's public key, and only that, into the allow-list."""
    public = load_public(options.file)
    folder = STOPPERS if options.stop_only else ALLOWED
    target = options.keys.expanduser() / folder / f"{options.file.stem}.pub"
    if target.exists() and load_public(target) != public:
        raise SandlotError(f"{target} holds another key; remove it first if this one replaces it")
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    target.write_text(f'public = "{public}"\n')
    print(f"{options.file.stem} may {'stop this robot' if options.stop_only else 'connect'} ({public})")
    return 0


def session(options: KeysSessionOptions) -> int:
    """Make the key that both ends share."""
    path = options.keys.expanduser() / SHARED_KEY
    make_session_key(path)
    print(f"made {path}; copy it to the other machine, to the same place, and nowhere else:")
    print(f"    scp -p {path} OTHER:{options.keys / SHARED_KEY}")
    return 0


def signing(options: KeysSigningOptions) -> int:
    """Make a signing key and say what to do with its public half."""
    private, public = make_signing_key(options.keys.expanduser(), options.name)
    print(f"made {private} (secret, stays here) and {public}")
    print(f"give {public.name} to each robot and run there: sandlot keys trust {public.name}")
    return 0


def trust(options: KeysTrustOptions) -> int:
    """Copy a maker's public key, and only that, into the list of those who are trusted."""
    public = load_signing_public(options.file)
    trust_signer(options.keys.expanduser(), options.file.stem, public)
    print(f"this robot drives what {options.file.stem} signs ({public})")
    return 0


def show(options: KeysShowOptions) -> int:
    """List own pairs and allowed peers; never a secret."""
    folder = options.keys.expanduser()
    own = {path.stem: load_public(path) for path in sorted(folder.glob("*.pub"))}
    peers = {path.stem: load_public(path) for path in sorted((folder / ALLOWED).glob("*.pub"))}
    stoppers = {path.stem: load_public(path) for path in sorted((folder / STOPPERS).glob("*.pub"))}
    signs = {path.stem: load_signing_public(path) for path in sorted((folder / SIGNING).glob("*.pub"))}
    trusted = {name: public for public, name in load_trusted(folder).items()}
    shared = (folder / SHARED_KEY).exists()
    if options.json:
        found = {"folder": str(folder), "own": own, "allowed": peers, "stop": stoppers, "signing": signs}
        print(json.dumps({**found, "trusted": trusted, "session_key": shared}))
        return 0
    print(f"keys in {folder}")
    for title, listed in (
        ("this machine", own),
        ("may connect", peers),
        ("may stop", stoppers),
        ("signs bundles", signs),
        ("trusted", trusted),
    ):
        for name, public in listed.items():
            print(f"  {title:<13} {name:<16} {public}")
        if not listed:
            print(f"  {title:<13} nobody yet")
    print(f"  session key   {'present' if shared else 'absent (sandlot keys session makes it)'}")
    return 0


def robot_keys(folder: Path, own: str | None, learner: str, address: str) -> RobotKeys | None:
    """The robot's side. None on loopback without a named key. Raises SandlotError that says which is
    missing."""
    if own is None:
        _need_none(address)
        return None
    folder = folder.expanduser()
    peers = [path.stem for path in (folder / ALLOWED).glob("*.pub")]
    if learner not in peers:
        listed = nearest(learner, peers) if peers else "none is."
        raise SandlotError(
            f"{learner!r} is not in {folder / ALLOWED}; {listed} "
            f"Fetch {learner}.pub from the learner's machine and run: sandlot keys allow {learner}.pub"
        )
    return RobotKeys(load_pair(folder / f"{own}.key"), load_public(folder / ALLOWED / f"{learner}.pub"))


def learner_keys(folder: Path, own: str | None, address: str) -> LearnerKeys | None:
    """The learner's side; see ``robot_keys``."""
    if own is None:
        _need_none(address)
        return None
    folder = folder.expanduser()
    return LearnerKeys(load_pair(folder / f"{own}.key"), load_allowed(folder / ALLOWED))


def stop_keys(folder: Path, own: str | None, address: str) -> LearnerKeys | None:
    """The robot's side of ``sandlot stop``: whoever may connect may stop it, and so may those who may do
    nothing else."""
    if own is None:
        _need_none(address)
        return None
    folder = folder.expanduser()
    files = [*(folder / ALLOWED).glob("*.pub"), *(folder / STOPPERS).glob("*.pub")]
    if not files:
        raise SandlotError(
            f"nobody may stop this robot by network: {folder} holds no public keys. Fetch NAME.pub from the "
            "machine that may and run: sandlot keys allow NAME.pub --stop-only"
        )
    return LearnerKeys(load_pair(folder / f"{own}.key"), frozenset(map(load_public, files)))


def _need_none(address: str) -> None:
    if not all(is_local(endpoint) for endpoint in endpoints(address)):
        raise SandlotError(
            f"{address} is not on this machine, so both ends need keys: run sandlot keys make NAME on each, "
            "exchange the .pub files with sandlot keys allow, share sandlot keys session, and pass --key NAME"
        )
