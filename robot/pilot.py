"""The pilot: state to observation to policy to proposed command, and the practice state machine around it.

It may crash without consequence: the guardian stops the robot when commands cease. Once a policy period it
finishes the step before (what came of the last action), asks the state machine who drives, and acts.

Events it leaves: ``lap``, ``lap_deterministic``, ``lap_script``, ``lap_human`` (value: lap time [s]; a lap is
from line to line within one episode, so no failure, recovery or takeover happened in it),
``evaluation_failed``, ``failure``, ``recovery`` (value: rung), ``call``, ``assist``, ``takeover``,
``release``, ``phase``, ``policy_swap`` (value: version), ``policy_refused``, ``policy_not_finite``, and those
of ``robot.teleop.takes``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robot.board import Board
from robot.clock import Clock
from robot.contract import TaskContract
from robot.messages import Actor, InputKind, PilotPhase, command_dtype
from robot.observer import Observer
from robot.policy import Policy, PolicySource
from robot.practice.acting import Acting
from robot.practice.aligning import Aligning
from robot.practice.experience import Experience
from robot.practice.failures import Failure, FailureDetector
from robot.practice.lap_book import LapBook
from robot.practice.logbook import Logbook
from robot.practice.recovery import Orienting, RecoveryLadder
from robot.practice.sight import Eyes, Sight, carried
from robot.practice.state_machine import DRIVING, Practice, Situation, advance
from robot.spec import RobotSpec
from robot.task import Array, Outcome, Task, reward
from robot.teleop.device import TeleopCommand, TeleopDevice
from robot.teleop.takes import Takes, TakeSettings

LATE_SHARE = 0.1
"""A step that starts later than this share of its period is counted as late."""


class Pilot:
    """``demonstrator`` drives the first ``demonstration_laps``; ``teleop`` may take over at any time.

    ``explore``: sample from the policy, else its mean. ``evaluate_every``: with exploration, every so many
    laps one is driven deterministically, without swapping the policy in it. ``noise_correlation`` in [0, 1):
    from one step to the next, of the noise the policy is sampled with.
    """

    def __init__(
        self,
        spec: RobotSpec,
        task: Task,
        contract: TaskContract,
        policies: PolicySource,
        board: Board,
        clock: Clock,
        rng: np.random.Generator,
        *,
        demonstrator: TeleopDevice | None = None,
        demonstration_laps: int = 0,
        teleop: TeleopDevice | None = None,
        takes: TakeSettings = TakeSettings(),  # noqa: B008  (frozen)
        explore: bool = True,
        evaluate_every: int = 0,
        noise_correlation: float = 0.0,
    ) -> None:
        self.spec, self.task = spec, task
        self.practice = Practice()
        self.policy: Policy | None = None
        self._policies, self._board, self._clock, self._rng = policies, board, clock, rng
        self._demonstrator, self._teleop = demonstrator, teleop
        self._demonstration_laps = demonstration_laps if demonstrator is not None else 0
        self._observer = Observer(task, contract)
        self._acting = Acting(spec, contract, rng, noise_correlation)
        self._experience = Experience(board, contract)
        self._detector = FailureDetector(spec)
        self._ladder = RecoveryLadder(spec, rng)
        self._aligning = Aligning(spec)
        self._eyes = Eyes(spec)
        self._logbook = Logbook(board)
        self._takes = Takes(takes, board.cues, self._tell)
        length = float(getattr(task, "cycle_length", 1.0))
        self._laps = LapBook(self._logbook, explore, evaluate_every, length)
        self._orienting = task if isinstance(task, Orienting) else None
        self._rest = np.array([a.rest for a in spec.actuators])
        self._period_ns = round(1e9 / contract.policy_hz)
        self._command_record = np.zeros(1, command_dtype(spec))
        names = self._command_record.dtype.names or ()
        self._command = {name: self._command_record[name] for name in names}
        self._recovery_setpoint = self._rest.copy()
        self._before: Sight | None = None
        self._actor = Actor.NOBODY
        self._finished = False

    def step(self, due_ns: int) -> None:
        """One policy step, due at ``due_ns`` (monotonic)."""
        now = self._clock.now_ns()
        self._logbook.count("steps")
        if now - due_ns > LATE_SHARE * self._period_ns:
            self._logbook.count("late_steps")
        self._renew_policy(now)
        sight = self._eyes.see(self._board.state.read(), now)
        if sight is None:
            self._blind(now)
        else:
            self._look_and_act(now, sight)
            self._before = sight
        self._logbook.publish(now, self.practice.phase, self._actor, self._version)

    def finish(self) -> None:
        """End the session: the episode is truncated, the robot is asked to rest."""
        self._finished = True
        self.step(self._clock.now_ns())

    def conclude(self) -> None:
        """End the session with the next step: who drives has nothing more to do."""
        self._finished = True

    def _blind(self, now: int) -> None:
        """No state to go by: no command either; the guardian deals with that."""
        self._discard(now)
        position = (0.0, 0.0) if self._before is None else self._before.position
        self._change(now, Situation(now, position, able=False, finished=self._finished), None)
        self._actor = Actor.NOBODY

    def _look_and_act(self, now: int, sight: Sight) -> None:
        if self._before is not None and carried(self._before, sight):
            self._discard(now)
        human = None if self._teleop is None else self._teleop.read(now, sight.state)
        failure, outcome = self._judge(now, sight)
        if outcome is not None:
            # Counted before the machine moves, so that the last demonstrated lap hands over at once.
            actor, version = self._actor, self._version
            lapped = self._laps.update(now, sight.time_ns, outcome.progress, actor, version)
            if lapped and self.practice.phase is PilotPhase.DEMONSTRATING:
                self._logbook.count("demonstrated")
        flipped = self._detector.flipped(sight.state)
        asks = self.practice.troubled and self._orienting is not None
        situation = Situation(
            time_ns=now,
            position=sight.position,
            able=sight.able,
            policy=self.policy is not None,
            demonstration=self._logbook["demonstrated"] < self._demonstration_laps,
            human=human is not None,
            finished=self._finished or self._takes.complete,
            failure=failure,
            flipped=flipped,
            oriented=not asks or self._orienting is None or self._orienting.oriented(sight.state),
            calm=sight.calm and not flipped,
            rearmed=self._before is not None and sight.epoch != self._before.epoch,
        )
        cut = self._takes.step(now, self._experience.pending)
        before = self.practice.phase
        if situation.rearmed and before is not PilotPhase.CALLING and self._experience.written > 0:
            self._count_assist(now, "somebody armed the robot again after a safety stop")
        self._change(now, situation, sight)
        if outcome is not None:
            self._conclude(now, sight, outcome, failure, cut or self.practice.phase is not before)
        if sight.converged:
            self._aligning.reset()
            self._act(now, sight, human)
        else:
            self._find_itself(now, sight, flipped)

    def _find_itself(self, now: int, sight: Sight, flipped: bool) -> None:
        """No estimate to drive by: rest, and if it does not return, move a little to find it."""
        waits = self.practice.phase is PilotPhase.CALLING and not self.practice.helped
        if sight.free and not flipped and not waits and not self._finished:
            self._actor = Actor.RECOVERY
            self._send(now, sight, self._aligning.command(now))
        else:
            self._aligning.reset()
            self._actor = Actor.NOBODY
            self._send(now, sight, self._rest)

    def _judge(self, now: int, sight: Sight) -> tuple[Failure | None, Outcome | None]:
        """What came of the waiting action; nothing if there is none or nobody can tell."""
        before = self._before
        if not self._experience.pending or before is None:
            return None, None
        human = self._actor is Actor.HUMAN or self.practice.phase is PilotPhase.TELEOPERATED
        failure = self._detector.update(sight.time_ns, sight.state, may_stand=human)
        if not sight.converged and failure not in (Failure.CRASH, Failure.FLIP):
            self._discard(now)
            return None, None
        outcome = self.task.outcome(before.state, self._acting.action, sight.state, failure is not None)
        if outcome.trouble and failure is None and not human:
            failure = Failure.TASK
            outcome = self.task.outcome(before.state, self._acting.action, sight.state, True)
        return failure, outcome

    def _conclude(
        self, now: int, sight: Sight, outcome: Outcome, failure: Failure | None, moved_on: bool
    ) -> None:
        """Store the step, and end the episode if somebody else drives from here or nobody does."""
        before = self._before
        if before is None:
            return
        ends = failure is not None or moved_on
        altered = sight.altered_ticks != before.altered_ticks or self._acting.inexact
        if altered:
            self._laps.count_altered()
        gap = (sight.time_ns - before.time_ns) / self._period_ns
        paid = reward(self.task, outcome)
        taken = self._actor is Actor.POLICY and self.practice.phase is PilotPhase.TELEOPERATED
        if taken and failure is None:
            paid += self.spec.practice.takeover_reward
        self._experience.finish(
            outcome,
            paid,
            terminated=failure is not None,
            truncated=ends and failure is None,
            altered=altered,
            periods=round(gap) if gap > 1.5 else 1,
        )
        if failure is not None:
            detail = outcome.trouble if failure is Failure.TASK else failure.value
            at = f"x {sight.position[0]:.2f} m, y {sight.position[1]:.2f} m"
            self._tell(now, "failure", self._logbook.count("failures"), f"{detail} at {at}")
        if ends:
            self._end_episode(now, sight, failed=failure is not None)

    def _end_episode(self, now: int, sight: Sight, failed: bool = False) -> None:
        self._experience.close(sight.time_ns, self._observer.observe(sight.state, self._acting.action))
        self._laps.end(now, self._version, failed)

    def _discard(self, now: int) -> None:
        """Nobody can tell what came of the waiting action."""
        if self._experience.open:
            self._experience.discard()
            self._laps.end(now, self._version, failed=False)

    def _change(self, now: int, situation: Situation, sight: Sight | None) -> None:
        """Let the state machine move on, and note what that means."""
        old = self.practice
        new = self.practice = advance(old, situation, self.spec.practice)
        climbed = old.phase is not PilotPhase.RECOVERING or new.rung != old.rung
        if new.phase is PilotPhase.RECOVERING and climbed and sight is not None:
            self._recovery_setpoint = self._ladder.command(new.rung, sight.state, self.task)
            self._logbook.count("recoveries")
            shown = " ".join(f"{v:.2f}" for v in self._recovery_setpoint)
            self._tell(now, "recovery", new.rung, f"rung {new.rung + 1} of {self._ladder.rungs}: {shown}")
        if new.phase is old.phase:
            return
        self._tell(now, "phase", new.phase, f"{old.phase.name} -> {new.phase.name}")
        if new.phase is PilotPhase.CALLING:
            self._tell(now, "call", new.rung, "a person is needed")
        if old.phase is PilotPhase.CALLING and new.phase is not PilotPhase.FINISHED:
            self._count_assist(now, "somebody answered the call")
        if new.phase is PilotPhase.TELEOPERATED:
            self._tell(now, "takeover")
        if old.phase is PilotPhase.TELEOPERATED:
            self._tell(now, "release")

    def _count_assist(self, now: int, text: str) -> None:
        self._tell(now, "assist", self._logbook.count("assists"), text)

    def _act(self, now: int, sight: Sight, human: TeleopCommand | None) -> None:
        phase = self.practice.phase
        if phase not in DRIVING:
            recovering = phase is PilotPhase.RECOVERING
            in_trouble = recovering or phase is PilotPhase.SETTLING
            self._actor = Actor.RECOVERY if in_trouble else Actor.NOBODY
            self._send(now, sight, self._recovery_setpoint if recovering else self._rest)
            return
        if self._takes.between and human is not None:
            self._put_back(now, sight, human)
            return
        if not self._experience.open:
            self._begin_episode(now, sight)
        observation = self._observer.observe(sight.state, self._acting.action)
        if phase is PilotPhase.PRACTISING:
            setpoint, actor = self._follow_policy(now, observation), Actor.POLICY
        else:
            if phase is PilotPhase.DEMONSTRATING and self._demonstrator is not None:
                human = self._demonstrator.read(now, sight.state)
            setpoint = self._acting.by_device(human, now)
            actor = Actor.NOBODY if human is None else human.source
        if setpoint is None:
            self._experience.close(sight.time_ns, observation)
            self._laps.end(now, self._version, failed=False)
            self._actor = Actor.NOBODY
            self._send(now, sight, self._rest)
            return
        self._actor = actor
        version = self._version if actor is Actor.POLICY else 0
        self._experience.act(sight.time_ns, observation, self._acting.action, actor, version)
        self._send(now, sight, setpoint, None if actor is Actor.POLICY else human)

    def _put_back(self, now: int, sight: Sight, human: TeleopCommand) -> None:
        """Driven between two takes: nobody's experience."""
        self._acting.start(sight.allowed)
        setpoint = self._acting.by_device(human, now)
        self._actor = Actor.NOBODY if setpoint is None else human.source
        self._send(now, sight, self._rest if setpoint is None else setpoint, human)

    def _begin_episode(self, now: int, sight: Sight) -> None:
        self._observer.reset(sight.state)
        self._detector.reset(sight.time_ns, sight.state)
        self._takes.begin(now, self._experience.begin())
        self._acting.start(sight.allowed)
        start = self.task.outcome(sight.state, self._acting.action, sight.state, False)
        practising = self.practice.phase is PilotPhase.PRACTISING
        self._laps.start(sight.time_ns, start.progress, practising)

    def _follow_policy(self, now: int, observation: NDArray[np.float32]) -> Array | None:
        policy = self.policy
        if policy is None:
            return None
        setpoint = self._acting.by_policy(policy, observation, self._laps.explores)
        if setpoint is None:
            text = f"policy {policy.version} is not used any more"
            self._tell(now, "policy_not_finite", policy.version, text)
            self._policies.retire(policy)
            self.policy = None
        return setpoint

    @property
    def _version(self) -> int:
        return 0 if self.policy is None else self.policy.version

    def _renew_policy(self, now: int) -> None:
        for event in self._policies.messages():
            self._tell(event.time_ns, event.kind, event.value, event.text)
        if self._laps.evaluating:
            return
        fresh = self._policies.take()
        if fresh is None:
            return
        old, self.policy = self.policy, fresh
        if old is not None:
            self._policies.retire(old)
        self._logbook["policy_time_ns"] = now
        self._tell(now, "policy_swap", fresh.version, f"policy {fresh.version} drives from here")

    def _send(self, now: int, sight: Sight, setpoint: Array, driver: TeleopCommand | None = None) -> None:
        command = self._command
        command["input_ns"][0] = 0 if driver is None else driver.input_ns
        command["input"][0] = InputKind.NONE if driver is None else driver.input
        command["time_ns"][0], command["epoch"][0], command["actor"][0] = now, sight.epoch, self._actor
        command["policy_version"][0] = self._version if self._actor is Actor.POLICY else 0
        command["setpoint"][0] = setpoint
        self._board.command.write(self._command_record)

    def _tell(self, time_ns: int, kind: str, value: float = 0.0, text: str = "") -> None:
        self._logbook.tell(time_ns, kind, value, text)
