"""`Detector`: frames in, the same scores and events out as by the commands."""

import re

import pandas as pd
import plant
import pytest

import sensor_ad
from sensor_ad.detector import Detector, load
from sensor_ad.errors import DataError, ModelError, UsageError


def later_of(shared):
    """Read the later export as a user would."""
    return pd.read_csv(shared.later, parse_dates=["time"], index_col="time")


def test_frames_give_what_the_commands_give(detector, shared, bundle):
    """Fitted to the same rows with the same seed, scored on the same rows."""
    by_command = plant.score_export(shared.config, bundle, [shared.later])
    scores = detector.score(later_of(shared))

    # Trained apart, maybe on other numbers of threads: what is promised for those holds here too.
    assert plant.farthest(scores, by_command.scores) <= 1e-5
    assert detector.fitted.limit.value == pytest.approx(bundle.fitted.limit.value, abs=1e-5)
    ours, theirs = detector.events(), by_command.result.events
    assert [(e.id, e.start_us, e.end_us, e.kind, e.sensor) for e in ours] == [
        (e.id, e.start_us, e.end_us, e.kind, e.sensor) for e in theirs
    ]
    assert [part.tag for e in ours for part in e.tags] == [
        part.tag for e in theirs for part in e.tags
    ]
    assert len(ours) >= 2


def test_scores_are_a_frame_by_plant_time(detector, shared):
    scores = detector.score(later_of(shared))

    assert scores.index.name == "time"
    assert str(scores.index.tz) == "UTC"
    assert [scores.columns[k] for k in (0, -2, -1)] == ["score", "alarm", "scorable"]
    assert len(scores) == plant.SCORE_ROWS


def test_time_in_a_column_and_unsorted(detector, shared):
    frame = later_of(shared)
    expected = detector.score(frame)
    shuffled = frame.reset_index().sample(frac=1.0, random_state=1)

    pd.testing.assert_frame_equal(detector.score(shuffled), expected)


def test_frame_is_not_changed(detector, shared):
    frame = later_of(shared)
    before = frame.copy()
    detector.score(frame)

    pd.testing.assert_frame_equal(frame, before)


def test_load_and_score_as_command_and_back(detector, shared, tmp_path):
    """A model of the workspace and one of a detector are the same kind of thing."""
    frame = later_of(shared)
    loaded = load(shared.bundle)
    by_command = plant.score_export(shared.config, plant.bundle_of(shared), [shared.later])
    assert plant.farthest(loaded.score(frame), by_command.scores) == 0.0

    detector.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.config.model_dump() == detector.config.model_dump()
    again.save(tmp_path / "copy")
    pd.testing.assert_frame_equal(
        load(tmp_path / "copy").score(frame), detector.score(frame), check_exact=True
    )


def test_config_from_file_dict_or_nothing(shared):
    assert Detector(shared.config_file).config.prepare.window == 16
    assert Detector(str(shared.config_file)).config.prepare.window == 16
    assert Detector(shared.config).config is not None
    assert Detector({"prepare": {"window": 32}}).config.prepare.window == 32
    assert Detector().config.prepare.window == 64
    with pytest.raises(UsageError, match=re.escape("unknown key 'windw'")):
        Detector({"windw": 1})


def test_before_fit(shared, tmp_path):
    detector = Detector(plant.SETTINGS)
    sentence = "the detector is not fitted; call fit(frame), or load a saved model."
    calls = [
        lambda: detector.fitted,
        lambda: detector.score(later_of(shared)),
        lambda: detector.save(tmp_path / "model"),
    ]
    for call in calls:
        with pytest.raises(UsageError) as fault:
            call()
        assert str(fault.value) == sentence
    assert not (tmp_path / "model").exists()
    with pytest.raises(UsageError) as fault:
        detector.events()
    assert str(fault.value) == "nothing was scored yet; call score(frame) before events()."


def test_events_are_those_of_the_last_score(shared):
    detector = load(shared.bundle)
    with pytest.raises(UsageError):
        detector.events()
    detector.score(later_of(shared))
    assert detector.events()
    detector.score(plant.plant(plant.TRAIN_ROWS, plant.TRAIN_ROWS + 400))
    assert all(event.peak < 2 * detector.fitted.limit.value for event in detector.events())


def test_frame_that_does_not_fit(detector):
    with pytest.raises(ModelError) as fault:
        detector.score(plant.later().drop(columns="energy"))
    assert str(fault.value) == (
        "the model does not fit this export: the export lacks the tag 'energy' of the model. Score "
        "an export with the model's tags, allow the difference in [compare] of the config, or "
        "train anew."
    )


def test_frame_without_times(detector):
    with pytest.raises(DataError) as fault:
        detector.score(plant.later().reset_index(drop=True))
    assert str(fault.value) == (
        "the frame has 0 columns of times and no DatetimeIndex, exactly one was expected; set the "
        "index, or name the column in data.time_column."
    )


def test_package_says_its_version():
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", sensor_ad.__version__)
