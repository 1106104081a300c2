"""A faulty sensor while scoring: its own event, masked from then on, however the export was cut."""

import json

import numpy as np
import pandas as pd
import plant
import pytest
from plant import farthest, later, score_export, write_csv
from test_metamorphic import CLOSE, same

STUCK = (5300, 5620)
"""Rows at which the temperature stands still: over the middle, and over a fault of the machine."""
CONFIRMED = 5339
RECOVERED = 5627
LOST = (6200, 6300)


def faulty(first=plant.TRAIN_ROWS, last=plant.TRAIN_ROWS + plant.SCORE_ROWS):
    """Give what is scored with one stuck sensor, and one without values later on."""
    frame = later(first, last)
    rows = np.arange(first, last)
    whole = later()
    frame.loc[(rows >= STUCK[0]) & (rows < STUCK[1]), "temperature"] = whole["temperature"].iloc[
        STUCK[0] - plant.TRAIN_ROWS
    ]
    frame.loc[(rows >= LOST[0]) & (rows < LOST[1]), "flow"] = np.nan
    return frame


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("masking")


@pytest.fixture(scope="module")
def export(folder):
    return write_csv(faulty(), folder / "faulty.csv")


@pytest.fixture(scope="module")
def whole(shared, bundle, export):
    return score_export(shared.config, bundle, [export])


def us(row):
    return round(plant.time_of(row).timestamp() * 1e6)


def by_kind(scored, kind):
    return [event for event in scored.result.events if event.kind == kind]


def test_faulty_sensors_are_events_of_their_own(whole):
    (stuck,), (lost,) = by_kind(whole, "stuck sensor"), by_kind(whole, "failed sensor")
    assert (stuck.sensor, stuck.start_us, stuck.open) == ("temperature", us(STUCK[0]), False)
    assert us(RECOVERED - 1) <= stuck.end_us < us(RECOVERED + 40)
    assert stuck.id == f"E{plant.time_of(STUCK[0]):%Y%m%dT%H%M%S}-3"
    assert stuck.severity > 1, "it stood out before it was masked"
    assert (lost.sensor, lost.start_us) == ("flow", us(LOST[0]))
    assert lost.evidence["level_shift"] < 1, "a tag without values is at odds with no other"
    assert lost.tags[0].tag == "flow"
    assert [(one.tag, one.event) for one in whole.result.masked] == [
        ("temperature", stuck.id), ("flow", lost.id),
    ]  # fmt: skip
    ids = [event.id for event in whole.result.events]
    assert len(set(ids)) == len(ids)
    assert stuck.id in whole.result.snippets


def test_masked_sensor_says_nothing_and_others_go_on(whole):
    masked = slice(plant.time_of(CONFIRMED), plant.time_of(RECOVERED - 1))
    assert (whole.contributions.loc[masked, "temperature"] == 0).all()
    before = slice(plant.time_of(CONFIRMED - 20), plant.time_of(CONFIRMED - 1))
    assert (whole.contributions.loc[before, "temperature"] > 1).all()
    assert whole.scores.loc[masked, "scorable"].all()


def test_fault_of_the_machine_is_seen_beside_the_masked_sensor(whole):
    """Nor does the stuck sensor raise one: when the machine is sound, nothing is seen."""
    start, stop = plant.OPEN_FAULT
    inside = slice(plant.time_of(start + 16), plant.time_of(stop - 1))
    assert whole.scores.loc[inside, "alarm"].mean() > 0.9
    machine = [
        event
        for event in by_kind(whole, "machine")
        if event.start_us < us(stop) and event.end_us >= us(start)
    ]
    assert machine
    assert machine[0].tags[0].tag == "pressure"


def test_without_masking_the_sensor_is_in_the_score(shared, bundle, export, whole):
    config = shared.config
    off = config.model_copy(
        update={"scoring": config.scoring.model_copy(update={"mask_faulty_sensors": False})}
    )
    scored = score_export(off, bundle, [export])
    assert scored.result.masked == ()
    masked = slice(plant.time_of(CONFIRMED), plant.time_of(STUCK[1] - 1))
    assert (scored.contributions.loc[masked, "temperature"] > 1).mean() > 0.9


