"""What can be asked for on the command line, one frozen dataclass per subcommand.

Nothing heavy is imported here, so that ``sandlot --help`` and every mistake answer at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg


@dataclass(frozen=True)
class PracticeOptions:
    """Let a robot practise, on the twin unless told otherwise.

    Starts the robot's processes and a learner on this machine, shows what happens, ends by itself.

    Example: sandlot practice racer --course oval --minutes 5 --seed 1

    Rehearsal on a robot that is not the twin: sandlot practice racer --surrogate slippery

    Beginning with what you drove: sandlot practice racer --demo demos/oval
    """

    robot: Annotated[str, Positional] = "racer"
    """A robot's name (launch/robots) or its TOML file."""
    course: str = "oval"
    """A course's name (launch/courses) or its TOML file."""
    minutes: float = 20.0
    """Practice time [min], after which the session ends by itself; 0 for no limit."""
    seed: int = 0
    """Seed of every random number in the session."""
    fast: bool = False
    """Twin in lockstep on simulated time: as fast as the learner allows, reproducible from the seed."""
    hardware: bool = False
    """Drive the real robot on the ports its file names, with a held key, instead of the twin."""
    attended: bool = False
    """On the twin: a person enables motion as the robot's file says, instead of a simulated one."""
    world: str | None = None
    """The twin's surroundings: a name (sim/worlds) or a TOML file (default: named like the course)."""
    surrogate: str | None = None
    """Drive another robot than the twin, which nothing onboard is told: a name (sim/surrogates: slippery,
    heavy, worn, late, bicycle, stranger) or a TOML file."""
    demonstration_laps: int | None = None
    """Laps of the scripted slow driver before the policy drives; they are the prior data (None: 3, or none
    with --demo)."""
    demo: tuple[Path, ...] = ()
    """Sets, runs or logs of what a person drove (sandlot teleop --record): prior data from the start."""
    policy: Path | None = None
    """An ONNX policy to start from, until the learner has a better one. On hardware: the deployed one's file,
    or with --bench-override any."""
    bench_override: str = ""
    """On hardware, why an unvalidated --policy may drive: at REDUCED limits, a person holding enable."""
    deployed: Path = Path("~/.local/share/sandlot/deployed")
    """Where deployed bundles are (sandlot deploy)."""
    keys: Path = Path("~/.config/sandlot/keys")
    """Where this machine's keys are kept: whose bundles it trusts."""
    update_ratio: int | None = None
    """Critic updates per environment step (None: the learner's default; 0 switches learning off)."""
    held_out: float | None = None
    """Share of the episodes kept from training, to judge the critics by (None: the learner's default)."""
    device: Literal["cpu", "cuda"] = "cpu"
    """What the learner computes on: the processor, or a GPU."""
    smoke_gate: bool = True
    """Try every new policy in the robot's twin before it is published, and hold it back while it is unsafe or
    clearly worse than the one that drives (docs/VALIDATION.md)."""
    cost: tuple[str, ...] = ()
    """Costs of the task to keep to a limit while learning, such as impact<=0.5/step: NAME<=LIMIT/step or
    NAME<=LIMIT/episode."""
    grow: tuple[str, ...] = ()
    """Begin with a share of the action range, which grows while the robot does not fail: SHARE ACTION=VALUE
    …, with the neutral actions that are not the middle of their range, such as 0.35 speed=0.4."""
    initial: Path | None = None
    """What a new learner begins with: a folder offline/iql of an earlier run, whose actor and critics it
    takes over, or offline/bc, whose actor."""
    resume: Path | None = None
    """An earlier run whose learner to go on from, exactly where its last checkpoint was."""
    teleop: str | None = None
    """Step in with this input device, as sandlot teleop has it: touch it and you drive, let go and the policy
    does."""
    runs: Path = Path("runs")
    """Where the run's folder is made."""
    view: Literal["auto", "live", "plain", "none"] = "auto"
    """Terminal view: live on a terminal, plain lines otherwise."""
    report: bool = True
    """Make report.html at the end."""
    json: bool = False
    """Print the summary as one JSON object on the last line."""


@dataclass(frozen=True)
class TeleopOptions:
    """Drive a robot yourself, on the twin unless told otherwise, and record it.

    The robot moves while you have hold of the device: a key of the keyboard, the dead man's button of a
    gamepad. It drives through pilot and guardian like any policy. Keys: arrows drive, space has hold without
    moving; r resets a fault, s stops, x is the software emergency stop, p says that it stands on its start
    line; e ends a take, y and n say whether it was a success, d drops it; t types a note.

    Example: sandlot teleop racer --device keyboard --record demos/oval --episodes 10

    With a gamepad: sandlot teleop racer --device gamepad

    From a phone: sandlot teleop racer --device web:192.168.1.30:8080

    As written down: sandlot teleop racer --device script:lap.toml

    A gamepad or transmitter of another kind, once: sandlot teleop racer --map
    """

    robot: Annotated[str, Positional] = "racer"
    """A robot's name (launch/robots) or its TOML file."""
    device: str = "keyboard"
    """keyboard (this terminal's), gamepad or gamepad:/dev/input/…, web (a page on this machine) or
    web:HOST:PORT (on the local network), script:FILE."""
    map: bool = False
    """Drive nothing: make a mapping for the gamepad, by moving each of its sticks and buttons in turn."""
    course: str = "oval"
    """A course's name (launch/courses) or its TOML file."""
    record: Path | None = None
    """A set of demonstrations: each session of it lies in this folder (default: --runs)."""
    operator: str = ""
    """Who drives: a name or a number, kept with the recording."""
    task: str = ""
    """What the episodes are, in words, kept with the recording: "lap the oval without touching a wall"."""
    episodes: int = 0
    """Takes to keep, after which the session ends by itself; 0 for no end."""
    episode_s: float = 0.0
    """A take ends by itself after this long [s]; 0: it does not."""
    reset_s: float = 0.0
    """Between two takes, to put things back: driving is then not recorded as experience [s]."""
    minutes: float = 0.0
    """The session ends after this long [min]; 0 for no limit."""
    seed: int = 0
    """Seed of the twin's noise."""
    hardware: bool = False
    """Drive the real robot on the ports its file names, instead of the twin."""
    reduced: bool = False
    """Hold the robot at the limits of its REDUCED state all the time: for a first drive, or a guest's."""
    world: str | None = None
    """The twin's surroundings: a name (sim/worlds) or a TOML file (default: named like the course)."""
    surrogate: str | None = None
    """Drive another robot than the twin: a name (sim/surrogates) or a TOML file."""
    runs: Path = Path("runs")
    """Where the run's folder is made."""
    view: Literal["auto", "live", "plain", "none"] = "auto"
    """Terminal view: live on a terminal, plain lines otherwise."""
    report: bool = True
    """Make report.html at the end."""
    json: bool = False
    """Print the summary as one JSON object on the last line."""


