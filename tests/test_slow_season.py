"""A season that moves several tags together is no drift; a sensor that wanders off is."""

from pathlib import Path

import numpy as np
import pytest
import season

from sensor_ad.detector import Detector
from sensor_ad.frames import FrameExport
from sensor_ad.reading import silent
from sensor_ad.run import ScoringRun

FOLLOW = {"ambient", "coolant", "oil", "fan_current"}
"""Tags that follow the season."""


@pytest.fixture(scope="module")
def model():
    """Train on forty days of normal operation."""
    return Detector(season.SETTINGS).fit(season.cooler(0, season.TRAIN_DAYS))._ready()


@pytest.fixture
def judged(model, tmp_path):
    """Return what scores a frame and gives how its tags have slowly changed, by status."""

    def judge(frame, folder: Path = tmp_path, before=()):
        context = None
        for one in (*before, frame):
            run = ScoringRun(model.config, model, FrameExport(one, model.config), context)
            result = run.run(folder, silent)
            context = run.context(result)
        slow = result.slow
        statuses: dict[str, set[str]] = {}
        for one in slow.tags:
            statuses.setdefault(one.status, set()).add(one.tag)
        return slow, statuses

    return judge


def later(rise):
    return season.cooler(season.TRAIN_DAYS, season.SCORE_DAYS, rise)


def test_nothing_new(judged):
    assert judged(later(0.0))[1] == {"as in training": {"load"} | FOLLOW}


@pytest.mark.parametrize("rise", [-5.0, 4.5, 8.0])
def test_warmer_or_colder_season_is_normal_change(judged, rise):
    """It moves four tags together; of the farthest, some may be at the edge of what is known."""
    _, statuses = judged(later(rise))
    assert "drift" not in statuses
    assert "ambient" in statuses["normal change"]
    assert statuses["normal change"] | statuses.get("beyond training", set()) <= FOLLOW


def test_heat_never_seen_is_beyond_training(judged):
    slow, statuses = judged(later(15.0))
    assert "drift" not in statuses
    assert statuses["beyond training"] == FOLLOW
    assert all(one.open for one in slow.having("beyond training"))


def test_sensor_that_wanders_off_is_a_drift_of_that_tag_alone(judged):
    frame = later(0.0)
    frame["coolant"] += np.linspace(0.0, 4.0, len(frame))
    slow, statuses = judged(frame)
    assert statuses["drift"] == {"coolant"}
    drift = slow.tags[0].drift
    assert drift.open
    assert drift.course == "growing"
    # 4 °C at the end, of which the median shows what was half a day before.
    assert drift.alone == pytest.approx(3.9, abs=0.6)
    assert 0.08 < drift.per_day < 0.22


def test_drift_is_told_in_a_season_that_is_explained(judged):
    frame = later(3.0)
    frame["coolant"] += np.linspace(0.0, 5.0, len(frame))
    assert judged(frame)[1]["drift"] == {"coolant"}


def test_what_a_fault_of_hours_does_is_no_drift(judged):
    frame = later(0.0)
    frame.iloc[1000:1060, 2] += 40.0
    assert "drift" not in judged(frame)[1]


@pytest.mark.parametrize("gap", [0, 30])
def test_exports_of_a_day_in_turn_tell_what_one_of_all_would(judged, gap):
    """Also with some hours between them; the same days over again begin anew."""
    frame = later(0.0)
    frame["coolant"] += np.linspace(0.0, 4.0, len(frame))
    days = [frame.iloc[k * season.DAY + gap : (k + 1) * season.DAY] for k in range(20)]
    parts, statuses = judged(days[-1], before=days[:-1])
    assert statuses["drift"] == {"coolant"}
    assert parts.tags[0].drift.open
    if not gap:
        whole = judged(frame)[0].tags[0]
        assert parts.tags[0].drift.start_us == whole.drift.start_us
        assert parts.tags[0].drift.farthest == pytest.approx(whole.drift.farthest, rel=0.01)
        # The first day once more: it does not follow, and is too short by itself.
        assert not judged(days[0], before=days)[0].told


def test_export_of_two_days_is_too_short_to_tell(judged):
    slow, statuses = judged(season.cooler(season.TRAIN_DAYS, 2))
    assert not slow.told
    assert set(statuses) == {"not judged"}