@pytest.mark.parametrize("block_bytes", [2_000, 33_333])
def test_reading_chunk(shared, bundle, export, whole, block_bytes):
    same(score_export(shared.config, bundle, [export], block_bytes=block_bytes), whole)


@pytest.mark.parametrize(
    "cut", [STUCK[0] + 10, CONFIRMED + 3, plant.HALF, STUCK[1] + 2, LOST[0] + 5]
)
def test_halves(shared, bundle, whole, folder, cut):
    """Cut before the fault is certain, while it lasts, and before the sensor has recovered."""
    first = score_export(
        shared.config, bundle, [write_csv(faulty(last=cut), folder / f"first{cut}.csv")]
    )
    second = score_export(
        shared.config,
        bundle,
        [write_csv(faulty(first=cut), folder / f"second{cut}.csv")],
        before=first.context,
    )
    done = first.scores.index[: -bundle.fitted.scorer.layout.halo]
    assert farthest(first.scores.loc[done], whole.scores.loc[done]) <= CLOSE
    assert farthest(second.scores, whole.scores.loc[second.scores.index]) <= CLOSE
    known = {(one.event, one.tag, one.start_us, one.confirmed_us) for one in whole.result.masked}
    for one in (*first.result.masked, *second.result.masked):
        assert (one.event, one.tag, one.start_us, one.confirmed_us) in known
    assert {one.event for one in (*first.result.masked, *second.result.masked)} == {
        name for name, *_ in known
    }
    ends = {one.event: one.end_us for one in second.result.masked}
    for one in whole.result.masked:
        assert ends.get(one.event, one.end_us) == one.end_us


def test_halves_by_the_command(site, whole, tmp_path):
    """The state of the sensors lies in the workspace."""
    for name, frame in (
        ("first", faulty(last=plant.HALF)),
        ("second", faulty(first=plant.HALF)),
    ):
        path = write_csv(frame, tmp_path / f"{name}.csv")
        ended = plant.command("score", site.config_file, path, "--json")
        assert ended.code == 0, ended.err
        told = json.loads(ended.out)
        record = json.loads((site.reports / told["run"] / "run.json").read_text())
    (stuck,) = by_kind(whole, "stuck sensor")
    masked = record["masked"][0]
    assert masked["event"] == stuck.id
    assert masked["tag"] == "temperature"
    assert masked["faulty_from"] == plant.time_of(STUCK[0]).isoformat()
    assert masked["masked_from"] == plant.time_of(CONFIRMED).isoformat()
    assert masked["masked_to"] == plant.time_of(RECOVERED - 1).isoformat()
    assert (masked["kind"], masked["open"]) == ("stuck sensor", False)
    page = (site.reports / told["run"] / "index.html").read_text(encoding="utf-8")
    assert "Sensors were masked, and what is said here leaves them out meanwhile:" in page
    value = later()["temperature"].iloc[STUCK[0] - plant.TRAIN_ROWS]
    sentence = (
        f"temperature stood at {value:.6g} from 2026-01-08 16:20 on, which is a fault of the "
        "sensor; it was masked from 2026-01-08 16:59 to 2026-01-08 21:46: the other 3 tags were "
        "scored without it, and a fault of the machine that shows in temperature alone was not "
        "seen meanwhile"
    )
    assert sentence in page
    assert sentence in told["notes"]
    assert (
        "flow had no usable value from 2026-01-09 07:20 on, which is a fault of the sensor" in page
    )


def test_context_of_an_older_program_has_no_sensors(shared, bundle, export, folder):
    from dataclasses import replace

    first = score_export(shared.config, bundle, [write_csv(faulty(last=5000), folder / "old.csv")])
    second = score_export(
        shared.config,
        bundle,
        [write_csv(faulty(first=5000), folder / "new.csv")],
        before=replace(first.context, sensors={}),
    )
    assert [one.tag for one in second.result.masked] == ["temperature", "flow"]


def test_tag_that_the_export_lacks_is_no_event(shared, bundle, folder):
    config = shared.config
    tolerant = config.model_copy(
        update={"compare": config.compare.model_copy(update={"missing_tag": "tolerate"})}
    )
    path = write_csv(later().drop(columns="flow"), folder / "lacks.csv")
    scored = score_export(tolerant, bundle, [path])
    assert scored.result.masked == ()
    assert isinstance(scored.scores, pd.DataFrame)