@dataclass(frozen=True)
class OnboardOptions:
    """The robot's side alone, streaming to a learner on another machine.

    Example: sandlot onboard racer --course oval --learner 192.168.1.20:5588 --key racer
    """

    robot: Annotated[str, Positional] = "racer"
    """A robot's name (launch/robots) or its TOML file."""
    course: str = "oval"
    """A course's name (launch/courses) or its TOML file."""
    learner: str = "127.0.0.1:5588"
    """HOST:PORT where the learner takes transitions; its policies come from the next port up."""
    key: str | None = None
    """Name of this machine's key pair (sandlot keys make); required off loopback."""
    learner_key: str = "learner"
    """Name under which the learner's public key was allowed (sandlot keys allow)."""
    keys: Path = Path("~/.config/sandlot/keys")
    """Where this machine's keys are kept."""
    twin: bool = False
    """Drive the twin behind emulated serial ports instead of the robot."""
    attended: bool = False
    """On the twin: a person enables motion as the robot's file says, instead of a simulated one."""
    world: str | None = None
    """The twin's surroundings: a name (sim/worlds) or a TOML file (default: named like the course)."""
    surrogate: str | None = None
    """With --twin: drive another robot in its place, which nothing onboard is told: a name (sim/surrogates:
    slippery, heavy, worn, late, bicycle, stranger) or a TOML file."""
    minutes: float = 20.0
    """Practice time [min]; 0 for no limit."""
    seed: int = 0
    """Seed of every random number on this side."""
    demonstration_laps: int = 3
    """Laps of the scripted slow driver before the policy drives."""
    policy: Path | None = None
    """An ONNX policy to start from, until the learner has a better one. On hardware: the deployed one's file,
    or with --bench-override any."""
    bench_override: str = ""
    """On hardware, why an unvalidated --policy may drive: at REDUCED limits, a person holding enable."""
    deployed: Path = Path("~/.local/share/sandlot/deployed")
    """Where deployed bundles are (sandlot deploy)."""
    runs: Path = Path("runs")
    """Where the run's folder is made."""
    view: Literal["auto", "live", "plain", "none"] = "auto"
    """Terminal view: live on a terminal, plain lines otherwise."""
    report: bool = True
    """Make report.html at the end."""
    json: bool = False
    """Print the summary as one JSON object on the last line."""


@dataclass(frozen=True)
class LearnerOptions:
    """The learner alone, for one or several robots.

    Example: sandlot learner racer --course oval --bind 192.168.1.20:5588 --key learner
    """

    robot: Annotated[str, Positional] = "racer"
    """The robot's name or TOML file: the contract that robots must match."""
    course: str = "oval"
    """The course's name or TOML file."""
    bind: str = "127.0.0.1:5588"
    """HOST:PORT to take transitions on; policies go out on the next port up."""
    key: str | None = None
    """Name of this machine's key pair (sandlot keys make); required off loopback."""
    keys: Path = Path("~/.config/sandlot/keys")
    """Where this machine's keys are kept."""
    seed: int = 0
    """Seed of the learner's random numbers."""
    update_ratio: int | None = None
    """Critic updates per environment step (None: the default; 0 switches learning off)."""
    held_out: float | None = None
    """Share of the episodes kept from training, to judge the critics by (None: the learner's default)."""
    device: Literal["cpu", "cuda"] = "cpu"
    """What the learner computes on: the processor, or a GPU."""
    smoke_gate: bool = True
    """Try every new policy in the robot's twin before it is published, and hold it back while it is unsafe or
    clearly worse than the one that drives (docs/VALIDATION.md)."""
    cost: tuple[str, ...] = ()
    """Costs of the task to keep to a limit while learning, such as impact<=0.5/step: NAME<=LIMIT/step or
    NAME<=LIMIT/episode."""
    grow: tuple[str, ...] = ()
    """Begin with a share of the action range, which grows while the robot does not fail: SHARE ACTION=VALUE
    …, with the neutral actions that are not the middle of their range, such as 0.35 speed=0.4."""
    initial: Path | None = None
    """What a new learner begins with: a folder offline/iql of an earlier run, whose actor and critics it
    takes over, or offline/bc, whose actor."""
    resume: Path | None = None
    """An earlier run to go on from, exactly where its last checkpoint was."""
    minutes: float | None = None
    """Stop after this long [min] (None: until Ctrl-C)."""
    runs: Path = Path("runs")
    """Where the run's folder is made."""
    json: bool = False
    """Print the summary as one JSON object on the last line."""


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

    Go on, further: sandlot learn --resume runs/Hopper-v5/latest --steps 200000
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
    """Update steps on the prior data alone before the first step of the environment."""
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
    """Normalise observations by what the random steps and the prior data show."""
    pixels: int = 0
    """dm_control: show a picture of this side in place of the numbers; --algo drq learns from it."""
    image_stack: int = 3
    """Pictures that a network sees at once, where the environment shows any."""
    resume: Path | None = None
    """An earlier run to go on from, exactly where its last checkpoint was; of all settings only --steps may
    differ."""
    runs: Path = Path("runs")
    """Where the run's folder is made."""
    view: Literal["auto", "live", "plain", "none"] = "auto"
    """Progress: live on a terminal, plain lines otherwise."""
    json: bool = False
    """Print the summary as one JSON object on the last line."""


