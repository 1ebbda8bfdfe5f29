"""A folder of prior data: journals, such as those of earlier runs, whoever acted in them."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from learners.journal import Journal, journal_dtype
from robot.contract import TaskContract
from robot.errors import ContractMismatchError, SandlotError, SpecError
from robot.frame_file import explain, made_whole
from robot.messages import Actor
from robot.plain_data import decode_struct, differences

SUFFIX = ".journal"
CONTRACT: Final = "contract.json"
"""What a run, or an import, leaves beside its journal: whose rows they are."""


def copy_prior(folder: Path, into: Path, contract: TaskContract, tell: Callable[[str], None]) -> None:
    """Copy every journal below ``folder``, so that a run stays whole whatever becomes of them; all of them or
    none, so that what is killed meanwhile does not go on with half of its data. Raises SandlotError if there
    are none, they are empty, or one has other rows than the contract's.

    ``contract``: of whom is to learn from them. Raises ContractMismatchError if what lies beside a journal
    calls its observations, actions or costs otherwise; ``tell`` gets a line if it is of another environment,
    or damaged.
    Environments' observations and actions have numbers for names: only a person knows whether another's rows
    mean the same.
    """
    found = sorted(folder.rglob(f"*{SUFFIX}")) if folder.is_dir() else []
    if not found:
        raise SandlotError(
            f"{folder}: expected a folder with journals (*{SUFFIX}), such as an earlier run's; "
            f"{'there are none in it' if folder.is_dir() else 'there is no such folder'}"
        )
    for beside in dict.fromkeys(path.with_name(CONTRACT) for path in found):
        if beside.exists():
            _compare(contract, beside, tell)
    for path in found:
        _require_rows(path, contract.step_dtype())
    with made_whole(into) as partial:
        count = 0
        for k, path in enumerate(found):
            copy = partial / f"{k:03d}{SUFFIX}"
            try:
                shutil.copyfile(path, copy)
            except OSError as error:
                raise explain(copy, error) from error
            with closing(Journal(copy, contract.step_dtype())) as journal:
                count += journal.rows
                if journal.cut_bytes:
                    tell(
                        f"{path}: the last {journal.cut_bytes} of its {path.stat().st_size} bytes are "
                        "damaged, or were not finished, and are left out"
                    )
        if not count:
            raise SandlotError(f"{folder}: its journals are empty; demonstrate or practise first")


def journal_bytes(folder: Path) -> int:
    """The size of all journals below a folder."""
    return sum(path.stat().st_size for path in folder.rglob(f"*{SUFFIX}"))


def noted_rows(folder: Path, dtype: np.dtype[np.void]) -> Iterator[tuple[str, NDArray[np.void]]]:
    """All rows of a copy with a name for their session, and with who acted as it was noted. Raises
    SandlotError if a journal has others, or has been damaged since it was copied."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        _require_rows(path, dtype)
        with closing(Journal(path, dtype)) as journal:
            if journal.cut_bytes:
                raise SandlotError(
                    f"{path}: {journal.cut_bytes} bytes at its end are damaged, and what was learned from it "
                    "cannot go on; begin a new run"
                )
            for session, rows in journal.replay():
                yield f"{path.stem} {session}", rows


def prior_rows(folder: Path, dtype: np.dtype[np.void]) -> Iterator[tuple[str, NDArray[np.void]]]:
    """``noted_rows`` as an environment's learner takes them: what a policy did is a demonstration now; what
    safety or a recovery did remains something not to be learned from."""
    for session, rows in noted_rows(folder, dtype):
        shown = rows.copy()
        shown["actor"][shown["actor"] == int(Actor.POLICY)] = int(Actor.SCRIPT)
        yield session, shown


def _require_rows(path: Path, dtype: np.dtype[np.void]) -> None:
    """Raise SandlotError unless it is a journal of such rows."""
    if (theirs := journal_dtype(path)) != dtype:
        raise SandlotError(
            f"{path.name} of the prior data holds other rows than this environment's: "
            f"{_difference(dtype, theirs)}"
        )


def _compare(ours: TaskContract, file: Path, tell: Callable[[str], None]) -> None:
    try:
        theirs = decode_struct(msgspec.json.decode(file.read_bytes()), TaskContract, str(file))
    except msgspec.DecodeError as error:
        raise SpecError(f"{file}: expected a contract: {error}") from None
    lines = differences(_names(ours), _names(theirs))
    if lines:
        raise ContractMismatchError(
            f"{file} says that these rows are others than those of {ours.task}; if they mean the same by "
            "other names, take it away from there:\n  " + "\n  ".join(lines[:20])
        )
    lines = differences(_circumstances(ours), _circumstances(theirs))
    if lines:
        tell(f"prior data of another environment, by {file}: {'; '.join(lines)}")


def _names(contract: TaskContract) -> dict[str, Any]:
    return {
        "observation": contract.observation_layout.names,
        "actions": [term.name for term in contract.actions],
        "cost_terms": contract.cost_terms,
    }


def _circumstances(contract: TaskContract) -> dict[str, Any]:
    ranges = {term.name: (term.lower, term.upper) for term in contract.actions}
    return {"task": contract.task, "policy_hz": contract.policy_hz, "actions": ranges}


def _difference(ours: np.dtype[np.void], theirs: np.dtype[np.void]) -> str:
    """Of two kinds of rows, for a person."""
    fields = {
        "action": "actions",
        "observation": "observations, the previous action included",
        "reward_terms": "terms of the reward",
        "cost_terms": "cost terms, which the constraints are on",
    }
    lines = []
    for field, meaning in fields.items():
        expected, came = (
            math.prod(dtype[field].shape) if field in (dtype.names or ()) else 0 for dtype in (ours, theirs)
        )
        if expected != came:
            lines.append(f"expected {expected} {meaning}; it has {came}")
    return "; ".join(lines) or "they were written by another version"
