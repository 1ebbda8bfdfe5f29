"""``sandlot learn``: practise in a Gymnasium or dm_control environment, with a plot and a summary."""

from __future__ import annotations

import datetime
import importlib.util
import json
import signal
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from launch.installed import installing, need
from launch.learn_view import make_view
from launch.options.learn import LearnOptions
from launch.session import link_latest, shown, stamped_folder
from robot.errors import SandlotError, SpecError
from robot.frame_file import write_atomically

if TYPE_CHECKING:
    from learners.environments.settings import TrainingSettings
    from learners.environments.training import Training

STEPS = 100_000
"""The usual budget of SAC's comparisons after REDQ."""
OF_A_SESSION = ("session", "algo", "steps", "seed", "set", "json")
OF_A_RESUMED = ("resume", "steps", "set", "view", "json")
"""Options that count there; any other is refused rather than ignored."""


def learn(options: LearnOptions) -> int:
    """One run, new or resumed, from start to plot."""
    need("torch", "onnx")
    if options.session is not None:
        _only(options, OF_A_SESSION, "is not for --session, which learns from a run's journal alone")
        return _from_session(options, options.session)
    from learners.environments.catalogue import find
    from learners.environments.training import Training

    if options.resume is None:
        directory, settings = _new(options)
    else:
        why = "cannot change in a run that goes on; only --steps and, with --set, threads and device may"
        _only(options, OF_A_RESUMED, why)
        directory, settings = _continued(options.resume.resolve(), options.steps, _overrides(options.set))
    console = Console()
    view = make_view(options.view, console, settings.offline_steps + settings.steps)
    training: Training | None = None
    try:
        with closing(view), _stop_on_sigterm():
            training = Training(
                find(settings.environment, settings.pixels),
                directory,
                settings,
                prior=options.prior,
                initial=options.initial,
                watch=view.show,
                tell=view.say,
            )
            link_latest(directory)
            view.say(f"{settings.algorithm} on {settings.environment}, seed {settings.seed} -> {directory}")
            training.run()
    except KeyboardInterrupt:
        if training is not None:
            where = (
                f"go on from its checkpoint at step {training.checkpointed}"
                if training.checkpointed
                else "it has no checkpoint yet; begin it again"
            )
            print(f"stopped at step {training.progress}; {where} with:")
            print(f"  sandlot learn --resume {shown(directory)}")
        return 130
    finally:
        if training is not None:
            training.close()
        elif options.resume is None:
            with suppress(OSError):  # what could not begin leaves no empty folders
                for folder in (directory, *directory.parents[:2]):
                    folder.rmdir()
    finish(training, options.json)
    return 0


def _from_session(options: LearnOptions, folder: Path) -> int:
    """A policy from the journal of a robot's run."""
    from launch.session import open_session
    from learners.learner import Learner
    from learners.offline import learn_offline
    from learners.presets import preset

    session = open_session(folder)
    config = preset(options.algo, _overrides(options.set))
    learner = Learner(session.contract, config, options.seed, session.manifest.calibration_hash)
    directory = session.directory / "offline" / options.algo
    steps = STEPS if options.steps is None else options.steps
    if steps < 1:
        raise SpecError(f"--steps {steps}: expected at least 1 update step")
    try:
        with _stop_on_sigterm():
            policy = learn_offline(learner, session.learner, directory, steps, print)
    except KeyboardInterrupt:
        print(f"stopped at step {learner.pretrained}; the same command goes on from its last checkpoint")
        return 130
    print(f"  policy  {shown(policy)}")
    if options.json:
        print(json.dumps({"policy": str(policy), "updates": learner.updates, **learner.metrics}))
    return 0


def finish(training: Training, as_json: bool) -> None:
    """Draw the curve; say what came of it and where everything is."""
    settings, folder = training.settings, training.folder
    plot = folder.path / "curve.png"
    summary: dict[str, object] = {
        "run": str(folder.path),
        "environment": settings.environment,
        "algorithm": settings.algorithm,
        "seed": settings.seed,
        "steps": training.steps,
        "offline_steps": training.progress - training.steps,
        "episodes": training.episodes,
        "wall_s": round(training.wall_s, 1),
        "updates": 0 if training.learner is None else training.learner.updates,
    }
    if training.curve:
        last = training.curve[-1]
        summary |= {"return_mean": last.return_mean, "return_std": last.return_std}
        summary |= {"return_best": max(point.return_mean for point in training.curve)}
        print(f"return {last.return_mean:.4g} ± {last.return_std:.2g} at step {last.step}")
        _plot(training, plot)
    else:
        print(f"nothing was learned: all {training.steps} steps were random (--set warmup=N for fewer)")
    for label, path in (
        ("run", folder.path),
        ("curve", folder.curve),
        ("plot", plot),
        ("policy", training.policy),
        ("events", folder.tensorboard),
    ):
        if path.exists():
            print(f"  {label:<7} {shown(path)}")
    if as_json:
        print(json.dumps(summary))


