"""A run in bounded memory: buckets that keep every count, gaps that know no tiles."""

import naive
import numpy as np
import pytest
from hypothesis import given
from scored import pieces, scored_rows, scored_tile

from sensor_ad import timeline
from sensor_ad.grid import Grid
from sensor_ad.timeline import Coverage, TimelineCount

GRID = Grid(60_000_000, 7)
NAMES = ("x", "y")


def counted(tile, points=(), alarm=None):
    """Count a tile cut at some points."""
    alarm = np.nan_to_num(tile.score) > 1 if alarm is None else alarm
    count = TimelineCount(GRID, NAMES)
    for piece, cut in zip(pieces(tile, points), naive.cuts(len(alarm), points), strict=True):
        count.add(piece, alarm[cut])
    return count.timeline(2), alarm


@given(case=scored_rows(60))
@pytest.mark.parametrize("most", [4, 16, 4096])
def test_buckets_equal_naive_however_cut(most, case):
    tile, points = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timeline, "MOST_BUCKETS", most)
        made, alarm = counted(tile, points)

    width = made.width_us // GRID.period_us
    assert len(made.start_us) <= most
    assert width & (width - 1) == 0
    buckets = sorted(set(tile.index // width))
    np.testing.assert_array_equal(made.start_us, np.array(buckets) * made.width_us + 7)
    for b, key in enumerate(buckets):
        rows = np.flatnonzero(tile.index // width == key)
        known = rows[tile.scorable[rows]]
        assert (made.rows[b], made.scorable[b]) == (len(rows), len(known))
        assert made.alarms[b] == alarm[rows].sum()
        if len(known):
            assert made.score_max[b] == tile.score[known].max()
            assert made.score_mean[b] == pytest.approx(tile.score[known].mean())
            contribution = np.maximum(tile.contribution[known].max(axis=0), 0)
            np.testing.assert_array_equal(made.contribution[b], contribution)
        else:
            assert np.isnan([made.score_max[b], made.score_mean[b]]).all()


def test_long_run_stays_bounded():
    count = TimelineCount(GRID, NAMES)
    for start in range(0, 100_000, 10_000):
        index = np.arange(start, start + 10_000)
        count.add(scored_tile(index, index % 7), np.zeros(10_000, bool))

    made = count.timeline(2)

    assert timeline.MOST_BUCKETS / 4 < len(made.start_us) <= timeline.MOST_BUCKETS
    assert made.rows.sum() == made.scorable.sum() == 100_000
    assert (np.diff(made.start_us) == made.width_us).all()


def test_timeline_of_nothing():
    made = TimelineCount(GRID, NAMES).timeline(3)
    assert (made.contribution.shape, made.evidence.shape) == ((0, 3), (0, 2))
    assert not len(made.score_mean)


@given(scored_rows())
def test_coverage_equals_naive_however_cut(case):
    tile, points = case
    coverage = Coverage(GRID, max_hole=3)
    for piece in pieces(tile, points):
        coverage.add(piece)

    gaps = naive.gaps(tile.index.tolist(), 3)
    assert (coverage.first, coverage.last) == (tile.index[0], tile.index[-1])
    assert (coverage.rows, coverage.scorable) == (len(tile.index), tile.scorable.sum())
    assert (coverage.gap_count, coverage.gap_rows) == (len(gaps), sum(b - a for a, b in gaps))
    longest = sorted(gaps, key=lambda gap: (gap[0] - gap[1], gap[0]))
    assert coverage.gaps_us() == tuple((a * 60_000_000 + 7, b * 60_000_000 + 7) for a, b in longest)


def test_coverage_lists_the_longest_gaps():
    steps = np.array([1, *range(5, 5 + 2 * timeline.LISTED_GAPS)])
    coverage = Coverage(GRID, max_hole=3)
    index = np.cumsum(steps)
    coverage.add(scored_tile(index, np.zeros(len(index)), used=np.arange(len(index)) % 2 == 0))

    assert coverage.gap_count == 2 * timeline.LISTED_GAPS
    assert len(coverage.gaps_us()) == timeline.LISTED_GAPS
    lengths = [(stop - start) // 60_000_000 for start, stop in coverage.gaps_us()]
    assert lengths == sorted((steps[1:] - 1).tolist(), reverse=True)[: timeline.LISTED_GAPS]
    assert coverage.unused == timeline.LISTED_GAPS
