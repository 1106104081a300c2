"""`inspect`: exports come in, what is in them goes out; nothing is fitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sensor_ad.config import Config
from sensor_ad.errors import DataError
from sensor_ad.exports import open_export
from sensor_ad.exports.profile import Profile
from sensor_ad.grid import find_period_us
from sensor_ad.prepare import find_kinds, model_tags, select_quality, select_tags
from sensor_ad.quality import QualityCount
from sensor_ad.reading import PROBE_ROWS, Announce, announced, read_settings
from sensor_ad.records import Availability, Ints, Readings, RowAccount, Tag, TagQuality

KIND_ROWS = 200_000
"""First rows from which the kinds of tags are told."""
LISTED_GAPS = 5
SHOWN_ROWS = 5
"""First rows that are shown as they were understood."""
KEPT_GAPS = 1000
"""Longest steps kept while an export passes by."""
GAP_STEPS = 1.5
"""A step longer than so many periods is a gap."""


@dataclass(frozen=True)
class Inspection:
    """What is in an export."""

    profile: dict[str, object]
    account: RowAccount
    first_us: int
    last_us: int
    period_s: float | None
    """None when the times are irregular or too few."""
    remark: str
    """Why there is no period; or empty."""
    gap_count: int
    gaps: tuple[tuple[int, int], ...]
    """(from, to) of the longest gaps, UTC microseconds."""
    tags: tuple[Tag, ...]
    quality: tuple[TagQuality, ...]
    availability: Availability
    found: Profile
    """How the files are written, to be kept as a profile."""
    first_rows: Readings
    """The first rows, as they were understood."""


def inspect(exports: Sequence[Path], config: Config, announce: Announce) -> Inspection:
    """Read exports once and sum up what is in them, in bounded memory.

    Raises
    ------
    DataError
        The export cannot be read, or has no row.
    """
    export = open_export(
        exports,
        read_settings(config),
        progress=lambda done, total: announce("importing", done, total),
    )
    tags = model_tags(export.tags, config, export.units)
    quality, gaps = QualityCount(tags), _Gaps()
    head: list[Readings] = []
    rows = 0
    for chunk in announced(export, announce):
        if rows < KIND_ROWS:
            head.append(chunk)
        rows += len(chunk.time_us)
        gaps.add(chunk)
        quality.add(chunk.time_us, select_tags(chunk, tags), select_quality(chunk, tags))
    if not rows:
        raise DataError(
            "the export has no row, at least one was expected; check the span that was exported."
        )
    values = np.concatenate([select_tags(chunk, tags) for chunk in head])
    kinds = find_kinds(values, config.prepare.few_states)
    try:
        period_us, remark = gaps.period_us(), ""
    except DataError as error:
        period_us, remark = None, str(error)
    count, longest = gaps.longest(period_us)
    return Inspection(
        profile=export.profile,
        account=export.account(),
        first_us=gaps.first,
        last_us=gaps.last or gaps.first,
        period_s=None if period_us is None else period_us / 1e6,
        remark=remark,
        gap_count=count,
        gaps=longest,
        tags=tags,
        quality=tuple(quality.findings(kinds, zone=config.zone)),
        availability=quality.availability(),
        found=export.found,
        first_rows=_first(head[0]),
    )


def _first(chunk: Readings) -> Readings:
    part = slice(0, SHOWN_ROWS)
    quality = None if chunk.quality is None else chunk.quality[part]
    return Readings(chunk.time_us[part], chunk.values[part], chunk.tags, quality)


class _Gaps:
    """The longest steps from row to row, while chunks pass by."""

    def __init__(self) -> None:
        self.first = 0
        self.last: int | None = None
        self._probe: list[Ints] = []
        self._seen = 0
        self._steps: Ints = np.empty((0, 2), dtype=np.int64)
        """(K, 2) length and end, longest last."""
        self._lengths: dict[int, int] = {}

    def add(self, chunk: Readings) -> None:
        """Take the next rows."""
        time_us = chunk.time_us
        if not len(time_us):
            return
        if self.last is None:
            self.first = int(time_us[0])
        if self._seen < PROBE_ROWS:
            self._probe.append(time_us[: PROBE_ROWS - self._seen])
            self._seen += len(self._probe[-1])
        steps = np.diff(time_us, prepend=time_us[0] if self.last is None else self.last)
        for length, count in zip(*np.unique(steps, return_counts=True), strict=True):
            if len(self._lengths) < KEPT_GAPS or int(length) in self._lengths:
                self._lengths[int(length)] = self._lengths.get(int(length), 0) + int(count)
        longest = np.argsort(steps, kind="stable")[-KEPT_GAPS:]
        found = np.stack([steps[longest], time_us[longest]], axis=1)
        both = np.concatenate([self._steps, found])
        self._steps = both[np.argsort(both[:, 0], kind="stable")][-KEPT_GAPS:]
        self.last = int(time_us[-1])

    def period_us(self) -> int | None:
        """Find the period from the first rows."""
        return find_period_us(np.concatenate(self._probe))

    def longest(self, period_us: int | None) -> tuple[int, tuple[tuple[int, int], ...]]:
        """Give the number of gaps, and from and to of the longest ones."""
        if period_us is None:
            return 0, ()
        least = GAP_STEPS * period_us
        count = sum(number for length, number in self._lengths.items() if length > least)
        gaps = [
            (int(end - length), int(end)) for length, end in self._steps[::-1] if length > least
        ]
        return count, tuple(gaps[:LISTED_GAPS])