@dataclass(frozen=True)
class RunOptions:
    """Drive the deployed policy, without exploring or learning, and say how well it did.

    Example: sandlot run racer

    On the twin: sandlot run racer --twin --minutes 2

    Another policy, on the twin freely: sandlot run racer --twin --policy runs/racer/latest

    Exit code 0 if it drove, 1 if it may not: nothing is armed then.
    """

    robot: Annotated[str, Positional] = "racer"
    """A robot's name (launch/robots) or its TOML file."""
    course: str | None = None
    """A course's name (launch/courses) or its TOML file (None: the one it was validated on, else oval)."""
    minutes: float = 5.0
    """How long to drive [min]; 0 for no limit."""
    policy: Path | None = None
    """Instead of the deployed policy: an ONNX file or a run's folder. On a robot only with
    --bench-override."""
    bench_override: str = ""
    """Why a policy that was not validated may drive a robot: at REDUCED limits, a person holding enable. The
    log and the report say so."""
    twin: bool = False
    """Drive the twin behind emulated serial ports instead of the robot."""
    surrogate: str | None = None
    """With --twin: drive another robot in its place, which nothing onboard is told: a name (sim/surrogates)
    or a TOML file."""
    fast: bool = False
    """The twin in lockstep on simulated time."""
    attended: bool = False
    """On the twin: a person enables motion as the robot's file says, instead of a simulated one."""
    world: str | None = None
    """The twin's surroundings: a name (sim/worlds) or a TOML file (default: named like the course)."""
    seed: int = 0
    """Seed of every random number in the session."""
    deployed: Path = Path("~/.local/share/sandlot/deployed")
    """Where deployed bundles are (sandlot deploy)."""
    keys: Path = Path("~/.config/sandlot/keys")
    """Where this machine's keys are kept: whose bundles it trusts."""
    key: str | None = None
    """Name of this machine's key pair, for a robot that others may stop by network (sandlot stop)."""
    runs: Path = Path("runs")
    """Where the run's folder is made."""
    results: Path = Path("results")
    """The folder of what policies did on twin and robot: this adds a row (not on the twin itself)."""
    view: Literal["auto", "live", "plain", "none"] = "auto"
    """Terminal view: live on a terminal, plain lines otherwise."""
    report: bool = True
    """Make report.html at the end."""
    json: bool = False
    """Print the summary as one JSON object on the last line."""


@dataclass(frozen=True)
class ValidateOptions:
    """Ask the twin whether a policy may drive a robot: many episodes behind the safety kernel, gate by gate.

    Example: sandlot validate runs/racer/latest --robot racer --course oval

    After a new calibration, in two minutes: sandlot validate racer.bundle --gate smoke

    Against what is deployed: sandlot validate new.onnx --against deployed.onnx

    Exit code 0 if it passed, 1 if not. The report is what sandlot bundle signs.
    """

    source: Annotated[Path, Positional]
    """A run's folder, an ONNX policy, or a bundle."""
    robot: str = "racer"
    """A robot's name (launch/robots) or its TOML file."""
    course: str = "oval"
    """A course's name (launch/courses) or its TOML file."""
    gate: Literal["smoke", "full"] = "full"
    """How much is tried: everything, or what only the measured values can have changed."""
    episodes: int | None = None
    """How many nominal and as many randomised episodes (None: 400, of the smoke gate 59)."""
    seed: int = 0
    """Seed of every random number: the same seed drives the same episodes."""
    against: Path | None = None
    """The policy that is deployed: it drives the same episodes, and the candidate must not be worse."""
    logs: tuple[Path, ...] = ()
    """Logs or runs of the robot, which the twin must do once more (none: the run's own, if it is one)."""
    results: Path = Path("results")
    """The folder of what policies did on twin and robot: this adds a row, and so does sandlot run."""
    surrogate: str | None = None
    """Rehearsal: hold the twin against the results of this surrogate in the robot's place."""
    out: Path | None = None
    """The folder for report.json, report.html and episodes.npz (None: validation/ROBOT-COURSE-GATE-HASH)."""
    threads: int = 0
    """Processors to use; 0 takes all. The result is the same."""
    ray: str | None = None
    """Share the episodes out over the Ray cluster at this address (auto: the one that this machine is in).
    The result is the same."""
    json: bool = False
    """Print the report as one JSON object on the last line."""


@dataclass(frozen=True)
class BundleOptions:
    """Make one signed file of a policy, its contract, its validation reports and where it came from.

    Example: sandlot bundle runs/racer/latest --report report.json --key lab -o racer.bundle

    After a new calibration: sandlot bundle racer.bundle --report smoke.json --key lab -o newer.bundle
    """

    source: Annotated[Path, Positional]
    """A run's folder, an ONNX policy, or an earlier bundle whose policy was validated anew."""
    report: tuple[Path, ...]
    """What sandlot validate wrote of this policy: of the full gate, and of the smoke gate if the calibration
    changed since."""
    key: str
    """Name of the signing key (sandlot keys signing)."""
    output: Annotated[Path | None, arg(aliases=("-o",))] = None
    """Where to write it (None: ROBOT-VERSION.bundle here)."""
    expires: str = "90d"
    """How long a robot may drive it: a number of days (90d), weeks (4w) or hours (12h)."""
    version: int | None = None
    """Must be higher than that of any bundle deployed before (None: the time, as in 20260131100000)."""
    keys: Path = Path("~/.config/sandlot/keys")
    """Where this machine's keys are kept."""
    json: bool = False
    """Print what was made as one JSON object on the last line."""


@dataclass(frozen=True)
class DeployOptions:
    """Install a bundle on this robot, go back to the one before it, or list what is installed.

    Example: sandlot deploy racer.bundle racer

    Back to the one before: sandlot deploy --rollback racer

    What is installed: sandlot deploy --list racer

    The robot must stand in STANDBY, or not run at all. Exit code 1 if the bundle is refused.
    """

    bundle: Annotated[str | None, Positional] = None
    """The bundle's file; nothing with --rollback and --list."""
    robot: Annotated[str | None, Positional] = None
    """A robot's name or its TOML file (None: racer)."""
    rollback: bool = False
    """Return to the bundle that was deployed before: the only way to an older one."""
    list: bool = False
    """Say what is installed, what its gates found, until when it may drive, and whether it may now."""
    deployed: Path = Path("~/.local/share/sandlot/deployed")
    """Where deployed bundles are, a folder for each robot."""
    keys: Path = Path("~/.config/sandlot/keys")
    """Where this machine's keys are kept: whose bundles it trusts."""
    json: bool = False
    """Print what is installed as one JSON object on the last line."""


