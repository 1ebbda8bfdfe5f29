"""The documents' Python runs as it stands, with fewer steps."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import sandlot

ROOT = Path(sandlot.__file__).resolve().parent
BLOCKS = [
    pytest.param(block, id=f"{name}-{k}")
    for name in ("README.md", "docs/LEARNING.md")
    for k, block in enumerate(re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(), re.DOTALL))
]
FEWER = {
    "steps=10_000": "steps=220",
    '"warmup": 1_000': '"warmup": 190, "hidden": [16]',
    "range(20)": "range(1)",
}


def test_there_are_examples() -> None:
    assert len(BLOCKS) == 4


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS)
def test_an_example_runs(
    block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("gymnasium", reason="gymnasium is not installed")
    monkeypatch.chdir(tmp_path)
    for long, short in FEWER.items():
        block = block.replace(long, short)
    assert "000" not in block.replace("longest=1_000", "")
    exec(compile(block, "example", "exec"), {"__name__": "__main__"})
    assert list(tmp_path.rglob("*.onnx"))
    if "print" in block:
        assert re.match(r"220 -[\d.]+\n.*policy\.onnx", capsys.readouterr().out)
