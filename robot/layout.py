"""Named numbers: fields with units, and where each lies in a flat vector."""

from __future__ import annotations

from collections.abc import Iterable
from typing import dataclass_transform

import msgspec

from robot.errors import SpecError, nearest


@dataclass_transform(frozen_default=True)
class Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of every description: frozen, and an unknown key is an error."""


class Field(Struct):
    """A named group of numbers with one unit, such as ``velocity_body`` [m/s] with elements ``x``, ``y``."""

    name: str
    unit: str
    elements: tuple[str, ...] = ("",)

    @property
    def size(self) -> int:
        return len(self.elements)

    def element_names(self) -> tuple[str, ...]:
        """``velocity_body_x`` and so on; a field of one unnamed element keeps its own name."""
        return tuple(f"{self.name}_{element}" if element else self.name for element in self.elements)


class Layout:
    """Where each named field lies in a flat vector."""

    def __init__(self, fields: Iterable[Field]) -> None:
        self.fields = tuple(fields)
        self._slices: dict[str, slice] = {}
        start = 0
        for field in self.fields:
            if field.name in self._slices:
                raise SpecError(f"field {field.name!r} is declared twice; names must be unique")
            self._slices[field.name] = slice(start, start + field.size)
            start += field.size
        self.size = start
        self.names = tuple(name for field in self.fields for name in field.element_names())

    def __contains__(self, name: str) -> bool:
        return name in self._slices

    def __getitem__(self, name: str) -> slice:
        """The slice of a field. Raises SpecError with the nearest names for an unknown one."""
        try:
            return self._slices[name]
        except KeyError:
            raise SpecError(f"no field {name!r} in this layout; {nearest(name, self._slices)}") from None

    def index(self, element: str) -> int:
        """The position of one element by its full name, such as ``velocity_body_x``."""
        try:
            return self.names.index(element)
        except ValueError:
            raise SpecError(
                f"no element {element!r} in this layout; {nearest(element, self.names)}"
            ) from None
