"""The command's first step: make sure that Sandlot's packages are the ones that Python will import.

``robot`` is also Robot Framework's package and ``launch`` is ROS 2's. A sourced ROS shell puts its own on
PYTHONPATH, ahead of any installed package, so this check lives in a module whose name nobody else uses.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

PACKAGES = ("robot", "learners", "sim", "calibration", "launch")


def shadowed(packages: tuple[str, ...] = PACKAGES) -> dict[str, str]:
    """Packages that Python would take from elsewhere than beside this file, and where from."""
    home = Path(__file__).resolve().parent
    found = {}
    for name in packages:
        spec = importlib.util.find_spec(name)
        origin = spec.origin if spec else None
        if origin is None or Path(origin).resolve().parent.parent != home:
            found[name] = origin or "nowhere"
    return found


def main() -> None:
    """Entry point of ``sandlot``. Exits with 1 and says what to do if another project is in the way."""
    wrong = shadowed()
    if wrong:
        places = "; ".join(f"{name!r} comes from {origin}" for name, origin in wrong.items())
        print(
            f"sandlot: another project's packages are in the way ({places}). A sourced ROS shell does this "
            "through PYTHONPATH: use a shell without it, or run: env -u PYTHONPATH sandlot …",
            file=sys.stderr,
        )
        raise SystemExit(1)
    from launch.cli import main as run

    run()


if __name__ == "__main__":
    main()
