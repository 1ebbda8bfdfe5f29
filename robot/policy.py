"""A policy is an ONNX file and the contract it carries. Here it is checked, warmed, run and replaced."""

from __future__ import annotations

import os
import threading
from collections import deque
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from robot.board import Board
from robot.clock import Clock
from robot.contract import TaskContract, require_same
from robot.errors import PolicyError, SandlotError
from robot.messages import Event

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read on import: nothing is reported from a robot

import onnxruntime as ort

METADATA_KEY = "sandlot"
WARM_UP_RUNS = 5
_FLOAT = "tensor(float)"
POLL_S = 0.02
"""How often the loading thread looks for a new policy [s]."""


class PolicyMetadata(msgspec.Struct, frozen=True):
    """What an ONNX file says of itself, as JSON under the key ``sandlot``. Other keys are ignored."""

    contract: dict[str, Any]
    contract_hash: str
    calibration_hash: str
    version: int


class Policy:
    """One ONNX session: ``observation`` (1, O) and ``noise`` (1, K) to ``action`` (1, A), all float32.

    ``noise`` is all the randomness there is, standard normal; K is the file's own: A for a Gaussian policy,
    more for one that draws several candidates. Zeros stand for the deterministic policy, in every file.

    The constructor checks the file against ``contract``, binds preallocated buffers and warms the session up;
    it takes milliseconds, so build policies off the control thread. Raises PolicyError or
    ContractMismatchError. ``calibration_hash``: None accepts any; otherwise a policy exported under other
    measured values is refused, because it has to pass the quick gate again first.
    """

    def __init__(self, path: Path, contract: TaskContract, calibration_hash: str | None = None) -> None:
        self.path = path
        self._session = open_session(path)
        self.metadata = _metadata(self._session, path)
        self.version = self.metadata.version
        self._check(contract, calibration_hash)
        self.noise_size = _check_signature(
            self._session, contract.observation_size, contract.action_size, path
        )
        self.observation = np.zeros((1, contract.observation_size), np.float32)
        self.noise = np.zeros((1, self.noise_size), np.float32)
        self._action = np.zeros((1, contract.action_size), np.float32)
        self._binding = self._session.io_binding()
        for name, array in (("observation", self.observation), ("noise", self.noise)):
            self._binding.bind_input(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        out = self._action
        self._binding.bind_output("action", "cpu", 0, np.float32, out.shape, out.ctypes.data)
        for _ in range(WARM_UP_RUNS):
            action = self.act(self.observation[0], self.noise[0])
        if not (np.isfinite(action).all() and np.abs(action).max() <= 1.0 + 1e-5):
            raise PolicyError(
                f"{path.name}: the action for a zero observation is {action.tolist()}; finite values in "
                "[-1, 1] were expected. The training has diverged: publish an earlier checkpoint"
            )

    def act(self, observation: NDArray[np.float32], noise: NDArray[np.float32]) -> NDArray[np.float32]:
        """Raw action in [-1, 1], shape (n_actions,); a live view, overwritten by the next call."""
        self.observation[0] = observation
        self.noise[0] = noise
        self._session.run_with_iobinding(self._binding)
        action: NDArray[np.float32] = self._action[0]
        return action

    def _check(self, contract: TaskContract, calibration_hash: str | None) -> None:
        name, found = self.path.name, self.metadata
        require_same(contract, _contract(found, self.path), f"policy {name}")
        if found.contract_hash != contract.hash():
            raise PolicyError(
                f"{name}: its contract hash {found.contract_hash[:12]} does not belong to the contract it "
                f"carries ({contract.hash()[:12]}); the file was altered or badly exported"
            )
        if calibration_hash is not None and found.calibration_hash != calibration_hash:
            raise PolicyError(
                f"{name}: made under calibration {found.calibration_hash[:12]}, the robot now has "
                f"{calibration_hash[:12]}; it must pass the quick gate again before it may drive"
            )


def carried_contract(path: Path) -> TaskContract:
    """The contract that a policy file says it was made for. Raises PolicyError if it says nothing."""
    return _contract(_metadata(open_session(path), path), path)


def open_session(path: Path) -> Any:
    """A policy's file in onnxruntime, on one thread that never spins. Raises PolicyError."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001  (onnxruntime raises a dozen unrelated classes)
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise PolicyError(
            f"{path.name} is not a policy onnxruntime can load: {reason}; export it anew"
        ) from None


def _contract(metadata: PolicyMetadata, path: Path) -> TaskContract:
    try:
        return msgspec.convert(metadata.contract, TaskContract)
    except msgspec.ValidationError as error:
        raise PolicyError(
            f"{path.name}: the contract in its metadata cannot be read: {error}; export it anew"
        ) from None


def _metadata(session: Any, path: Path) -> PolicyMetadata:
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if text is None:
        raise PolicyError(
            f"{path.name} carries no {METADATA_KEY!r} metadata; export it with learners/export.py"
        )
    try:
        return msgspec.json.decode(text, type=PolicyMetadata)
    except msgspec.DecodeError as error:
        raise PolicyError(f"{path.name}: its {METADATA_KEY!r} metadata cannot be read: {error}") from None


def _check_signature(session: Any, observations: int, actions: int, path: Path) -> int:
    """How many numbers of noise the policy takes."""
    sizes = {"observation": observations, "noise": "any", "action": actions}
    expected = {name: (size, _FLOAT) for name, size in sizes.items()}
    outputs = [node for node in session.get_outputs() if node.name == "action"]
    found = {
        node.name: (node.shape[1] if len(node.shape) == 2 else node.shape, node.type)
        for node in (*session.get_inputs(), *outputs)
    }
    size: Any = found["noise"][0] if "noise" in found else None
    known = isinstance(size, int) and size > 0
    if not known or found != expected | {"noise": (size, _FLOAT)}:
        raise PolicyError(f"{path.name}: inputs and output {expected} were expected, it has {found}")
    return int(size)


class PolicySource(Protocol):
    """Where the pilot gets its policies. None of these calls may block."""

    def take(self) -> Policy | None:
        """A new policy, built and warmed, if there is one since the last call."""

    def retire(self, policy: Policy) -> None:
        """Take back a policy that was replaced; it is destroyed off the control thread."""

    def messages(self) -> list[Event]:
        """What happened since the last call: refusals, with the reason."""


class PolicyLoader:
    """Watches the board for new policies in ``directory``; builds, warms and destroys sessions.

    With ``background`` a thread does the work (real time); without, ``take`` does it itself (lockstep, where
    time stands still meanwhile). A policy that cannot be used is refused with an event; whoever drove, drives
    on. ``initial`` is a policy to start with.
    """

    def __init__(
        self,
        directory: Path,
        contract: TaskContract,
        calibration_hash: str | None,
        board: Board,
        clock: Clock,
        *,
        background: bool = False,
        initial: Path | None = None,
    ) -> None:
        self._directory, self._contract, self._calibration_hash = directory, contract, calibration_hash
        self._board, self._clock = board, clock
        self._seen = 0
        self._ready: deque[Policy] = deque(maxlen=1)
        self._retired: deque[Policy] = deque()
        self._messages: deque[Event] = deque(maxlen=64)
        self.loaded = 0
        self.refused = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        if initial is not None:
            self._load(initial)
        if background:
            self._thread = threading.Thread(target=self._work, name="policy-loader", daemon=True)
            self._thread.start()

    def take(self) -> Policy | None:
        if self._thread is None:
            self._poll()
        try:
            return self._ready.popleft()
        except IndexError:
            return None

    def retire(self, policy: Policy) -> None:
        self._retired.append(policy)

    def messages(self) -> list[Event]:
        found = []
        while self._messages:
            found.append(self._messages.popleft())
        return found

    def close(self) -> None:
        """Stop the thread, if there is one."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5.0)
            self._thread = None

    def _work(self) -> None:
        while not self._stop.wait(POLL_S):
            self._poll()

    def _poll(self) -> None:
        self._retired.clear()
        sequence = self._board.policy.sequence
        if sequence == self._seen:
            return
        record = self._board.policy.read()
        if record is None:
            return
        self._seen = sequence
        self._load(self._directory / f"{int(record['version'][0]):06d}.onnx")

    def _load(self, path: Path) -> None:
        try:
            policy = Policy(path, self._contract, self._calibration_hash)
        except Exception as error:  # noqa: BLE001  (whatever a file does, the thread goes on looking for others)
            text = str(error) if isinstance(error, SandlotError) else f"{path.name}: {error!r}"
            self.refused += 1
            self._messages.append(Event(self._clock.now_ns(), "policy_refused", text=text))
            return
        self.loaded += 1
        self._ready.append(policy)