@dataclass(frozen=True)
class CalibrateOptions:
    """Measure a robot, which moves behind the safety kernel at REDUCED limits; what is found is kept by date.

    On the twin unless told otherwise, to see what a procedure does: only what the robot itself did becomes
    the robot's. Every procedure says what it needs before anything moves. Entries are kept in
    ~/.local/share/sandlot/calibration, or where $SANDLOT_CALIBRATION says (docs/CALIBRATION.md).

    Example: sandlot calibrate racer --status

    On the robot: sandlot calibrate racer speed --hardware

    From a log that is there: sandlot calibrate racer speed --log runs/racer/latest

    The twin's parameters, from any driving: sandlot calibrate racer twin --log runs/racer/latest

    A camera: sandlot calibrate racer camera --images pictures --board 8x6:0.03:0.022

    Mass and friction, from readings: sandlot calibrate racer mass --readings scales.toml

    Rehearsal on a robot that is not as described: sandlot calibrate racer all --surrogate worn

    Exit code 0 if all passed, 3 if something did not; --status: 1 unless everything is valid.
    """

    robot: Annotated[str, Positional] = "racer"
    """A robot's name (launch/robots) or its TOML file."""
    procedure: Annotated[str | None, Positional] = None
    """clock, speed, imu, steering, motor, antenna, twin, or all of those; joints of a robot that has them;
    camera, hand-eye, mass or friction, from files."""
    status: bool = False
    """Say what is valid, expired or missing, and what it changes."""
    suggest: bool = False
    """Say which manoeuvre would tell most about the twin's least certain parameter."""
    drive: bool = False
    """With --suggest: drive that manoeuvre, six times, and identify the twin from it."""
    follow: Path | None = None
    """Show what the procedure knows so far from this run's folder, while it drives in another terminal."""
    compare: tuple[str, str] | None = None
    """Two dates (2026-11-26, or longer), of which the procedure's entries are set side by side."""
    hardware: bool = False
    """Drive the real robot on the ports its file names, with a held key."""
    log: tuple[Path, ...] = ()
    """Compute from these runs' folders or log files instead of driving."""
    images: Path | None = None
    """For camera: a folder of pictures of a ChArUco board."""
    board: str = "8x6:0.03:0.022"
    """That board: COLUMNSxROWS:SQUARE:MARKER [m], dictionary 4X4_100."""
    poses: Path | None = None
    """For hand-eye: a TOML file of [[poses]], each hand and board a 4 x 4 matrix (docs/CALIBRATION.md)."""
    readings: Path | None = None
    """For mass and friction: a TOML file of what scales, rulers and boards showed (docs/CALIBRATION.md)."""
    surrogate: str | None = None
    """Another robot than the twin, with entries of its own: a name (sim/surrogates) or a TOML file."""
    realtime: bool = False
    """On the twin: in real time, through the processes and serial ports that the robot has."""
    course: str = "yard"
    """Where there is room: a course's name (launch/courses) or its TOML file, whose site is kept to."""
    seed: int = 0
    """Seed of the twin's noise."""
    runs: Path = Path("runs")
    """Where the run's folder is made."""
    view: Literal["auto", "live", "plain", "none"] = "auto"
    """Terminal view: live on a terminal, plain lines otherwise."""
    json: bool = False
    """Print everything as one JSON object on the last line."""


@dataclass(frozen=True)
class OperatorOptions:
    """Attend a session that runs without a keyboard: enable motion as the robot's file says.

    Held key: hold space. Attendance: space now and then, g to go. Transmitter: its stick, g to go. Always: r
    resets, s stops, x is the software emergency stop.

    Example: sandlot operator
    """

    run: Annotated[Path, Positional] = Path("runs/racer/latest")
    """The run's folder."""


@dataclass(frozen=True)
class StopOptions:
    """Stop a robot from another machine: a pressed emergency stop, latched until a person resets it there.

    Example: sandlot stop 192.168.1.30:5590 --key laptop --robot-key racer
    """

    address: Annotated[str, Positional] = "127.0.0.1:5590"
    """HOST:PORT where the robot listens: the port of a network source under [estop] in its file."""
    key: str | None = None
    """Name of this machine's key pair; required off loopback."""
    robot_key: str = "racer"
    """Name under which the robot's public key was allowed here (sandlot keys allow)."""
    keys: Path = Path("~/.config/sandlot/keys")
    """Where this machine's keys are kept."""
    reason: str = "asked for by sandlot stop"
    """Goes into the robot's log."""
    seconds: float = 5.0
    """How long to go on asking until the robot answers that it has stopped [s]."""
    json: bool = False
    """Print the answer as one JSON object on the last line."""


@dataclass(frozen=True)
class FromDemoOptions:
    """Make a course from one recorded demonstration lap: the best of those that a person or a script drove.

    Example: sandlot course from-demo runs/racer/2026-01-31T10-00-00 --name car-park
    """

    run: Annotated[Path, Positional]
    """The run whose log holds the lap."""
    name: str = "course"
    """The course's name; written to NAME.toml."""
    spacing: float = 1.5
    """Distance between checkpoints on a straight [m]; closer where the line curves."""
    smoothing: float = 0.15
    """Standard deviation of the smoothing along the lap [m]; it takes smoothing^2 / 2R off a bend of radius
    R."""
    lap: int | None = None
    """Which of the run's laps, from 1 (None: a clean one, with the fewest stops, that closes best)."""
    pushed: bool = False
    """The robot was pushed by hand: take all of the recording, whoever moved it."""
    output: Path | None = None
    """Where to write it (default: NAME.toml here)."""
    png: Path | None = None
    """Where to draw it (default: beside it, NAME.png)."""


@dataclass(frozen=True)
class ReportOptions:
    """Make report.html, laps.csv and summary.json from a run's log.

    Example: sandlot report runs/racer/latest
    """

    run: Annotated[Path, Positional] = Path("runs/racer/latest")
    """The run's folder."""
    json: bool = False
    """Print the summary as one JSON object on the last line."""


@dataclass(frozen=True)
class DoctorOptions:
    """Look at everything a session needs, and move nothing.

    Example: sandlot doctor racer
    """

    robot: Annotated[str, Positional] = "racer"
    """A robot's name or its TOML file."""
    course: str = "oval"
    """The course, for its contract."""
    runs: Path = Path("runs")
    """Where runs would be written."""
    twin: bool = False
    """Leave the robot's own ports out: this machine only runs the twin."""
    deployed: Path = Path("~/.local/share/sandlot/deployed")
    """Where deployed bundles are (sandlot deploy)."""
    keys: Path = Path("~/.config/sandlot/keys")
    """Where this machine's keys are kept: whose bundles it trusts."""
    json: bool = False
    """Print the findings as one JSON object on the last line."""


@dataclass(frozen=True)
class DoctorCriticOptions:
    """How a run's critics are: error on unseen episodes, values against their bound, tangent kernel.

    Example: sandlot doctor critic runs/Hopper-v5/latest

    Exit code 0 if they are well, 1 if there is reason to worry.
    """

    run: Annotated[Path, Positional] = Path("runs/racer/latest")
    """A run of 'sandlot learn', or a robot's."""
    json: bool = False
    """Print what was found as one JSON object."""


