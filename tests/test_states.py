"""The sample of a run's states: even, bounded, whatever tiles they come in."""

import numpy as np
import pytest

from sensor_ad.records import Tag
from sensor_ad.states import MOST_STATES, StateSample, mode_column


def sampled(count, cuts=()):
    """Sample `count` states, a grid row each 10, handed over in pieces."""
    sample = StateSample(1)
    for part in np.split(np.arange(count), cuts):
        steps = part * 10
        index = np.arange(steps[0], steps[-1] + 10) if len(part) else steps
        actual = np.stack([np.zeros(len(index)), index // 1000], axis=1)
        sample.add(index, actual, steps, np.stack([steps, -steps], axis=1))
    return sample.states()


def test_few_states_are_all_kept():
    steps, latents, mode = sampled(300)
    assert steps.tolist() == list(range(0, 3000, 10))
    assert latents.dtype == np.float32
    np.testing.assert_array_equal(latents[:, 0], steps)
    np.testing.assert_array_equal(mode, steps // 1000)


@pytest.mark.parametrize("count", [2 * MOST_STATES, 20_000, 100_003])
def test_many_states_are_evenly_thinned(count):
    steps, latents, _ = sampled(count)
    assert MOST_STATES // 2 < len(steps) < 2 * MOST_STATES
    assert len(np.unique(np.diff(steps))) == 1
    assert steps[0] == 0
    assert steps[-1] > 10 * count * 0.99
    np.testing.assert_array_equal(latents[:, 1], -steps)


def test_pieces_change_nothing():
    whole = sampled(30_000)
    for one, other in zip(sampled(30_000, [7, 8, 5_000, 17_001, 29_999]), whole, strict=True):
        np.testing.assert_array_equal(one, other)


def test_nothing_at_all():
    steps, latents, mode = StateSample(None).states()
    assert (len(steps), len(latents), len(mode)) == (0, 0, 0)


def test_mode_is_what_people_set():
    tags = [Tag("flow"), Tag("running"), Tag("level", role="set-point"), Tag("valve")]
    kinds = ["continuous", "few-state", "few-state", "few-state"]
    assert mode_column(tags, kinds) == 2
    assert mode_column(tags, ["continuous", "few-state", "continuous", "few-state"]) == 1
    assert mode_column(tags, ["continuous"] * 4) is None
