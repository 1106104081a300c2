"""Train and score as a whole: what is learnt, what is left out, and what is written down."""

import json
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import plant
import pytest
from safetensors.numpy import load_file

from sensor_ad.config import Config
from sensor_ad.errors import LockedError
from sensor_ad.pipeline import score, train
from sensor_ad.store import open_workspace

QUICK = {"training": {"max_epochs": 1}}


def trained(site, frame=None, **changes):
    """Train anew with changes of the config; quickly, as only what is learnt matters."""
    config = site.change(**plant.merged(QUICK, changes))
    if frame is not None:
        plant.write_csv(frame, site.normal)
    return train(config)


def scores_of(site, result):
    """Return a run's scores by time."""
    return pd.read_parquet(result.folder / "scores.parquet").set_index("time")


def test_same_seed_same_weights(site):
    first = trained(site, seed=3)
    second = trained(site, seed=3)
    other = trained(site, seed=4)
    weights = [(r.folder / "network.safetensors").read_bytes() for r in (first, second, other)]

    assert first.model != second.model
    assert weights[0] == weights[1]
    assert weights[0] != weights[2]
    assert first.fitted.limit.value == second.fitted.limit.value


def test_what_training_writes_down(site):
    result = trained(site)
    manifest = json.loads((result.folder / "manifest.json").read_text())

    assert manifest["asset"] == "plant"
    assert manifest["id"] == result.model == result.folder.name
    assert manifest["data"] == {
        "first": "2026-01-05T00:00:00+00:00",
        "last": "2026-01-07T18:39:00+00:00",
        "rows": plant.TRAIN_ROWS,
        "used": plant.TRAIN_ROWS,
        "sha256": {"normal.csv": manifest["data"]["sha256"]["normal.csv"]},
    }
    assert manifest["scheme"] == "parts in time"
    parts = manifest["parts"]
    assert sum(parts.values()) == plant.TRAIN_ROWS
    assert (parts["train"], parts["gaps"]) == (2400, 32)
    assert set(manifest["seconds"]) == {"reading", "training"}
    assert [entry["tag"] for entry in manifest["quality"]] == list(plant.later().columns)
    assert open_workspace(site.folder / "workspace", "plant").champion() == result.model
    # The files' own hash, for who wants to know later what was learnt.
    import hashlib

    digest = hashlib.sha256(site.normal.read_bytes()).hexdigest()
    assert manifest["data"]["sha256"]["normal.csv"] == digest


def test_excluded_rows_are_not_learnt(site):
    """A repair in the history: wild readings, which the engineer excludes."""
    clean = plant.plant(0, plant.TRAIN_ROWS)
    poisoned = clean.copy()
    poisoned.iloc[500:900, :3] = 1e4
    span = {"from": poisoned.index[500], "to": poisoned.index[900], "reason": "repair"}
    exclude = [{key: str(value) for key, value in span.items()}]

    learnt = trained(site, poisoned, data={"exclude": exclude}).fitted
    expected = trained(site, clean, data={"exclude": exclude}).fitted
    spoilt = trained(site, poisoned).fitted

    for name in ("center", "scale", "low", "high"):
        found, wanted, bad = (
            getattr(fitted.scorer.preparation, name) for fitted in (learnt, expected, spoilt)
        )
        np.testing.assert_array_equal(found, wanted)
        if name in ("scale", "high"):
            assert (bad[:3] != wanted[:3]).any()
    ours, theirs = (fitted.scorer.network.state_dict() for fitted in (learnt, expected))
    assert all((ours[name] == theirs[name]).all() for name in ours)
    assert sum(learnt.parts.values()) == plant.TRAIN_ROWS - 400


def test_use_when(site):
    """Rows where the condition fails are neither learnt nor scored, and the report says so."""
    frame = plant.plant(0, plant.TRAIN_ROWS)
    frame["running"] = 1
    frame.loc[frame.index[1000:1300], "running"] = 0
    frame.iloc[1000:1300, :3] = -1e4
    result = trained(site, frame, data={"use_when": "running == 1"})
    preparation = result.fitted.scorer.preparation
    assert preparation.low[0] > 0
    assert sum(result.fitted.parts.values()) == plant.TRAIN_ROWS - 300

    later = plant.later()
    later["running"] = 1
    later.loc[later.index[2000:2100], "running"] = 0
    later.iloc[2000:2100, :3] = -1e4
    export = plant.write_csv(later, site.folder / "stops.csv")
    run = score(site.config, [export])
    scores = scores_of(site, run)
    stopped = scores.iloc[2000:2100]

    assert len(scores) == plant.SCORE_ROWS
    assert not stopped["scorable"].any()
    assert not stopped["alarm"].any()
    assert stopped["score"].isna().all()
    assert scores.drop(stopped.index)["scorable"].mean() > 0.95
    assert run.scorable == scores["scorable"].sum()
    page = (run.folder / "index.html").read_text(encoding="utf-8")
    assert "use_when does not hold (running == 1)" in page
    # What stood there while the pump was stopped has no part in the scores around it.
    later.iloc[2000:2100, :3] = 1e4
    again = score(
        site.config, [plant.write_csv(later, site.folder / "other.csv")], use_context=False
    )
    assert plant.farthest(scores_of(site, again), scores) == 0.0


