"""Which bad policies are refused, by whom and how fast; and how often a good one is refused wrongly.

Every bad policy or bundle is made from a good practised one, and asked about as a person would: is it
published in practice, does ``sandlot validate`` pass it, is its bundle installed. One CSV row per question;
what is there is not asked again.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from launch import catalogue
from launch.bench.practice import append, rows
from launch.bench.refusals_bundles import BundleDesk
from launch.bench.refusals_defects import DEFECTS, defective
from launch.bundle import policy_of
from launch.crosschecks import TwinAndRobot
from launch.episodes import course_setting
from launch.parity import parity
from launch.validate import report_of
from robot.errors import SandlotError
from robot.plain_data import sha256
from robot.validation_report import ReportError, ValidationReport, decode_report
from sim.rollout import Setting
from sim.validation.examination import Plan, examine
from sim.validation.smoke import SmokeGate
from sim.validation.statistics import failure_rate_bound
from sim.validation.targets import targets_of

Tell = Callable[[str], None]

GOOD = "good"
PRACTICE, SMOKE, FULL, DEPLOY = "practice", "validate --gate smoke", "validate", "deploy"
"""Who is asked."""


@dataclass(frozen=True)
class Answer:
    """``by``: the gates that said no, or whoever did; empty if nobody. ``detail``: in words."""

    by: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Question:
    """``seed``: of the episodes; 0 where there are none."""

    case: str
    asked: str
    seed: int
    ask: Callable[[], Answer]

    @property
    def key(self) -> dict[str, str]:
        return {"case": self.case, "asked": self.asked, "seed": str(self.seed)}


class Refusals:
    """Asks about ``policy`` of a practised ``run``. ``csv_file``: its answers. ``other``: the course that it
    did not practise on. ``episodes``: of a gate, nominal and as many randomised. ``work``: for files."""

    def __init__(
        self,
        run: Path,
        policy: Path,
        course: str,
        other: str,
        csv_file: Path,
        episodes: int,
        work: Path,
        tell: Tell,
    ) -> None:
        self._run, self._course, self._other = run, course, other
        self._csv, self._episodes, self._work, self._tell = csv_file, episodes, work, tell
        self._setting = course_setting("racer", course)
        self._good = policy.read_bytes()
        self._desk = BundleDesk(work / "desk", self._setting.spec, self._setting.contract)
        work.mkdir(parents=True, exist_ok=True)

    def questions(self, good_seeds: int) -> Iterator[Question]:
        """All of them, the quick ones first; those about bundles need the good policy's full gate."""
        good, practice, validate = self._good, self._practice, self._validate
        half = good[: len(good) // 2]
        bad = {d.name: defective(good, d, self._setting.contract, self._run) for d in DEFECTS}
        bad["truncated file"] = half
        yield Question(GOOD, PRACTICE, 0, partial(practice, good, 0))
        for name, policy in bad.items():
            yield Question(name, PRACTICE, 0, partial(practice, policy, 0))
        for seed in range(1, good_seeds):
            yield Question(GOOD, PRACTICE, seed, partial(practice, good, seed))
        for name, policy in bad.items():
            yield Question(name, SMOKE, 0, partial(validate, policy, "smoke", 0))
        elsewhere = course_setting("racer", self._other)
        name = f"practised on {self._course} only, asked about {self._other}"
        yield Question(name, SMOKE, 0, partial(validate, good, "smoke", 0, elsewhere))
        yield Question(GOOD, SMOKE, 0, partial(validate, good, "smoke", 0))
        yield Question(GOOD, FULL, 0, partial(validate, good, "full", 0))
        for name, ask in self._desk.cases():
            yield Question(name, DEPLOY, 0, partial(self._deploy, ask))
        for name, policy in bad.items():
            if not self._refused(name, SMOKE):
                yield Question(name, FULL, 0, partial(validate, policy, "full", 0))
        for seed in range(1, good_seeds):
            yield Question(GOOD, SMOKE, seed, partial(validate, good, "smoke", seed))

    def run(self, good_seeds: int) -> dict[str, float | int | str]:
        """Ask what has not been asked, and sum up."""
        for question in self.questions(good_seeds):
            if any(all(row[k] == v for k, v in question.key.items()) for row in rows(self._csv)):
                continue
            wall, processor = time.monotonic(), time.process_time()
            answer = question.ask()
            row: Mapping[str, object] = question.key | {
                "refused": int(bool(answer.by)),
                "by": answer.by,
                "seconds": round(time.monotonic() - wall, 2),
                "processor_s": round(time.process_time() - processor, 2),
                "detail": " ".join(answer.detail.split()),
            }
            append(self._csv, row)
            verdict = f"refused by {answer.by}" if answer.by else "not refused"
            self._tell(f"{question.case} / {question.asked} / {question.seed}: {verdict}, {row['seconds']} s")
        return summary(rows(self._csv))

    def _refused(self, case: str, asked: str) -> bool:
        return any(
            row["case"] == case and row["asked"] == asked and row["refused"] == "1" for row in rows(self._csv)
        )

    def _practice(self, policy: bytes, seed: int) -> Answer:
        """Would it take the good one's place?"""
        gate = SmokeGate(self._setting, seed)
        if (reason := gate.judge(self._good, None)) is not None:
            raise SandlotError(f"the good policy is none: {reason}")
        reason = gate.judge(policy, self._good)
        return Answer() if reason is None else Answer(reason.partition(":")[0][:14].strip(), reason)

    def _validate(self, policy: bytes, gate: str, seed: int, setting: Setting | None = None) -> Answer:
        setting = setting or self._setting
        path = self._work / "asked.onnx"
        path.write_bytes(policy)
        plan = Plan("full" if gate == "full" else "smoke", self._episodes, seed)
        trained = parity(path, setting.spec, seed)
        no_robot = TwinAndRobot(setting, setting.spec.name, (), self._work / "results.csv", sha256(policy))
        findings = examine(
            path, setting, plan, targets_of(setting.spec), trained, None, lambda what, done: None, no_robot
        )
        report = report_of(findings, setting, plan, sha256(policy))
        if gate == "full" and policy == self._good:
            self._full_report.write_bytes(report.encode())
        failed = [gate for gate in report.gates if gate.verdict == "fail"]
        return Answer(", ".join(report.failed()), "; ".join(f"{g.name}: {g.detail}" for g in failed))

    @property
    def _full_report(self) -> Path:
        return self._work / f"good-{sha256(self._good)[:12]}.json"

    def _deploy(self, ask: Callable[[bytes, ValidationReport], None]) -> Answer:
        try:
            report = decode_report(self._full_report.read_bytes())
        except OSError:
            raise ReportError(f"no {self._full_report}: delete {self._csv} and begin anew") from None
        if report.verdict != "pass":
            raise SandlotError(
                f"the good policy did not pass the full gate ({', '.join(report.failed())}), so nothing "
                "about its bundle can be asked; practise longer"
            )
        try:
            ask(self._good, report)
        except SandlotError as error:
            return Answer(type(error).__name__, str(error))
        return Answer()


def summary(found: list[dict[str, str]]) -> dict[str, float | int | str]:
    """Flat: how many bad ones were refused by anybody, which not, and false refusals with 95 % bounds."""
    refused: dict[str, bool] = {}
    for row in found:
        if row["case"] != GOOD:
            refused[row["case"]] = refused.get(row["case"], False) or row["refused"] == "1"
    made: dict[str, float | int | str] = {
        "bad": len(refused),
        "bad_refused": sum(refused.values()),
        "bad_not_refused": ", ".join(name for name, said in refused.items() if not said),
    }
    for asked, name in ((PRACTICE, "practice"), (SMOKE, "smoke"), (FULL, "full"), (DEPLOY, "deploy")):
        good = [row["refused"] == "1" for row in found if row["case"] == GOOD and row["asked"] == asked]
        made |= {f"good_{name}": len(good), f"good_{name}_refused": sum(good)}
        if good:
            made[f"false_refusals_{name}_below"] = round(failure_rate_bound(sum(good), len(good)), 4)
    return made


def ask_all(
    run: Path,
    policy: Path | None,
    course: str,
    other: str,
    csv_file: Path,
    episodes: int,
    good_seeds: int,
    tell: Tell,
) -> dict[str, float | int | str]:
    """The whole campaign. ``policy``: the good one, None for the run's last."""
    catalogue.find("courses", other)
    began = datetime.datetime.now(datetime.UTC)
    good, work = policy_of(policy or run), csv_file.with_suffix(".work")
    asker = Refusals(run, good, course, other, csv_file, episodes, work, tell)
    made = asker.run(good_seeds)
    return made | {"minutes": round((datetime.datetime.now(datetime.UTC) - began).total_seconds() / 60, 2)}
