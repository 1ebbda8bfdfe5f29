"""The real guardian against a reference told from the requirements, on random stories of faults, commands
and people.

A short version runs with the tests. A long one, of about a million guardian ticks::

    SANDLOT_GUARDIAN_TICKS=1000000 .venv/bin/pytest -s tests/robot/test_guardian_machine.py -k long

That a guardian with a defect is caught is part of the test: each of ``DEFECTS`` breaks the kernel or the
guardian in one place, and the same machine must find it.
"""

from __future__ import annotations

import itertools
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from guarded_car import SECOND, GuardedCar, finite, smuggle, tear
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)
from numpy.typing import NDArray
from safety_reference import (
    BUTTONS,
    CATEGORY0,
    CATEGORY1,
    CATEGORY2,
    DRIVES,
    LATCHED,
    MS,
    PUSHES,
    REDUCE,
    Facts,
    Hazard,
    Order,
    Reference,
    Said,
)

import robot.guardian as guardian_module
import robot.safety.state_machine as state_machine
from launch.replay.comparison import compare
from robot.inbox import OperatorInbox
from robot.links import Links
from robot.messages import Cause, SafetyState
from robot.outbox import Outbox
from robot.safety.command_gate import CommandGate
from robot.safety.freshness import Freshness
from robot.safety.limits import Limits
from robot.safety.monitors import CLEAR, OverrunMonitor
from robot.safety.projection import Projection
from robot.safety.standstill import Standstill
from robot.safety.state_machine import Inputs, KernelState, Timing
from robot.safety.until_still import UntilStill
from robot.senses import Senses

pytestmark = pytest.mark.slow

S = SafetyState
NEVER = 1 << 62
CONFUSION_NS = 6 * SECOND
"""An estimate that was without its sensors for long takes so long to be right again."""
MEMORY = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else None
COUNTS = {"ticks": 0, "stories": 0}
STATES: dict[SafetyState, int] = dict.fromkeys(SafetyState, 0)

ticks = st.integers(1, 40)
speeds = st.floats(-3.0, 8.0)
driving = st.booleans()
"""Whether the car is got going before it happens."""
steerings = st.floats(-0.5, 0.5)


STORIES: list[str] = []


def story(**strategies: Any) -> Callable[[Callable[..., None]], Any]:
    """A rule that can be left out."""

    def decorate(tell: Callable[..., None]) -> Any:
        STORIES.append(tell.__name__)
        return rule(**strategies)(tell)

    return decorate


