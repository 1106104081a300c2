"""A whole run in bounded memory: scored tiles come in, a timeline and its coverage go out."""

from __future__ import annotations

import numpy as np

from sensor_ad.grid import Grid
from sensor_ad.records import Bools, Floats, Ints, Timeline
from sensor_ad.scoring import ScoredTile

MOST_BUCKETS = 4096
"""When a run needs more, neighbouring buckets are joined."""
LISTED_GAPS = 50


class TimelineCount:
    """Buckets of equal time; their width doubles as the run gets longer."""

    def __init__(self, grid: Grid, evidence_names: tuple[str, ...]) -> None:
        self._grid = grid
        self._names = evidence_names
        self._width = 1
        self._key: Ints = np.empty(0, dtype=np.int64)
        self._most: Floats | None = None
        """(B, 1 + C + E) highest score, contributions, evidence."""
        self._sums: Floats = np.empty((0, 4))
        """(B, 4) rows, scorable rows, alarms, sum of scores."""

    def add(self, tile: ScoredTile, alarm: Bools) -> None:
        """Take the next scored rows and which of them are alarms."""
        if not len(tile.index):
            return
        while self._buckets(tile.index) > MOST_BUCKETS:
            self._widen()
        key = tile.index // self._width
        starts = np.flatnonzero(np.diff(key, prepend=key[0] - 1))
        score = np.where(tile.scorable, tile.causal, -np.inf)
        sums = np.stack(
            [
                tile.used,
                tile.scorable,
                alarm,
                np.where(tile.scorable, tile.causal, 0.0),
            ],
            axis=1,
        ).astype(np.float64)
        scorable = tile.scorable[:, None]
        parts = [
            np.maximum.reduceat(score, starts)[:, None],
            np.maximum.reduceat(np.where(scorable, tile.contribution, 0.0), starts, axis=0),
            np.maximum.reduceat(np.where(scorable, tile.evidence, 0.0), starts, axis=0),
        ]
        most = np.concatenate(parts, axis=1)
        self._append(key[starts], most, np.add.reduceat(sums, starts, axis=0))

    def timeline(self, channels: int) -> Timeline:
        """Give the timeline of what came in."""
        B = len(self._key)
        most = (
            self._most if self._most is not None else np.empty((0, 1 + channels + len(self._names)))
        )
        rows, scorable, alarms, total = self._sums.T
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(scorable > 0, total / scorable, np.nan)
        return Timeline(
            start_us=self._grid.time_us(self._key * self._width),
            width_us=self._width * self._grid.period_us,
            score_max=np.where(scorable > 0, most[:, 0], np.nan),
            score_mean=mean,
            rows=rows.astype(np.int64),
            scorable=scorable.astype(np.int64),
            alarms=alarms.astype(np.int64),
            contribution=most[:, 1 : 1 + channels].reshape(B, channels),
            evidence=most[:, 1 + channels :],
            evidence_names=self._names,
        )

    def _buckets(self, index: Ints) -> int:
        return len(self._key) + len(np.unique(index // self._width))

    def _widen(self) -> None:
        self._width *= 2
        key, most, sums = self._key // 2, self._most, self._sums
        self._key, self._most, self._sums = key[:0], None, sums[:0]
        if len(key):
            assert most is not None
            starts = np.flatnonzero(np.diff(key, prepend=key[0] - 1))
            most = np.maximum.reduceat(most, starts, axis=0)
            self._append(key[starts], most, np.add.reduceat(sums, starts, axis=0))

    def _append(self, key: Ints, most: Floats, sums: Floats) -> None:
        if self._most is None or not len(self._key):
            self._key, self._most, self._sums = key, most, sums
            return
        if key[0] == self._key[-1]:
            self._most[-1] = np.maximum(self._most[-1], most[0])
            self._sums[-1] += sums[0]
            key, most, sums = key[1:], most[1:], sums[1:]
        self._key = np.concatenate([self._key, key])
        self._most = np.concatenate([self._most, most])
        self._sums = np.concatenate([self._sums, sums])


class Coverage:
    """How much of a run had readings and could be scored."""

    def __init__(self, grid: Grid, max_hole: int) -> None:
        self._grid = grid
        self._max_hole = max_hole
        self.first: int | None = None
        self.last: int | None = None
        self.rows = 0
        self.scorable = 0
        self.unused = 0
        self.gap_count = 0
        self.gap_rows = 0
        self._gaps: list[tuple[int, int, int]] = []

    def add(self, tile: ScoredTile) -> None:
        """Take the next scored rows."""
        if not len(tile.index):
            return
        if self.first is None:
            self.first = int(tile.index[0])
        before = tile.index[0] - 1 if self.last is None else self.last
        steps = np.diff(tile.index, prepend=before)
        for at in np.flatnonzero(steps - 1 > self._max_hole):
            length = int(steps[at]) - 1
            self.gap_count += 1
            self.gap_rows += length
            stop = int(tile.index[at])
            self._gaps.append((-length, stop - length, stop))
        self._gaps = sorted(self._gaps)[:LISTED_GAPS]
        self.last = int(tile.index[-1])
        self.rows += len(tile.index)
        self.scorable += int(tile.scorable.sum())
        self.unused += int((~tile.used).sum())

    def gaps_us(self) -> tuple[tuple[int, int], ...]:
        """Longest gaps first, each from its first to its last missing moment, UTC microseconds."""
        times = self._grid.time_us
        return tuple(
            (int(times(np.array(start))), int(times(np.array(stop))))
            for _, start, stop in self._gaps
        )
