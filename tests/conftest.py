"""Options and paths that all tests share."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ["SANDLOT_CALIBRATION"] = "/nonexistent"  # what was measured on this machine's robots is not asked
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # as robot.policy sets it, for tests that do without
os.environ.setdefault("OMP_NUM_THREADS", "1")  # two cores are shared by everything that runs here

# Stand-ins and harnesses are imported by name; nothing else of tests/ is on the path.
for folder in ("contract", "doubles", "fuzz", "mutation"):
    sys.path.append(str(Path(__file__).parent / folder))

REALTIME = ("e2e", "launch/bench")
"""Folders of whole sessions in real time."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--hardware",
        action="append",
        default=[],
        metavar="DEVICE=PORT",
        help="run the driver contract on real hardware too: --hardware vesc=/dev/ttyACM0; wheels up!",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """``make test`` looks for what runs in real time in these folders only."""
    here = Path(__file__).parent
    for item in items:
        if item.get_closest_marker("realtime"):
            folder = item.path.relative_to(here)
            if not any(folder.is_relative_to(known) for known in REALTIME):
                raise pytest.UsageError(f"{item.nodeid} is marked realtime: it belongs in {REALTIME}")


@pytest.fixture(scope="session")
def hardware(request: pytest.FixtureRequest) -> dict[str, str]:
    """Port by device name of the racer, as given with --hardware."""
    return dict(item.split("=", 1) for item in request.config.getoption("--hardware"))


@pytest.fixture(autouse=True)
def _descriptors() -> Iterator[None]:
    """Collect what tests left in reference cycles before it is many: each mapping keeps a descriptor, and
    select(2), which pyserial uses, cannot take those from 1024 on. A process of a session has one board."""
    yield
    if open_descriptors() > 256:
        gc.collect()
        assert open_descriptors() < 512, "a test has left files, sockets or mappings open"


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())
