from __future__ import annotations

import sys
from pathlib import Path

import pytest

from learners.environments.events import Events


def test_scalars_are_written_and_those_after_a_resume_supersede(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for first, values in ((1, (1.0, 2.0, 3.0)), (2, (20.0,))):
        events = Events(tmp_path, first)
        for k, value in enumerate(values):
            events.add(first + k, {"evaluation/return": value})
        events.close()
    found = EventAccumulator(str(tmp_path)).Reload().Scalars("evaluation/return")
    assert [(event.step, event.value) for event in found] == [(1, 1.0), (2, 20.0)]


def test_without_tensorboard_one_line_says_so_and_nothing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    events = Events(tmp_path, 1)
    assert events.missing is not None and "pip install '.[gym]'" in events.missing
    events.add(1, {"a": 1.0})
    events.close()
    assert not list(tmp_path.iterdir())
