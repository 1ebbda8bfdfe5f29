"""From rest to rest, whatever the noise makes of a slow end."""

from __future__ import annotations

import numpy as np

from calibration.stretches import PAUSE, SUSTAINED, first_motion, stretches


def test_a_stretch_goes_on_while_noise_carries_it_over_the_threshold() -> None:
    erpm = np.zeros(400)
    erpm[50:150] = 2000.0
    erpm[150:200] = 55.0
    erpm[[160, 178, 195]] = 70.0
    erpm[195 + PAUSE + 10 : 300] = -900.0
    assert stretches(erpm) == [(50, 195), (195 + PAUSE + 10, 299)]


def test_who_goes_the_other_way_stood_however_shortly() -> None:
    erpm = np.zeros(400)
    erpm[50:150], erpm[155:250], erpm[250:300] = 2000.0, -900.0, 900.0
    assert stretches(erpm) == [(50, 149), (155, 249), (250, 299)]


def test_what_does_not_begin_or_end_at_rest_is_no_stretch() -> None:
    erpm = np.full(200, 900.0)
    assert stretches(erpm) == []
    erpm[:20] = erpm[100:150] = 0.0
    assert stretches(erpm) == [(20, 99)]


def test_a_motion_begins_with_its_first_sample_and_not_with_noise() -> None:
    erpm = np.zeros(300)
    erpm[[20, 21, 40]] = 70.0
    assert first_motion(erpm) == len(erpm)
    erpm[100 : 100 + SUSTAINED] = -90.0
    assert first_motion(erpm) == 100
    assert first_motion(erpm[100:]) == 0
