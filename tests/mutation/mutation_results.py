"""Verdicts that outlive the process that found them, mutants known to be equivalent, and the report."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from mutants import Mutant
from mutation_run import Outcome

LEVELS = ("quick", "line", "all")
"""Which tests a mutant has to live through: the short ones that run its line; all that run it; the whole
suite, with more examples."""
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)


@dataclass(frozen=True)
class Result:
    """One mutant's fate. ``context``: the digest of the tree it was found in; ``failed``: the test that did
    it, if one did; ``tests``: which were run."""

    context: str
    mutant: str
    outcome: Outcome
    detail: str
    seconds: float
    failed: str = ""
    tests: str = "all"


class Journal:
    """Results, one JSON line each, written as they are found; a line cut off by a kill is no result."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.results: list[Result] = []
        if path.exists():
            for line in path.read_text().splitlines():
                try:
                    self.results.append(Result(**json.loads(line)))
                except (ValueError, TypeError):
                    continue

    def add(self, result: Result) -> None:
        self.results.append(result)
        torn = self._path.exists() and not self._path.read_bytes().endswith(b"\n")
        with self._path.open("a") as file:
            file.write(("\n" if torn else "") + json.dumps(vars(result)) + "\n")

    def of(self, context: str, tests: str) -> dict[str, Result]:
        """The newest result of each mutant found in this very tree. Unrun is no result, and to have lived
        through fewer ``tests`` (one of ``LEVELS``) than asked for is none either."""
        enough = LEVELS[LEVELS.index(tests) :]
        found = [r for r in self.results if r.context == context and r.outcome != "unrun"]
        return {r.mutant: r for r in found if r.outcome == "killed" or r.tests in enough}

    def unkilled(self) -> set[str]:
        """Mutants whose newest result, in whatever tree, is not that a test killed them."""
        newest = {r.mutant: r.outcome for r in self.results}
        return {mutant for mutant, outcome in newest.items() if outcome != "killed"}

    def hints(self) -> dict[str, str]:
        """By mutant, the test that killed it last, in whatever tree."""
        return {r.mutant: r.failed for r in self.results if r.failed}


class EquivalentsError(Exception):
    """The list of equivalent mutants is not well."""


class Equivalents:
    """Mutants that no test can tell from the original, each with the reason; from a TOML file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reasons: dict[tuple[str, str, str, str, int], str] = {}
        plain = tomllib.loads(path.read_text()) if path.exists() else {}
        for entry in plain.get("equivalent", []):
            try:
                mutations = entry["mutation"]
                for mutation in [mutations] if isinstance(mutations, str) else mutations:
                    key = entry["file"], entry["function"], entry["line"], mutation, entry.get("nth", 0)
                    if key in self._reasons:
                        raise EquivalentsError(f"{path}: listed twice: {key}")
                    self._reasons[key] = entry["reason"]
            except KeyError as error:
                raise EquivalentsError(f"{path}: an entry lacks {error}: {entry}") from None
            if not entry["reason"].strip():
                raise EquivalentsError(f"{path}: an entry gives no reason: {entry}")

    def __len__(self) -> int:
        return len(self._reasons)

    def __contains__(self, mutant: Mutant) -> bool:
        return mutant.key in self._reasons

    def require_current(self, mutants: Iterable[Mutant]) -> None:
        """Raise EquivalentsError if an entry matches no mutant: the code has moved on."""
        stale = self._reasons.keys() - {mutant.key for mutant in mutants}
        if stale:
            lines = "\n  ".join(map(str, sorted(stale)))
            raise EquivalentsError(f"{self._path}: no such mutants any more; remove or mend:\n  {lines}")


@dataclass(frozen=True)
class Report:
    """Fates of all mutants, those without a result counted as unrun."""

    fates: Mapping[Mutant, Result | None]
    equivalent: frozenset[Mutant]

    @classmethod
    def of(cls, mutants: Sequence[Mutant], results: Mapping[str, Result], equivalents: Equivalents) -> Report:
        fates = {mutant: results.get(mutant.digest) for mutant in mutants}
        return cls(fates, frozenset(m for m in mutants if m in equivalents))

    def listed(self, outcome: Outcome) -> list[Mutant]:
        return [m for m, r in self.fates.items() if (r.outcome if r else "unrun") == outcome]

    @property
    def survivors(self) -> list[Mutant]:
        """Those that are not known to be equivalent."""
        return [m for m in self.listed("survived") if m not in self.equivalent]

    @property
    def wrongly_equivalent(self) -> list[Mutant]:
        """Listed as equivalent, and yet something noticed."""
        return [m for o in ("killed", "crashed", "timeout") for m in self.listed(o) if m in self.equivalent]

    @property
    def good(self) -> bool:
        """Every mutant was run, and each one that lived is known to be equivalent."""
        return not (self.survivors or self.listed("unrun") or self.wrongly_equivalent)

    def text(self) -> str:
        total = len(self.fates)
        lines: list[str] = []
        for title, mutants in (
            ("survived", self.survivors),
            ("crashed", self.listed("crashed")),
            ("timeout", self.listed("timeout")),
            ("listed as equivalent, but noticed", self.wrongly_equivalent),
        ):
            for mutant in mutants:
                result = self.fates[mutant]
                lines.append(f"{title}: {mutant}" + (f"\n    {result.detail}" if result else ""))
        causes = Counter(r.detail if (r := self.fates[m]) else "no result yet" for m in self.listed("unrun"))
        lines += [f"unrun: {count} ({why})" for why, count in causes.items()]
        lines.append(f"{total} mutants")
        for outcome in OUTCOMES:
            count = len(self.listed(outcome))
            known = len([m for m in self.listed(outcome) if m in self.equivalent])
            note = f", {known} of them listed as equivalent" if known else ""
            lines.append(f"  {outcome:9}{count:6}{100.0 * count / max(total, 1):7.1f} %{note}")
        return "\n".join(lines)
