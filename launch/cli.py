"""The command line: ``sandlot COMMAND [options]``.

Each command is a dataclass of options (``launch.options``) and a function that is imported only when it
runs. Mistakes end in one line (what, why, what to do) and exit code 2 for a wrong command line, 1 for
anything else; ``--debug`` adds the traceback.
"""

from __future__ import annotations

import importlib
import math
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import tyro

from launch.installed import EXTRAS, installing
from launch.options import (
    bench_fidelity,
    bench_practice,
    bench_safety,
    bench_speed,
    calibrate,
    course,
    data,
    deploy,
    doctor,
    experiment,
    keys,
    learn,
    learner,
    onboard,
    practice,
    replay,
    report,
    run,
    stop,
    teleop,
    validate,
)
from robot.errors import SandlotError, nearest


@dataclass(frozen=True)
class Command:
    """One subcommand: its options' dataclass and ``module:function``, which returns the exit code."""

    options: type
    run: str

    @property
    def summary(self) -> str:
        return (self.options.__doc__ or "").partition("\n")[0]

    @property
    def example(self) -> str:
        lines = map(str.strip, (self.options.__doc__ or "").splitlines())
        return next(line for line in lines if line.startswith("Example: "))

    def load(self) -> Callable[[Any], int]:
        module, _, function = self.run.partition(":")
        run: Callable[[Any], int] = getattr(importlib.import_module(module), function)
        return run


COMMANDS: dict[str, Command] = {
    "practice": Command(practice.PracticeOptions, "launch.practice:practise"),
    "onboard": Command(onboard.OnboardOptions, "launch.practice:onboard"),
    "learner": Command(learner.LearnerOptions, "launch.practice:learn"),
    "learn": Command(learn.LearnOptions, "launch.learn:learn"),
    "teleop": Command(teleop.TeleopOptions, "launch.teleop:teleop"),
    "run": Command(run.RunOptions, "launch.run:run"),
    "validate": Command(validate.ValidateOptions, "launch.validate:validate"),
    "bundle": Command(deploy.BundleOptions, "launch.bundle:bundle"),
    "deploy": Command(deploy.DeployOptions, "launch.deploy:deploy"),
    "calibrate": Command(calibrate.CalibrateOptions, "launch.calibrate.command:calibrate"),
    "operator": Command(onboard.OperatorOptions, "launch.attend:attend"),
    "stop": Command(stop.StopOptions, "launch.stop:stop"),
    "course from-demo": Command(course.FromDemoOptions, "launch.course:from_demo"),
    "report": Command(report.ReportOptions, "launch.report:report"),
    "replay": Command(replay.ReplayOptions, "launch.replay.command:replay"),
    "data ls": Command(data.DataLsOptions, "launch.data.command:ls"),
    "data info": Command(data.DataInfoOptions, "launch.data.command:info"),
    "data doctor": Command(data.DataDoctorOptions, "launch.data.command:doctor"),
    "data repair": Command(data.DataRepairOptions, "launch.data.command:repair"),
    "data split": Command(data.DataSplitOptions, "launch.data.command:split"),
    "data merge": Command(data.DataMergeOptions, "launch.data.command:merge"),
    "data relabel": Command(data.DataRelabelOptions, "launch.data.command:relabel"),
    "data export": Command(data.DataExportOptions, "launch.data.command:export"),
    "data import": Command(data.DataImportOptions, "launch.data.command:import_dataset"),
    "data view": Command(data.DataViewOptions, "launch.data.command:view"),
    "doctor": Command(doctor.DoctorOptions, "launch.doctor:doctor"),
    "doctor critic": Command(doctor.DoctorCriticOptions, "launch.doctor_critic:critic"),
    "keys make": Command(keys.KeysMakeOptions, "launch.keys:make"),
    "keys allow": Command(keys.KeysAllowOptions, "launch.keys:allow"),
    "keys session": Command(keys.KeysSessionOptions, "launch.keys:session"),
    "keys signing": Command(keys.KeysSigningOptions, "launch.keys:signing"),
    "keys trust": Command(keys.KeysTrustOptions, "launch.keys:trust"),
    "keys show": Command(keys.KeysShowOptions, "launch.keys:show"),
    "bench loop": Command(bench_speed.BenchLoopOptions, "launch.bench.command:loop"),
    "bench tick": Command(bench_speed.BenchTickOptions, "launch.bench.command:tick"),
    "bench transport": Command(bench_speed.BenchTransportOptions, "launch.bench.command:transport"),
    "bench policy": Command(bench_speed.BenchPolicyOptions, "launch.bench.command:policy"),
    "bench learner": Command(bench_speed.BenchLearnerOptions, "launch.bench.command:learner"),
    "bench frames": Command(bench_speed.BenchFramesOptions, "launch.bench.command:frames"),
    "bench kill": Command(bench_safety.BenchKillOptions, "launch.bench.command:kill"),
    "bench teleop": Command(bench_safety.BenchTeleopOptions, "launch.bench.command:teleop"),
    "bench twin": Command(bench_speed.BenchTwinOptions, "launch.bench.command:twin"),
    "bench estimate": Command(bench_fidelity.BenchEstimateOptions, "launch.bench.command:estimate"),
    "bench calibration": Command(bench_fidelity.BenchCalibrationOptions, "launch.bench.command:calibration"),
    "bench procedures": Command(bench_fidelity.BenchProceduresOptions, "launch.bench.command:procedures"),
    "bench calm": Command(bench_safety.BenchCalmOptions, "launch.bench.command:calm"),
    "bench faults": Command(bench_safety.BenchFaultsOptions, "launch.bench.command:faults"),
    "bench refusals": Command(bench_safety.BenchRefusalsOptions, "launch.bench.command:refusals"),
    "bench surrogates": Command(bench_fidelity.BenchSurrogatesOptions, "launch.bench.command:surrogates"),
    "bench recording": Command(bench_safety.BenchRecordingOptions, "launch.bench.command:recording"),
    "bench crosscheck": Command(bench_fidelity.BenchCrosscheckOptions, "launch.bench.command:crosscheck"),
    "bench practice": Command(bench_practice.BenchPracticeOptions, "launch.bench.command:practice"),
    "experiment alarm": Command(experiment.ExperimentAlarmOptions, "launch.experiments.command:alarm"),
    "experiment avtd": Command(experiment.ExperimentAvtdOptions, "launch.experiments.command:avtd"),
    "experiment constraint": Command(
        experiment.ExperimentConstraintOptions, "launch.experiments.command:constraint"
    ),
    "experiment growth": Command(experiment.ExperimentGrowthOptions, "launch.experiments.command:growth"),
    "experiment intervention": Command(
        experiment.ExperimentInterventionOptions, "launch.experiments.command:intervention"
    ),
    "experiment offline": Command(experiment.ExperimentOfflineOptions, "launch.experiments.command:offline"),
    "experiment prior": Command(experiment.ExperimentPriorOptions, "launch.experiments.command:prior"),
    "experiment reality-gap": Command(
        experiment.ExperimentRealityGapOptions, "launch.experiments.command:reality_gap"
    ),
    "experiment returns": Command(experiment.ExperimentReturnsOptions, "launch.experiments.command:returns"),
    "experiment speed": Command(experiment.ExperimentSpeedOptions, "launch.experiments.command:speed"),
}


