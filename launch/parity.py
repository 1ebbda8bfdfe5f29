"""Parity of a run's exported policies with the framework that trained them.

The newest checkpoint is a few updates past the policy it belongs to, so it is exported anew, by the code that
exported the policy, and both are given the same observations.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from launch.manifest import FILE as MANIFEST
from launch.session import Session, open_session
from robot.errors import SandlotError
from robot.log_reader import read_log
from robot.recorder import STEPS
from robot.spec import RobotSpec
from sim.fleet_pilots import PolicyFile
from sim.validation.network import Parity, fuzzed

CHECKPOINTS = "checkpoints"
MOST_LOGGED = 1000
"""Reference, G1."""


def parity(policy: Path, spec: RobotSpec, seed: int) -> Parity:
    """Of the run that this is, or in whose folder the policy lies; without a difference, and why, where
    there is no checkpoint or no framework to compare with."""
    session = _session(policy)
    if session is None or not (session.learner / CHECKPOINTS).is_dir():
        return Parity(None, "skipped, no checkpoint of a run beside the policy")
    try:
        import torch

        from learners.algorithm import make_algorithm
        from learners.checkpoint import read_checkpoint
    except ModuleNotFoundError as error:
        return Parity(None, f"skipped, {error.name} is not installed")
    try:
        arrays, _ = read_checkpoint(session.learner / CHECKPOINTS)
        contract = session.contract
        algorithm = make_algorithm(contract, session.learner_config(), 0)
        algorithm.restore(arrays)
    except SandlotError as error:
        return Parity(None, f"skipped, the run's checkpoint cannot be read: {error}")
    logged = _logged(session)
    observations = np.concatenate((fuzzed(contract, seed, spreads=(0.1, 1.0)), logged))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "exported.onnx"
        path.write_bytes(algorithm.export(spec.calibration_hash(), 1))
        exported = PolicyFile(path, contract)
        actions = exported(observations)
    noise = torch.zeros(len(observations), exported.noise_size)
    with torch.no_grad():
        trained = algorithm.act(torch.from_numpy(observations), noise).numpy()
    difference = float(np.abs(actions - trained).max())
    what = f"{len(observations) - len(logged)} random and {len(logged)} logged observations"
    return Parity(difference, f"the run's newest checkpoint, exported, on {what}, within {difference:.1g}")


def _logged(session: Session) -> NDArray[np.float32]:
    """What the robot saw, evenly over its log, shape (n, observation_size); none where there is none."""
    try:
        seen = read_log(session.directory, [STEPS]).steps["observation"]
    except SandlotError:
        return np.zeros((0, session.contract.observation_size), np.float32)
    rows = np.linspace(0, len(seen) - 1, min(len(seen), MOST_LOGGED)).astype(int)
    return np.asarray(seen[rows], np.float32)


def _session(policy: Path) -> Session | None:
    place = policy.resolve()
    for folder in (place, *place.parents[:4]):
        if (folder / MANIFEST).exists():
            return open_session(folder)
    return None
