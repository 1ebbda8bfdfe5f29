"""One kind of question to a VESC, in wordings that tell their answers apart.

Replies carry no ids, so one that comes after its request was given up would pass for the answer to the next:
a measurement as old as the delay, dated now. But a reply names the fields it holds. So after each request
given up the next one also asks for another field nobody needs, and an answer to an earlier wording is known
for what it is, until the wordings have gone round.
"""

from __future__ import annotations

from robot.drivers.vesc_protocol import (
    IMU,
    VALUES,
    Command,
    MaskedLayout,
    get_imu_data,
    get_values_selective,
    mask_of,
    masked_layout,
)

_FIELDS = {Command.GET_VALUES_SELECTIVE: VALUES, Command.GET_IMU_DATA: IMU}
_ASK = {Command.GET_VALUES_SELECTIVE: get_values_selective, Command.GET_IMU_DATA: get_imu_data}
WORDINGS: dict[Command, tuple[tuple[str, ...], ...]] = {
    Command.GET_VALUES_SELECTIVE: (
        *((), ("controller_id",), ("duty_cycle",), ("controller_id", "duty_cycle")),
        *(("input_current",), ("charge_drawn",), ("tachometer",), ("tachometer_absolute",)),
    ),
    Command.GET_IMU_DATA: (
        *((), ("roll",), ("pitch",), ("yaw",)),
        *(("magnetic_x",), ("magnetic_y",), ("magnetic_z",), ("quaternion_w",)),
    ),
}
"""Fields asked for in addition, in turn: of old firmware, and at most 4 bytes of reply (0.35 ms at 115,200
baud). Eight wordings are gone round in no less than eight ``late_s``: 0.2 s, when the drive has timed out."""


class Question:
    """``names``: the fields that are wanted, in the order in which ``decode`` gives them."""

    def __init__(self, command: Command, names: tuple[str, ...]) -> None:
        self.command = command
        fields = _FIELDS[command]
        self._wordings: list[tuple[bytes, MaskedLayout, list[int]]] = []
        for more in WORDINGS[command]:
            mask = mask_of((*names, *more), fields)
            layout = masked_layout(command, mask)
            order = [layout.names.index(name) for name in names]
            self._wordings.append((_ASK[command](mask), layout, order))
        self._number = 0
        self.request, self._layout, self._order = self._wordings[0]

    def reword(self) -> None:
        """The request was given up: its answer, if it still comes, is not to be taken for the next one's."""
        self._number = (self._number + 1) % len(self._wordings)
        self.request, self._layout, self._order = self._wordings[self._number]

    def answered_by(self, payload: bytes) -> bool:
        """Whether a payload answers the newest wording, whole or not."""
        return payload.startswith(self._layout.head)

    def decode(self, payload: bytes) -> list[float]:
        """The wanted fields in physical units. Raises WireError if the payload is short."""
        values = self._layout.decode(payload)
        return [values[i] for i in self._order]
