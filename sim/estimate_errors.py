"""How wrong a robot's estimated state is, element by element: what stands between the truth and the policy
where the estimator itself is too slow to run for every car of a fleet.

estimate(t) = truth(t - lag) + white noise + drift, the drift a first-order Gauss-Markov process. The
figures are measured on the real estimator (``sandlot bench estimate``) and lie in ``sim/estimates``, one
file per robot.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np

from robot.errors import SpecError, nearest
from robot.layout import Struct
from robot.plain_data import decode_struct
from robot.spec import RobotSpec
from sim.plant import Array

FOLDER = Path(__file__).parent / "estimates"


class ElementError(Struct):
    """Of one state element in its own unit: ``noise`` and ``drift`` are standard deviations, ``lag_s`` and
    ``drift_time_s`` [s]; ``deviation`` is what the estimator itself says of its error."""

    name: str
    lag_s: float
    noise: float
    drift: float
    drift_time_s: float
    deviation: float


class ErrorFile(Struct):
    """What the file of a robot holds; ``source``: the command that measured it, and when."""

    robot: str
    source: str
    elements: tuple[ElementError, ...]


class EstimateErrors:
    """The figures as arrays in the order of the state layout, shape (n_state,) each. Raises SpecError if the
    file lacks an element."""

    def __init__(self, spec: RobotSpec, file: ErrorFile) -> None:
        found = {element.name: element for element in file.elements}
        names = spec.state_layout.names
        missing = [name for name in names if name not in found]
        if missing:
            raise SpecError(
                f"the estimate errors of {file.robot} say nothing of {', '.join(missing)}; measure them "
                "again (of the racer: sandlot bench estimate --out FILE)"
            )
        rows = [found[name] for name in names]
        self.lag_s: Array = np.array([r.lag_s for r in rows])
        self.noise: Array = np.array([r.noise for r in rows])
        self.drift: Array = np.array([r.drift for r in rows])
        self.drift_time_s: Array = np.array([r.drift_time_s for r in rows])
        self.deviation: Array = np.array([r.deviation for r in rows])


def load_errors(spec: RobotSpec, path: Path | None = None) -> EstimateErrors:
    """Of a robot, by its name or from a file. Raises SpecError, with the nearest names."""
    path = path or FOLDER / f"{spec.name}.toml"
    try:
        plain = tomllib.loads(path.read_text())
    except FileNotFoundError:
        known = sorted(p.stem for p in FOLDER.glob("*.toml"))
        raise SpecError(
            f"nobody has measured how wrong the estimated state of {spec.name!r} is ({path}); "
            f"{nearest(spec.name, known)} (the racer's is from: sandlot bench estimate --out FILE)"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"{path}: not valid TOML: {error}") from None
    return EstimateErrors(spec, decode_struct(plain, ErrorFile, str(path)))
