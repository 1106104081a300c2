"""What travels between the stages: frozen records of arrays, named after what they hold.

Shapes everywhere: `T` rows in time, `C` tags, `E` kinds of evidence, `B` buckets of a timeline, `S`
latent steps, `D` latent size. Times are int64 microseconds since 1970 in UTC, and say so in their
name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]
Bools = npt.NDArray[np.bool_]

LEAST_SHARE = 0.01
"""A tag with a smaller share of an event is not named among its leading tags."""

EventKind = Literal["machine", "stuck sensor", "spikes", "failed sensor", "drift"]


class Quality(IntEnum):
    """What a historian says of a value; the first three come with a number, the others never."""

    GOOD = 0
    UNCERTAIN = 1
    SUBSTITUTED = 2
    """Entered or estimated by somebody."""
    BAD = 3
    """The sensor or the way to it is at fault."""
    NO_DATA = 4
    """Nothing was recorded."""


@dataclass(frozen=True)
class Readings:
    """Tag values in plant units at the times of an export; one chunk of it, sorted by time."""

    time_us: Ints
    """(T,) int64, UTC microseconds, not decreasing from row to row and from chunk to chunk."""
    values: Floats
    """(T, C) float64 in plant units; NaN where a value is missing or bad."""
    tags: tuple[str, ...]
    """C names, in the order of the columns."""
    quality: Ints | None = None
    """(T, C) uint8 `Quality`; None: good where there is a value, no data where there is none."""


@dataclass(frozen=True)
class Tag:
    """What the engineer says about a tag (config `[tags]` or `tags.csv`)."""

    name: str
    unit: str = ""
    description: str = ""
    low: float | None = None
    """Lowest physically possible value, plant units."""
    high: float | None = None
    """Highest physically possible value, plant units."""
    role: Literal["measurement", "set-point", "command", "ignore"] = "measurement"


@dataclass(frozen=True)
class TagPart:
    """The part that one tag has in an event."""

    tag: str
    share: float
    """Of the event's summed contributions, 0..1; all tags of an event add up to 1."""
    onset_us: int | None
    """UTC microseconds at which the tag first left its normal band for good; None when it never
    did."""


@dataclass(frozen=True)
class Event:
    """Alarms grouped in time, with the tags that drive them."""

    id: str
    start_us: int
    end_us: int
    """First and last row by the offline score, UTC microseconds (both inclusive)."""
    raised_us: int
    """First alarm row: when it was, or would have been, known."""
    faded_us: int
    """Last alarm row: from then on little was left of the event, though the score may have stayed
    above the limit."""
    open: bool
    """True when the export ended before the event did."""
    peak: float
    """Highest causal score; the same scale as the limit."""
    peak_us: int
    severity: float
    """Peak score divided by the limit (above 1)."""
    level: Literal["low", "medium", "high"]
    alarm_rows: int
    kind: EventKind
    """What the picture is that of: the machine, one stuck, spiking or failed sensor, or one tag
    that drifts slowly."""
    sensor: str | None
    """The tag at fault when `kind` is one of a sensor or a drift."""
    tags: tuple[TagPart, ...]
    """Every tag, largest share first."""
    evidence: dict[str, float]
    """Highest value of each kind of evidence (−log10 of its tail probability) within the event."""

    def leading(self, most: int) -> tuple[TagPart, ...]:
        """Give the tags with the largest shares, at most so many, those below 1 % left out."""
        told = [part for part in self.tags[:most] if part.share >= LEAST_SHARE]
        return tuple(told) or self.tags[:1]

    @property
    def onset_order(self) -> tuple[TagPart, ...]:
        """The tags that left their normal band, first one first."""
        moved = [part for part in self.tags if part.onset_us is not None]
        return tuple(sorted(moved, key=lambda part: (part.onset_us or 0, -part.share)))


@dataclass(frozen=True)
class MaskedSensor:
    """A sensor that was found faulty while scoring, and from when to when it was masked."""

    event: str
    """Id of its event."""
    tag: str
    kind: EventKind
    """stuck sensor or failed sensor."""
    value: float
    """The value that it held, plant units; NaN when it had none."""
    start_us: int
    """First row at fault, UTC microseconds."""
    confirmed_us: int
    """First masked row: from here on the fault was certain."""
    end_us: int
    """Last masked row."""
    open: bool
    """Whether it was still faulty when the export ended."""


@dataclass(frozen=True)
class Snippet:
    """The rows around one event, for pictures; thinned out when the event is long."""

    time_us: Ints
    """(T,) grid times, UTC microseconds; a gap shows as a jump."""
    actual: Floats
    """(T, C) readings in plant units, NaN where missing."""
    expected: Floats
    """(T, C) the network's reconstruction in plant units."""
    band: Floats
    """(C,) half width of the normal band around `expected`, plant units."""
    contribution: Floats
    """(T, C) residual over the most that is normal for the tag; above 1 is abnormal."""
    score: Floats
    """(T,) offline score."""
    causal: Floats
    """(T,) causal score, which raises alarms."""
    evidence: Floats
    """(T, E) calibrated evidence, in the order of `Timeline.evidence_names`."""