@dataclass(frozen=True)
class KeysMakeOptions:
    """Make a key pair for this machine.

    Example: sandlot keys make racer
    """

    name: Annotated[str, Positional]
    """The pair's name: which robot or learner this machine is."""
    keys: Path = Path("~/.config/sandlot/keys")
    """Where this machine's keys are kept."""


@dataclass(frozen=True)
class KeysAllowOptions:
    """List another machine's public key, so that it may connect.

    Example: sandlot keys allow racer.pub
    """

    file: Annotated[Path, Positional]
    """The public key file NAME.pub that the other machine's 'sandlot keys make' wrote."""
    stop_only: bool = False
    """It may stop this robot (sandlot stop) and do nothing else."""
    keys: Path = Path("~/.config/sandlot/keys")
    """Where this machine's keys are kept."""


@dataclass(frozen=True)
class KeysSessionOptions:
    """Make the secret that streamed policies are signed with; both machines need it.

    Example: sandlot keys session
    """

    keys: Path = Path("~/.config/sandlot/keys")
    """Where this machine's keys are kept."""


@dataclass(frozen=True)
class KeysSigningOptions:
    """Make a key that signs policy bundles; robots drive what a key they trust has signed.

    Example: sandlot keys signing lab
    """

    name: Annotated[str, Positional]
    """The key's name: who vouches for policies."""
    keys: Path = Path("~/.config/sandlot/keys")
    """Where this machine's keys are kept."""


@dataclass(frozen=True)
class KeysTrustOptions:
    """Let this robot drive what the owner of a key has signed.

    Example: sandlot keys trust lab.pub
    """

    file: Annotated[Path, Positional]
    """The public key file NAME.pub that 'sandlot keys signing' wrote."""
    keys: Path = Path("~/.config/sandlot/keys")
    """Where this machine's keys are kept."""


@dataclass(frozen=True)
class KeysShowOptions:
    """List this machine's keys and the peers it allows.

    Example: sandlot keys show
    """

    keys: Path = Path("~/.config/sandlot/keys")
    """Where this machine's keys are kept."""
    json: bool = False
    """Print as one JSON object on the last line."""


@dataclass(frozen=True)
class ReplayOptions:
    """A recorded session once more: judged by the safety kernel, or driven by the twin or the robot.

    Example: sandlot replay runs/racer/latest --safety

    What would a lower limit have stopped? Add --set safety.limits.overspeed.upper=4

    And another file of the same robot? sandlot replay log.mcap --safety --spec my.toml --png margins.png

    Is the twin this robot? sandlot replay runs/racer/latest --twin --png twin.png

    The same commands again, under full safety: sandlot replay runs/racer/latest --on racer

    Exit code 0 if every verdict is the logged one, or the twin is the robot; 3 if not. With --on 0 if all of
    it was sent, 1 if not.
    """

    log: Annotated[str, Positional]
    """A run's folder, or a log file of it."""
    safety: bool = False
    """Replay it through the safety kernel."""
    twin: bool = False
    """Replay windows of 0.5 to 5 s on the twin, open loop, against the estimator's own noise floor."""
    on: str | None = None
    """Send one drive's commands again, in the pilot's place, to this robot: its name or TOML file; to its
    twin, unless there is --hardware. Begins where the recording began."""
    hardware: bool = False
    """With --on: the real robot, which a person puts there and enables."""
    fast: bool = False
    """With --on: the twin in lockstep on simulated time."""
    stretch: int | None = None
    """With --on: which drive, from 0; each begins at rest and ends with the pilot's authority (None: the
    longest)."""
    seconds: float = 0.0
    """With --on: only so much of it [s] (0: all)."""
    reduced: bool = False
    """With --on: at the limits of the REDUCED state all the time."""
    surrogate: str | None = None
    """With --on: another robot in the twin's place: a name (sim/surrogates) or a TOML file."""
    world: str | None = None
    """With --on: the twin's surroundings (None: as recorded)."""
    seed: int = 0
    """With --on: seed of the twin's noise."""
    runs: Path = Path("runs")
    """With --on: where the run's folder is made."""
    view: Literal["auto", "live", "plain", "none"] = "auto"
    """With --on: terminal view."""
    spec: str | None = None
    """Judge by this robot's name or TOML file in place of the description in the log; with --twin by its
    calibration."""
    set: tuple[str, ...] = ()
    """Values to change, as PATH=VALUE; a limit, sensor or actuator goes by its name, none removes a bound."""
    png: Path | None = None
    """Draw margins and trips over time into this file, or how twin and log part; with --on always, into the
    run's folder if nothing else is said."""
    json: bool = False
    """Print everything as one JSON object on the last line."""


@dataclass(frozen=True)
class DataLsOptions:
    """List recordings: robot, task, duration, episodes, size, and whether each is whole.

    Example: sandlot data ls runs
    """

    folder: Annotated[Path, Positional] = Path("runs")
    """Where to look, and below."""
    json: bool = False
    """Print one JSON object on the last line."""


@dataclass(frozen=True)
class DataInfoOptions:
    """What a recording holds: its robot, its records, each of its episodes.

    Example: sandlot data info runs/racer/latest
    """

    log: Annotated[Path, Positional] = Path("runs/racer/latest")
    """A run's folder or a log.mcap."""
    json: bool = False
    """Print it as one JSON object."""


@dataclass(frozen=True)
class DataDoctorOptions:
    """What is wrong with a recording: cut off, gaps, drift, dropped frames, times, index, spec.

    Example: sandlot data doctor runs/racer/latest

    Exit code 0 if nothing is, 1 if something is.
    """

    log: Annotated[Path, Positional] = Path("runs/racer/latest")
    """A run's folder or a log.mcap."""
    json: bool = False
    """Print the findings as one JSON object on the last line."""


@dataclass(frozen=True)
class DataRepairOptions:
    """Mend a recording that was cut off into a new one, with an index; the original stays as it is.

    Example: sandlot data repair runs/racer/latest --output mended
    """

    log: Annotated[Path, Positional]
    """A run's folder or a log.mcap."""
    output: Path
    """The new folder, or for a single file the new file."""


@dataclass(frozen=True)
class DataSplitOptions:
    """Copy some of a recording's episodes, with all else from within their time.

    Example: sandlot data split runs/racer/latest --episodes 0-9,12 --output first
    """

    log: Annotated[Path, Positional]
    """A run's folder or a log.mcap."""
    episodes: str
    """Which: 0-9,12 or 5- (sandlot data info lists them)."""
    output: Path
    """The new folder."""


