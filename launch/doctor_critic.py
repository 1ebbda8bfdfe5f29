"""``sandlot doctor critic``: how a run's critics are, from its newest checkpoint."""

from __future__ import annotations

import json

import msgspec
from rich.console import Console
from rich.table import Table

from launch.installed import need
from launch.options.doctor import DoctorCriticOptions


def critic(options: DoctorCriticOptions) -> int:
    """Print what was found. 1 if there is reason to worry, else 0."""
    need("torch", "onnx")
    from learners.critic_report import examine

    found = examine(options.run)
    if options.json:
        print(json.dumps(msgspec.to_builtins(found)))
        return 0 if found.well else 1
    error = "none yet" if found.held_out_error is None else f"{found.held_out_error:.3g}"
    table = Table.grid(padding=(0, 2))
    for figure, value, meaning in (
        ("updates", f"{found.updates}", "of the critics"),
        ("error on held-out episodes", error, f"by the targets' variance; {found.held_out_steps} steps"),
        ("on what was trained on", f"{found.trained_error:.3g}", "0 is perfect, 1 no better than a constant"),
        ("values", f"{found.value_min:.3g} to {found.value_max:.3g}", "reward to come"),
        (
            "possible values",
            f"{found.value_lower_bound:.3g} to {found.value_upper_bound:.3g}",
            "by the rewards seen, r / (1 - discount), and the entropy term",
        ),
        ("row ratio of the kernel", f"{found.row_ratio:.3g}", "mean |K off the diagonal| / K on it: 0 to 1"),
        ("cosine of a step", f"{found.cosine:.3g}", "with target - value: 1 is straight there"),
    ):
        table.add_row(figure, value, f"[grey62]{meaning}")
    console = Console()
    console.print(table)
    console.print(found.verdict, style="green" if found.well else "bold red", soft_wrap=True)
    return 0 if found.well else 1
