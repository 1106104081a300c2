"""Events at every limit: counted once, they are what grouping the alarms of that limit gives."""

import doctest

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensor_ad import event_counts
from sensor_ad.event_counts import count_events

LEVELS = [0.0, 1.0, 2.0, 3.5, 5.0]


@given(
    st.lists(st.tuples(st.sampled_from(LEVELS), st.integers(1, 6)), max_size=50),
    st.integers(0, 12),
)
def test_counts_equal_naive_at_every_limit(rows, pause):
    score = np.array([value for value, _ in rows], dtype=np.float64)
    index = np.cumsum([step for _, step in rows]).astype(np.int64)

    counts = count_events(score, index, pause)

    for limit in (-1.0, 0.5, 2.5, *LEVELS, 9.0):
        groups = naive.cluster_peaks(score.tolist(), index.tolist(), pause, limit)
        assert counts.at(limit) == len(groups)


def test_few_numbers_are_kept_of_many_rows():
    """A rise is one top, however many rows it takes: what is kept follows from the pause."""
    random = np.random.default_rng(3)
    score = np.convolve(random.exponential(size=50_000), np.ones(16) / 16, "same")
    counts = count_events(score, np.arange(50_000), 64)
    assert len(counts.tops) + len(counts.joins) < 5000
    assert len(counts.tops) - len(counts.joins) == counts.at(-np.inf) == 1
    assert (np.diff(counts.tops) >= 0).all()
    assert (np.diff(counts.joins) >= 0).all()


@pytest.mark.parametrize("pause", [0, 3, 100])
def test_count_of_rows_far_apart_is_that_of_alarms(pause):
    score = np.array([2.0, 3.0, 1.0, 3.0])
    index = np.array([0, 1000, 2000, 10**12])
    assert count_events(score, index, pause).at(1.5) == 3


def test_examples_are_true():
    assert doctest.testmod(event_counts).failed == 0
