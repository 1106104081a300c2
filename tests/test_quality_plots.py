"""Strips of availability: shares become lines of colour, and no hole is too small to be seen."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from sensor_ad.plots import PALE
from sensor_ad.quality_plots import (
    LINES,
    MOST_STRIPS,
    SEEN,
    SHADES,
    SPACE,
    _on_axis,
    _percent,
    _strips,
    good_share,
    shown_tags,
)
from sensor_ad.records import Availability

HOUR_US = 3_600_000_000


def availability(shares, slots=None, rows=None):
    """Make slots of an hour from (B, C, 4) shares."""
    shares = np.asarray(shares, float)
    slot = np.arange(len(shares)) if slots is None else np.asarray(slots)
    counts = np.full(len(shares), 60) if rows is None else np.asarray(rows)
    names = tuple(f"tag {c}" for c in range(shares.shape[1]))
    return Availability(slot * HOUR_US, HOUR_US, counts, shares, names)


@pytest.mark.parametrize(
    ("shares", "lines"),
    [
        ((1, 0, 0, 0), (LINES, 0, 0, 0)),
        ((0, 0, 0, 1), (0, 0, 0, LINES)),
        ((0.5, 0, 0.5, 0), (LINES // 2, 0, LINES // 2, 0)),
        ((0.9999, 0, 0, 0.0001), (LINES - SEEN, 0, 0, SEEN)),
        ((0.25, 0.25, 0.25, 0.25), (LINES // 4,) * 4),
    ],
)
def test_lines_of_a_strip_are_the_shares(shares, lines):
    picture = _strips(np.array([[shares]], float))
    assert picture.shape == (LINES + SPACE, 1, 3)
    found = [int((picture[:, 0] == to_rgb(shade)).all(axis=1).sum()) for shade in SHADES]
    assert tuple(found) == lines


def test_what_is_missing_stands_above_and_gaps_are_pale():
    shares = np.array([[[0.5, 0, 0, 0.5]], [[np.nan] * 4]])
    picture = _strips(shares)[SPACE // 2 : SPACE // 2 + LINES]
    assert tuple(picture[0, 0]) == to_rgb(SHADES[3])
    assert tuple(picture[-1, 0]) == to_rgb(SHADES[0])
    assert (picture[:, 1] == to_rgb(PALE)).all()


def test_slots_are_laid_on_a_regular_axis():
    given = availability([[[1, 0, 0, 0]], [[0, 0, 0, 1]], [[0.5, 0.5, 0, 0]]], slots=[2, 3, 6])
    shares, span = _on_axis(given, np.array([0]))
    assert span == (2 * HOUR_US, 7 * HOUR_US)
    assert shares[:, 0, 0].tolist()[:2] == [1, 0]
    assert np.isnan(shares[2:4]).all()
    assert shares[4, 0].tolist() == [0.5, 0.5, 0, 0]


def test_columns_join_slots_by_their_rows():
    shares = np.zeros((3000, 1, 4))
    shares[..., 0] = 1
    shares[0, 0] = [0, 0, 0, 1]
    joined, _ = _on_axis(availability(shares, rows=[60, *[30] * 2999]), np.array([0]))
    assert joined.shape == (1000, 1, 4)
    assert joined[0, 0].tolist() == [0.5, 0, 0, 0.5]


def test_worst_tags_get_their_strip():
    shares = np.zeros((1, 100, 4))
    shares[0, :, 0] = np.linspace(1, 0, 100)
    shares[0, :, 3] = 1 - shares[0, :, 0]
    given = availability(shares)
    assert shown_tags(given).tolist() == list(range(100 - MOST_STRIPS, 100))
    assert good_share(given)[0] == 1


@pytest.mark.parametrize(
    ("share", "words"),
    [(1.0, "100 %"), (0.99999, "99.9 %"), (0.95, "95.0 %"), (0.5, "50 %"), (0.0, "0 %")],
)
def test_share_in_words(share, words):
    assert _percent(share) == words
