"""What is wrong with each tag: readings come in chunk by chunk, one finding per tag goes out."""

from __future__ import annotations

import numpy as np

from sensor_ad.records import Floats, Ints, Tag, TagQuality

MUCH_MISSING = 0.2
"""Share of missing values from which the report remarks on it."""


class QualityCount:
    """Running counts per tag, independent of how an export was cut into chunks."""

    def __init__(self, tags: tuple[Tag, ...]) -> None:
        self.tags = tags
        C = len(tags)
        self.rows = 0
        self.missing = np.zeros(C, dtype=np.int64)
        self.out_of_range = np.zeros(C, dtype=np.int64)
        self.low = np.full(C, np.inf)
        self.high = np.full(C, -np.inf)
        self.total = np.zeros(C)
        self.longest_hold = np.zeros(C, dtype=np.int64)
        self._hold = np.zeros(C, dtype=np.int64)
        self._last = np.full(C, np.nan)
        low = [np.nan if tag.low is None else tag.low for tag in tags]
        high = [np.nan if tag.high is None else tag.high for tag in tags]
        self._range = np.array(low, dtype=float), np.array(high, dtype=float)
        self._ranged = bool(np.isfinite(low).any() or np.isfinite(high).any())

    def add(self, values: Floats) -> Floats:
        """Count a chunk, and hide what is physically impossible.

        Parameters
        ----------
        values
            (T, C) readings in plant units, NaN where missing.

        Returns
        -------
        (T, C) the same, with values outside the physical range as NaN.
        """
        self.rows += len(values)
        finite = np.isfinite(values)
        self.missing += len(values) - finite.sum(axis=0)
        if self._ranged:
            outside = (values < self._range[0]) | (values > self._range[1])
            if outside.any():
                self.out_of_range += outside.sum(axis=0)
                values = np.where(outside, np.nan, values)
                finite &= ~outside
        if len(values):
            everything = finite.all()
            self.total += values.sum(axis=0) if everything else np.nansum(values, axis=0)
            low = values if everything else np.where(finite, values, np.inf)
            high = values if everything else np.where(finite, values, -np.inf)
            self.low = np.minimum(self.low, low.min(axis=0))
            self.high = np.maximum(self.high, high.max(axis=0))
            self._count_holds(values)
        return values

    def _count_holds(self, values: Floats) -> None:
        """Lengthen the stretches of equal values; a missing value ends one."""
        same = np.empty(values.shape, dtype=bool)
        same[0] = values[0] == self._last
        np.equal(values[1:], values[:-1], out=same[1:])
        for c in range(values.shape[1]):
            changes = np.flatnonzero(~same[:, c])
            if not len(changes):
                self._hold[c] += len(values)
            else:
                first = int(self._hold[c]) + int(changes[0])
                inner = int(np.diff(changes).max()) if len(changes) > 1 else 0
                self._hold[c] = len(values) - int(changes[-1])
                self.longest_hold[c] = max(self.longest_hold[c], first, inner)
            self.longest_hold[c] = max(self.longest_hold[c], self._hold[c])
        self._last = values[-1].copy()

    def findings(self, kinds: tuple[str, ...], usual_hold: Ints | None = None) -> list[TagQuality]:
        """Sum up, one finding per tag.

        Parameters
        ----------
        kinds
            (C,) kinds of the tags.
        usual_hold
            (C,) longest stretch of equal values in training, rows; None in training itself.
        """
        return [self._finding(c, kinds[c], usual_hold) for c in range(len(self.tags))]

    def _finding(self, c: int, kind: str, usual_hold: Ints | None) -> TagQuality:
        good = self.rows - int(self.missing[c]) - int(self.out_of_range[c])
        remarks = []
        if not good:
            remarks.append("no usable value in this export")
        elif self.missing[c] > MUCH_MISSING * self.rows:
            remarks.append(f"{self.missing[c] / self.rows:.0%} of its values are missing")
        if self.out_of_range[c]:
            remarks.append(
                f"{int(self.out_of_range[c])} values outside its physical range, treated as missing"
            )
        hold = int(self.longest_hold[c]) if good else 0
        usual = None if usual_hold is None else int(usual_hold[c])
        if usual is not None and kind in ("continuous", "counter") and hold > max(10, 3 * usual):
            remarks.append(f"stood still for {hold} rows (at most {usual} in training)")
        return TagQuality(
            tag=self.tags[c].name,
            rows=self.rows,
            missing=int(self.missing[c]),
            out_of_range=int(self.out_of_range[c]),
            low=float(self.low[c]) if good else float("nan"),
            high=float(self.high[c]) if good else float("nan"),
            mean=float(self.total[c] / good) if good else float("nan"),
            longest_hold=hold,
            kind=kind,
            remarks=tuple(remarks),
        )