class GuardianMachine(RuleBasedStateMachine):
    """Each rule lets some ticks pass; after every one of them everything that must hold is checked."""

    only = False
    """Whether some rules were left out: then each of the others strikes a robot that drives."""
    replays = False
    """Whether what was logged is judged once more at the end of a story."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="sandlot-machine-", dir=MEMORY))
        self.car = GuardedCar(self.directory)
        self.model = self.reference()
        self.pilot, self.person = "good", "here"
        self.said: Said | None = None
        self.order: Order | None = None
        self.written = itertools.count(1)
        self.logged: list[NDArray[np.void]] = []
        self.honest = 0
        """The command mailbox's own sequence, while a smuggled record lies on top; 0: none does."""
        self.count = 0
        self.driven = (0.0, 0.0)
        self.told: list[tuple[str, float]] = []
        self.cut_ns = NEVER
        """When torque went off on a robot that has been moving since."""
        self.restarted = False
        self.cause = Cause.NONE
        self.car.command["setpoint"] = (2.0, 0.1)
        COUNTS["stories"] += 1

    def reference(self) -> Reference:
        now = self.car.clock.now_ns()
        model = Reference(self.car.spec, epoch=self.car.guardian.kernel.epoch, since_ns=now, now_ns=now)
        model.add(Hazard(CATEGORY2, now, NEVER, now, now + 300 * MS, blinds=True))
        return model

    def teardown(self) -> None:
        self.car.guardian.close()
        shutil.rmtree(self.directory, ignore_errors=True)
        if self.replays and self.logged:
            compared = compare(self.car.spec, np.concatenate(self.logged))
            assert not compared.logged.spans, compared.logged.spans[:3]

    # One tick, and all that must be true after it.

    @property
    def now(self) -> int:
        return self.car.clock.now_ns()

    @property
    def state(self) -> SafetyState:
        return self.car.guardian.kernel.state

    def run(self, ticks: int, until: Callable[[], bool] | None = None) -> bool:
        for _ in range(ticks):
            self.tick()
            if until is not None and until():
                return True
        return until is None

    def tick(self, late_ns: int = 0) -> None:
        if self.count % 5 == 0:
            self.speak()
        self.count += 1
        car = self.car
        for driver in car.drivers:
            driver.raised = False
        car.tick(late_ns)
        if self.honest:
            car.board.command._region._written[0], self.honest = self.honest, 0
        self.judge(late_ns)
        if any(d.raised and "poll" not in d.fails for d in car.drivers):
            self.model.once = CATEGORY1

    def judge(self, late_ns: int) -> None:
        car, model = self.car, self.model
        COUNTS["ticks"] += 1
        model.tick(Facts(car.clock.now_ns(), late_ns, car.plant.speed, self.said, self.order))
        kernel = car.guardian.kernel
        before = model.state
        model.observe(kernel.state, kernel.epoch)
        STATES[kernel.state] += 1
        self.check_records(before)
        self.check_wire()
        self.check_rundown(before)

    def check_records(self, before: SafetyState) -> None:
        """Mailbox, log and kernel tell the same; what changed was told; the first cause stays."""
        board, kernel = self.car.board, self.car.guardian.kernel
        state = board.state.read()
        assert state is not None and board.ticks.waiting == 1
        self.logged.append(board.ticks.peek(1))
        board.ticks.consume(1)
        tick = self.logged[-1][0]
        for name in ("time_ns", "epoch", "safety_state", "cause", "converged"):
            assert tick[name] == state[name][0], name
        for name in ("state", "allowed", "sent"):
            assert tick[name].tobytes() == state[name][0].tobytes(), name
        assert state["time_ns"][0] == self.now
        assert S(int(state["safety_state"][0])) == kernel.state and state["epoch"][0] == kernel.epoch
        events = board.guardian_events.peek(1024)
        board.guardian_events.consume(len(events))
        told = [e["text"].decode().partition(":")[0] for e in events if e["kind"] == b"state"]
        assert told == ([f"{before.name} -> {kernel.state.name}"] if before != kernel.state else [])
        cause = Cause(int(state["cause"][0]))
        if kernel.state in LATCHED:
            assert cause != Cause.NONE, "stopped for no reason"
            if before in LATCHED and not self.model.backwards:
                assert cause == self.cause, "the first cause gave way to a later one"
        self.cause = cause

    def check_wire(self) -> None:
        """What reached the drive."""
        car, model, spec = self.car, self.model, self.car.spec
        written = car.wire.take()
        motor = [(kind, value) for kind, value in written if kind != "servo"]
        self.told = motor
        servo = [
            (v - spec.scalar("servo_offset")) / spec.scalar("servo_gain") for k, v in written if k == "servo"
        ]
        allowed = car.board.state.read()["allowed"][0]  # type: ignore[index]
        assert finite(allowed)
        for a, value in zip(spec.actuators, allowed, strict=True):
            assert a.lower <= value <= a.upper, f"{a.name} {value}"
        kinds = {kind for kind, _ in motor}
        speed_0, steering_0 = self.driven
        if "rpm" in kinds:
            assert model.may_drive, f"drives in {model.state.name}"
            assert kinds == {"rpm"} and len(motor) == 1
        elif model.state in PUSHES:
            proving = model.state == S.ARMING and all(abs(value) <= 1.0 for _, value in motor)
            assert kinds <= {"brake"} or proving, f"{motor} in {model.state.name}"
        elif self.restarted:
            assert kinds <= {"brake", "current"}
        else:
            assert kinds <= {"current"} and all(value == 0.0 for _, value in motor), (
                f"{motor} in {model.state.name}"
            )
        speed = motor[-1][1] / spec.scalar("erpm_per_speed") if "rpm" in kinds else 0.0
        steering = servo[-1] if servo else steering_0
        dead, quantum = 0.2, 0.001
        up, side = (a.slew / spec.rates.guardian_hz for a in spec.actuators)
        if "rpm" in kinds:
            assert abs(speed - speed_0) <= up + (dead if abs(speed_0) < dead else quantum), "speed's slew"
            assert -1.5 - quantum <= speed <= 5.0 + quantum
            goal = model.goal or (0.0, 0.0)
            self.towards(speed, speed_0, goal[0], dead)
            self.towards(steering, steering_0, goal[1], 2 * quantum)
            if model.state == S.REDUCED:
                most = max(abs(speed_0) - 0.5 * up, spec.safety.reduced_scale * 5.0, dead)
                assert abs(speed) <= most + quantum, "a derated robot goes no faster than its share"
        assert abs(steering - steering_0) <= side + quantum, "steering's slew"
        assert abs(steering) <= 0.263 + quantum
        self.driven = (speed, steering)

    def check_rundown(self, before: SafetyState) -> None:
        """Torque that goes off while the robot moves is not given away: its drive is left to its timeout."""
        kernel, spec = self.car.guardian.kernel, self.car.spec
        cut = before in PUSHES and kernel.state in (S.STOP0, S.ESTOP) and kernel.trigger != Cause.DEADLINE
        if cut:
            self.cut_ns = self.now
        state = self.car.board.state.read()
        assert state is not None
        speed = abs(float(state["state"][0][spec.state_layout.index(spec.stop.standstill)]))
        if not speed >= spec.stop.standstill_below or kernel.state in PUSHES:
            self.cut_ns = NEVER  # it may count as standing from now on
        if self.now < self.cut_ns + spec.stop.deadline_s * SECOND and self.cut_ns <= self.now:
            assert not self.told, f"{self.told} to a drive that moves, in {kernel.state.name}"

    @staticmethod
    def towards(value: float, before: float, goal: float, slack: float) -> None:
        """Between where it was, where the pilot wants it, and rest: never beyond the pilot's own wish."""
        assert min(before, goal, 0.0) - slack <= value <= max(before, goal, 0.0) + slack, (
            "nobody asked for that"
        )

    # Who speaks.

    def speak(self) -> None:
        """What the person and the pilot write, each in their present mood."""
        if self.person != "gone":
            self.attend()
        if self.pilot != "silent":
            self.order_now(self.pilot)

    def attend(self, age_ns: int = 0) -> None:
        record = self.car.operator
        record["time_ns"] = self.now - age_ns
        self.car.board.operator.write(record)
        presses = {button: int(record[button][0]) for button in BUTTONS}
        enable, estop = int(record["enable"][0]) == 1, int(record["estop"][0]) != 0
        self.said = Said(self.now - age_ns, enable, estop, presses)

    def order_now(self, kind: str) -> None:
        car, mailbox = self.car, self.car.board.command
        record = car.command.copy()
        record["time_ns"], record["epoch"] = self.now, car.guardian.kernel.epoch
        bad = {"nan": math.nan, "inf": math.inf, "minus inf": -math.inf, "huge": 1e308}.get(kind)
        if bad is not None:
            record["setpoint"][0, self.count % 2] = bad
        if kind in ("old epoch", "next epoch", "future", "stale", "replayed"):
            record["setpoint"] = (-1.5, -0.26)  # what the pilot does not want now
        if kind == "old epoch":
            record["epoch"] -= 1
        elif kind == "next epoch":
            record["epoch"] += 1
        elif kind == "future":
            record["time_ns"] += 60 * SECOND
        elif kind == "stale":
            record["time_ns"] -= SECOND
        number = next(self.written)
        setpoint = tuple(record["setpoint"][0].tolist())
        order = Order(number, int(record["time_ns"][0]), int(record["epoch"][0]), setpoint)
        if kind == "replayed":
            if mailbox.sequence > 1:
                self.honest = mailbox.sequence
                smuggle(mailbox, record, self.honest - 1)
            return
        mailbox.write(record)
        if kind == "torn":
            tear(mailbox)
            return
        self.order = order

    # Stories.

    @initialize(wait=st.booleans())
    def power_up(self, wait: bool) -> None:
        self.run(20)
        if wait:
            self.drive_off()

    def drive_off(self) -> None:
        """From wherever it stands, a person who does all the right things gets it going: bounded, always."""
        self.mend()
        operator = self.car.operator
        self.pilot, self.person = "good", "here"
        operator["estop"] = 0
        goes = self.state in DRIVES and operator["enable"][0] == 1
        if goes and self.run(40, lambda: self.model.calm) and self.state in DRIVES:
            return
        operator["enable"] = 0
        assert self.run(800, lambda: self.model.calm and self.state not in PUSHES - {S.HOLD}), (
            f"no calm: {self.model.hazards}, {self.model.most}, {self.state.name}"
        )
        for _ in range(4):
            self.attend()
            self.run(3)
            if self.state in (S.ESTOP, S.FAULT):
                self.push("reset")
            elif self.state in PUSHES:
                self.push("stop")
                assert self.run(250, lambda: self.state == S.FAULT), "a stop that does not end"
        assert self.state == S.STANDBY, f"{self.state.name}: reset by the book does not lead to STANDBY"
        operator["enable"] = 1
        self.attend()
        self.run(3)
        self.push("arm")
        assert self.run(150, lambda: self.state == S.ACTIVE), f"{self.state.name}: armed by the book"

    @story(timeout_s=st.sampled_from([0.0, 0.5, 5.0]))
    def drive_would_not_stop_by_itself(self, timeout_s: float) -> None:
        """Its own timeout is off or too long: then nothing arms the robot."""
        device = self.car.rig.devices["vesc"]
        self.drive_off()
        self.push("stop")
        set_to, device.timeout_ns = device.timeout_ns, round(timeout_s * SECOND)  # type: ignore[attr-defined]
        self.model.stops_by_itself = False
        self.car.operator["enable"] = 0
        self.run(250, lambda: self.state == S.FAULT and self.model.calm)
        self.push("reset")
        self.car.operator["enable"] = 1
        self.run(5)
        self.push("arm")
        assert self.state == S.ARMING
        self.run(300, lambda: self.state == S.FAULT)
        assert self.state == S.FAULT
        device.timeout_ns = set_to  # type: ignore[attr-defined]
        self.model.stops_by_itself = True

    def mend(self) -> None:
        """Whatever was wrong is put right; it takes a moment until that is seen."""
        car, plant, now = self.car, self.car.plant, self.now
        for device in car.rig.devices.values():
            device.faults.set(())
        for driver in car.drivers:
            driver.fails, driver.poison = set(), {}
        car.estimator.trouble = ""
        plant.fet_temperature, plant.motor_temperature, plant.input_voltage = 31.0, 40.0, 11.6
        plant.held_speed, plant.slippery = None, False
        plant.blow = 0.0
        for hazard in (h for h in self.model.hazards if h.mends):
            hazard.end_ns = min(hazard.end_ns, now)
            hazard.over_ns = min(hazard.over_ns, now + 1500 * MS)

    @contextmanager
    def hazard(
        self, category: int, after_ns: int = 0, lingers_ns: int = 60 * MS, blinds: bool = False
    ) -> Iterator[None]:
        """Something wrong for as long as the block runs; sure to be seen ``after_ns`` after it begins."""
        now = self.now
        hazard = Hazard(category, now, now + after_ns, NEVER, NEVER, blinds=blinds)
        self.model.add(hazard)
        yield
        hazard.end_ns, hazard.over_ns = self.now, self.now + lingers_ns

    def push(self, button: str) -> None:
        self.car.operator[button] += 1
        self.attend()
        self.tick()

    @story(first=st.booleans(), speed=speeds, steering=steerings, ticks=ticks)
    def drives(self, first: bool, speed: float, steering: float, ticks: int) -> None:
        if first:
            self.drive_off()
        self.car.command["setpoint"] = (speed, steering)
        self.run(ticks)

    @story(ticks=st.integers(20, 120))
    def drives_off(self, ticks: int) -> None:
        self.drive_off()
        self.car.command["setpoint"] = (3.0, 0.1)
        self.run(ticks)

    @story(
        driving=driving,
        kind=st.sampled_from(["nan", "inf", "minus inf", "huge", "torn"]),
        each=st.booleans(),
        ticks=ticks,
    )
    def commands_are_nonsense(self, driving: bool, kind: str, each: bool, ticks: int) -> None:
        """At the pilot's rate, or in every tick."""
        self.commanded(driving, kind, each, ticks)

    @story(
        driving=driving,
        kind=st.sampled_from(["old epoch", "next epoch", "future", "stale", "replayed"]),
        each=st.booleans(),
        ticks=ticks,
    )
    def commands_are_not_for_now(self, driving: bool, kind: str, each: bool, ticks: int) -> None:
        """And want something else than the pilot does."""
        self.commanded(driving, kind, each, ticks)

    def commanded(self, driving: bool, kind: str, each: bool, ticks: int) -> None:
        if driving or self.only:
            self.drive_off()
        before, self.pilot = self.pilot, kind
        for _ in range(ticks):
            if each:
                self.order_now(kind)
            self.tick()
        self.pilot = before

    @story(driving=driving, ticks=ticks)
    def pilot_is_silent(self, driving: bool, ticks: int) -> None:
        if driving or self.only:
            self.drive_off()
        self.pilot = "silent"
        self.run(ticks)
        self.pilot = "good"

    @story(driving=driving, button=st.sampled_from(BUTTONS), ticks=ticks, times=st.integers(1, 3))
    def button_is_pressed(self, driving: bool, button: str, ticks: int, times: int) -> None:
        if driving or self.only:
            self.drive_off()
        for _ in range(times):
            self.push(button)
        self.run(ticks)

    @story(driving=driving, ticks=ticks, hold=st.booleans())
    def enable(self, driving: bool, ticks: int, hold: bool) -> None:
        if driving or self.only:
            self.drive_off()
        self.car.operator["enable"] = hold
        self.attend()
        self.run(ticks)

    @story(
        driving=driving,
        kind=st.sampled_from(["gone", "bounces", "restarts", "is late", "is early"]),
        button=st.sampled_from(BUTTONS),
        ticks=ticks,
    )
    def operator_is_odd(self, driving: bool, kind: str, button: str, ticks: int) -> None:
        if driving or self.only:
            self.drive_off()
        operator = self.car.operator
        if kind == "restarts":
            for button in BUTTONS:
                operator[button] = 0
            self.attend()
        self.person = "gone" if kind in ("gone", "is late", "is early", "bounces") else "here"
        for k in range(ticks):
            if kind == "bounces":
                operator["enable"] = k % 2
                self.attend()
            elif kind in ("is late", "is early"):
                operator[button] += k % 3 == 0
                self.attend(400 * MS if kind == "is late" else -10 * SECOND)
            self.tick()
        self.person = "here"

    @story(button=st.sampled_from(["reset", "arm"]), hold=st.booleans())
    def pressed_in_a_fault(self, button: str, hold: bool) -> None:
        """With the enable held, or in a record that is too old or from the future, no press counts."""
        self.drive_off()
        self.push("stop")
        assert self.run(250, lambda: self.state == S.FAULT)
        self.run(90)
        self.car.operator["enable"] = hold
        self.person = "gone"
        for age_ns in (400 * MS, -10 * SECOND, 0):
            self.car.operator[button] += 1
            self.attend(age_ns)
            self.run(2)
        self.person = "here"

    @story(gone=st.integers(0, 80), ticks=ticks, early=st.booleans(), then=st.integers(0, 20))
    def emergency_stop(self, gone: int, ticks: int, early: bool, then: int) -> None:
        """``gone``: ticks since the robot was got going; 0: it was not."""
        if gone or self.only:
            self.drive_off()
            self.run(gone)
        self.car.operator["estop"] = 1
        self.attend()
        self.run(ticks)
        if early:
            self.push("reset")
        self.car.operator["estop"] = 0
        self.attend()
        self.run(then)

    @story(
        driving=driving,
        late=st.lists(st.sampled_from([0, 5 * MS, 12 * MS, 22 * MS]), min_size=1, max_size=12),
    )
    def loop_is_late(self, driving: bool, late: list[int]) -> None:
        if driving or self.only:
            self.drive_off()
        for late_ns in late:
            self.tick(late_ns)

    @story(
        driving=driving, late_ns=st.sampled_from([30 * MS, 45 * MS, 55 * MS, 80 * MS, 300 * MS, 2 * SECOND])
    )
    def loop_stalls(self, driving: bool, late_ns: int) -> None:
        """Or time jumps ahead, as after a suspend: the guardian cannot tell."""
        if driving or self.only:
            self.drive_off()
        now = self.now
        self.model.add(Hazard(CATEGORY2, now, NEVER, now, now + late_ns + 60 * MS, blinds=late_ns > 45 * MS))
        self.tick(late_ns)
        self.run(3)

    @story(driving=driving, back_ns=st.sampled_from([1, 5 * MS, 50 * MS, 500 * MS, 2 * SECOND]), ticks=ticks)
    def time_jumps_back(self, driving: bool, back_ns: int, ticks: int) -> None:
        if driving or self.only:
            self.drive_off()
        car = self.car
        was = self.now
        car.clock.set(was + car.period_ns - back_ns - car.period_ns)
        self.model.add(Hazard(CATEGORY0, self.now, NEVER, was, was + 1500 * MS, blinds=True, mends=False))
        car.guardian.tick(self.now)
        self.judge(0)
        self.run(ticks)

    @story(
        driving=driving,
        kind=st.sampled_from(["drop", "freeze", "corrupt", "duplicate", "delay"]),
        seconds=st.sampled_from([0.02, 0.1, 0.5, 2.5]),
        most=st.booleans(),
        ticks=st.integers(5, 60),
    )
    def line_is_bad(self, driving: bool, kind: str, seconds: float, most: bool, ticks: int) -> None:
        """Replies are lost, or damaged, or the same again and again."""
        if driving or self.only:
            self.drive_off()
        car, now = self.car, self.now
        all_lost = kind in ("drop", "corrupt") and most
        car.fault("vesc", kind, seconds, 1.0 if most or kind == "freeze" else 0.3)
        end = now + round(seconds * SECOND)
        sure = now + 90 * MS if all_lost else NEVER
        hazard = Hazard(CATEGORY2, now, sure, end, end + 250 * MS, blinds=True)
        hazard.confuses_ns = CONFUSION_NS if seconds > 0.3 else SECOND
        self.model.add(hazard)
        self.run(ticks)

    @story(speed=st.floats(1.0, 4.0))
    def sensors_freeze(self, speed: float) -> None:
        """Samples keep coming, and are always the same, while the car moves."""
        self.drive_off()
        self.car.command["setpoint"] = (speed, 0.0)
        self.run(60)
        if abs(self.car.plant.speed) < 0.8 or self.state not in DRIVES:
            return
        now = self.now
        self.car.fault("vesc", "freeze", 2.5)
        end = now + 2500 * MS
        hazard = Hazard(CATEGORY2, now, now + 1500 * MS, end, end + 250 * MS, moving=True, blinds=True)
        hazard.confuses_ns = CONFUSION_NS
        self.model.add(hazard)
        self.run(170)

    @story(
        driving=driving,
        seconds=st.sampled_from([0.01, 0.3, 1.2]),
        device=st.sampled_from(["vesc", "gnss"]),
        ticks=ticks,
    )
    def port_is_lost(self, driving: bool, seconds: float, device: str, ticks: int) -> None:
        if driving or self.only:
            self.drive_off()
        now, end = self.now, self.now + round(seconds * SECOND)
        self.car.fault(device, "unplug", seconds)
        if device == "vesc":
            self.model.add(Hazard(CATEGORY1, now, now + 20 * MS, end, end + 1500 * MS, blinds=True))
        self.run(ticks)

    @story(driving=driving, call=st.sampled_from(["poll", "command", "stop"]), ticks=ticks)
    def driver_has_a_bug(self, driving: bool, call: str, ticks: int) -> None:
        if driving or self.only:
            self.drive_off()
        driver = self.car.drivers[0]
        driver.fails = {call}
        with self.hazard(CATEGORY1, 0 if call == "poll" else NEVER, blinds=True):
            self.run(ticks)
        driver.fails = set()

    @story(driving=driving, call=st.sampled_from(["raises", "shape", "nan", "inf", "-inf"]), ticks=ticks)
    def estimator_fails(self, driving: bool, call: str, ticks: int) -> None:
        if driving or self.only:
            self.drive_off()
        self.car.estimator.trouble = call
        with self.hazard(CATEGORY1, blinds=True):
            self.run(ticks)
        self.car.estimator.trouble = ""

    @story(
        driving=driving,
        sensor=st.sampled_from(["drive", "imu"]),
        bad=st.sampled_from([math.nan, math.inf]),
        ticks=ticks,
    )
    def samples_are_not_finite(self, driving: bool, sensor: str, bad: float, ticks: int) -> None:
        if driving or self.only:
            self.drive_off()
        driver = self.car.drivers[0]
        driver.poison = {sensor: bad}
        with self.hazard(CATEGORY2, blinds=True):
            self.run(ticks)
        driver.poison = {}

    @story(
        what=st.sampled_from(["warm", "hot", "burning", "battery", "spinning", "blow"]),
        ticks=st.integers(1, 60),
        first=st.booleans(),
    )
    def limit_is_crossed(self, what: str, ticks: int, first: bool) -> None:
        if first:
            self.drive_off()
        if any(h.blinds for h in self.model.hazards):
            return
        plant = self.car.plant
        category, after, blinds = {
            "warm": (REDUCE, 40 * MS, False),
            "hot": (CATEGORY2, 150 * MS, False),
            "burning": (CATEGORY0, 40 * MS, False),
            "battery": (CATEGORY1, 250 * MS, False),
            "spinning": (CATEGORY1, 160 * MS, True),
            "blow": (CATEGORY1, 70 * MS, True),
        }[what]
        if what == "warm":
            plant.fet_temperature = 70.0
        elif what in ("hot", "burning"):
            plant.motor_temperature = 100.0 if what == "hot" else 130.0
        elif what == "battery":
            plant.input_voltage = 8.5
        elif what == "spinning":
            plant.held_speed = 8.0
        else:
            plant.blow = 150.0
        with self.hazard(category, after, 200 * MS, blinds):
            self.run(min(ticks, 9) if what == "blow" else ticks)
        plant.fet_temperature, plant.motor_temperature, plant.input_voltage = 31.0, 40.0, 11.6
        plant.held_speed, plant.blow = None, 0.0
        if what == "spinning":
            plant.speed = 0.0

    @story(why=st.sampled_from(["enable", "pilot"]), ticks=st.integers(1, 60))
    def stops_and_goes_on(self, why: str, ticks: int) -> None:
        """A resumable stop, and the person who resumes it."""
        self.drive_off()
        self.car.command["setpoint"] = (0.8, 0.0)
        self.run(100 + ticks)
        if why == "enable":
            self.car.operator["enable"] = 0
            self.attend()
            self.run(2)
        else:
            self.pilot = "silent"
            self.run(25)
        assert self.state == S.HOLD
        self.run(150)
        self.pilot, self.car.operator["enable"] = "good", 1
        self.attend()
        self.run(10)
        assert self.state == S.HOLD, "it went on without being asked to"
        self.push("resume")
        assert self.state == S.REDUCED
        assert self.run(60, lambda: self.state == S.ACTIVE)

    @story(ticks=ticks)
    def late_and_wrong(self, ticks: int) -> None:
        """The worst of several troubles is the one that counts."""
        self.drive_off()
        for late_ns in (12 * MS, 12 * MS, 12 * MS):
            self.tick(late_ns)
        self.car.estimator.trouble = "nan"
        with self.hazard(CATEGORY1, blinds=True):
            self.run(ticks)
        self.car.estimator.trouble = ""

    @story(ticks=st.integers(10, 80))
    def it_is_warm(self, ticks: int) -> None:
        """A derated robot at full demand."""
        self.drive_off()
        self.car.command["setpoint"] = (6.0, 0.2)
        self.run(80)
        self.car.plant.fet_temperature = 70.0
        with self.hazard(REDUCE, 40 * MS, 200 * MS):
            self.run(ticks)
        self.car.plant.fet_temperature = 31.0
        self.run(50)

    @story(speed=st.floats(1.5, 4.5), why=st.sampled_from(["enable", "stop", "pilot"]))
    def brakes_fail(self, speed: float, why: str) -> None:
        """The robot cannot stop: torque must be off in bounded time all the same."""
        self.drive_off()
        self.car.command["setpoint"] = (speed, 0.0)
        self.run(60)
        self.car.plant.slippery = True
        if why == "enable":
            self.car.operator["enable"] = 0
            self.attend()
        elif why == "stop":
            self.push("stop")
        else:
            self.pilot = "silent"
        spec = self.car.spec
        bound = spec.stop.hold_s + spec.stop.deadline_s + spec.safety.command_timeout_s
        self.run(round(bound * spec.rates.guardian_hz) + 5)
        assert self.state not in PUSHES, "torque is still on"
        self.car.plant.slippery = False
        self.pilot = "good"

    @story(driving=driving, ticks=ticks, arms=st.booleans())
    def guardian_is_killed(self, driving: bool, ticks: int, arms: bool) -> None:
        """And another one takes its place, on the same board and car."""
        if driving or self.only:
            self.drive_off()
        self.mend()
        self.car.build()
        lasting = [h for h in self.model.hazards if not h.mends]
        self.model = self.reference()
        self.model.hazards += lasting
        self.model.seen_order = self.order.number if self.order else 0
        self.model.counters = dict.fromkeys(BUTTONS, 0)
        self.restarted = True
        self.driven = (0.0, 0.0)  # a new driver does not know where the servo stands: it centres it at once
        self.car.wire.take()
        self.run(ticks)
        self.run(800, lambda: self.model.calm)
        self.run(round(self.car.spec.stop.deadline_s * self.car.spec.rates.guardian_hz))
        self.restarted = False
        if arms:
            self.push("arm")
            self.run(2)


