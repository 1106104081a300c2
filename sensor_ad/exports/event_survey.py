"""Merged events in, stretch by stretch; what each tag is like out: its gaps and its values."""

from __future__ import annotations

import numpy as np

from sensor_ad.exports.event_merge import Archived
from sensor_ad.records import Floats, Ints, Quality

BINS_PER_OCTAVE = 8
"""Gaps that differ by less than 9 % share a bin."""
LONGEST_OCTAVE = 50
"""Gaps of 35 years and longer share the last octave."""
FEW_STATES = 8
"""At most so many different values make a few-state tag (as prepare.few_states)."""
PROBE = 512
"""Values of a tag that are looked at first: most tags show there that they have many."""


class GapCounts:
    """How often each length of gap came, for several tags; the order of adding has no part in it.

    A bin is told by the shortest gap in it, so that the gaps of a regular tag are told exactly and
    all others within 9 %.
    """

    def __init__(self, tags: int):
        self._bins = BINS_PER_OCTAVE * LONGEST_OCTAVE
        self._counts = np.zeros((tags, self._bins), np.int64)
        self._shortest = np.full((tags, self._bins), np.iinfo(np.int64).max)

    def add(self, tag: Ints, gap_us: Ints) -> None:
        """Count gaps (K,) above 0, microseconds, each of a tag."""
        octaves = np.minimum(np.log2(gap_us), LONGEST_OCTAVE - 1e-6)
        at = tag.astype(np.int64) * self._bins + (octaves * BINS_PER_OCTAVE).astype(np.int64)
        self._counts += np.bincount(at, minlength=self._counts.size).reshape(self._counts.shape)
        np.minimum.at(self._shortest.reshape(-1), at, gap_us)

    def total(self, tag: int) -> int:
        """Gaps of a tag."""
        return int(self._counts[tag].sum())

    def quantile(self, tag: int, share: float) -> int:
        """Return the gap below or at which a share of the others lies, microseconds.

        The lower one where it falls between two, so that of two gaps and more the longest is never
        meant: one stop of the plant says nothing about a tag.
        """
        counts = self._counts[tag]
        rank = int(share * (int(counts.sum()) - 1))
        return int(self._shortest[tag, int(np.searchsorted(np.cumsum(counts), rank, "right"))])


class Survey:
    """What is counted while merged events pass for the first time, in stretches of time."""

    def __init__(self, tags: int):
        self.events = np.zeros(tags, np.int64)
        """(C,) events of each tag."""
        self.gaps = GapCounts(tags)
        """Between events of a tag, those after a bad one left out: bad is stored only once."""
        self.any_gaps = GapCounts(1)
        """Between the distinct times of all tags together."""
        self.distinct_times = 0
        self.first_us: int | None = None
        """Time of the first event of all."""
        self.last_us: int | None = None
        self._few: dict[int, set[float]] = {}
        self._many = np.zeros(tags, bool)
        self._known = np.zeros(tags, bool)
        self._last_us = np.zeros(tags, np.int64)
        self._last_usable = np.zeros(tags, bool)

    def states(self, tag: int) -> int | None:
        """Return how many different values a tag has; None when more than few."""
        return None if self._many[tag] else len(self._few.get(tag, ()))

    def add(self, events: Archived, distinct_us: Ints) -> None:
        """Take the next stretch.

        Parameters
        ----------
        events
            Sorted by tag and time, all of them later than those before.
        distinct_us
            (U,) their distinct times, increasing.
        """
        self._add_times(distinct_us)
        starts = np.flatnonzero(np.append(True, events.tag[1:] != events.tag[:-1]))
        ends = np.append(starts[1:], len(events.tag))
        present = events.tag[starts]
        usable = events.quality < Quality.BAD
        self.events[present] += ends - starts
        within = (events.tag[1:] == events.tag[:-1]) & usable[:-1]
        gaps = np.diff(events.time_us)
        self.gaps.add(events.tag[1:][within], gaps[within])
        joined = self._known[present] & self._last_usable[present]
        across = events.time_us[starts] - self._last_us[present]
        self.gaps.add(present[joined], across[joined])
        self._known[present] = True
        self._last_us[present] = events.time_us[ends - 1]
        self._last_usable[present] = usable[ends - 1]
        for tag, start, end in zip(present.tolist(), starts.tolist(), ends.tolist(), strict=True):
            if not self._many[tag]:
                self._add_states(tag, events.values[start:end])

    def _add_times(self, distinct_us: Ints) -> None:
        self.distinct_times += len(distinct_us)
        if self.last_us is not None:
            distinct_us = np.append(self.last_us, distinct_us)
        gaps = np.diff(distinct_us)
        self.any_gaps.add(np.zeros(len(gaps), np.int64), gaps)
        if self.first_us is None:
            self.first_us = int(distinct_us[0])
        self.last_us = int(distinct_us[-1])

    def _add_states(self, tag: int, values: Floats) -> None:
        found = self._few.setdefault(tag, set())
        for part in (values[:PROBE], values[PROBE:]):
            found.update(np.unique(part[np.isfinite(part)])[: FEW_STATES + 1].tolist())
            if len(found) > FEW_STATES:
                self._many[tag] = True
                del self._few[tag]
                return
