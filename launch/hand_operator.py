"""A person with an input device in hand: motion is enabled while they have hold of the robot, and never of
its own accord; and what the device's buttons press."""

from __future__ import annotations

import threading
from typing import Final

import numpy as np

from launch.operator import Hold, Operator, StartLine, claimed
from launch.operator_panel import Panel
from robot.messages import CUE_DTYPE, CUES, HAND_PRESSES, SafetyState
from robot.shared_memory import Mailbox, Record
from robot.teleop.device import InputDevice
from robot.teleop.hand import HandFeeder

SILENT_NS: Final = 100_000_000
"""A device that has said nothing for so long has let go [ns]; it is asked every 10 ms."""
LEAVES_S: Final = 2.0
"""Until a device that does not come back is left behind at the end [s]."""


class HandButtons:
    """Presses on an input device (``hand``), and on ``keys``, the session's own terminal where that is not
    the device: they reset, stop, put the robot on its start line and cut the recording (``cues``)."""

    def __init__(
        self,
        panel: Panel,
        hand: Mailbox,
        cues: Mailbox,
        start: StartLine | None = None,
        keys: InputDevice | None = None,
    ) -> None:
        self._panel, self._hand, self._cues = panel, hand, cues
        self._start, self._keys = start, keys
        last, cued = hand.read(), cues.read()
        self._seen = {name: 0 if last is None else int(last[name][0]) for name in HAND_PRESSES}
        self._cue = np.zeros(1, CUE_DTYPE) if cued is None else cued.copy()
        self._estop = False

    def step(self, now_ns: int) -> Record | None:
        """Press what was pressed. Returns how the device stands, None before it has said anything."""
        record = self._hand.read()
        pressed, estop = [], False
        if record is not None:
            pressed += [name for name in HAND_PRESSES if int(record[name][0]) != self._seen[name]]
            self._seen = {name: int(record[name][0]) for name in HAND_PRESSES}
            estop = bool(record["estop"][0])
        if self._keys is not None:
            reading = self._keys.read(now_ns)
            pressed += reading.presses
            estop |= reading.estop
        if estop != self._estop:
            self._panel.record["estop"] = self._estop = estop
        for name in pressed:
            self._press(name, now_ns)
        return record

    def _press(self, name: str, now_ns: int) -> None:
        if name in CUES:
            self._cue[name] += 1
            self._cue["time_ns"] = now_ns
            self._cues.write(self._cue)
        elif name != "place":
            self._panel.press(name)
        elif self._start is not None:
            self._start.put(now_ns)

    def close(self) -> None:
        if self._keys is not None:
            self._keys.close()


class HandOperator:
    """Taking hold of the device arms a robot in STANDBY and resumes one in HOLD, once per hold and after it
    has lasted a moment; letting go stops.

    ``enables``: by holding; else something else does (a transmitter), and taking hold only says go. Raises
    SandlotError if somebody else holds this session's permission.
    """

    def __init__(
        self,
        mailbox: Mailbox,
        hand: Mailbox,
        cues: Mailbox,
        *,
        enables: bool = True,
        start: StartLine | None = None,
        keys: InputDevice | None = None,
    ) -> None:
        self._claim = claimed(mailbox)
        self.panel = Panel(mailbox)
        self._buttons = HandButtons(self.panel, hand, cues, start, keys)
        self._enables, self._start = enables, start
        self._hold, self._halted = Hold(), False

    def step(self, now_ns: int, state: Record | None, pilot: Record | None) -> None:
        current = SafetyState.BOOT if state is None else SafetyState(int(state["safety_state"][0]))
        record = self._buttons.step(now_ns)
        held = False
        if record is not None and not self._halted:
            held = bool(record["held"][0]) and now_ns - int(record["time_ns"][0]) < SILENT_NS
            self.panel.record["pressed_ns"] = record["input_ns"]
        self._hold.step(held, now_ns, current, self.panel)
        if self._start is not None:
            self._start.step(state)
        self.panel.send(now_ns, held if self._enables else not self._halted, state)

    def halt(self, now_ns: int) -> None:
        self._halted = True
        self.panel.press("stop")
        self.panel.send(now_ns, False)

    def close(self) -> None:
        self._buttons.close()
        self._claim.close()


class AssistedOperator:
    """Another operator, and a person who may step in: their device's buttons count, too."""

    def __init__(self, operator: Operator, buttons: HandButtons) -> None:
        self._operator, self._buttons = operator, buttons
        self.panel = operator.panel

    def step(self, now_ns: int, state: Record | None, pilot: Record | None) -> None:
        self._buttons.step(now_ns)
        self._operator.step(now_ns, state, pilot)

    def halt(self, now_ns: int) -> None:
        self._operator.halt(now_ns)

    def close(self) -> None:
        self._buttons.close()
        self._operator.close()


class HandThread:
    """An input device that only this process can read (its own terminal), fed from a thread, so that no key
    waits for a view; around the ``operator`` that lives as long."""

    def __init__(self, operator: Operator, feeder: HandFeeder) -> None:
        self._operator = operator
        self.panel = operator.panel
        self._ended = threading.Event()
        self._thread = threading.Thread(
            target=feeder.run, args=(self._ended.is_set,), name="hand", daemon=True
        )
        self._thread.start()

    def step(self, now_ns: int, state: Record | None, pilot: Record | None) -> None:
        self._operator.step(now_ns, state, pilot)

    def halt(self, now_ns: int) -> None:
        self._operator.halt(now_ns)

    def close(self) -> None:
        """The device lets go of the robot; one that hangs (a terminal that takes no more) has let go by its
        silence."""
        self._ended.set()
        self._thread.join(LEAVES_S)
        self._operator.close()