@dataclass(frozen=True)
class DataMergeOptions:
    """Put recordings of one task together, their episodes numbered through.

    Example: sandlot data merge runs/racer/monday runs/racer/tuesday --output both
    """

    logs: Annotated[tuple[Path, ...], Positional]
    """Runs' folders or log files, in order."""
    output: Path
    """The new folder."""


@dataclass(frozen=True)
class DataRelabelOptions:
    """Give a recording another reward, by a Python function of what was logged of each step.

    Example: sandlot data relabel runs/racer/latest --reward rewards.py:smooth --output smooth

    The function takes columns by name and returns a reward for each row: def smooth(steps): return
    steps["reward_progress"] - 0.1 * abs(steps["action_steering"]). All names: --names
    """

    log: Annotated[Path, Positional]
    """A run's folder or a log.mcap."""
    reward: str = ""
    """FILE.py:FUNCTION."""
    output: Path | None = None
    """The new folder."""
    names: bool = False
    """Only list the names of what was logged of each step."""


@dataclass(frozen=True)
class DataExportOptions:
    """Write a recording's episodes as a dataset that other tools read.

    Example: sandlot data export runs/racer/latest --to lerobot --output racer-laps

    To learn from: sandlot data export runs/racer/latest --to journal --output prior
    """

    log: Annotated[Path, Positional]
    """A run's folder or a log.mcap."""
    to: Literal["lerobot", "minari", "robomimic", "journal"]
    """LeRobotDataset v3 (a folder), Minari (a dataset's name), robomimic (an HDF5 file), or a journal of
    prior data (a folder)."""
    output: str
    """What to write: a folder, a file, or for minari a name such as racer/laps-v0."""
    task: str = ""
    """The task in words, of all episodes (default: as it was recorded, else the contract's)."""
    pictures: Literal["video", "encoded"] = "video"
    """For lerobot: H.264 video, or in the table as the camera encoded them, to the last bit."""


@dataclass(frozen=True)
class DataImportOptions:
    """Make prior data of somebody's dataset: a journal that a learner begins with.

    Example: sandlot data import racer-laps --source lerobot --output prior

    Then: sandlot learn --env NAME --prior prior
    """

    dataset: Annotated[str, Positional]
    """The dataset: a LeRobotDataset v3's folder, or the name of one that Minari has here."""
    source: Literal["lerobot", "minari"]
    """Whose format it has."""
    output: Path
    """The new folder."""
    like: Path | None = None
    """A recording with the contract to fit it to; not needed for what 'sandlot data export' wrote."""


@dataclass(frozen=True)
class DataViewOptions:
    """Look at a recording in Rerun or Foxglove, or draw an overview of it.

    Example: sandlot data view runs/racer/latest --png overview.png
    """

    log: Annotated[Path, Positional] = Path("runs/racer/latest")
    """A run's folder or a log.mcap."""
    viewer: Literal["any", "rerun", "foxglove"] = "any"
    """Which to open; any: whichever is installed."""
    png: Path | None = None
    """Draw the overview to this file and open nothing."""


@dataclass(frozen=True)
class BenchRecordingOptions:
    """Recordings killed at random moments and cut at random bytes: what is lost, and what repair saves.

    Example: sandlot bench recording --runs 1000 --csv runs/recording.csv

    Two cameras beside a robot that practises, and the same without: sandlot bench recording --cameras --json
    """

    runs: int = 1000
    """Kills in all, half of them each kind."""
    csv: Path = Path("runs/recording.csv")
    """Rows are appended here; a run that is there is not run again."""
    cameras: bool = False
    """Instead: record two 640 x 480 cameras at 30 Hz beside a learner, in real time: dropped frames, lateness
    of the guardian's loop with and without, bytes a second, shares of a processor."""
    seconds: float = 60.0
    """With --cameras: how long each of the two sessions is [s]."""
    seed: int = 0
    """With --cameras: of both sessions."""
    json: bool = False
    """Print one flat JSON object on the last line."""


@dataclass(frozen=True)
class BenchLoopOptions:
    """Lateness of the guardian's loop under full load, against a C timer loop.

    Example: sandlot bench loop --json
    """

    seconds: float = 60.0
    """How long to measure [s], each of the two loops."""
    rate_hz: float = 500.0
    """The guardian's rate [Hz]."""
    load: bool = True
    """Saturate every core with a learner meanwhile."""
    json: bool = False
    """Print one flat JSON object on the last line."""


@dataclass(frozen=True)
class BenchTickOptions:
    """What a guardian's tick costs, part by part, with the robot's own drivers and estimator.

    Example: sandlot bench tick --json
    """

    seconds: float = 60.0
    """How long to drive [s of the robot's time]."""
    seed: int = 0
    """Seed of the drive."""
    json: bool = False
    """Print one flat JSON object on the last line."""


@dataclass(frozen=True)
class BenchTransportOptions:
    """Transitions from robot to learner over loopback, against raw ZeroMQ.

    Example: sandlot bench transport --json
    """

    seconds: float = 10.0
    """How long to measure [s], each of the four streams."""
    json: bool = False
    """Print one flat JSON object on the last line."""


@dataclass(frozen=True)
class BenchPolicyOptions:
    """Observation to command through onnxruntime, and the cost of swapping policies.

    Example: sandlot bench policy --json
    """

    swaps: int = 1000
    """How many policies to swap in while the loop runs."""
    json: bool = False
    """Print one flat JSON object on the last line."""


@dataclass(frozen=True)
class BenchLearnerOptions:
    """Critic updates per second, against the bare matrix products of an update; memory and start-up.

    Example: sandlot bench learner --json

    On a GPU, and from pictures, too: sandlot bench learner --device cuda --json
    """

    seconds: float = 10.0
    """How long to measure each of the learners [s], half of it its bare products."""
    device: Literal["cpu", "cuda"] = "cpu"
    """What makes the updates."""
    threads: int = 1
    """Processor cores that a learner may use."""
    against: Literal["sb3", "sbx"] | None = None
    """Measure beside Stable-Baselines3, or SBX (the same in JAX), instead."""
    json: bool = False
    """Print one flat JSON object on the last line."""


@dataclass(frozen=True)
class BenchFramesOptions:
    """Storing pictures and drawing them, and updates from pictures: time, memory, disk.

    Example: sandlot bench frames --json
    """

    frames: int = 20_000
    """How many of the 100,000 frames to write, 98 kB each."""
    seconds: float = 20.0
    """How long to measure the updates of each of the two learners [s]."""
    folder: Path | None = None
    """Where to write them: a folder on the disk in question (None: the usual place for temporary files)."""
    json: bool = False
    """Print one flat JSON object on the last line."""


