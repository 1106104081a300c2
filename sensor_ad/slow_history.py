"""Raw evidence of a history comes in, tile after tile; what slow change is normal goes out."""

from __future__ import annotations

import numpy as np

from sensor_ad.grid import Grid, Rows
from sensor_ad.records import Ints
from sensor_ad.scoring import RawEvidence, Scorer
from sensor_ad.slow_echo import measure_answers
from sensor_ad.slow_normal import SlowNormal, fit_slow_normal, slot_rows
from sensor_ad.slow_slots import SlowCount


class SlowHistory:
    """Readings and expectations of rows that the network did not learn from.

    Parameters
    ----------
    rows
        The history.
    labels
        (T,) part or block of each of its rows.
    held
        Labels of the parts that a network did not learn from.
    grid
        The time axis.
    window
        L, rows.
    """

    def __init__(
        self, rows: Rows, labels: Ints, held: tuple[int, ...], grid: Grid, window: int
    ) -> None:
        self._rows, self._labels, self._held, self._grid = rows, labels, held, grid
        count = int((rows.used & np.isin(labels, held)).sum())
        width = slot_rows(count, grid.period_us, window)
        self._width = width
        self._count = SlowCount(grid, rows.values.shape[1], width or 1, bounded=False)

    def add(self, raw: RawEvidence, scorer: Scorer, held: int | None = None) -> None:
        """Take one tile's rows that were held back, those labelled `held` only if given."""
        if self._width is None:
            return
        index = raw.tile.index[raw.tile.core]
        label = self._labels[np.searchsorted(self._rows.index, np.maximum(index, 0))]
        wanted = np.isin(label, self._held if held is None else (held,)) & (index >= 0)
        wanted &= raw.observed[raw.tile.core] >= scorer.min_observed
        expected = scorer.preparation.plant_units(raw.expected[raw.tile.core])
        self._count.add(index, raw.tile.values[raw.tile.core], expected, wanted)

    def normal(self, scorer: Scorer) -> SlowNormal | None:
        """Give what is normal; None when the history is too short to tell."""
        if self._width is None:
            return None
        rows = self._rows
        whole = SlowCount(self._grid, rows.values.shape[1], self._width, bounded=False)
        whole.add(rows.index, rows.values, rows.values, rows.used)
        held = np.isin(self._labels, self._held)
        answers = measure_answers(scorer.network, scorer.preparation, rows, held)
        scale = scorer.preparation.scale
        return fit_slow_normal(self._count.slots(), whole.slots(), scale, answers)
