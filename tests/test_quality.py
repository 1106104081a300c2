"""What is wrong with each tag: counts that do not know how the export was cut."""

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensor_ad.quality import QualityCount
from sensor_ad.records import Tag

NAN = float("nan")
LOW, HIGH = 0.0, 4.0
RANGED = (Tag("a", low=LOW, high=HIGH), Tag("b"), Tag("c", high=HIGH))
LIMITS = ((LOW, HIGH), (-np.inf, np.inf), (-np.inf, HIGH))


@st.composite
def tables(draw):
    """Draw a table with missing, impossible and repeated values, and where to cut it."""
    T = draw(st.integers(1, 40))
    cell = st.sampled_from([NAN, -1.0, 0.0, 1.0, 1.0, 1.0, 4.0, 9.0])
    values = draw(st.lists(st.lists(cell, min_size=3, max_size=3), min_size=T, max_size=T))
    return np.array(values), draw(st.lists(st.integers(0, T), max_size=5))


@given(tables())
def test_counts_equal_naive_however_cut(case):
    values, points = case
    count = QualityCount(RANGED)

    kept = [count.add(values[cut]) for cut in naive.cuts(len(values), points)]

    outside = np.stack([(values[:, c] < low) | (values[:, c] > high)
                        for c, (low, high) in enumerate(LIMITS)], axis=1)  # fmt: skip
    np.testing.assert_array_equal(np.concatenate(kept), np.where(outside, NAN, values))
    for c, finding in enumerate(count.findings(("continuous",) * 3)):
        missing, impossible, good, hold = naive.quality(values[:, c].tolist(), *LIMITS[c])
        assert (finding.rows, finding.missing) == (len(values), missing)
        assert (finding.out_of_range, finding.longest_hold) == (impossible, hold)
        if good:
            assert (finding.low, finding.high) == (min(good), max(good))
            assert finding.mean == pytest.approx(sum(good) / len(good))
        else:
            assert np.isnan([finding.low, finding.high, finding.mean]).all()


def test_input_stays_as_it_was():
    values = np.array([[-1.0, 2.0, 9.0]])
    QualityCount(RANGED).add(values)
    assert values.tolist() == [[-1.0, 2.0, 9.0]]


@pytest.mark.parametrize(
    ("column", "kind", "usual", "remarks"),
    [
        ([1.0, 2, 3], "continuous", 1, ()),
        ([NAN, NAN], "empty", 1, ("no usable value in this export",)),
        ([1.0, NAN, 2, 3], "continuous", 1, ("25% of its values are missing",)),
        ([1.0, 9, 2], "continuous", 1,
         ("1 values outside its physical range, treated as missing",)),
        ([9.0, 9], "continuous", 1,
         ("no usable value in this export",
          "2 values outside its physical range, treated as missing")),
        ([1.0] * 40, "continuous", 3, ("stood still for 40 rows (at most 3 in training)",)),
        ([1.0] * 40, "continuous", 14, ()),
        ([1.0] * 10, "continuous", 1, ()),
        ([1.0] * 40, "few-state", 3, ()),
        ([1.0] * 40, "continuous", None, ()),
    ],
)  # fmt: skip
def test_remarks(column, kind, usual, remarks):
    count = QualityCount((Tag("a", low=LOW, high=HIGH),))
    count.add(np.array(column)[:, None])

    holds = None if usual is None else np.array([usual])

    assert count.findings((kind,), holds)[0].remarks == remarks
