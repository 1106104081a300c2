"""Rows around alarms: exactly those within the margin, each once, however tiles are cut."""

import tempfile
from pathlib import Path

import naive
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scored import pieces, scored_rows, scored_tile

from sensor_ad.spool import Spool


@given(scored_rows(), st.integers(0, 12))
def test_rows_equal_naive_however_cut(case, margin):
    tile, points = case
    alarm = np.nan_to_num(tile.score) > 1.4
    with tempfile.TemporaryDirectory() as folder:
        spool = Spool(Path(folder) / "spool", 2, 2, margin)
        for piece, flags in zip(pieces(tile, points), naive.cuts(len(alarm), points), strict=True):
            spool.add(piece, alarm[flags])
        rows = spool.close()

        near = naive.near_alarms(tile.index.tolist(), alarm.tolist(), margin)
        np.testing.assert_array_equal(rows.index, tile.index[near])
        for name in ("actual", "expected", "contribution", "score", "evidence"):
            np.testing.assert_array_equal(getattr(rows, name), getattr(tile, name)[near])
        del rows


def test_nothing_near(tmp_path):
    spool = Spool(tmp_path / "spool", 2, 2, 5)
    spool.add(scored_tile([1, 2, 3], [0, 0, 0]), np.zeros(3, bool))

    rows = spool.close()

    assert (len(rows.index), rows.actual.shape, rows.evidence.shape) == (0, (0, 2), (0, 2))
    assert not len(rows.between(0, 10).score)


def test_between_includes_both_ends(tmp_path):
    spool = Spool(tmp_path / "spool", 2, 2, 5)
    spool.add(scored_tile([10, 12, 14, 16], [1, 2, 3, 4]), np.ones(4, bool))
    rows = spool.close()

    assert rows.between(12, 14).score.tolist() == [2, 3]
    assert rows.between(11, 13).index.tolist() == [12]
    assert rows.take(np.array([0, 3])).index.tolist() == [10, 16]
