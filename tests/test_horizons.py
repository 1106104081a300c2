"""On which scales of time an event stood out."""

from dataclasses import replace

import pytest
from fake_run import TAGS, make_event

from sensor_ad.horizons import DAYS, SINGLE, time_scales

HOUR, FOUR = "1 h", "4 h"


def event(**evidence):
    """Make an event with a limit of 4, and 1 in every kind that is not given."""
    kinds = ("reconstruction", "spike", "nearest", "pattern", "slow_shift")
    made = make_event(1, 10, 1, 2.0, TAGS)
    limit = 4.0
    return replace(made, peak=limit * made.severity, evidence=dict.fromkeys(kinds, 1.0) | evidence)


@pytest.mark.parametrize(
    ("evidence", "scales"),
    [
        ({"spike": 9.0}, (SINGLE,)),
        ({"pattern": 5.0}, (HOUR,)),
        ({"nearest": 5.0, "pattern": 6.0, "slow_shift": 4.5}, (HOUR, FOUR)),
        ({"slow_shift": 20.0, "spike": 5.0}, (SINGLE, FOUR)),
        ({"reconstruction": 50.0, "slow_shift": 3.9}, (FOUR,)),
    ],
    ids=["a spike", "an hour", "both", "a spike and a drift", "none passed by itself"],
)
def test_scales_of_what_passed_the_limit(evidence, scales):
    assert time_scales(event(**evidence), 3600.0) == scales


def test_a_drift_is_seen_over_days():
    assert time_scales(replace(event(), kind="drift"), 3600.0) == (DAYS,)


def test_reconstruction_alone_tells_no_scale_apart():
    assert time_scales(replace(event(), evidence={"reconstruction": 9.0}), 3600.0) == (HOUR,)