def machine(
    examples: int,
    steps: int = 12,
    seed: int | None = None,
    only: Sequence[str] = (),
    replays: bool = False,
) -> None:
    """Tell so many stories. ``seed`` None: the same ones every time. ``only``: of these rules."""
    told = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        derandomize=seed is None,
        database=None,
        phases=[Phase.generate],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    # What is left out is no rule of the class at all: a precondition would have most stories discarded.
    left_out = {name: None for name in STORIES if only and name not in only}
    chosen = type("GuardianMachine", (GuardianMachine,), left_out | {"only": bool(only), "replays": replays})
    run_state_machine_as_test(chosen if seed is None else hypothesis.seed(seed)(chosen), settings=told)


def test_guardian_keeps_to_the_requirements() -> None:
    machine(examples=14)


def test_whatever_was_logged_replays_to_the_same_verdicts() -> None:
    """The log holds all that the kernel judged by, whatever happened."""
    machine(examples=4, seed=1, replays=True)


# Defects, each named for what it breaks. A patch replaces one function of the product by one that errs.

Patch = Callable[[pytest.MonkeyPatch], None]


def around(owner: Any, name: str, change: Callable[..., Any]) -> Patch:
    """``change(original, *arguments)`` in place of a function or method."""

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        original = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *given, **named: change(original, *given, **named))

    return patch


