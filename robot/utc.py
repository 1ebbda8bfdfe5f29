"""Moments in UTC, as files have them: ISO 8601 with its offset, so that nobody's time zone changes them."""

from __future__ import annotations

import datetime


def utc(text: str) -> datetime.datetime:
    """Raises ValueError, with what to write, for what is no time or not in UTC."""
    try:
        when = datetime.datetime.fromisoformat(text)
    except ValueError:
        when = None
    if when is None or when.utcoffset() != datetime.timedelta(0):
        raise ValueError(f"{text!r} is no time in UTC, such as 2026-01-31T10:00:00+00:00")
    return when
