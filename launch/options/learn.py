"""``sandlot learn``: the learner without a robot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from launch.options.defaults import RUNS, View


@dataclass(frozen=True)
class LearnOptions:
    """Learn in a Gymnasium or dm_control environment, as a robot would.

    Example: sandlot learn --env Hopper-v5 --algo rlpd --prior data/ --seed 0

    dm_control: sandlot learn --env dm_control/cheetah-run --algo droq --steps 25000

    From pictures: sandlot learn --env dm_control/cartpole-swingup --pixels 84 --algo drq

    Other settings: sandlot learn --env Hopper-v5 --algo redq --set updates_per_step=5 hidden=[256,256,256]

    From data only: sandlot learn --env Hopper-v5 --algo iql --prior data/ --offline --set tau=0.9

    Online from there: sandlot learn --env Hopper-v5 --algo rlpd --initial runs/Hopper-v5/… --set critics=2

    From a robot's run only: sandlot learn --session runs/racer/latest --algo iql --steps 20000

    Go on, further: sandlot learn --resume runs/Hopper-v5/latest --steps 200000 --set threads=2
    """

    env: str | None = None
    """The environment: Hopper-v5, dm_control/cheetah-run, or module:Name-v0 to import a module first."""
    session: Path | None = None
    """Instead of an environment: the run of a robot, whose journal alone is learned from. The policy lies in
    its folder then, under offline/ALGO, for practice's --policy."""
    algo: Literal["sac", "rlpd", "droq", "redq", "avtd", "drq", "bc", "iql", "idql"] = "rlpd"
    """The algorithm (learners/presets.py)."""
    prior: Path | None = None
    """A folder of journals to learn from besides, such as earlier runs', or minari:NAME, a dataset."""
    initial: Path | None = None
    """A run of iql, whose actor and critics a new learner of rlpd and its relatives begins with, or of bc,
    whose actor. It acts from the first step on, and that run's normalisation stays."""
    offline: bool = False
    """Learn from the prior data alone: --steps are update steps then. Resumed with --steps, such a run goes
    on in the environment."""
    pretrain: int = 0
    """Update steps on the prior data alone before the first step of the environment; not with --offline."""
    steps: int | None = None
    """Environment steps, the random ones included (None: 100,000, or what a resumed run has)."""
    seed: int = 0
    """Seed of every random number."""
    set: tuple[str, ...] = ()
    """The algorithm's settings to replace (learners/config.py, offline_config.py), as NAME=VALUE."""
    evaluate_every: int = 5000
    """Environment steps between evaluations of the deterministic policy."""
    evaluation_episodes: int = 10
    """Episodes of each, in an environment of their own."""
    checkpoint_every: int = 5000
    """Environment steps between checkpoints, at least: they come at the end of an episode."""
    normalise: bool = True
    """Normalise observations by what the random steps and the prior data show; --no-normalise: do not."""
    pixels: int = 0
    """dm_control: show a picture of this side in place of the numbers; --algo drq learns from it."""
    image_stack: int | None = None
    """Pictures that a network sees at once (None: the learner's default); only where the environment shows
    any."""
    resume: Path | None = None
    """An earlier run to go on from, exactly where its last checkpoint was; of all settings only --steps may
    differ, and with --set threads and device, which say what computes."""
    runs: Path = RUNS
    """Where the run's folder is made."""
    view: View = "auto"
    """Progress: live on a terminal, plain lines otherwise."""
    json: bool = False
    """Print the summary as one JSON object on the last line."""
