"""Scored tiles made by hand, whole and cut anew, for tests of what comes after scoring."""

from dataclasses import fields

import naive
import numpy as np
from hypothesis import strategies as st

from sensor_ad.scoring import ScoredTile


def scored_tile(index, score, scorable=None, **columns):
    """Make a tile; two tags and two kinds of evidence unless `columns` says otherwise."""
    index, score = np.asarray(index, np.int64), np.asarray(score, np.float32)
    T = len(index)
    rows = np.arange(T, dtype=np.float32)[:, None]
    made = {
        "used": np.ones(T, bool),
        "evidence": np.concatenate([score[:, None], -score[:, None]], axis=1),
        "contribution": np.concatenate([score[:, None] / 2, 1 + 0 * rows], axis=1),
        "actual": np.concatenate([rows, -rows], axis=1).astype(np.float64),
        "expected": np.concatenate([rows + 1, -rows], axis=1),
        "steps": np.empty(0, np.int64),
        "latents": np.empty((0, 2), np.float32),
    }
    columns.setdefault("causal", score)
    known = np.ones(T, bool) if scorable is None else np.asarray(scorable, bool)
    return ScoredTile(index=index, score=score, scorable=known, **{**made, **columns})


def pieces(tile, points):
    """Cut a tile's rows at some points."""
    for cut in naive.cuts(len(tile.index), points):
        names = [field.name for field in fields(tile) if field.name not in ("steps", "latents")]
        rows = {name: getattr(tile, name)[cut] for name in names}
        yield ScoredTile(**rows, steps=tile.steps, latents=tile.latents)


@st.composite
def scored_rows(draw, longest=40):
    """Draw a tile with gaps, alarms and rows that cannot be scored; and where to cut it."""
    steps = draw(st.lists(st.sampled_from([1, 1, 1, 2, 5, 30]), min_size=1, max_size=longest))
    T = len(steps)
    level = st.sampled_from([0.0, 0.5, 1.0, 1.5, 3.0])
    score = np.array(draw(st.lists(level, min_size=T, max_size=T)), np.float32)
    scorable = draw(st.lists(st.sampled_from([True, True, False]), min_size=T, max_size=T))
    score[~np.array(scorable)] = np.nan
    index = draw(st.integers(0, 1000)) + np.cumsum(steps)
    points = draw(st.lists(st.integers(0, T), max_size=6))
    return scored_tile(index, score, scorable), points
