"""Does an export fit a model? What is refused, what is told, which grid it is put on."""

import numpy as np
import pytest

from sensor_ad.compare import LISTED, compare_period, compare_tags, training_grid
from sensor_ad.config import make_config
from sensor_ad.errors import DataError, ModelError
from sensor_ad.grid import Grid, Rows
from sensor_ad.prepare import fit_preparation
from sensor_ad.records import Tag

SECOND = 1_000_000
GRID = Grid(60 * SECOND, 7 * SECOND)
START_US = 1_767_225_600_000_000  # 2026-01-01 00:00:00 UTC, a full minute
TAGS = (Tag("flow", unit="m3/h"), Tag("speed"), Tag("p in", unit="bar"))
END = (
    ". Score an export with the model's tags, allow the difference in [compare] of the config, or "
    "train anew."
)
TOLERATED = {"missing_tag": "tolerate", "extra_tag": "tolerate", "unit": "tolerate"}


def model(tags=TAGS):
    values = np.arange(20.0)[:, None] + np.zeros((20, len(tags)))
    rows = Rows(np.arange(20), values, np.ones(20, bool))
    kinds = ("continuous",) * len(tags)
    return fit_preparation(tags, kinds, rows, GRID, np.ones(len(tags), int), "")


def compared(names, **raw):
    return compare_tags(tuple(names), model(), make_config(raw)).sentences


def refusal(names, **raw):
    with pytest.raises(ModelError) as refused:
        compared(names, **raw)
    return str(refused.value)


@pytest.mark.parametrize("names", [("flow", "speed", "p in"), ("p in", "flow", "speed")])
def test_same_tags_fit(names):
    assert compared(names) == ()


def test_missing_tag():
    text = "the export lacks the tag 'speed' of the model"
    assert refusal(["flow", "p in"]) == f"the model does not fit this export: {text}{END}"
    assert compared(["flow", "p in"], compare=TOLERATED) == (text,)


def test_missing_tag_that_seems_renamed():
    assert refusal(["flow", "speeds", "p in"]) == (
        "the model does not fit this export: the export lacks the tag 'speed' of the model "
        f"(renamed to 'speeds'?){END}"
    )


def test_extra_tag():
    names, text = ["flow", "x", "speed", "p in"], (
        "the export has the tag 'x' that the model does not know"
    )  # fmt: skip
    assert compared(names) == (text,)
    assert refusal(names, compare={"extra_tag": "refuse"}) == (
        f"the model does not fit this export: {text}{END}"
    )
    ignored = {"x": {"role": "ignore"}}
    assert compared(names, compare={"extra_tag": "refuse"}, tags=ignored) == ()


def test_other_unit():
    names, units = ["flow", "speed", "p in"], {"flow": {"unit": "l/s"}, "speed": {"unit": "rpm"}}
    text = "the unit of 'flow' was 'm3/h' in training and is 'l/s' now"
    assert refusal(names, tags=units) == f"the model does not fit this export: {text}{END}"
    assert compared(names, tags=units, compare=TOLERATED) == (text,)


def test_all_differences_listed_at_once():
    raw = {"compare": {"extra_tag": "refuse"}, "tags": {"flow": {"unit": "l/s"}}}
    assert refusal(["flow", "x", "y"], **raw) == (
        "the model does not fit this export: the export lacks the tags 'speed', 'p in' of the "
        "model; the export has the tags 'x', 'y' that the model does not know; the unit of 'flow' "
        f"was 'm3/h' in training and is 'l/s' now{END}"
    )


def test_long_lists_are_cut():
    names = ["flow", "speed", "p in", *(f"x{k:02d}" for k in range(LISTED + 3))]
    listed = ", ".join(f"'x{k:02d}'" for k in range(LISTED))
    assert compared(names) == (
        f"the export has the tags {listed} and 3 more that the model does not know",
    )


def test_nothing_in_common_refused_even_when_tolerated():
    assert refusal(["x"], compare=TOLERATED).startswith(
        "the model does not fit this export: the export lacks the tags 'flow', 'speed', 'p in' of "
    )


def times(period_s, offset_s=0.0, count=50):
    steps = np.rint(np.arange(count) * period_s * SECOND).astype(np.int64)
    return START_US + round(offset_s * SECOND) + steps


def period(time_us, phase_us=None, **raw):
    return compare_period(time_us, model(), make_config(raw), phase_us)


def test_period_fits_and_phase_is_the_exports():
    grid, told = period(times(60, 22))
    assert (grid, told.sentences) == (Grid(60 * SECOND, 22 * SECOND), ())


@pytest.mark.parametrize("period_s", [30, 61, 59, 3600])
def test_other_period(period_s):
    text = f"the export has a row every {period_s} s, the model was trained on one every 60 s"
    with pytest.raises(ModelError) as refused:
        period(times(period_s))
    assert str(refused.value) == (
        f"the model does not fit this export: {text}. Export at the model's period, set "
        'compare.period = "tolerate" to have it resampled, or train anew.'
    )
    grid, told = period(times(period_s), compare={"period": "tolerate"})
    assert told.sentences == (f"{text}; it was put on the model's grid",)
    assert grid.period_us == 60 * SECOND


def test_period_given_in_the_config_is_not_found_anew():
    assert period(times(30), prepare={"period_s": 60})[1].sentences == ()


@pytest.mark.parametrize(
    ("offset_s", "before_s", "phase_s"),
    [(22, 10, 10), (22, 30, 30), (22, 50, 22), (1, 59, 59), (59, 1, 1), (0, 30, 0)],
)
def test_phase_of_the_export_before_is_kept_when_near(offset_s, before_s, phase_s):
    grid, _ = period(times(60, offset_s), phase_us=before_s * SECOND)
    assert grid.phase_us == phase_s * SECOND


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_rows_keep_the_models_period(count):
    grid, told = period(times(60, 22, count))
    assert grid == Grid(60 * SECOND, (22 if count else 7) * SECOND)
    assert told.sentences == ()


def test_training_grid_is_found_or_given():
    assert training_grid(times(10, 3), make_config({})) == Grid(10 * SECOND, 3 * SECOND)
    given = make_config({"prepare": {"period_s": 60}})
    assert training_grid(times(10, 3), given).period_us == 60 * SECOND


def test_training_grid_of_too_few_rows_refused():
    with pytest.raises(DataError) as refused:
        training_grid(times(10, 0, 2), make_config({}))
    assert str(refused.value) == (
        "the export has 2 rows, too few to find its sampling period; train on a longer export, or "
        "set prepare.period_s."
    )
