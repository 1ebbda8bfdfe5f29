"""Fuzzing of everything that reads bytes from a line, a disk, shared memory or the network.

    python tests/fuzz                               ten million bytes
    python tests/fuzz --bytes 1e9 --seed 7          longer, and others
    python tests/fuzz --only vesc_stream --case 12  one case again

What must hold: no exception but the project's own leaves a parser, nothing is acted on that is not whole, no
parser hoards memory, and what is valid after garbage is found.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT / "tests" / "doubles"), str(ROOT)]

from fuzz_all import TARGETS, portions  # noqa: E402  (found by the path above)
from fuzz_target import FuzzError, run_target  # noqa: E402


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python tests/fuzz", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--bytes", type=float, default=1e7, help="in all (default 1e7)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=[t.name for t in TARGETS], help="one target")
    parser.add_argument("--case", type=int, help="one case of it")
    options = parser.parse_args(arguments)
    chosen = [t for t in TARGETS if options.only in (None, t.name)]
    total = taken = 0
    print(f"{'target':14}{'bytes':>14}{'cases':>9}{'taken':>9}{'refused':>9}{'kB/s':>8}", flush=True)
    for target, portion in portions(chosen, options.bytes):
        shared = Path("/dev/shm")
        with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
            try:
                tally = run_target(target, Path(folder), options.seed, portion, options.case)
            except FuzzError as error:
                if options.case is not None:
                    raise
                print(f"{target.name}: {error}", file=sys.stderr)
                return 1
        total, taken = total + tally.bytes, taken + tally.taken
        rate = tally.bytes / max(tally.seconds, 1e-9) / 1e3
        refused = sum(tally.refused.values())
        print(
            f"{target.name:14}{tally.bytes:>14,}{tally.cases:>9,}{tally.taken:>9,}{refused:>9,}{rate:>8.0f}",
            flush=True,
        )
    print(f"{total:,} bytes; {taken:,} things were whole and taken; nothing escaped")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
