"""Settings of AVTD: those of SAC's family, and the regularisers to choose from."""

from __future__ import annotations

from typing import Final

from learners.config import LearnerConfig
from robot.errors import SpecError
from robot.layout import Struct


class Regulariser(Struct):
    """What keeps one candidate's critics from overfitting, beside what all have."""

    name: str
    layer_norm: bool = False
    dropout: float = 0.0
    weight_decay: float = 0.0
    spectral_norm: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.dropout < 1 or self.weight_decay < 0:
            raise SpecError(f"regulariser: dropout in [0, 1) and weight_decay >= 0 are needed; got {self}")


OF_EACH: Final = tuple(name for name in Regulariser.__struct_fields__ if name != "name")
"""Settings that every candidate has of its own."""


class AvtdConfig(LearnerConfig, tag="avtd"):
    """Several learners of SAC's family on the same data, of which one acts (``avtd.Avtd``). ``layer_norm``,
    ``dropout``, ``weight_decay`` and ``spectral_norm`` are the regularisers', and stay here as they are."""

    regularisers: tuple[Regulariser, ...] = (
        Regulariser(name="none"),
        Regulariser(name="layer norm", layer_norm=True),
        Regulariser(name="dropout", layer_norm=True, dropout=0.01),
        Regulariser(name="weight decay", weight_decay=0.01),
    )
    """Nothing, RLPD's, DroQ's, and AdamW's default decay."""

    def __post_init__(self) -> None:
        super().__post_init__()
        names = [regulariser.name for regulariser in self.regularisers]
        self.need(bool(names) and len(set(names)) == len(names), "regularisers need names of their own")
        plain = LearnerConfig()
        ignored = [name for name in OF_EACH if getattr(self, name) != getattr(plain, name)]
        self.need(not ignored, f"{', '.join(ignored)}: each candidate has its own, set in `regularisers`")
        self.need(self.held_out > 0, "choosing needs episodes to judge by: held_out must be above 0")
