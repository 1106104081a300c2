"""Rows around alarms, kept on disk: scored tiles come in, slices of rows go out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from sensor_ad.records import Bools, Floats, Ints
from sensor_ad.scoring import ScoredTile

BY_ROW = (
    "index",
    "score",
    "causal",
    "scorable",
    "used",
    "evidence",
    "contribution",
    "actual",
    "expected",
)
"""Arrays of a scored tile that have one entry a row."""


@dataclass(frozen=True)
class SpooledRows:
    """Rows around alarms, in time order."""

    index: Ints
    """(T,) grid rows."""
    table: Floats
    """(T, 3C + 2 + E) float32: actual, expected, contribution, both scores, evidence."""
    channels: int

    @property
    def actual(self) -> Floats:
        """(T, C) readings, plant units."""
        return self.table[:, : self.channels]

    @property
    def expected(self) -> Floats:
        """(T, C) reconstruction, plant units."""
        return self.table[:, self.channels : 2 * self.channels]

    @property
    def contribution(self) -> Floats:
        """(T, C) residual over the most that is normal."""
        return self.table[:, 2 * self.channels : 3 * self.channels]

    @property
    def score(self) -> Floats:
        """(T,) offline score."""
        return self.table[:, 3 * self.channels]

    @property
    def causal(self) -> Floats:
        """(T,) causal score."""
        return self.table[:, 3 * self.channels + 1]

    @property
    def evidence(self) -> Floats:
        """(T, E) calibrated evidence."""
        return self.table[:, 3 * self.channels + 2 :]

    def between(self, first: int, last: int) -> SpooledRows:
        """Rows whose grid row lies between two, both included."""
        start, stop = np.searchsorted(self.index, [first, last + 1])
        return SpooledRows(self.index[start:stop], self.table[start:stop], self.channels)

    def take(self, at: Ints) -> SpooledRows:
        """Rows by their position."""
        return SpooledRows(self.index[at], self.table[at], self.channels)


class Spool:
    """Writes the rows within `margin` of an alarm to a file; the rest is let go."""

    def __init__(self, path: Path, channels: int, evidence: int, margin: int) -> None:
        self._path = path
        self._file: BinaryIO = path.open("wb")
        self._channels = channels
        self._columns = 3 * channels + 2 + evidence
        self._margin = margin
        self._index: list[Ints] = []
        self._held: ScoredTile | None = None
        """The last rows that went by, at least `margin` of them."""
        self._until = -1
        """Grid row up to which rows are still wanted after the last alarm."""

    def add(self, tile: ScoredTile, alarm: Bools) -> None:
        """Take the next tile and which of its rows are alarms."""
        at = tile.index[alarm]
        if self._held is not None and len(at):
            before = self._held.index >= at[0] - self._margin
            self._write(self._held, before & (self._held.index > self._until))
        near = _near(tile.index, at, self._margin) | (tile.index <= self._until)
        self._write(tile, near)
        if len(at):
            self._until = int(at[-1]) + self._margin
        last = _part(tile, slice(max(0, len(tile.index) - self._margin), None))
        if self._held is not None and len(tile.index) < self._margin:
            last = _joined(self._held, last)
        self._held = last

    def close(self) -> SpooledRows:
        """Finish writing and map the file."""
        self._file.close()
        index = np.concatenate(self._index) if self._index else np.empty(0, np.int64)
        if not len(index):
            return SpooledRows(index, np.empty((0, self._columns), np.float32), self._channels)
        table = np.memmap(self._path, np.float32, "r", shape=(len(index), self._columns))
        return SpooledRows(index, table, self._channels)

    def _write(self, tile: ScoredTile, keep: Bools) -> None:
        if not keep.any():
            return
        parts = (
            tile.actual[keep],
            tile.expected[keep],
            tile.contribution[keep],
            tile.score[keep][:, None],
            tile.causal[keep][:, None],
            tile.evidence[keep],
        )
        np.concatenate([part.astype(np.float32) for part in parts], axis=1).tofile(self._file)
        self._index.append(tile.index[keep])


def _near(index: Ints, alarms: Ints, margin: int) -> Bools:
    """(T,) rows within `margin` of an alarm row."""
    if not len(alarms):
        return np.zeros(len(index), dtype=bool)
    after = np.searchsorted(alarms, index)
    right = np.abs(alarms[np.minimum(after, len(alarms) - 1)] - index) <= margin
    left = np.abs(index - alarms[np.maximum(after - 1, 0)]) <= margin
    near: Bools = right | left
    return near


def _part(tile: ScoredTile, rows: slice) -> ScoredTile:
    return ScoredTile(
        tile.index[rows],
        tile.score[rows],
        tile.causal[rows],
        tile.scorable[rows],
        tile.used[rows],
        tile.evidence[rows],
        tile.contribution[rows],
        tile.actual[rows],
        tile.expected[rows],
        tile.steps,
        tile.latents,
    )


def _joined(before: ScoredTile, after: ScoredTile) -> ScoredTile:
    """Rows of one tile after those of another, for tiles shorter than the margin."""
    rows = {name: np.concatenate([getattr(before, name), getattr(after, name)]) for name in BY_ROW}
    return ScoredTile(**rows, steps=after.steps, latents=after.latents)
