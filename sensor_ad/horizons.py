"""An event's evidence comes in; on which scales of time it stood out goes out.

Every kind of evidence looks at a stretch of time of its own: a single reading, about a window, four
windows. A drift is seen over days. Differences from what the network expects are looked at on all
scales but the last, so they tell none apart.
"""

from __future__ import annotations

from sensor_ad.records import Event
from sensor_ad.wording import duration

SINGLE, DAYS = "single readings", "days"
SLOW_WINDOWS = 4
ON_ALL_SCALES, ON_SINGLE, ON_SLOW = "reconstruction", "spike", "slow_shift"
"""Names of evidence, as in `fusion.py`; all others look at about a window."""


def time_scales(event: Event, window_s: float) -> tuple[str, ...]:
    """Name the scales of time on which an event's evidence passed the limit, the shortest first.

    Where none did by itself, the one of the highest evidence.

    Parameters
    ----------
    window_s
        Length of a window, seconds.
    """
    if event.kind == "drift":
        return (DAYS,)
    names = (SINGLE, duration(window_s), duration(SLOW_WINDOWS * window_s))
    limit = event.peak / event.severity
    kinds = {name: value for name, value in event.evidence.items() if name != ON_ALL_SCALES}
    if not kinds:
        return (names[1],)
    passed = [name for name, value in kinds.items() if value > limit]
    if not passed:
        passed = [max(kinds, key=lambda name: kinds[name])]
    scales = {_scale(name) for name in passed}
    return tuple(names[scale] for scale in sorted(scales))


def _scale(kind: str) -> int:
    """0 for single readings, 1 for about a window, 2 for four windows."""
    return 0 if kind == ON_SINGLE else 2 if kind == ON_SLOW else 1
