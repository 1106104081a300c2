"""The events of a run in; `events.csv` out, safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from datetime import tzinfo

from sensor_ad.horizons import time_scales
from sensor_ad.records import Event
from sensor_ad.wording import clean, duration_s, iso

COLUMNS = (
    "id",
    "start",
    "end",
    "start_utc",
    "end_utc",
    "duration_s",
    "raised",
    "raised_utc",
    "alarm_until",
    "state",
    "time_scales",
    "kind",
    "sensor",
    "severity",
    "level",
    "peak",
    "peak_time",
    "peak_time_utc",
    "leading_tags",
    "onset_order",
)
LEADING_TAGS = 5
"""Tags named in `leading_tags`."""

_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")
_FORMULA_STARTS = tuple("=+-@＝＋－＠")
_AFTER_SEMICOLON = re.compile(r"(;\s*)(?=[=+\-@＝＋－＠])")


def guard(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula: such a one gets a quote before it.

    Examples
    --------
    >>> guard("=1+1"), guard("-3.5"), guard("pump @ 3")
    ("'=1+1", '-3.5', 'pump @ 3')
    >>> guard("flow 0.5; =1+1 0.2")
    "flow 0.5; '=1+1 0.2"
    """
    if _NUMBER.fullmatch(cell):
        return cell
    # Leading blanks do not stop every spreadsheet; a tab may start a formula itself.
    if cell.startswith(("\t", "\r", "\n")) or cell.lstrip().startswith(_FORMULA_STARTS):
        cell = "'" + cell
    # Where the decimal sign is a comma, Excel cuts a line of a CSV file at its semicolons.
    return _AFTER_SEMICOLON.sub(r"\1'", cell)


def events_csv(events: Sequence[Event], period_s: float, window_s: float, zone: tzinfo) -> str:
    """Return the text of `events.csv`: one line an event, in order of time.

    Parameters
    ----------
    events
        All events of the run.
    period_s
        Seconds that one row covers: the last row of an event counts in full.
    window_s
        Length of a window, seconds.
    zone
        The plant's clock, for the columns without `_utc`.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for event in sorted(events, key=lambda event: event.start_us):
        writer.writerow([guard(clean(cell)) for cell in _cells(event, period_s, window_s, zone)])
    return out.getvalue()


def _cells(event: Event, period_s: float, window_s: float, zone: tzinfo) -> list[str]:
    """Return the cells of one event in the order of `COLUMNS`."""
    leading = [f"{part.tag} {part.share:.2f}" for part in event.leading(LEADING_TAGS)]
    return [
        event.id,
        iso(event.start_us, zone),
        iso(event.end_us, zone),
        iso(event.start_us),
        iso(event.end_us),
        f"{duration_s(event, period_s):g}",
        iso(event.raised_us, zone),
        iso(event.raised_us),
        iso(event.faded_us, zone),
        "open" if event.open else "closed",
        "; ".join(time_scales(event, window_s)),
        event.kind,
        event.sensor or "",
        f"{event.severity:.4g}",
        event.level,
        f"{event.peak:.6g}",
        iso(event.peak_us, zone),
        iso(event.peak_us),
        "; ".join(leading),
        "; ".join(part.tag for part in event.onset_order),
    ]
