"""Policies that arrive over the link: verified, written to the session's folder, and only then announced."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import numpy as np

from robot.board import POLICY_DTYPE
from robot.contract import TaskContract
from robot.errors import PolicyError
from robot.frame_file import write_atomically
from robot.messages import PolicyMessage
from robot.shared_memory import Mailbox
from robot.wire import decode_policy, verify_policy

KEEP: Final = 20
"""How many files stay: the pilot may still be loading an older one, and a person may want to go back."""
KEEP_EVERY: Final = 100
"""Every such version stays for good, so that the session's progress can be replayed."""
_NAME: Final = re.compile(r"(\d{6,})\.onnx")


class PolicyStore:
    """Writes ``policies/<version:06d>.onnx`` atomically, then the policy mailbox. Versions only go up."""

    def __init__(
        self,
        directory: Path,
        contract: TaskContract,
        calibration_hash: str,
        session_key: bytes,
        mailbox: Mailbox,
        sync: bool = True,
    ) -> None:
        self._directory = directory
        self._contract_hash = contract.hash()
        self._calibration_hash = calibration_hash
        self._key = session_key
        self._mailbox = mailbox
        self._sync = sync
        self._record = np.zeros(1, POLICY_DTYPE)
        directory.mkdir(parents=True, exist_ok=True)
        self.version = max((int(m[1]) for m in map(_NAME.fullmatch, _names(directory)) if m), default=0)
        """The newest version that was accepted; 0 if none."""
        self.offered = self.version
        """The newest version that was authentic, accepted or not."""
        self.refused = 0
        if self.version and not mailbox.sequence:  # the session's memory is new, its folder is not
            self._announce(0)

    def offer(self, frame: bytes, now_ns: int) -> int | None:
        """Take a published frame. Returns its version if it was accepted, None if it is not newer.

        Raises WireError (not a policy), PolicyError (not ours, not whole, not for us) or DiskFullError.
        """
        try:
            return self._offer(decode_policy(frame), now_ns)
        except Exception:
            self.refused += 1
            raise

    def _offer(self, policy: PolicyMessage, now_ns: int) -> int | None:
        verify_policy(self._key, policy)
        if policy.version <= self.version:
            return None
        self.offered = max(self.offered, policy.version)
        if policy.contract_hash != self._contract_hash:
            raise PolicyError(
                f"policy {policy.version} was made for contract {policy.contract_hash[:12]}, this robot and "
                f"task have {self._contract_hash[:12]}; not used. Restart the learner with this robot's file"
            )
        if policy.calibration_hash != self._calibration_hash:
            raise PolicyError(
                f"policy {policy.version} was made under calibration {policy.calibration_hash[:12]}, this "
                f"robot has {self._calibration_hash[:12]}; not used. Restart the learner with the new one"
            )
        write_atomically(self._directory / f"{policy.version:06d}.onnx", policy.onnx, sync=self._sync)
        self.version = policy.version
        self._announce(now_ns)
        self._prune()
        return policy.version

    def _announce(self, now_ns: int) -> None:
        self._record["time_ns"] = now_ns
        self._record["version"] = self.version
        self._mailbox.write(self._record)

    def _prune(self) -> None:
        versions = sorted(int(m[1]) for m in map(_NAME.fullmatch, _names(self._directory)) if m)
        for version in versions[:-KEEP]:
            if version % KEEP_EVERY and version != versions[0]:
                (self._directory / f"{version:06d}.onnx").unlink(missing_ok=True)


def _names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]
