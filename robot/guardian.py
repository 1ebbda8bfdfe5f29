"""The guardian: sole owner of the actuators, and the only process whose failure the drive's own timeout
covers.

Each tick: take what the devices sent, estimate, read the mailboxes, let the monitors judge, step the state
machine, act, and publish. It needs no network, waits on nothing but its own deadline, and whatever way it
ends, the drivers are stopped first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from robot.board import Board
from robot.clock import Clock, Ticker
from robot.enable_channel import EnableChannel
from robot.estop_inbox import EstopInbox
from robot.event_log import EventLog
from robot.inbox import Inbox, OperatorInbox
from robot.interface import Driver, Estimator
from robot.links import Links
from robot.messages import Actor, Cause, SafetyState
from robot.outbox import Outbox
from robot.safety.barrier import Barrier
from robot.safety.command_gate import CommandGate
from robot.safety.monitors import CLEAR, OverrunMonitor, Verdict, worse
from robot.safety.projection import Projection
from robot.safety.setpoint_hold import SetpointHold
from robot.safety.state_machine import AUTHORITY, TORQUE, Inputs, KernelState, Request, Timing, boot, step
from robot.safety.until_still import UntilStill
from robot.senses import Senses
from robot.spec import RobotSpec

_SHUTDOWN = Verdict(Request.CATEGORY1, Cause.SHUTDOWN, "asked to end")
_WANTED = (Cause.NONE, Cause.ENABLE_RELEASED, Cause.OPERATOR_STOP, Cause.SHUTDOWN)
"""Causes that are somebody's wish and no fault."""
_WAITING = (SafetyState.BOOT, SafetyState.STANDBY)
_TIMED = (SafetyState.ACTIVE, SafetyState.REDUCED, SafetyState.HOLD)
"""States in which a silent pilot is a reason to stop, or to stay stopped."""