@dataclass(frozen=True)
class BenchKillOptions:
    """What a robot does when a process of its session is killed while it drives, on the twin in real time.

    Example: sandlot bench kill --json
    """

    repeats: int = 3
    """How often each of the five processes is killed."""
    speed: float = 1.5
    """Top speed of the scripted driver meanwhile [m/s]."""
    seed: int = 0
    """Seed of the session and of when exactly the kills come."""
    json: bool = False
    """Print one flat JSON object on the last line."""


@dataclass(frozen=True)
class BenchTeleopOptions:
    """From a person's input to the bytes for the drive, and what a robot does when the input device vanishes.

    Example: sandlot bench teleop --json
    """

    inputs: int = 200
    """How many inputs, some six a second."""
    vanishes: int = 10
    """How often the device vanishes while the robot drives."""
    seed: int = 0
    """Seed of when exactly."""
    json: bool = False
    """Print one flat JSON object on the last line."""


@dataclass(frozen=True)
class BenchTwinOptions:
    """Closed-loop episodes of the twin, many at once, against the bare physics of the same cars.

    Example: sandlot bench twin --json

    Whole episodes, to see whether a timestep gives the same results as a finer one:
    sandlot bench twin --episodes 48 --against-timestep 0.001
    """

    episodes: int = 400
    """How many cars at once."""
    seconds: float = 2.0
    """How long they drive [s]."""
    repeats: int = 3
    """How often each is measured; the fastest counts."""
    policy: Path | None = None
    """A policy's file (None: a network of two layers of 256 that follows the course)."""
    course: str = "oval"
    """Which course they drive on."""
    timestep: float = 0.002
    """Of the physics [s]."""
    against_timestep: float | None = None
    """Drive whole episodes at both timesteps [s] and compare what comes of them, instead of measuring."""
    json: bool = False
    """Print one flat JSON object on the last line."""


@dataclass(frozen=True)
class BenchEstimateOptions:
    """How wrong the estimated state is, element by element, on the twin in lockstep.

    Example: sandlot bench estimate --json

    As the file that the validation's error model is read from:
    sandlot bench estimate --out sim/estimates/racer.toml
    """

    drives: int = 8
    """How many scripted drives, each with a car, a course and a speed of its own."""
    seconds: float = 40.0
    """How long each is [s]."""
    seed: int = 0
    """The first drive's seed; the others count on from it."""
    out: Path | None = None
    """Where to write the error model (None: nowhere)."""
    json: bool = False
    """Print one flat JSON object on the last line."""


@dataclass(frozen=True)
class BenchCalibrationOptions:
    """Identify robots whose parameters are hidden from their logs: errors, coverage, and what it took.

    Example: sandlot bench calibration --csv benchmarks/calibration.csv --json

    A file that has rows goes on where it ended.
    """

    robots: int = 20
    """How many; every fourth is other physics than the twin's."""
    seconds: float = 60.0
    """How long each drives [s]."""
    seed: int = 0
    """Of the truths and the drives."""
    csv: Path = Path("calibration.csv")
    """A row per robot and parameter."""
    threads: int = 0
    """That step the physics; 0: all processors."""
    json: bool = False
    """Print one flat JSON object on the last line."""


@dataclass(frozen=True)
class BenchCalmOptions:
    """Normal driving on the twin in lockstep with every monitor on: false stops, and margins.

    Example: sandlot bench calm --minutes 120

    An hour of practice with its ordinary bumps: sandlot bench calm --minutes 60 --bumps 4

    Exit code 1 if the safety kernel stopped the robot.
    """

    robot: Annotated[str, Positional] = "racer"
    """A robot's name (launch/robots) or its TOML file."""
    courses: tuple[str, ...] = ("oval", "kidney")
    """Courses, driven in turn."""
    minutes: float = 120.0
    """How long to drive altogether [min]."""
    session_minutes: float = 7.5
    """How long each session is [min]; every one has a car, a driver and a seed of its own."""
    bumps: float = 0.0
    """How often a minute the driver loses its way into a wall; the robot recovers by itself."""
    seed: int = 0
    """The first session's seed; the others count on from it."""
    json: bool = False
    """Print one flat JSON object on the last line."""


@dataclass(frozen=True)
class BenchSurrogatesOptions:
    """How far surrogates are from the twin: the same commands sent to each, with nobody correcting.

    Example: sandlot bench surrogates --png surrogates.png
    """

    names: Annotated[tuple[str, ...], Positional] = (
        "bicycle",
        "slippery",
        "heavy",
        "worn",
        "late",
        "stranger",
    )
    """Surrogates: names (sim/surrogates) or TOML files."""
    robot: str = "racer"
    """A robot's name or its TOML file."""
    png: Path | None = None
    """Draw them all into this file."""
    json: bool = False
    """Print one JSON object a car."""


@dataclass(frozen=True)
class BenchRefusalsOptions:
    """Bad policies and bundles, made from a good one: who refuses them, and how fast; and how often the good
    one is refused wrongly. Resumable.

    Example: sandlot bench refusals runs/racer/latest --csv refusals.csv
    """

    run: Annotated[Path, Positional] = Path("runs/racer/latest")
    """The run whose policy is the good one: sandlot practice racer --fast --minutes 5.2."""
    policy: Path | None = None
    """The good one, such as one of the run's policies/ that passes the gates (None: its last)."""
    course: str = "oval"
    """Where it practised."""
    other_course: str = "kidney"
    """Where it did not."""
    episodes: int = 59
    """Of a gate: nominal, and as many randomised. 59 is the fewest that can pass, without any failure."""
    good_seeds: int = 20
    """So many seeds the good policy is asked about with."""
    csv: Path = Path("runs/refusals.csv")
    """An answer a row; what is there is not asked again."""
    json: bool = False
    """Print one flat JSON object on the last line."""


