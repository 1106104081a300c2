"""SKAB's change-points by NAB, and rules chosen on halves, against cases by hand."""

import os
from pathlib import Path

import numpy as np
import pytest

from benchmarks.halves import chosen_on_halves
from benchmarks.metrics import Judged
from benchmarks.nab import Nab, edges, nab, pooled_nab
from benchmarks.skab import (
    Scored,
    at_limit,
    judge_changes,
    limit_factors,
    print_nab,
    print_rules,
    rule_name,
)

REAL_DATA = os.environ.get("SENSOR_AD_REAL_DATA")


def between(T, *runs):
    rows = np.zeros(T, dtype=bool)
    for start, stop in runs:
        rows[start:stop] = True
    return rows


def at(T, *rows):
    marked = np.zeros(T, dtype=bool)
    marked[list(rows)] = True
    return marked


def worth(share):
    """Worth of a hit after this share of the window, in the open."""
    x = np.pi * (min(int(share * 1000), 999) / 999 - 0.5)
    return 1.11 / 2 * (1 - np.tanh(x) / np.tanh(np.pi / 2)) - 0.11


def test_edges_both_ways():
    assert np.flatnonzero(edges(between(9, (0, 2), (5, 8)))).tolist() == [0, 2, 5, 8]


def test_nab_by_hand():
    # Changes at 100 and 300 s. Alarm from 130 to 305 s: both edges are hits, after 30 and 5 s.
    found = nab(between(500, (130, 305)), at(500, 100, 300), np.arange(500.0))

    assert (found.windows, found.missed, found.false) == (2, 0, 0)
    assert found.worth == pytest.approx(worth(0.5) + worth(5 / 60))
    assert found.score == pytest.approx(100 * (found.worth + 2) / 4)


def test_nab_counts_false_and_missed():
    # An alarm before the change and one behind its window: three edges false, one window missed.
    found = nab(between(500, (20, 40), (161, 500)), at(500, 100), np.arange(500.0))

    assert (found.missed, found.false) == (1, 3)
    assert found.worth == pytest.approx(-1 - 3 * 0.11)


def test_nab_takes_the_first_change_of_a_window():
    found = nab(between(500, (110, 115), (120, 125)), at(500, 100), np.arange(500.0))

    assert (found.missed, found.false) == (0, 0)
    assert found.worth == pytest.approx(worth(10 / 60))


def test_nab_window_ends_after_a_minute_of_time_not_of_rows():
    # Rows every 2 s: the window holds 30 of them, its last row too.
    time_s = 2 * np.arange(200.0)

    assert nab(between(200, (80, 200)), at(200, 50), time_s).missed == 0
    assert nab(between(200, (81, 200)), at(200, 50), time_s).missed == 1


def test_nab_cuts_the_later_of_two_windows():
    # Changes at 100 and 140: the second window goes from 160 to 200 s.
    found = nab(between(500, (150, 180)), at(500, 100, 140), np.arange(500.0))

    assert (found.missed, found.false) == (0, 0)
    assert found.worth == pytest.approx(worth(50 / 60) + worth(20 / 40))


def test_nab_of_perfect_and_silent_detectors():
    change = at(500, 100, 300)

    assert nab(between(500, (100, 300)), change, np.arange(500.0)).score == pytest.approx(100)
    assert nab(np.zeros(500, dtype=bool), change, np.arange(500.0)).score == 0
    assert np.isnan(nab(change, np.zeros(500, dtype=bool), np.arange(500.0)).score)


def test_pooled_nab_adds_up():
    parts = [Nab(1.0, 1, 0, 0), Nab(-1.11, 1, 1, 1), Nab(-0.22, 0, 0, 2)]

    whole = pooled_nab(parts)

    assert (whole.windows, whole.missed, whole.false) == (2, 1, 3)
    assert whole.score == pytest.approx(100 * (-0.33 + 2) / 4)


def test_choosing_on_halves_does_not_flatter():
    # Each rule is good on one experiment by chance: the best on all is no better elsewhere.
    results = {f"rule {k}": np.eye(20)[k].tolist() for k in range(20)}

    found = chosen_on_halves(results, lambda half: float(np.mean(half)), splits=20)

    assert max(found.whole.values()) == pytest.approx(1 / 20)
    assert found.other.max() == 0
    assert len(found.other) == sum(found.chosen.values()) == 20


def test_choosing_on_halves_keeps_a_rule_that_is_better():
    results = {"good": [2.0, 3.0, 4.0, 5.0], "bad": [1.0, 1.0, 1.0, 1.0]}

    found = chosen_on_halves(results, lambda half: float(np.mean(half)))

    assert found.chosen == {"good": 20}
    assert 2.5 <= found.other.min() <= found.other.max() <= 4.5
    assert found.statement.endswith("of 20 splits; on all 3.500 by good; chosen: good (20)")


def test_choosing_on_halves_refuses_unequal_results():
    with pytest.raises(ValueError, match=r"results on \[1, 2\] experiments; expected the same"):
        chosen_on_halves({"a": [1.0], "b": [1.0, 2.0]}, sum)
    with pytest.raises(ValueError, match=r"results on \[1\] experiments"):
        chosen_on_halves({"a": [1.0]}, sum)


def test_rules_are_multiples_of_the_limit(capsys):
    score = np.array([1.0, 3.0, np.nan, 7.0])
    scored = Scored("valve1/0", score, np.array([False, True, False, True]), 2.0, 1, 0.0)

    assert limit_factors("2,1.5") == [1.0, 1.5, 2.0]
    assert limit_factors("") == [1.0]
    assert at_limit(scored, 1) is scored.alarm
    assert at_limit(scored, 2).tolist() == [False, False, False, True]
    tests = {
        rule_name(f): [Judged(score, at_limit(scored, f), np.array([0, 0, 0, 1], dtype=bool))] * 2
        for f in (1, 2)
    }
    print_rules(tests, {rule: [Nab(1.0, 1, 0, 0), Nab(-1.0, 1, 1, 0)] for rule in tests})
    out = capsys.readouterr().out
    assert "own limit               0.667   33.33    0.00   50.00" in out
    assert "limit × 2               1.000    0.00    0.00   50.00" in out
    assert "F1, rule chosen on random halves: 1.000 ± 0.000 on the other halves of 20 splits" in out


def test_print_nab_stands_beside_published_values(capsys):
    result = print_nab(Nab(1.0, 2, 0, 3))

    assert result["score"] == pytest.approx(75.0)
    assert "sensor_ad, all          75.00       0       3" in capsys.readouterr().out


@pytest.mark.skipif(
    not REAL_DATA or not (Path(REAL_DATA) / "skab").is_dir(),
    reason="SENSOR_AD_REAL_DATA names no folder with skab/",
)
def test_changes_are_read_behind_the_training_rows():
    root = Path(REAL_DATA or "") / "skab"
    rows = len((root / "valve1/0.csv").read_text().splitlines()) - 1 - 400
    silent = np.zeros(rows)

    found = judge_changes(root, Scored("valve1/0", silent, silent > 0, 1.0, 0, 0.0))

    assert (found.windows, found.missed, found.false, found.score) == (4, 4, 0, 0.0)