def test_label_columns_and_ignored_tags_never_reach_the_model(site):
    frame = plant.plant(0, plant.TRAIN_ROWS)
    plain = trained(site, frame)
    frame["anomaly"] = np.arange(len(frame)) % 2
    frame["spare"] = np.random.default_rng(0).normal(size=len(frame))
    changes = {
        "data": {"label_columns": ["anomaly"]},
        "tags": {"spare": {"role": "ignore"}},
    }
    labelled = trained(site, frame, **changes)

    names = labelled.fitted.scorer.preparation.names
    assert names == plain.fitted.scorer.preparation.names == tuple(plant.later().columns)
    weights = [load_file(r.folder / "network.safetensors") for r in (plain, labelled)]
    assert all((weights[0][name] == weights[1][name]).all() for name in weights[0])

    later = plant.later()
    bare = score(site.config, [plant.write_csv(later, site.folder / "a.csv")], use_context=False)
    later["anomaly"], later["spare"] = 1, 1e6
    more = score(site.config, [plant.write_csv(later, site.folder / "b.csv")], use_context=False)
    assert plant.farthest(scores_of(site, more), scores_of(site, bare)) == 0.0
    assert all("anomaly" not in note and "spare" not in note for note in more.notes)
    contributions = pd.read_parquet(more.folder / "contributions.parquet")
    assert list(contributions.columns) == ["time", *names]


def test_missing_tag_that_is_tolerated(site):
    config = site.change(compare={"missing_tag": "tolerate"})
    frame = plant.later().rename(columns={"temperature": "temp"})
    run = score(config, [plant.write_csv(frame, site.folder / "less.csv")])
    page = (run.folder / "index.html").read_text(encoding="utf-8")
    record = json.loads((run.folder / "run.json").read_text())
    differences = (
        "the export lacks the tag 'temperature' of the model",
        "the export has the tag 'temp' that the model does not know",
    )

    assert run.notes[-2:] == differences
    assert record["notes"][-2:] == list(differences)
    for sentence in differences:
        assert sentence.replace("'", "&#39;") in page
    scores = scores_of(site, run)
    assert scores["scorable"].mean() > 0.95
    inside = slice(plant.time_of(plant.FAULT[0]), plant.time_of(plant.FAULT[1] - 1))
    assert scores.loc[inside, "alarm"].mean() > 0.9, "the fault of another tag still shows"


def test_other_period_that_is_tolerated(site):
    config = site.change(compare={"period": "tolerate"})
    frame = plant.later()
    # A reading each 30 s: two of them make one row of the model's grid.
    twice = frame.set_axis(frame.index + pd.Timedelta(seconds=30))
    export = plant.write_csv(pd.concat([frame, twice]).sort_index(), site.folder / "fine.csv")
    run = score(config, [export])

    assert run.notes[-1] == (
        "the export has a row every 30 s, the model was trained on one every 60 s; it was put on "
        "the model's grid"
    )
    assert abs(run.rows - plant.SCORE_ROWS) <= 1
    assert any(event.tags[0].tag == "pressure" for event in run.events)


def test_locked_workspace(site):
    workspace = open_workspace(site.folder / "workspace", "plant")
    with workspace.lock():
        with pytest.raises(LockedError):
            train(site.config)
        with pytest.raises(LockedError):
            score(site.config, [site.later])
    assert site.runs() == []
    assert len(workspace.list_models()) == 1


@pytest.mark.parametrize("stage", ["reading", "report"])
def test_interrupted_score_leaves_no_run(site, stage):
    def interrupt(what, done, total):
        if what.startswith(stage):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score(site.config, [site.later], announce=interrupt)

    assert site.runs() == []
    assert not (site.folder / "workspace" / "plant" / "context.npz").exists()
    result = score(site.config, [site.later])
    assert site.runs() == [result.folder]


