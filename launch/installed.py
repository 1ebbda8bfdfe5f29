"""What a command needs of the packages that not every machine has."""

from __future__ import annotations

import importlib.util


def need(*modules: str) -> None:
    """Raise ModuleNotFoundError for what is not installed, before anything is begun."""
    for name in modules:
        if importlib.util.find_spec(name) is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