@dataclass(frozen=True)
class Timeline:
    """A whole run in a bounded number of equal buckets of time, for pictures."""

    start_us: Ints
    """(B,) start of each bucket, UTC microseconds, increasing, with gaps where there was no
    data."""
    width_us: int
    score_max: Floats
    """(B,) highest causal score in the bucket, NaN where nothing could be scored."""
    score_mean: Floats
    """(B,)"""
    rows: Ints
    """(B,) grid rows in the bucket that had a reading."""
    scorable: Ints
    """(B,) grid rows that could be scored."""
    alarms: Ints
    """(B,) rows of alarms."""
    contribution: Floats
    """(B, C) highest contribution per tag in the bucket; above 1 is abnormal."""
    evidence: Floats
    """(B, E) highest calibrated evidence."""
    evidence_names: tuple[str, ...]
    """E names, as the columns of scores.parquet."""


@dataclass(frozen=True)
class TagQuality:
    """What was found wrong with one tag in an export."""

    tag: str
    rows: int
    """Readings in the export, good or not."""
    missing: int
    """Empty or unreadable cells that are not called bad."""
    out_of_range: int
    """Values outside the physical range of the config (treated as missing)."""
    low: float
    high: float
    """Lowest and highest good value, plant units; NaN when there is none."""
    mean: float
    longest_hold: int
    """Longest stretch of grid rows with one and the same value."""
    kind: str
    """continuous, few-state, constant, counter or empty."""
    remarks: tuple[str, ...] = ()
    """Sentences for the engineer."""
    bad: int = 0
    """Cells that the historian calls bad."""
    uncertain: int = 0
    """Values that the historian calls uncertain, substituted or estimated."""
    held: int = 0
    """Rows that repeat the value before them."""
    longest_gap: tuple[int, int] | None = None
    """From and to of the longest time without a good value, UTC microseconds."""
    period_s: float | None = None
    """Usual time from one value to the next, seconds; None when there are too few."""
    jitter_s: float | None = None
    """How far nine in ten of these times are from the usual one, seconds."""
    faults: tuple[str, ...] = ()
    """(len(remarks),) what each remark is on, in a word or two."""


@dataclass(frozen=True)
class Availability:
    """How much of each tag was there, in a bounded number of equal slots of time."""

    start_us: Ints
    """(B,) start of each slot, UTC microseconds, increasing; slots without a row are left out."""
    width_us: int
    rows: Ints
    """(B,) rows in the slot."""
    shares: Floats
    """(B, C, 4) share of good, uncertain, bad and missing values; they add up to 1."""
    tags: tuple[str, ...]
    """C names."""


@dataclass(frozen=True)
class RowAccount:
    """Where the rows of an export went; `rows_in` is the sum of the other counts but `sorted`."""

    rows_in: int
    kept: int
    dropped: dict[str, int] = field(default_factory=dict)
    """Reason -> rows."""
    sorted: int = 0
    """Rows that stood out of time order and were put in their place."""
    notes: tuple[str, ...] = ()
    """Sentences said once: the time zone assumed, bad cells, ignored columns …"""


@dataclass(frozen=True)
class BackTest:
    """False events on normal time that a limit was not chosen on."""

    budget_events: float
    budget_days: float
    """The budget that the limits were chosen for."""
    lacking: str = ""
    """What there was too little of for a back-test; empty when there is one."""
    limits: tuple[float, ...] = ()
    """The limit of each held-out block of time, chosen on the others."""
    events: int | None = None
    hours: float | None = None
    """Held-out normal time, hours of scorable time."""
    rate: float | None = None
    rate_low: float | None = None
    rate_high: float | None = None
    """Events per budget period, with their exact 95 % Poisson interval."""

    @property
    def brief(self) -> str:
        """Say the same in a few words."""
        if self.rate is None:
            return "too little normal data for a back-test"
        return (
            f"back-test: {self.rate:.3g} per {self.budget_days:g} days (95 % interval "
            f"{self.rate_low:.3g} to {self.rate_high:.3g})"
        )

    @property
    def statement(self) -> str:
        """Say what held-out time says of the budget."""
        if self.rate is None or self.rate_low is None or self.rate_high is None:
            return f"There is too little normal data for a back-test: {self.lacking}."
        events = "event" if self.events == 1 else "events"
        text = (
            f"Back-test: {self.events} false {events} in {self.hours:.4g} h of normal data, each "
            f"of its {len(self.limits)} blocks of time judged by a limit chosen on the others: "
            f"{self.rate:.3g} per {self.budget_days:g} days (95 % interval {self.rate_low:.3g} to "
            f"{self.rate_high:.3g}); "
        )
        if self.rate_low > self.budget_events:
            return text + "that is more than the budget allows."
        if self.rate_high <= self.budget_events:
            return text + "the budget was kept."
        return text + "so much time cannot show whether the budget is kept."