def then(owner: Any, name: str, spoil: Callable[[Any], None]) -> Patch:
    """Something done to the object after its method has run."""

    def change(original: Callable[..., Any], self: Any, *given: Any) -> Any:
        result = original(self, *given)
        spoil(self)
        return result

    return around(owner, name, change)


def steps(change: Callable[..., tuple[KernelState, Inputs, Timing]]) -> Patch:
    """The state machine stepped from another state, with other inputs or other timers."""
    return around(guardian_module, "step", lambda step, *given: step(*change(*given)))


def when(state: SafetyState, **inputs: Any) -> Patch:
    """In one state the machine is told something else than the truth; a function is asked for it."""

    def change(kernel: KernelState, given: Inputs, timing: Timing) -> tuple[KernelState, Inputs, Timing]:
        if kernel.state == state:
            told = {k: v(kernel, given) if callable(v) else v for k, v in inputs.items()}
            given = given._replace(**told)
        return kernel, given, timing

    return steps(change)


def offers(**change: Callable[[CommandGate, dict[str, Any]], Any]) -> Patch:
    """The command gate offered something else than what lies in the mailbox."""
    names = ("now_ns", "sequence", "time_ns", "epoch", "setpoint", "actor", "policy_version")

    def offer(original: Callable[..., Any], self: CommandGate, *given: Any, **named: Any) -> Any:
        record = dict(zip(names, given, strict=False)) | named
        return original(self, **record | {name: new(self, record) for name, new in change.items()})

    return around(CommandGate, "offer", offer)


