"""What is normal of slow change comes from rows that the network did not learn, and is kept."""

from dataclasses import replace

import numpy as np
import plant

from sensor_ad.bundle import load_bundle, save_bundle
from sensor_ad.exports import open_export
from sensor_ad.fitting import CROSS_FITTED, SERIES_IN_TIME
from sensor_ad.grid import tiles
from sensor_ad.pipeline import train
from sensor_ad.prepare import CALIBRATE, VALIDATE, split_parts
from sensor_ad.reading import read_history, read_settings, silent
from sensor_ad.slow_echo import measure_answers
from sensor_ad.slow_normal import fit_slow_normal
from sensor_ad.slow_slots import SlowCount


def history_of(site):
    """Read the history as training does."""
    export = open_export([site.normal], read_settings(site.config))
    return read_history(site.config, export, silent)[0]


def test_normal_equals_that_of_the_history_scored_anew(site):
    """The same by another way: the history is scored, and its held rows are counted."""
    fitted = plant.bundle_of(site).fitted
    scorer, rows = fitted.scorer, history_of(site).rows
    assert fitted.scheme == SERIES_IN_TIME
    parts = split_parts(rows.used, site.config.prepare.parts, scorer.window)
    held = rows.index[(parts == VALIDATE) | (parts == CALIBRATE)]
    C, width = len(scorer.preparation.tags), fitted.slow.slot_rows
    counts = [SlowCount(scorer.preparation.grid, C, width, bounded=False) for _ in range(2)]
    for tile in scorer.score(tiles([rows], scorer.layout)):
        wanted = np.isin(tile.index, held) & tile.scorable
        counts[0].add(tile.index, tile.actual, tile.expected, wanted)
        counts[1].add(tile.index, tile.actual, tile.expected, tile.used)
    found = (count.slots() for count in counts)
    answers = measure_answers(scorer.network, scorer.preparation, rows, np.isin(rows.index, held))
    expected = fit_slow_normal(*found, scorer.preparation.scale, answers)

    for name, value in vars(expected).items():
        np.testing.assert_allclose(getattr(fitted.slow, name), value, rtol=1e-6, err_msg=name)
    assert np.isfinite(fitted.slow.band).all()
    assert fitted.slow.spans >= 4


def test_short_history_is_scored_by_the_models_of_other_blocks(site):
    plant.write_csv(plant.plant(0, 1_300), site.normal)
    fitted = train(site.change(training={"max_epochs": 1}, prepare={"window": 32})).fitted
    assert fitted.scheme == CROSS_FITTED
    assert fitted.slow.slot_rows == 1_300 // 4 // 24
    assert np.isfinite(fitted.slow.band).all()


def test_history_too_short_to_tell(site):
    plant.write_csv(plant.plant(0, 400), site.normal)
    fitted = train(site.change(training={"max_epochs": 1}, prepare={"window": 32})).fitted
    assert fitted.slow is None


def test_a_model_keeps_what_is_normal(site, tmp_path):
    bundle = plant.bundle_of(site)
    for name, slow in (("with", bundle.fitted.slow), ("without", None)):
        facts = {"trained": "", "device": "cpu"}
        save_bundle(tmp_path / name, replace(bundle.fitted, slow=slow), bundle.config, facts)
        loaded = load_bundle(tmp_path / name).fitted.slow
        if slow is None:
            assert loaded is None
            continue
        assert isinstance(loaded.slot_rows, int)
        for key, value in vars(slow).items():
            np.testing.assert_array_equal(getattr(loaded, key), value)