class Guardian:
    """Runs a robot: ``start``, then ``tick`` at ``spec.rates.guardian_hz``, then ``close``; or ``run`` for
    all three in real time. ``tick`` never raises because of a device, an estimator or anything in a
    mailbox."""

    def __init__(
        self, spec: RobotSpec, drivers: Sequence[Driver], estimator: Estimator, clock: Clock, board: Board
    ) -> None:
        self.spec = spec
        self._clock = clock
        self._board = board
        self._timing = Timing.of(spec)
        period_ns = round(1e9 / spec.rates.guardian_hz)
        self._overrun = OverrunMonitor(period_ns, spec.safety.overrun_s)
        self.events = EventLog(board.guardian_events)
        self._links = Links(spec, drivers, self.events)
        self._senses = senses = Senses(spec, estimator, clock, board, self.events)
        self._barrier = Barrier(spec, senses.monitors.fence)
        self._projection = Projection(spec.actuators, spec.rates.guardian_hz)
        self._hold = SetpointHold(spec)
        self._authority = spec.safety.authority
        self._reduced = min(spec.safety.reduced_scale, spec.safety.authority)
        lease_s = spec.enable.lease_s if spec.enable.source == "attendance" else None
        self._operator = OperatorInbox(board.operator, spec.enable.timeout_s, lease_s)
        self._estops = EstopInbox(spec.estop, board.estops)
        self._command = Inbox(board.command)
        self._gate = CommandGate(len(spec.actuators), spec.safety.command_timeout_s)
        by_radio = spec.enable.source == "transmitter"
        self._channel = EnableChannel(spec, senses.measurements) if by_radio else None

        self._anchor = np.array([a.rest for a in spec.actuators])
        """What the drives are taken to be doing, shape (n_actuators,): the base of the slew limit."""
        self._before = self._anchor.copy()
        """The anchor one tick earlier."""
        self._previous_sent = self._anchor.copy()
        self._kernel = boot(0)
        self._restart_brake = UntilStill(spec.stop.deadline_s)
        """A guardian that follows another one brakes: the drives' timeouts have been braking since the other
        one's end, and the first "torque off" would let a robot go that still rolls."""
        self._rundown = UntilStill(spec.stop.deadline_s)
        """Torque went off while the robot may be moving."""
        self._silent = spec.stop.powerless == "silence"
        self._outbox = Outbox(spec, board, senses.measurements.record)
        self._fault_ns = 0
        """When the newest fault was latched."""
        self._started = self._closed = self._ending = False

    @property
    def kernel(self) -> KernelState:
        """The safety state machine's memory."""
        return self._kernel

    @property
    def at_rest(self) -> bool:
        """Whether torque is off, so that the process may end."""
        rolling = self._restart_brake.active or self._rundown.active
        return self._kernel.state not in TORQUE and not rolling

    def start(self) -> None:
        """Open the devices. Commands and button presses from before now never count.

        Raises PortError with every device closed again.
        """
        if self._started:
            return
        now = self._clock.now_ns()
        before = self._board.state.read()
        epoch = 0 if before is None else int(before["epoch"][0])
        self._kernel = boot(now, epoch)
        if before is not None:
            self._restart_brake.begin(now)
        self._gate = CommandGate(
            len(self.spec.actuators), self.spec.safety.command_timeout_s, epoch, self._board.command.sequence
        )
        self._started = True
        try:
            self._links.open(now)
        except BaseException:
            self.close()
            raise

    def request_stop(self) -> None:
        """Bring the robot to a category-1 stop; go on ticking until ``at_rest``, then ``close``."""
        self._ending = True

    def run(self, stop: Callable[[], bool]) -> None:
        """Start, tick on absolute deadlines until ``stop()`` is true and the robot stands, and close."""
        try:
            self.start()
            ticker = Ticker(self._clock, self.spec.rates.guardian_hz)
            while not (self._ending and self.at_rest):
                ticker.wait()
                self.tick(ticker.due_ns)
                ticker.advance()
                self._ending = self._ending or stop()
        finally:
            self.close()

    def tick(self, due_ns: int) -> None:
        """One period's work; ``due_ns`` is when it should have begun."""
        now = self._clock.now_ns()
        verdict = worse(self._overrun.update(now, due_ns), _SHUTDOWN if self._ending else CLEAR)
        self._links.poll(now, self._senses.measurements)
        verdict = worse(verdict, self._links.verdict(now))
        if self._kernel.state == SafetyState.ARMING:
            due = now - self._kernel.since_ns >= self._timing.arming_ns
            verdict = worse(verdict, self._links.doubt(due))
        verdict = worse(verdict, self._senses.update(now, self._previous_sent))
        self._read_command(now)
        before = self._kernel
        verdict = worse(verdict, Verdict(*self._gate.request(now, before.state in _TIMED)))
        self._operator.update(self._clock)
        verdict = worse(verdict, self._estops.update(self._clock))
        self._outbox.judged_by(
            self._operator.read_ns,
            self._command.newest,
            self._operator.newest,
            self._links.flags,
            self._ending,
            self._estops.summary,
        )
        self._advance(now, verdict)
        self._act(now)
        self._publish(now, due_ns, verdict)

    def close(self) -> None:
        """Stop every drive, then close its port. Never raises; a second call does nothing."""
        if self._closed or not self._started:
            return
        self._closed = True
        now = self._clock.now_ns()
        abandoned = self._kernel.state in TORQUE
        self._links.close(now, torque=not self.at_rest)
        if abandoned:
            self.events.put(
                now, "abandoned", self._kernel.state, "ended in motion: braked, then the drive's timeout"
            )
            self._outbox.abandon(now, SafetyState.FAULT, self._kernel.cause or Cause.SHUTDOWN)

    def _read_command(self, now: int) -> None:
        record = self._command.take()
        if record is None:
            return
        verdict = self._gate.offer(
            self._clock.now_ns(),  # after reading: a command written while we read is not from the future
            int(record["sequence"][0]),
            int(record["time_ns"][0]),
            int(record["epoch"][0]),
            record["setpoint"][0],
            int(record["actor"][0]),
            int(record["policy_version"][0]),
        )
        if verdict == "accepted":
            self._senses.monitors.novelty[0] = record["novelty"][0]
            self._hold.take(self._gate.setpoint, self._anchor)
        elif verdict != "repeated" and self._kernel.state in AUTHORITY:
            count = self._gate.rejected[verdict]
            self.events.at_most_once_a_second(now, f"command_{verdict}", count, "a command was not actuated")

    def _advance(self, now: int, verdict: Verdict) -> None:
        """Step the state machine and tell what changed."""
        operator, before = self._operator, self._kernel
        ready = verdict.request < Request.CATEGORY2
        self._kernel = after = step(
            before,
            Inputs(
                now_ns=now,
                request=verdict.request,
                cause=verdict.cause,
                estop=operator.estop or self._estops.pressed,
                enable=operator.enable
                if self._channel is None
                else self._channel.enabled(self._senses.monitors.freshness.stale),
                fresh=operator.fresh,
                arm=operator.arm,
                reset=operator.reset,
                resume=operator.resume,
                stop=operator.stop,
                still=self._senses.still,
                ready=ready,
            ),
            self._timing,
        )
        if after.state is not before.state:
            if after.state == SafetyState.ARMING:
                self._gate.begin(now, after.epoch)
            elif after.state == SafetyState.ACTIVE:
                self._gate.grace(now)
            elif self._silent and self._cut_while_moving(before, after):
                self._rundown.begin(now)
            why = after.trigger.name.lower()
            if after.trigger != Cause.NONE and after.trigger == verdict.cause and verdict.detail:
                why += f" ({verdict.detail})"
            text = f"{before.state.name} -> {after.state.name}" + (f": {why}" if after.trigger else "")
            self.events.put(now, "state", after.state, text)
        elif before.state == SafetyState.STANDBY and operator.arm != before.arm and operator.fresh:
            self.events.put(now, "arm_refused", 0.0, self._refusal(verdict))

    def _cut_while_moving(self, before: KernelState, after: KernelState) -> bool:
        """Whether torque went off on a robot that may move; not one whose brakes have been tried in vain."""
        moving = before.state in TORQUE or self._restart_brake.active
        cut = moving and after.state in (SafetyState.STOP0, SafetyState.ESTOP)
        return cut and after.trigger != Cause.DEADLINE

    def _refusal(self, verdict: Verdict) -> str:
        if verdict.request != Request.NONE:
            return f"{verdict.cause.name.lower()} ({verdict.detail})"
        return "enable must be held, and must have been released since the reset"

    def _act(self, now: int) -> None:
        """Drive, brake or let go, as the state allows; after a restart also brake what may still roll."""
        state, outbox, valid, senses = self._kernel.state, self._outbox, self._gate.valid, self._senses
        rolling = self._restart_brake.update(now, senses.still)
        running_down = self._rundown.update(now, senses.still)
        if state in AUTHORITY and valid:
            requested = self._hold.target()
            scale = self._reduced if state == SafetyState.REDUCED else self._authority
            safe = self._barrier.filter(requested, self._anchor, senses.state, senses.deviation)
            allowed = self._projection.project(safe, self._anchor, scale, self._before)
            self._links.command(now, allowed, outbox.sent)
            went = np.isfinite(outbox.sent)
            # The slew limit starts from what was allowed, not from what the drive made of it: a drive with a
            # dead band would otherwise never be let out of it.
            np.copyto(self._before, self._anchor)
            np.copyto(self._anchor, allowed, where=went)
            outbox.allowed[:] = allowed
            outbox.requested[:] = requested
            outbox.altered = self._hold.altered(allowed, self._projection.step)
        else:
            if state == SafetyState.ARMING:
                self._links.prove(now, self._kernel.since_ns == now, outbox.sent)
            elif running_down and state not in TORQUE:
                self._links.silence(now, outbox.sent)
            else:
                self._links.stop(now, state in TORQUE or (rolling and state in _WAITING), outbox.sent)
            went = np.isfinite(outbox.sent)
            np.copyto(self._anchor, outbox.sent, where=went)
            np.copyto(self._before, self._anchor)
            outbox.allowed[:] = self._anchor
            outbox.requested[:] = self._gate.setpoint
            outbox.altered = valid and state in TORQUE
        np.copyto(self._previous_sent, outbox.sent, where=went)
        self._hold.advance()

    def _publish(self, now: int, due_ns: int, verdict: Verdict) -> None:
        kernel, gate, senses = self._kernel, self._gate, self._senses
        driving = kernel.state in AUTHORITY and gate.valid
        actor = gate.actor if driving else (Actor.SAFETY if kernel.state in TORQUE else Actor.NOBODY)
        # Before arming there is no latched cause: what stands in the way of arming is the one to show.
        cause = verdict.cause if kernel.state in _WAITING else kernel.cause
        self._outbox.send(
            now_ns=now,
            due_ns=due_ns,
            kernel=kernel,
            cause=cause,
            actor=actor,
            policy_version=gate.policy_version if driving else 0,
            estimate=senses.state,
            deviation=senses.deviation,
            converged=senses.converged,
            overruns=self._overrun.count,
            request=verdict.request,
            margin=senses.monitors.limits.margin,
            silence=senses.monitors.silence,
        )
        stopped = kernel.cause not in _WANTED and kernel.state not in AUTHORITY
        first = stopped and kernel.cause_ns != self._fault_ns
        if first:
            self._fault_ns = kernel.cause_ns
        self._outbox.finish(self._clock.now_ns() - now, verdict.detail if first else None)