def unheld(gate: CommandGate, record: dict[str, Any]) -> Any:
    """Zero in place of what is not finite."""
    return np.nan_to_num(record["setpoint"], nan=0.0, posinf=0.0, neginf=0.0)


def forget_age(self: OperatorInbox) -> None:
    self.enable = self._enable


def stays_fresh(self: OperatorInbox) -> None:
    self.fresh = self._time_ns is not None


def ignore_reset(kernel: KernelState, given: Inputs) -> int:
    return kernel.reset + 1


def attribute(name: str, value: Any) -> Patch:
    return lambda monkeypatch: monkeypatch.setattr(guardian_module, name, value)


DEFECTS: dict[str, tuple[Patch, str]] = {
    "a held button is pressed in every tick": (
        around(state_machine, "_pressed", lambda pressed, before, after: after != 0),
        "pressed_in_a_fault",
    ),
    "a reset works with the enable held": (when(S.FAULT, enable=False), "pressed_in_a_fault"),
    "a fault resets itself": (when(S.FAULT, reset=ignore_reset, fresh=True), "pressed_in_a_fault"),
    "a hold ends as soon as enable is back": (
        when(S.HOLD, resume=lambda k, _: k.resume + 1, fresh=True),
        "stops_and_goes_on",
    ),
    "an emergency stop that is let go is over": (
        when(S.ESTOP, reset=ignore_reset, fresh=True),
        "emergency_stop",
    ),
    "an emergency stop is overlooked while driving": (when(S.ACTIVE, estop=False), "emergency_stop"),
    "arming needs no release": (
        steps(lambda k, i, t: (k._replace(released=True), i, t)),
        "guardian_is_killed",
    ),
    "the operator's stop is overlooked": (
        steps(lambda k, i, t: (k, i._replace(stop=k.stop), t)),
        "button_is_pressed",
    ),
    "a category-1 stop may last": (
        steps(lambda k, i, t: (k, i, t._replace(deadline_ns=NEVER))),
        "brakes_fail",
    ),
    "a hold may roll on": (steps(lambda k, i, t: (k, i, t._replace(hold_ns=NEVER))), "brakes_fail"),
    "everything always stands still": (
        around(Standstill, "update", lambda update, *given: True),
        "brakes_fail",
    ),
    "enable never lapses": (then(OperatorInbox, "update", forget_age), "operator_is_odd"),
    "old presses count": (then(OperatorInbox, "update", stays_fresh), "pressed_in_a_fault"),
    "commands of any epoch are taken": (
        offers(epoch=lambda gate, _: gate._epoch),
        "commands_are_not_for_now",
    ),
    "commands of any age are taken": (
        offers(time_ns=lambda _, record: record["now_ns"]),
        "commands_are_not_for_now",
    ),
    "commands from the future are taken": (
        offers(now_ns=lambda _, record: max(record["now_ns"], record["time_ns"])),
        "commands_are_not_for_now",
    ),
    "replayed commands are taken": (
        offers(sequence=lambda gate, _: gate._sequence + 1),
        "commands_are_not_for_now",
    ),
    "commands that are not finite count as zero": (offers(setpoint=unheld), "commands_are_nonsense"),
    "a silent pilot goes unnoticed": (
        around(CommandGate, "request", lambda request, self, now_ns, timed: request(self, now_ns, False)),
        "pilot_is_silent",
    ),
    "no sensor is ever stale": (
        then(Freshness, "update", lambda self: self.stale.fill(False)),
        "line_is_bad",
    ),
    "no sensor is ever frozen": (
        then(Freshness, "update", lambda self: self.frozen.fill(False)),
        "sensors_freeze",
    ),
    "no sample is ever not a number": (
        then(Freshness, "update", lambda self: self.finite.fill(True)),
        "samples_are_not_finite",
    ),
    "no limit ever trips": (
        around(Limits, "update", lambda update, *given: update(*given) * 0),
        "limit_is_crossed",
    ),
    "a lost port goes unnoticed": (around(Links, "verdict", lambda verdict, *given: CLEAR), "port_is_lost"),
    "an overrun goes unnoticed": (
        around(OverrunMonitor, "update", lambda update, *given: CLEAR),
        "loop_stalls",
    ),
    "a failed estimate goes unnoticed": (
        around(Senses, "_estimate", lambda estimate, *given: (estimate(*given), CLEAR)[1]),
        "estimator_fails",
    ),
    "a drive that would not stop by itself is armed": (
        around(Links, "doubt", lambda doubt, *given: CLEAR),
        "drive_would_not_stop_by_itself",
    ),
    "the first request wins, not the worst": (
        attribute("worse", lambda a, b: a if a.request else b),
        "late_and_wrong",
    ),
    "a later cause replaces the first": (
        around(
            guardian_module,
            "step",
            lambda step, *given: (after := step(*given))._replace(cause=after.trigger),
        ),
        "brakes_fail",
    ),
    "time may run backwards": (
        around(state_machine, "_intact", lambda intact, *given: True),
        "time_jumps_back",
    ),
    "an epoch is used twice": (
        around(
            guardian_module,
            "step",
            lambda step, kernel, *given: step(kernel, *given)._replace(epoch=kernel.epoch),
        ),
        "button_is_pressed",
    ),
    "setpoints jump": (
        around(
            Projection,
            "project",
            lambda project, self, proposed, *given: np.clip(proposed, self.lower, self.upper),
        ),
        "drives",
    ),
    "a derated robot drives as ever": (
        around(
            Projection,
            "project",
            lambda project, self, wish, last, scale=1.0, *more: project(self, wish, last, 1.0, *more),
        ),
        "it_is_warm",
    ),
    "an emergency stop lets the car roll": (
        around(UntilStill, "update", lambda update, *given: False),
        "emergency_stop",
    ),
    "torque stays on in a fault": (attribute("TORQUE", frozenset(S)), "drives"),
    "the pilot drives in a hold": (
        attribute("AUTHORITY", frozenset({S.ACTIVE, S.REDUCED, S.HOLD})),
        "stops_and_goes_on",
    ),
    "the mailbox tells of another state": (
        around(
            Outbox,
            "send",
            lambda send, self, **named: send(self, **named | {"kernel": named["kernel"]._replace(epoch=7)}),
        ),
        "drives",
    ),
}
"""What breaks, and the rules among which it shows quickly."""


