"""One take after another: what a person records is cut, labelled, dropped and taken again by keys.

Between two takes there is time to put things back: the robot may be driven, and nothing of it becomes
experience. A label after the cut is of the take before it. What was pressed is in the log as events
(``take_end``, ``take_success``, ``take_failure``, ``take_drop``, each with the episode's number), so that
whoever reads it later knows what the person meant; nothing is deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from robot.inbox import Inbox
from robot.layout import Struct
from robot.messages import CUES, Event
from robot.shared_memory import Mailbox

Tell = Callable[[int, str, float, str], None]


class TakeSettings(Struct):
    """``most_s``: a take ends by itself after that long [s]; 0: never. ``reset_s``: time between two [s];
    ``end`` begins the next one sooner. ``wanted``: takes to keep, dropped ones not counted; 0: no end.
    ``kept``: so many are there from earlier sessions of the set."""

    most_s: float = 0.0
    reset_s: float = 0.0
    wanted: int = 0
    kept: int = 0


def kept_of(events: Iterable[Event]) -> int:
    """How many takes a session kept, from its events in order."""
    kept = set[float]()
    for event in events:
        if event.kind in ("take_end", "take_success", "take_failure"):
            kept.add(event.value)
        elif event.kind == "take_drop":
            kept.discard(event.value)
    return len(kept)


class Takes:
    """``cues``: a mailbox of ``CUE_DTYPE``. ``tell(time_ns, kind, value, text)`` leaves an event."""

    def __init__(self, settings: TakeSettings, cues: Mailbox, tell: Tell) -> None:
        self._settings, self._inbox, self._tell = settings, Inbox(cues), tell
        first = self._inbox.take()
        self._seen = {cue: 0 if first is None else int(first[cue][0]) for cue in CUES}
        self._last: int | None = None
        """The newest take's episode, whether it goes on or not."""
        self._began_ns = 0
        self._resume_ns: int | None = None
        self._counts = False
        """Whether the newest take is among the kept ones."""
        self.kept = settings.kept

    @property
    def between(self) -> bool:
        """What is driven now is nobody's experience."""
        return self._resume_ns is not None

    @property
    def complete(self) -> bool:
        """All that was wanted is there, and its label had its time."""
        wanted = self._settings.wanted
        return wanted > 0 and self.kept >= wanted and not self.between and self._last is None

    def begin(self, now_ns: int, episode: int) -> None:
        """An episode has begun."""
        self._last, self._began_ns, self._counts = episode, now_ns, False

    def step(self, now_ns: int, recording: bool) -> bool:
        """Whether the take that is ``recording`` ends here."""
        pressed = self._pressed()
        if self._resume_ns is not None and (now_ns >= self._resume_ns or "end" in pressed):
            pressed.discard("end")
            self._label(now_ns, pressed)
            self._resume_ns, self._last = None, None
            return False
        late = (
            recording and self._settings.most_s > 0 and now_ns - self._began_ns >= self._settings.most_s * 1e9
        )
        ends = recording and bool(pressed or late)
        if ends:
            self.kept += 1
            self._counts = True
            self._say(now_ns, "end", f"take {self.kept}: {(now_ns - self._began_ns) * 1e-9:.1f} s")
        self._label(now_ns, pressed - {"end"})
        if ends:
            self._resume_ns = now_ns + round(self._settings.reset_s * 1e9)
        return ends

    def _pressed(self) -> set[str]:
        record = self._inbox.take()
        if record is None:
            return set()
        now = {cue: int(record[cue][0]) for cue in CUES}
        pressed = {cue for cue in CUES if now[cue] != self._seen[cue]}
        self._seen = now
        return pressed

    def _label(self, now_ns: int, pressed: set[str]) -> None:
        if self._last is None:
            return
        for cue in CUES[1:]:
            if cue in pressed:
                # A label makes a take of what ended otherwise: somebody let go, say.
                kept = cue != "drop"
                self.kept += int(kept) - int(self._counts)
                self._counts = kept
                self._say(now_ns, cue, f"{self.kept} kept" if cue == "drop" else "")

    def _say(self, now_ns: int, what: str, text: str) -> None:
        self._tell(now_ns, f"take_{what}", -1.0 if self._last is None else float(self._last), text)