def usage(group: str = "") -> str:
    """All commands, or those of one group, a line each."""
    shown = {name: c for name, c in COMMANDS.items() if name.startswith(group)}
    width = max(map(len, shown))
    lines = [f"  sandlot {name:<{width}}  {command.summary}" for name, command in shown.items()]
    return "\n".join(
        [
            f"usage: sandlot {group or 'COMMAND'} … [--debug] [--help]",
            "",
            "Robots that learn by practising.",
            "",
            *lines,
            "",
            next(iter(shown.values())).example,
            "Each command's --help explains its options.",
        ]
    )


def parse(arguments: Sequence[str]) -> tuple[Command, Any] | None:
    """The command and its options; None if help was all that was asked for. Raises UsageError."""
    words = list(arguments)
    name = words[0] if words else "--help"
    groups = {n.partition(" ")[0] for n in COMMANDS if " " in n}
    if name in ("-h", "--help", "help"):
        print(usage())
        return None
    if name in groups and (name not in COMMANDS or " ".join(words[:2]) in COMMANDS):
        if len(words) == 1 or words[1] in ("-h", "--help"):
            print(usage(name))
            return None
        name, rest = f"{name} {words[1]}", words[2:]
    else:
        rest = words[1:]
    if name not in COMMANDS:
        raise UsageError(f"no command {name!r}; {nearest(name, COMMANDS)} Try: sandlot --help")
    command = COMMANDS[name]
    parsed: Any = tyro.cli(
        command.options,
        prog=f"sandlot {name}",
        args=rest,
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    for field in fields(parsed):
        value = getattr(parsed, field.name)
        if isinstance(value, float) and not math.isfinite(value):
            raise UsageError(f"--{field.name.replace('_', '-')} {value}: a finite number was expected")
        if field.name == "seed" and value is not None and value < 0:
            raise UsageError(f"--seed {value}: at least 0 was expected")
        if field.name == "seeds" and (not value or min(value) < 0):
            raise UsageError(
                f"--seeds {' '.join(map(str, value))}: at least one, each at least 0, was expected"
            )
    return command, parsed


class UsageError(SandlotError):
    """The command line itself is wrong."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; the process exits with its code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        try:
            parsed = parse(words)
            raise SystemExit(0 if parsed is None else parsed[0].load()(parsed[1]))
        finally:
            sys.stdout.flush()  # here, where somebody minds
    except UsageError as error:
        _explain(error, debug)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("sandlot: stopped", file=sys.stderr)
        raise SystemExit(130) from None
    except SandlotError as error:
        _explain(error, debug)
        raise SystemExit(1) from None
    except ModuleNotFoundError as error:
        _explain(SandlotError(missing(error)), debug)
        raise SystemExit(1) from None
    except BrokenPipeError:
        # Whoever read has seen enough (`| head`), which is no error; what Python still holds goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(141) from None
    except OSError as error:
        _explain(SandlotError(f"{error}; a file or device could not be used"), debug)
        raise SystemExit(1) from None
    except Exception as error:  # noqa: BLE001  (a mistake of ours still ends in one line)
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        _explain(SandlotError(f"unexpected: {what}; add --debug to see where, and please report it"), debug)
        raise SystemExit(1) from None


def missing(error: ModuleNotFoundError) -> str:
    """What to install when a part of Sandlot's dependencies is absent."""
    top = (error.name or "").partition(".")[0]
    if top not in EXTRAS:
        return f"{error}; install the environment again (make practice makes it)"
    return f"this needs {top}, which is not installed here; install it with: {installing(top)}"


def _explain(error: SandlotError, debug: bool) -> None:
    if debug:
        traceback.print_exc()
    print(f"sandlot: {error}", file=sys.stderr)