SEEDS = {
    "no sensor is ever stale": 5,
    "enable never lapses": 0,
    "arming needs no release": 1,
    "commands of any epoch are taken": 5,
    "a reset works with the enable held": 0,
    "a lost port goes unnoticed": 0,
    "replayed commands are taken": 3,
}
"""Where the stories that are told without a seed come to it late."""

SOUND: dict[tuple[str, int | None], int] = {}
"""How many stories of these rules and this seed this process has told of a sound guardian."""


@pytest.mark.parametrize(
    "defect",
    [pytest.param(name, marks=pytest.mark.xdist_group(rules)) for name, (_, rules) in DEFECTS.items()],
)
def test_a_guardian_with_a_defect_is_caught(defect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    patch, rules = DEFECTS[defect]
    seed = SEEDS.get(defect)
    before = COUNTS["stories"]
    patch(monkeypatch)
    with pytest.raises(AssertionError):
        machine(examples=200, steps=2, only=rules.split(), seed=seed)
    monkeypatch.undo()
    # And it is the defect that was caught: the same stories, told of a sound guardian.
    told = min(COUNTS["stories"] - before, 30)
    if told > SOUND.get((rules, seed), 0):
        machine(examples=told, steps=2, only=rules.split(), seed=seed)
        SOUND[rules, seed] = told


def test_long_story() -> None:
    """``SANDLOT_GUARDIAN_TICKS``: how many ticks to go on for, with another story each time."""
    wanted = int(os.environ.get("SANDLOT_GUARDIAN_TICKS", "0"))
    if not wanted:
        pytest.skip("set SANDLOT_GUARDIAN_TICKS to the number of ticks")
    seed, first = int(os.environ.get("SANDLOT_GUARDIAN_SEED", "0")), COUNTS["ticks"]
    while COUNTS["ticks"] - first < wanted:
        machine(examples=50, seed=seed)
        seed += 1
        done = ", ".join(f"{state.name} {count:,}" for state, count in STATES.items())
        print(f"{COUNTS['ticks'] - first:,} ticks, {COUNTS['stories']:,} stories: {done}", flush=True)
