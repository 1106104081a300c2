"""Readings to what a network takes: kinds, scaling, parts, blocks, columns in the model's order."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from sensor_ad.conditions import parse_condition
from sensor_ad.config import make_config
from sensor_ad.errors import DataError
from sensor_ad.grid import Grid, Rows
from sensor_ad.prepare import (
    CALIBRATE,
    CLIP,
    CONSTANT_FLOOR,
    FOLDS,
    MIN_PART_WINDOWS,
    SHORTEST,
    STEPPED_FLOOR,
    TRAIN,
    UNUSED,
    VALIDATE,
    RowMaker,
    find_kinds,
    fit_preparation,
    from_json,
    make_layout,
    model_tags,
    row_maker,
    select_quality,
    select_tags,
    split_blocks,
    split_parts,
    to_json,
    usable_window,
    with_phase,
)
from sensor_ad.records import Readings, Tag

SECOND = 1_000_000
GRID = Grid(60 * SECOND, 7 * SECOND)
NAN = float("nan")
RANDOM = np.random.default_rng(0)
NOISE = RANDOM.normal(10.0, 2.0, 4000)


def prepared(columns, kinds=None, roles=None, used=None):
    """Fit a preparation to columns of equal length."""
    values = np.stack([np.asarray(column, dtype=float) for column in columns], axis=1)
    T, C = values.shape
    kinds = kinds or ("continuous",) * C
    roles = roles or ("measurement",) * C
    tags = tuple(Tag(f"t{c}", role=role) for c, role in enumerate(roles))
    rows = Rows(np.arange(T), values, np.ones(T, bool) if used is None else used)
    return fit_preparation(tags, kinds, rows, GRID, np.ones(C, np.int64), "")


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (NOISE, "continuous"),
        (np.full(200, 3.0), "constant"),
        (np.full(200, NAN), "empty"),
        ([NAN, 2.0, NAN], "constant"),
        (np.arange(400) // 100, "few-state"),
        (np.arange(400) % 8, "few-state"),
        (np.arange(400) % 9, "continuous"),
        (np.where(np.arange(4000) == 3900, 1.0, 0.0), "few-state"),
        (np.cumsum(np.abs(NOISE)), "counter"),
        (np.arange(4000) // 3, "counter"),
        (np.arange(4000) % 2000, "counter"),
        (np.arange(4000) % 100, "continuous"),
        (np.arange(50), "continuous"),
        (np.where(np.arange(4000) % 5, NAN, np.arange(4000)), "counter"),
    ],
    ids=[
        "noise", "constant", "empty", "one value", "steps", "8 states", "9 states", "rare command",
        "counter", "slow counter", "reset counter", "sawtooth", "short ramp", "sparse counter",
    ],
)  # fmt: skip
def test_kind_found(column, kind):
    assert find_kinds(np.asarray(column, dtype=float)[:, None], few_states=8) == (kind,)


def test_scaling_of_a_continuous_tag_is_its_robust_spread():
    outliers = NOISE.copy()
    outliers[:3] = [19, 20, 21]

    made = prepared([outliers])

    assert made.center[0] == pytest.approx(10.0, abs=0.1)
    assert made.scale[0] == pytest.approx(2.0, rel=0.05)
    assert (made.low[0], made.high[0]) == (outliers.min(), outliers.max())


@pytest.mark.parametrize(
    ("column", "kind", "role", "scale"),
    [
        (np.full(100, 40.0), "constant", "measurement", CONSTANT_FLOOR * 40),
        (np.full(100, -40.0), "constant", "measurement", CONSTANT_FLOOR * 40),
        (np.zeros(100), "constant", "measurement", 1.0),
        (np.arange(100) == 7, "few-state", "measurement", STEPPED_FLOOR),
        (np.where(np.arange(1000) == 7, 80.0, NOISE[:1000] / 100), "continuous", "measurement",
         STEPPED_FLOOR * (80 - NOISE[:1000].min() / 100)),
        (np.where(np.arange(1000) < 800, 5.0, 9.0), "continuous", "set-point", STEPPED_FLOOR * 4),
        (np.where(np.arange(1000) < 800, 5.0, 9.0), "continuous", "command", STEPPED_FLOOR * 4),
        (np.where(np.arange(1000) < 900, 0.0, 8.0), "counter", "measurement", STEPPED_FLOOR * 8),
        (np.repeat([0.0, 8.0], 500), "few-state", "measurement", 8 / 1.349),
    ],
    ids=["constant", "negative constant", "zero", "rare state", "hardly moves", "set-point",
         "command", "counter", "half the time"],
)  # fmt: skip
def test_scaling_floor(column, kind, role, scale):
    assert prepared([column], (kind,), (role,)).scale[0] == pytest.approx(scale)


def test_scaling_sees_used_rows_only():
    column = np.concatenate([NOISE[:500], np.full(500, 1e6)])
    made = prepared([column], used=np.arange(1000) < 500)
    assert made.high[0] == NOISE[:500].max()


def test_scaling_of_a_tag_without_value_refused():
    with pytest.raises(DataError) as refused:
        prepared([NOISE[:50], np.full(50, NAN)])
    assert str(refused.value) == (
        "the tag 't1' has no value in the rows to train on, at least some were expected; give it "
        "the role 'ignore', or train on a longer export."
    )


def test_scaled_and_back():
    made = prepared([[0.0, 10, 20, 30, 40], [7.0] * 5], ("continuous", "constant"))
    values = np.array([[20.0, 7.0], [NAN, NAN], [30, 8], [1e300, np.inf], [-1e9, -np.inf]])

    x, mask = made.scaled(values)

    assert x.dtype == mask.dtype == np.float32
    assert mask.tolist() == [[1, 1], [0, 0], [1, 1], [1, 0], [1, 0]]
    assert x[:2].tolist() == [[0, 0], [0, 0]]
    assert x[3:].tolist() == [[CLIP, 0], [-CLIP, 0]]
    np.testing.assert_allclose(made.plant_units(x)[[0, 2]], values[[0, 2]], rtol=1e-6)
    assert np.isnan(values[1]).all()


def test_parts_follow_one_another_with_gaps():
    window, T = 8, 2000
    parts = split_parts(np.ones(T, bool), (0.6, 0.15, 0.25), window)

    assert parts is not None
    changes = np.flatnonzero(np.diff(parts, prepend=-9, append=-9))
    assert parts[changes[:-1]].tolist() == [TRAIN, UNUSED, VALIDATE, UNUSED, CALIBRATE]
    assert np.diff(changes).tolist() == [1200, window, 300 - window, window, 500 - window]


def test_parts_count_used_rows():
    used = np.arange(4000) % 2 == 0
    parts = split_parts(used, (0.6, 0.15, 0.25), 8)

    assert parts is not None
    assert (parts[~used] == UNUSED).all()
    assert [(parts == part).sum() for part in (TRAIN, VALIDATE, CALIBRATE)] == [1200, 292, 492]


@pytest.mark.parametrize("shares", [(0.6, 0.15, 0.25), (0.8, 0.1, 0.1), (0.2, 0.4, 0.4)])
@pytest.mark.parametrize("window", [8, 64])
def test_parts_have_enough_windows_or_are_refused(shares, window):
    enough = int(np.ceil((MIN_PART_WINDOWS + 1) * window / min(shares)))
    parts = split_parts(np.ones(enough + 1, bool), shares, window)

    assert parts is not None
    for part in (TRAIN, VALIDATE, CALIBRATE):
        assert (parts == part).sum() >= MIN_PART_WINDOWS * window - 1
    assert split_parts(np.ones(enough - window, bool), shares, window) is None


@pytest.mark.parametrize("T", [48, 49, 399, 400])
def test_blocks_are_stretches_of_equal_size(T):
    used = np.ones(2 * T, bool)
    used[T // 2 : T // 2 + T] = False

    blocks = split_blocks(used)

    assert (np.diff(blocks) >= 0).all()
    sizes = np.bincount(blocks[used], minlength=FOLDS)
    assert len(sizes) == FOLDS
    assert sizes.max() - sizes.min() <= 1


def test_blocks_of_nothing_used():
    assert set(split_blocks(np.zeros(5, bool)).tolist()) == {0}


@pytest.mark.parametrize(
    ("window", "rows", "expected"),
    [(64, 768, 64), (64, 767, 32), (64, 400, 32), (64, 100, 8), (64, 48, 8), (8, 48, 8)],
)
def test_window_is_a_twelfth_of_the_rows(window, rows, expected):
    assert usable_window(window, rows) == expected


def test_window_of_too_few_rows_refused():
    with pytest.raises(DataError) as refused:
        usable_window(64, SHORTEST - 1)
    assert str(refused.value) == (
        "only 47 rows are left to train on, at least 48 are needed (some hundred windows are "
        "better); train on a longer export."
    )


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ("abc", [1, 2, 3]),
        ("cab", [1, 2, 3]),
        ("xaybzc", [1, 2, 3]),
        ("ac", [1, NAN, 3]),
        ("ca", [1, NAN, 3]),
        ("xy", [NAN, NAN, NAN]),
        ("abcx", [1, 2, 3]),
    ],
)
def test_columns_in_the_models_order(columns, expected):
    value = {"a": 1.0, "b": 2.0, "c": 3.0, "x": -1.0, "y": -2.0, "z": -3.0}
    values = np.array([[value[name] for name in columns]])
    readings = Readings(np.zeros(1, np.int64), values.copy(), tuple(columns))

    selected = select_tags(readings, (Tag("a"), Tag("b"), Tag("c")))

    np.testing.assert_array_equal(selected, [expected])
    np.testing.assert_array_equal(readings.values, values)


def test_model_tags_know_the_config_and_skip_ignored():
    config = make_config({"tags": {"b": {"role": "ignore"}, "c": {"unit": "bar", "low": 0}}})
    assert model_tags(("a", "b", "c"), config) == (Tag("a"), Tag("c", unit="bar", low=0.0))


def readings_of(*chunks):
    """Make chunks of (minute, a, running)."""
    for chunk in chunks:
        table = np.array(chunk, dtype=float)
        time_us = (table[:, 0] * 60 * SECOND).astype(np.int64) + GRID.phase_us
        yield Readings(time_us, table[:, 1:], ("a", "running"))


def test_row_maker_leaves_out_what_does_not_count():
    condition = parse_condition("running == 1")
    excluded = ((GRID.phase_us + 180 * SECOND, GRID.phase_us + 240 * SECOND, "repair"),)
    maker = RowMaker((Tag("a", high=100),), np.array([False]), GRID, condition, excluded)
    chunks = readings_of(
        [(0, 1, 1), (1, 2, 0)], [(2, 3, NAN), (3, 4, 1), (4, 5, 1)], [(5, NAN, 1), (6, 700, 1)]
    )

    rows = list(maker.rows(chunks))

    assert np.concatenate([piece.index for piece in rows]).tolist() == list(range(7))
    used = np.concatenate([piece.used for piece in rows])
    assert used.tolist() == [True, False, False, False, True, False, False]
    assert maker.unused == 2
    assert maker.merged == 0
    finding = maker.quality.findings(("continuous",))[0]
    assert (finding.missing, finding.out_of_range, finding.high) == (1, 1, 5.0)


def test_row_maker_of_a_fitted_model_takes_its_condition_and_counters():
    rows = Rows(np.arange(20), np.arange(20.0)[:, None], np.ones(20, bool))
    fitted = fit_preparation((Tag("a"),), ("counter",), rows, GRID, np.ones(1, int), "running > 0")
    maker = row_maker(fitted)
    maker.go_on((-1, np.array([7.0])))

    made = list(maker.rows(readings_of([(0, 10, 1), (1, 12, 0), (2, 13, 1)])))

    assert np.concatenate([piece.values for piece in made]).tolist() == [[3], [2], [1]]
    assert np.concatenate([piece.used for piece in made]).tolist() == [True, False, True]
    assert maker.counter_level is not None
    assert maker.counter_level[0] == 2
    assert maker.counter_level[1].tolist() == [13]


@pytest.mark.parametrize("fine", [False, True])
@pytest.mark.parametrize("window", [8, 64, 512])
@pytest.mark.parametrize("C", [1, 16, 3000])
def test_layout_sizes_fit_one_another(window, C, fine):
    network = SimpleNamespace(stride=window // 8, hole=4, reach=3 * window, most_rows=65_536)
    layout = make_layout(make_config({}), window, network, GRID, C, fine)

    assert layout.align % network.stride == 0
    assert layout.halo % layout.align == 0
    assert layout.tile % layout.align == 0
    assert layout.halo >= network.reach + window
    assert layout.tile >= 3 * layout.halo


@pytest.mark.parametrize(("max_hole_s", "expected"), [(None, 8), (0, 0), (59, 0), (600, 10)])
def test_layout_hole_in_rows(max_hole_s, expected):
    raw = {} if max_hole_s is None else {"prepare": {"max_hole_s": max_hole_s}}
    network = SimpleNamespace(stride=8, hole=4, reach=100, most_rows=65_536)
    assert make_layout(make_config(raw), 64, network, GRID, 4, False).max_hole == expected


def test_preparation_survives_json():
    made = prepared([NOISE[:100], np.arange(100)], ("continuous", "counter"))
    arrays = {name: getattr(made, name) for name in
              ("center", "scale", "low", "high", "longest_hold")}  # fmt: skip

    again = from_json(json.loads(json.dumps(to_json(made))), arrays)

    assert to_json(again) == to_json(made)
    assert again.tags == made.tags
    assert again.counters.tolist() == [False, True]
    assert with_phase(again, 5).grid == Grid(GRID.period_us, 5)


def test_quality_of_the_models_tags_only():
    readings = Readings(
        np.array([0, 60_000_000]),
        np.array([[1.0, np.nan], [2.0, 3.0]]),
        ("a", "b"),
        np.array([[0, 3], [1, 0]], np.uint8),
    )
    tags = (Tag("b"), Tag("missing"), Tag("a"))
    given = readings.quality.copy()
    assert select_quality(readings, tags).tolist() == [[3, 4, 0], [0, 4, 1]]
    assert (readings.quality == given).all()
    assert select_quality(replace(readings, quality=None), tags) is None
    maker = RowMaker(tags, np.zeros(3, bool), Grid(60_000_000, 0), None)
    list(maker.rows([readings]))
    assert maker.quality.bad.tolist() == [1, 0, 0]
    assert maker.quality.uncertain.tolist() == [0, 0, 1]
    assert maker.quality.missing.tolist() == [0, 2, 0]