def test_runs_within_a_second_get_folders_of_their_own(site, monkeypatch):
    from sensor_ad import pipeline

    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(2026, 3, 1, 6, 0, 0, tzinfo=UTC)

    monkeypatch.setattr(pipeline, "datetime", Clock)
    monkeypatch.setattr(pipeline, "write_report", lambda *args: None)
    runs = [score(site.config, [site.later], use_context=False).run for _ in range(3)]

    assert runs == ["20260301T060000Z", "20260301T060000Z-2", "20260301T060000Z-3"]
    assert [path.name for path in site.runs()] == runs


def test_short_series_is_cross_fitted(site):
    result = trained(site, plant.plant(0, 900), prepare={"window": 128})

    assert result.fitted.scheme == "blocked cross-fitting"
    assert result.fitted.parts == {f"block {k}": 225 for k in (1, 2, 3, 4)}
    assert {int(entry["fold"]) for entry in result.fitted.history} == {0, 1, 2, 3, 4}
    assert result.fitted.scorer.window == 64
    note = "the window was shortened from 128 to 64 rows, a twelfth of the rows at most"
    assert note in result.notes
    run = score(site.config, [site.later])
    page = (run.folder / "index.html").read_text(encoding="utf-8")
    assert "blocked cross-fitting" in page
    assert any(event.tags[0].tag == "pressure" for event in run.events)


def test_tag_without_a_value_is_left_out_and_told(site):
    frame = plant.plant(0, plant.TRAIN_ROWS)
    frame["dead"] = np.nan
    result = trained(site, frame)

    assert "dead" not in result.fitted.scorer.preparation.names
    assert "the tag 'dead' has no value at all and was left out" in result.notes


def test_plant_time_over_the_change_of_the_clocks(site):
    """Exports in plant time from before summer time, scored over its begin."""
    zone = "Europe/Berlin"
    begin = pd.Timestamp("2026-03-26T12:00", tz=zone)

    def at(frame):
        minutes = ((frame.index - plant.BEGIN) / pd.Timedelta(minutes=1)).astype(int)
        times = begin + pd.to_timedelta(minutes, unit="min")
        return frame.set_axis(times.tz_localize(None).rename("time"))

    trained(site, at(plant.plant(0, plant.TRAIN_ROWS)), data={"timezone": zone})
    export = plant.write_csv(at(plant.later()), site.folder / "spring.csv")
    run = score(site.config, [export])
    scores = scores_of(site, run)

    change = pd.Timestamp("2026-03-29T01:00", tz="UTC")
    assert begin + pd.Timedelta(minutes=plant.TRAIN_ROWS) > change - pd.Timedelta(days=1)
    assert str(scores.index.tz) == zone
    assert (np.diff(scores.index.asi8) == 60_000_000).all(), "no hour is missing, none comes twice"
    assert scores.index[0] == begin + pd.Timedelta(minutes=plant.TRAIN_ROWS)
    assert {stamp.utcoffset() for stamp in scores.index[[0, -1]]} == {pd.Timedelta(hours=2)}
    event = max(run.events, key=lambda one: one.peak)
    true = begin + pd.Timedelta(minutes=plant.FAULT[0])
    # When it was raised: evidence of whole windows, looked at afterwards, shows somewhat before.
    raised = pd.Timestamp(event.raised_us, unit="us", tz="UTC")
    assert abs(raised - true) < pd.Timedelta(minutes=20)
    assert (
        true - pd.Timedelta(minutes=30) < pd.Timestamp(event.start_us, unit="us", tz="UTC") < raised
    )
    text = (run.folder / "events.csv").read_text(encoding="utf-8-sig")
    start = pd.Timestamp(event.start_us, unit="us", tz="UTC")
    for clock in (zone, "UTC"):
        assert start.tz_convert(clock).strftime("%H:%M") in text


def test_exclude_is_plant_time(site):
    """05:00 in Berlin is 04:00 in UTC in January."""
    exclude = [{"from": "2026-01-05T05:00", "to": "2026-01-05T06:00"}]
    result = trained(site, data={"timezone": "Europe/Berlin", "exclude": exclude})
    manifest = json.loads((result.folder / "manifest.json").read_text())

    assert manifest["data"]["first"] == "2026-01-04T23:00:00+00:00"
    assert manifest["data"]["rows"] - manifest["data"]["used"] == 60


def test_what_is_excluded_from_training_is_scored(site):
    """Bad history is bad only for learning."""
    config: Config = site.change(
        data={"exclude": [{"from": "2026-01-01T00:00", "to": "2027-01-01T00:00"}]}
    )
    result = score(config, [site.later])
    assert result.scorable > 0.95 * plant.SCORE_ROWS