@dataclass(frozen=True)
class BenchCrosscheckOptions:
    """Does the twin's word on policies foretell what they do on surrogates? Resumable.

    Example: sandlot bench crosscheck runs/racer/latest --csv crosscheck.csv --png crosscheck.png
    """

    sources: Annotated[tuple[Path, ...], Positional]
    """ONNX policies, folders of them, or runs."""
    count: int = 5
    """Policies taken from each folder, evenly from the first to the last."""
    surrogates: tuple[str, ...] = ("bicycle", "heavy", "stranger")
    """Surrogates: names (sim/surrogates) or TOML files."""
    robot: str = "racer"
    """A robot's name or its TOML file."""
    course: str = "oval"
    """A course's name or its TOML file."""
    episodes: int = 59
    """On the twin, nominal and as many randomised ones."""
    minutes: float = 1.0
    """On each surrogate [min]."""
    seed: int = 0
    """Seed of every random number."""
    csv: Path = Path("crosscheck.csv")
    """Where the rows go; those that are there are kept."""
    png: Path | None = None
    """Draw twin against surrogates into this file."""
    runs: Path = Path("runs")
    """Where runs lie while they last."""
    json: bool = False
    """Print one JSON object a surrogate."""


@dataclass(frozen=True)
class BenchFaultsOptions:
    """Faults of every kind injected while the robot drives, and what becomes of it; resumable.

    Example: sandlot bench faults

    Two of them: sandlot bench faults pilot_silent serial_drop_all_replies --runs 100

    One run again: sandlot bench faults serial_delay --seed 17

    In real time: sandlot bench faults --processes
    """

    cells: Annotated[tuple[str, ...], Positional] = ()
    """Which faults (--list names them); all without any."""
    runs: int | None = None
    """Runs of each, at random moments of random drives; 1000 without it, 60 with --processes."""
    processes: bool = False
    """Processes of a real session stopped, killed, hung and starved, in real time: 80 s for each run of
    all."""
    defect_runs: int = 10
    """Runs of each robot that is defective on purpose and must be caught."""
    seed: int | None = None
    """Only the run of this seed, told in full and not written down."""
    defect: str = ""
    """With --seed: on the defective robot of this name."""
    csv: Path = Path("runs/faults.csv")
    """Rows are appended here; a run that is there is not run again."""
    workers: int = 1
    """Processes to share the work."""
    list: bool = False
    """Only list the faults."""
    json: bool = False
    """Print one flat JSON object on the last line."""


@dataclass(frozen=True)
class BenchPracticeOptions:
    """How well a robot learns: whole sessions on the twin in lockstep, one CSV row each; resumable.

    Example: sandlot bench practice --seeds 0 1 2 3 4 --minutes 20
    """

    robot: Annotated[str, Positional] = "racer"
    """A robot's name or its TOML file."""
    course: str = "oval"
    """A course's name or its TOML file."""
    driver: Literal["learner", "frozen", "untrained", "pure_pursuit"] = "learner"
    """Who drives: the learner, one of its controls, or the classical driver."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Seeds, a session each."""
    minutes: float = 20.0
    """Practice time of each session [min]."""
    surrogate: str | None = None
    """Drive another robot than the twin: a name (sim/surrogates) or a TOML file."""
    held_out: float | None = None
    """Share of the episodes kept from training, to judge the critics by (None: the learner's default)."""
    csv: Path = Path("benchmarks/practice.csv")
    """Rows are appended here; one that is there is not run again."""
    runs: Path = Path("runs/bench")
    """Where the sessions' folders are made."""
    keep: bool = False
    """Keep the sessions' folders (about 40 MB for 20 min)."""
    json: bool = False
    """Print the rows of this call as one JSON object a line."""


@dataclass(frozen=True)
class ExperimentOptions:
    """What the experiments that compare cases over seeds have in common."""

    csv: Path
    """Where the rows go; a row that is there is not run again. A picture lies beside it."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds, a run of every case each."""


@dataclass(frozen=True)
class ExperimentAlarmOptions(ExperimentOptions):
    """Whether the critics' alarm is silent in long healthy runs and rings before divergence: a row of a CSV
    for each run, and a table; about half an hour of a core for each seed, resumable.

    Example: sandlot experiment alarm --csv benchmarks/alarm.csv --seeds 0 1
    """


@dataclass(frozen=True)
class ExperimentAvtdOptions(ExperimentOptions):
    """AVTD against each of its regularisers alone, on a task whose observations are mostly noise: a row of a
    CSV for each evaluation, and a picture; resumable.

    Example: sandlot experiment avtd --csv benchmarks/avtd.csv --seeds 0 1 2
    """


@dataclass(frozen=True)
class ExperimentGrowthOptions(ExperimentOptions):
    """The whole action range, a growing and a fixed part of it, on a load that hangs and one that stands: a
    row of a CSV for each evaluation, a table and a picture; resumable.

    Example: sandlot experiment growth --csv benchmarks/growth.csv --seeds 0 1 2
    """


@dataclass(frozen=True)
class ExperimentConstraintOptions(ExperimentOptions):
    """PID against plain Lagrangian on Point-Circle, each with its best integral gain: overshoot and swing of
    the cost; a row of a CSV for each episode, and a picture; resumable.

    Example: sandlot experiment constraint --csv benchmarks/constraint.csv --seeds 1 2 3
    """


@dataclass(frozen=True)
class ExperimentInterventionOptions(ExperimentOptions):
    """Practice with and without a simulated person who takes over before the car hits a wall: a row of a CSV
    for each minute, a table and a picture; some ten minutes of a core for each run, resumable.

    Example: sandlot experiment intervention --csv benchmarks/intervention.csv --seeds 0 1 2
    """


@dataclass(frozen=True)
class ExperimentOfflineOptions(ExperimentOptions):
    """BC, IQL and IDQL on data with two modes: a row of a CSV each, and a picture; resumable.

    Example: sandlot experiment offline --csv benchmarks/offline.csv --seeds 0 1 2
    """


@dataclass(frozen=True)
class ExperimentPriorOptions(ExperimentOptions):
    """RLPD on a sparse task, and without one of its parts each: a row of a CSV for each evaluation, and a
    picture; resumable.

    Example: sandlot experiment prior --csv benchmarks/prior.csv --seeds 0 1 2
    """


@dataclass(frozen=True)
class ExperimentReturnsOptions(ExperimentOptions):
    """SAC, DroQ and ten critics, ours and others', on Hopper, HalfCheetah and cheetah-run: a row of a CSV for
    each evaluation, and a picture of each environment; many hours, resumable.

    Example: sandlot experiment returns --csv runs/returns.csv --seeds 0 1 2

    Two of the cases: sandlot experiment returns --csv runs/returns.csv --cases sac "sb3 sac"
    """

    cases: tuple[str, ...] = ()
    """Which of sac, "sb3 sac", droq, "sbx droq" and "10 critics"; all without any."""
