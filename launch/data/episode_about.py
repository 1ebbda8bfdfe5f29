"""What is known of an episode besides its rows: who drove it, with what, at which task, and how it went."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from launch.data.episode import Episode
from launch.notes import NOTE
from robot.log_reader import Log
from robot.log_repair import Message
from robot.messages import Actor, Event
from robot.recorder import EVENTS

OF_EPISODES: Final = ("take_end", "take_success", "take_failure", "take_drop", NOTE)
"""Kinds of events whose value is the number of an episode."""


@dataclass(frozen=True)
class EpisodeAbout:
    """``task`` in words, ``operator`` and ``device`` of who drove by hand; empty: nobody said. ``success``:
    as labelled, None without a label; ``dropped``: it does not count."""

    task: str = ""
    operator: str = ""
    device: str = ""
    success: bool | None = None
    dropped: bool = False
    notes: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """For a person: ``success``, ``failure``, ``dropped`` or nothing."""
        told = {True: "success", False: "failure", None: ""}[self.success]
        return "dropped" if self.dropped else told

    def plain(self) -> dict[str, Any]:
        """For a file: what nobody said is left out."""
        fields = {"task": self.task, "operator": self.operator, "device": self.device}
        found: dict[str, Any] = {name: text for name, text in fields.items() if text}
        if self.success is not None:
            found["success"] = self.success
        if self.dropped:
            found["dropped"] = True
        return found | ({"notes": list(self.notes)} if self.notes else {})


def about(log: Log, episodes: Iterable[Episode]) -> list[EpisodeAbout]:
    """Of each episode. Who drove is in the manifest of the file in which it begins."""
    by_number: dict[int, list[Event]] = {}
    for logged in log.events:
        if logged.event.kind in OF_EPISODES:
            by_number.setdefault(int(logged.event.value), []).append(logged.event)
    return [
        _labelled(_driven(_manifest(log, episode.rows.start), episode), by_number.get(episode.number, []))
        for episode in episodes
    ]


def _labelled(known: EpisodeAbout, events: Iterable[Event]) -> EpisodeAbout:
    """The last word counts."""
    for event in events:
        if event.kind == NOTE:
            known = replace(known, notes=(*known.notes, event.text))
        elif event.kind == "take_drop":
            known = replace(known, dropped=True)
        elif event.kind != "take_end":
            known = replace(known, success=event.kind == "take_success", dropped=False)
    return known


def _driven(setup: Mapping[str, Any], episode: Episode) -> EpisodeAbout:
    device = str(setup.get("teleop", "")).partition(":")[0]
    by_hand = Actor.HUMAN in episode.actors or (device == "script" and Actor.SCRIPT in episode.actors)
    if not by_hand:
        return EpisodeAbout(str(setup.get("task", "")))
    return EpisodeAbout(str(setup.get("task", "")), str(setup.get("operator", "")), device)


def _manifest(log: Log, row: int) -> Mapping[str, Any]:
    """The setup of the session that recorded this step row."""
    for rows, metadata in log.parts:
        if row < rows:
            setup: Mapping[str, Any] = tomllib.loads(metadata.get("manifest", "")).get("setup", {})
            return setup
        row -= rows
    return {}


def episode_of(message: Message) -> int | None:
    """The episode that an event is about, None for any other message."""
    if message.topic != EVENTS:
        return None
    plain = msgspec.json.decode(message.data)
    return int(plain["value"]) if plain["kind"] in OF_EPISODES else None


def moved(message: Message, episodes: int) -> Message:
    """The same event about an episode whose number has become higher by ``episodes``."""
    plain = msgspec.json.decode(message.data)
    if plain["value"] >= 0:
        plain["value"] += episodes
    return replace(message, data=msgspec.json.encode(plain))