def _plot(training: Training, path: Path) -> None:
    if importlib.util.find_spec("matplotlib") is None:
        print(f"no plot: matplotlib is not installed here; install it with: {installing('matplotlib')}")
        return
    import numpy as np

    from launch.figures import learning_curve

    points, settings = training.curve, training.settings
    steps, means, deviations = (
        np.array([getattr(point, name) for point in points], np.float64)
        for name in ("step", "return_mean", "return_std")
    )
    title = f"{settings.environment}, {settings.algorithm}, seed {settings.seed}"
    write_atomically(path, learning_curve(title, steps, means, deviations))


def _only(options: LearnOptions, meant: Sequence[str], why: str) -> None:
    """Raise SandlotError for an option that would be ignored."""
    for field in fields(options):
        if field.name not in meant and getattr(options, field.name) != field.default:
            raise SandlotError(f"--{field.name.replace('_', '-')} {why}; leave it out")


def _new(options: LearnOptions) -> tuple[Path, TrainingSettings]:
    from learners.environments.settings import IMAGE_STACK, TrainingSettings
    from learners.presets import preset

    if options.env is None:
        raise SandlotError("which environment? Give one (--env Hopper-v5), or a run to go on from (--resume)")
    if options.offline and options.pretrain:
        raise SandlotError(
            "--pretrain is not for --offline, whose --steps are all update steps; leave it out"
        )
    steps = STEPS if options.steps is None else options.steps
    settings = TrainingSettings(
        environment=options.env,
        algorithm=options.algo,
        learner=preset(options.algo, _overrides(options.set)),
        steps=0 if options.offline else steps,
        offline_steps=steps if options.offline else options.pretrain,
        seed=options.seed,
        evaluate_every=options.evaluate_every,
        evaluation_episodes=options.evaluation_episodes,
        checkpoint_every=options.checkpoint_every,
        normalise=options.normalise,
        pixels=options.pixels,
        image_stack=IMAGE_STACK if options.image_stack is None else options.image_stack,
    )
    parent = options.runs / options.env.replace("/", "-")
    return stamped_folder(parent, datetime.datetime.now(datetime.UTC)), settings


def _continued(
    directory: Path, steps: int | None, overrides: Mapping[str, Any]
) -> tuple[Path, TrainingSettings]:
    import msgspec

    from learners.config import OF_THE_MACHINE
    from learners.environments.run_folder import RunFolder
    from learners.environments.settings import read_settings
    from robot.plain_data import decode_struct

    if wrong := [name for name in overrides if name not in OF_THE_MACHINE]:
        raise SpecError(
            f"--set {', '.join(wrong)} cannot change in a run that goes on; only "
            f"{' and '.join(OF_THE_MACHINE)} may be set"
        )
    settings = read_settings(RunFolder(directory).settings)
    if steps is not None and steps < settings.steps:
        raise SpecError(
            f"--steps {steps}: this run has {settings.steps} steps; --steps counts all of them, and may be "
            "more"
        )
    learner = decode_struct(
        msgspec.to_builtins(settings.learner) | overrides, type(settings.learner), "settings of the run"
    )
    return directory, msgspec.structs.replace(
        settings, learner=learner, steps=settings.steps if steps is None else steps
    )


def _overrides(texts: Sequence[str]) -> dict[str, Any]:
    """``NAME=VALUE`` each, the value as TOML has it or a plain word."""
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise SpecError(f"--set {text!r}: expected NAME=VALUE, such as updates_per_step=5")
        try:
            found[name.strip()] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            found[name.strip()] = value.strip()
    return found


@contextmanager
def _stop_on_sigterm() -> Iterator[None]:
    """SIGTERM ends a run as Ctrl-C does."""

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
