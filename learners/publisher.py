"""Policies out: exported when due, tried by a gate, signed, kept on disk and published, the newest only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from robot.errors import WireError
from robot.frame_file import DiskFullError, write_atomically
from robot.wire import decode_policy, encode, sign_policy

Gate = Callable[[bytes, bytes | None], str | None]
"""A candidate policy and the newest published one (ONNX; None before the first) to the reason why it must not
be published, or None."""


class Exporting(Protocol):
    """What the publisher needs of ``learners.learner.Learner``."""

    calibration_hash: str

    @property
    def updates(self) -> int: ...
    def export(self, version: int) -> bytes: ...


@dataclass(frozen=True)
class Trial:
    """How candidates are tried before they are published: beside the learning. A verdict counts as soon as it
    is there, or with ``seconds`` exactly so long after the candidate was made [s], and is waited for if need
    be: on simulated time everything stays as reproducible as without a gate."""

    gate: Gate
    seconds: float | None = None


@dataclass(frozen=True)
class _Candidate:
    """An exported policy (ONNX) with the gate, since then [ns]."""

    onnx: bytes
    verdict: Future[str | None]
    made_ns: int

    def decided(self, now: int, seconds: float | None) -> bool:
        return self.verdict.done() if seconds is None else now >= self.made_ns + round(seconds * 1e9)


class Publisher:
    """``newest``: the file of the newest published policy's message, with which a new one begins. ``send``
    gets each new message. ``full`` hears of a disk that is: nothing is published that could not be kept, or
    a version number would be used twice. ``counts``: ``gate_refused`` is counted here."""

    def __init__(
        self,
        learner: Exporting,
        contract_hash: str,
        newest: Path,
        session_key: bytes,
        send: Callable[[bytes], None],
        *,
        trial: Trial | None,
        sync: bool,
        counts: Counter[str],
        full: Callable[[DiskFullError], None],
        tell: Callable[[str], None],
    ) -> None:
        self._learner, self._contract_hash, self._newest = learner, contract_hash, newest
        self._key, self._send, self._sync = session_key, send, sync
        self._trial, self._counts, self._full, self._tell = trial, counts, full, tell
        self.version = 0
        """Of the newest published policy."""
        self.frame: bytes | None = None
        """Its message."""
        self.exported_updates = 0
        """Update steps behind the newest candidate."""
        self.held_back = ""
        """Why that one was not published; empty if it was."""
        self._executor = None if trial is None else ThreadPoolExecutor(1, "gate")
        self._candidate: _Candidate | None = None

    def restore(self, version: int, exported_updates: int) -> None:
        """Go on from a checkpoint's figures, or from the file's policy if that is newer."""
        self.version, self.exported_updates = version, exported_updates
        if not self._newest.exists():
            return
        try:
            newest = decode_policy(self._newest.read_bytes())
        except WireError as error:
            self._tell(f"{self._newest} is damaged and will be replaced: {error}")
            return
        # Published after the checkpoint: a version number is never used twice.
        self.version = max(self.version, newest.version)
        # Signed anew: a run that goes on from another has a key of its own.
        hashes = newest.contract_hash, newest.calibration_hash
        self.frame = encode(sign_policy(self._key, newest.version, *hashes, newest.onnx))[0]

    def decide(self, now: int) -> bool:
        """Publish the candidate that is with the gate if it may be. False while that is not known."""
        candidate = self._candidate
        if candidate is None or self._trial is None:
            return True
        if not candidate.decided(now, self._trial.seconds):
            return False
        self._candidate = None
        self._decided(candidate.onnx, candidate.verdict.result())
        return True

    def export(self, now: int) -> None:
        """Make a candidate of the learner as it is now."""
        self.exported_updates = self._learner.updates
        onnx = self._learner.export(self.version + 1)
        if self._trial is None or self._executor is None:
            self._decided(onnx, None)
            return
        published = None if self.frame is None else decode_policy(self.frame).onnx
        self._candidate = _Candidate(onnx, self._executor.submit(self._trial.gate, onnx, published), now)

    def close(self) -> None:
        """A candidate that is with the gate is forgotten."""
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)

    def _decided(self, onnx: bytes, reason: str | None) -> None:
        if reason is not None:
            self._counts["gate_refused"] += 1
            self.held_back = reason
            self._tell(f"candidate for policy {self.version + 1} was not published: {reason}")
            return
        version = self.version + 1
        message = sign_policy(self._key, version, self._contract_hash, self._learner.calibration_hash, onnx)
        frame = encode(message)[0]
        # Written before it is published: after a crash the version is known to be taken.
        try:
            write_atomically(self._newest, frame, sync=self._sync)
        except DiskFullError as error:
            self._full(error)
            return
        self.version, self.frame, self.held_back = version, frame, ""
        self._send(frame)
