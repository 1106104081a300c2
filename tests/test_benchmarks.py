"""The benchmarks' own arithmetic, and one experiment from end to end."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.metrics import Judged, at_rows, figures, lowest_where_unknown, pooled

REAL_DATA = os.environ.get("SENSOR_AD_REAL_DATA")
needs_skab = pytest.mark.skipif(
    not REAL_DATA or not (Path(REAL_DATA) / "skab").is_dir(),
    reason="SENSOR_AD_REAL_DATA names no folder with skab/",
)


def judged(alarm: str, label: str, score: list[float] | None = None) -> Judged:
    alarms, labels = (np.array([c == "1" for c in text]) for text in (alarm, label))
    return Judged(np.array(score or alarms, dtype=float), alarms, labels)


def test_figures_by_hand():
    # 2 hits, 1 false of 4 normal rows, 1 missed of 3 abnormal rows.
    found = figures(judged("0100110", "0000111", [0, 4, 1, 2, 5, 6, 3]))

    assert found.f1 == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    assert found.far == pytest.approx(25.0)
    assert found.mar == pytest.approx(100 / 3)
    # Of the 12 pairs of an abnormal and a normal row only (3, 4) stands the wrong way round.
    assert found.auc == pytest.approx(11 / 12)
    # Precision at the abnormal rows from the highest score on: 1/1, 2/2, 3/4.
    assert found.ap == pytest.approx((1 + 1 + 3 / 4) / 3)


def test_figures_one_class_has_no_auc():
    found = figures(judged("0100", "0000"))

    assert (found.f1, found.far, found.mar) == (0.0, 25.0, 0.0)
    assert np.isnan(found.auc)
    assert np.isnan(found.ap)


def test_pooled_counts_rows_not_tests():
    tests = [judged("11", "11"), judged("100000", "000000")]

    found = figures(pooled(tests))

    assert found.f1 == pytest.approx(2 * 2 / (2 * 2 + 1))
    assert found.far == pytest.approx(100 / 6)


def test_lowest_where_unknown_is_below_all():
    assert lowest_where_unknown(np.array([2.0, np.nan, -1.0])).tolist() == [2.0, -2.0, -1.0]


def test_at_rows_nearest_row_within_half_a_period():
    grid = pd.date_range("2026-01-01", periods=4, freq="2s", tz="UTC")
    scores = pd.DataFrame(
        {
            "score": [1.0, 2.0, np.nan, 4.0],
            "causal_score": [5.0, 6.0, 7.0, 8.0],
            "alarm": [False, True, False, True],
        },
        index=grid,
    )
    times = grid[0] + pd.to_timedelta([0.4, 2, 4, 6.9, 9], unit="s")

    rows = at_rows(scores, times, period_s=2.0)

    np.testing.assert_array_equal(rows["score"], [1.0, 2.0, np.nan, 4.0, np.nan])
    np.testing.assert_array_equal(rows["causal_score"], [5.0, 6.0, 7.0, 8.0, np.nan])
    assert rows["alarm"].tolist() == [False, True, False, True, False]


@needs_skab
def test_skab_one_experiment():
    from benchmarks.skab import TRAINING_ROWS, judge, score_experiment

    root = Path(REAL_DATA or "") / "skab"
    scored = score_experiment(root, None, "", 1, "valve1/8")
    test = judge(root, scored)

    rows = len((root / "valve1/8.csv").read_text().splitlines()) - 1
    assert len(test.label) == len(test.score) == rows - TRAINING_ROWS
    assert np.isfinite(test.score).mean() > 0.95
    assert not test.alarm[~np.isfinite(test.score)].any()
    # An easy one: a rule that gives any sense at all ranks its fault first.
    assert figures(test).auc > 0.9
