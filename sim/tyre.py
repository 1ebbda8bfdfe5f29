"""The tyres of one axle after Pacejka: a transient slip, and the Magic Formula of it.

Pacejka, "Tyre and Vehicle Dynamics", 3rd ed.: the single-contact-point transient model (7.2), with which slip
is well defined at a standstill, its damping at low speed (8.6), and the similarity of combined slip (4.2).
"""

from __future__ import annotations

import math

from sim.car import GRAVITY

SHAPE = 1.3
"""C of the Magic Formula [1]; Pacejka's pure side slip. Liniger et al. 2015 identified 1.2 and 1.27 on 1/43
cars."""
FRONT_STIFFNESS, REAR_STIFFNESS = 4.718, 5.4562
"""Slip stiffness per friction coefficient and load, which is B C [1/rad]; f1tenth_gym C_Sf, C_Sr."""
RELAXATION_LENGTH = 0.06
"""How far a tyre rolls until its slip has followed [m]; order of magnitude, a little more than its radius."""
LOW_SPEED = 1.0
"""Below it slip is damped and limited [m/s]: the transient slip is then a spring that hardly rolls off."""
DAMPING = 0.5
"""Damping ratio [1] of the car on that spring at a standstill; estimate."""


class Tyre:
    """Both tyres of an axle. ``friction``: peak coefficient [1]; ``stiffness``: as ``FRONT_STIFFNESS``.

    The slip is isotropic: its longitudinal and lateral part are one vector whose length gives the force and
    whose direction is the force's, which can therefore never exceed ``friction`` times the load.
    """

    STATE_SIZE = 2

    def __init__(self, friction: float, stiffness: float, timestep: float) -> None:
        self._friction = friction
        self._b = stiffness / SHAPE
        # A tread that sticks cannot be bent by more than friction bends it.
        self._most_at_rest = 1.0 / stiffness
        self._per_slide = timestep / RELAXATION_LENGTH
        # Mass and stiffness are both proportional to the load, which therefore drops out.
        self._damping = 2 * DAMPING / math.sqrt(GRAVITY * stiffness * friction * RELAXATION_LENGTH)
        self._longitudinal = self._lateral = 0.0

    def step(self, forward: float, leftward: float, rolling: float, load: float) -> tuple[float, float]:
        """One timestep at the hub's ``forward`` and ``leftward`` velocity, seen from the wheel, and the
        ``rolling`` speed of its circumference [m/s]; returns the force forward and leftward [N]."""
        speed, slide = abs(forward), rolling - forward
        left = 1.0 / (1.0 + self._per_slide * speed)
        longitudinal = (self._longitudinal + self._per_slide * slide) * left
        lateral = (self._lateral - self._per_slide * leftward) * left
        total = math.sqrt(longitudinal * longitudinal + lateral * lateral)
        if total > self._most_at_rest:
            most, fastest = 1.0, max(speed, abs(rolling), abs(leftward))
            if fastest < LOW_SPEED:
                most = self._most_at_rest + (1.0 - self._most_at_rest) * fastest / LOW_SPEED
            if total > most:
                longitudinal *= most / total
                lateral *= most / total
        self._longitudinal, self._lateral = longitudinal, lateral
        if speed < LOW_SPEED:
            damping = self._damping * (1.0 - speed / LOW_SPEED)
            longitudinal += damping * slide
            lateral -= damping * leftward
        total = math.sqrt(longitudinal * longitudinal + lateral * lateral)
        if total == 0.0:
            return 0.0, 0.0
        force = load * self._friction * math.sin(SHAPE * math.atan(self._b * total)) / total
        return force * longitudinal, force * lateral

    def reset(self) -> None:
        """The car was picked up."""
        self._longitudinal = self._lateral = 0.0

    def state(self) -> list[float]:
        """What the future depends on, ``STATE_SIZE`` numbers."""
        return [self._longitudinal, self._lateral]

    def set_state(self, state: list[float]) -> None:
        self._longitudinal, self._lateral = state
