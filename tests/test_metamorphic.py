"""What must not change a score: how an export is cut, ordered, stored, and on what it is scored."""

import itertools
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import plant
import pytest
import torch
from plant import farthest, later, score_export, write_csv

from sensor_ad.bundle import Bundle, load_bundle
from sensor_ad.detector import Detector

CLOSE = 1e-5


@pytest.fixture(scope="module")
def whole(shared, bundle):
    """Score the later export in one piece."""
    return score_export(shared.config, bundle, [shared.later])


def same(one, other):
    """Say that two scorings agree: scores, contributions, alarms, events."""
    assert farthest(one.scores, other.scores) <= CLOSE
    pd.testing.assert_frame_equal(one.contributions, other.contributions, rtol=1e-4, atol=CLOSE)
    assert (one.scores["alarm"] == other.scores["alarm"]).all()
    assert [(e.id, e.start_us, e.end_us, e.kind, e.open) for e in one.result.events] == [
        (e.id, e.start_us, e.end_us, e.kind, e.open) for e in other.result.events
    ]


def test_the_faults_show(whole):
    """Without alarms the rest of this file would prove little."""
    time = whole.scores.index
    within = np.zeros(len(time), bool)
    for event in whole.result.events:
        first, last = (
            pd.Timestamp(us, unit="us", tz="UTC") for us in (event.start_us, event.end_us)
        )
        within |= (time >= first) & (time <= last)
    for start, stop in (plant.FAULT, plant.OPEN_FAULT):
        inside = (time >= plant.time_of(start)) & (time < plant.time_of(stop))
        assert within[inside].mean() > 0.9
        assert whole.scores["alarm"][inside].any()
    assert 2 <= len(whole.result.events) <= 4


@pytest.mark.parametrize("rows", [900, 1501, 2222])
def test_what_comes_later_changes_no_causal_score(shared, bundle, whole, tmp_path, rows):
    """So the rows of an export say what they would have said live; its alarms, too."""
    path = write_csv(later().iloc[:rows], tmp_path / "first.csv")
    first = score_export(shared.config, bundle, [path]).scores
    assert len(first) == rows
    then = whole.scores.loc[first.index]
    near = first.index[-bundle.fitted.scorer.window :]
    assert (first.loc[near, "score"] - then.loc[near, "score"]).abs().max() > 10 * CLOSE
    np.testing.assert_allclose(first["causal_score"], then["causal_score"], atol=CLOSE, rtol=CLOSE)
    assert (first["alarm"] == then["alarm"]).all()


@pytest.mark.parametrize("block_bytes", [2_000, 33_333])
def test_reading_chunk(shared, bundle, whole, block_bytes):
    same(score_export(shared.config, bundle, [shared.later], block_bytes=block_bytes), whole)


@pytest.mark.parametrize("cuts", [(1,), (700, 701, 1500, 2990)])
def test_file_split(shared, bundle, whole, tmp_path, cuts):
    frame = later()
    parts = np.split(np.arange(len(frame)), cuts)
    # Named so that the order of names is not that of the times.
    for k, part in enumerate(parts):
        write_csv(frame.iloc[part], tmp_path / f"part{9 - k}.csv")

    same(score_export(shared.config, bundle, [tmp_path]), whole)


def test_row_order_within_the_look_back(shared, bundle, whole, tmp_path):
    frame = later()
    random = np.random.default_rng(4)
    order = np.argsort(np.arange(len(frame)) + random.uniform(0, 400, len(frame)))
    assert (np.diff(order) < 0).mean() > 0.3
    path = write_csv(frame.iloc[order], tmp_path / "shuffled.csv")

    shuffled = score_export(shared.config, bundle, [path], lookback_rows=500, block_bytes=10_000)
    same(shuffled, whole)


@pytest.mark.parametrize("row_group_size", [97, 100_000])
def test_csv_or_parquet(shared, bundle, whole, tmp_path, row_group_size):
    later().reset_index().to_parquet(tmp_path / "later.parquet", row_group_size=row_group_size)

    same(score_export(shared.config, bundle, [tmp_path / "later.parquet"]), whole)


def test_csv_of_another_country(shared, bundle, whole, tmp_path):
    path = write_csv(later(), tmp_path / "later.csv", sep=";", decimal=",")

    same(score_export(shared.config, bundle, [path]), whole)


def test_times_with_an_offset(shared, bundle, whole, tmp_path):
    frame = later().tz_localize("UTC").tz_convert("Asia/Kolkata")
    frame.to_csv(tmp_path / "later.csv")

    same(score_export(shared.config, bundle, [tmp_path / "later.csv"]), whole)


def test_columns_in_another_order(shared, bundle, whole, tmp_path):
    path = write_csv(later()[["energy", "pressure", "temperature", "flow"]], tmp_path / "later.csv")

    turned = score_export(shared.config, bundle, [path])
    assert list(turned.contributions.columns) == list(whole.contributions.columns)
    same(turned, whole)


def test_unrelated_columns(shared, bundle, whole, tmp_path):
    frame = later()
    frame["elsewhere"] = np.random.default_rng(1).normal(size=len(frame))
    frame["label"] = 1
    frame["remark"] = "night shift"
    write_csv(frame, tmp_path / "later.csv")
    data = shared.config.data.model_copy(update={"label_columns": ("label",)})

    more = score_export(
        shared.config.model_copy(update={"data": data}), bundle, [tmp_path / "later.csv"]
    )
    same(more, whole)
    assert more.run.notes[-1] == ("the export has the tag 'elsewhere' that the model does not know")


@pytest.mark.parametrize("threads", [1, 2])
def test_number_of_threads(shared, bundle, whole, threads):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        same(score_export(shared.config, bundle, [shared.later]), whole)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("size", [64, 256, 1000])
def test_tile_size(shared, bundle, whole, size):
    scorer = bundle.fitted.scorer
    tile = -(-size // scorer.layout.align) * scorer.layout.align
    assert tile < len(whole.scores) < scorer.layout.tile
    smaller = replace(scorer, layout=replace(scorer.layout, tile=tile))
    fitted = replace(bundle.fitted, scorer=smaller)

    same(score_export(shared.config, replace(bundle, fitted=fitted), [shared.later]), whole)


@pytest.mark.parametrize("first", [500, 1333])
def test_where_an_export_begins(shared, bundle, whole, tmp_path, first):
    """To the last bit, but for the rows that see its beginning: the tiles' shape is always one."""
    path = write_csv(later().iloc[first:], tmp_path / "rest.csv")

    rest = score_export(shared.config, bundle, [path]).scores.iloc[
        bundle.fitted.scorer.layout.halo :
    ]
    assert len(rest) > 1000
    pd.testing.assert_frame_equal(rest, whole.scores.loc[rest.index], check_exact=True)


def test_clock_of_the_machine(shared, whole, tmp_path):
    """In a process of its own, with its clock in another zone and its texts in another language."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import plant, pathlib\n"
        "site = plant.Site(pathlib.Path(sys.argv[2]))\n"
        "made = plant.score_export(site.config, plant.bundle_of(site), [site.later])\n"
        "made.scores.to_parquet(sys.argv[3])\n"
        "print([event.id for event in made.result.events])\n"
    )
    tests = Path(plant.__file__).parent
    out = tmp_path / "scores.parquet"
    ended = subprocess.run(
        [sys.executable, "-c", script, tests, shared.folder, out],
        env={
            **os.environ,
            "TZ": "Pacific/Auckland",
            "LC_ALL": "de_DE.UTF-8",
            "PYTHONHASHSEED": "7",
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr
    assert farthest(pd.read_parquet(out), whole.scores) <= CLOSE
    assert ended.stdout.strip() == str([event.id for event in whole.result.events])


# Exports that follow one another.


@pytest.fixture(scope="module")
def halves(shared, bundle, tmp_path_factory):
    """Score two halves one after the other; an event goes on over the cut."""
    folder = tmp_path_factory.mktemp("halves")
    paths = [
        write_csv(later(plant.TRAIN_ROWS, plant.HALF), folder / "first.csv"),
        write_csv(later(plant.HALF), folder / "second.csv"),
    ]
    first = score_export(shared.config, bundle, paths[:1])
    second = score_export(shared.config, bundle, paths[1:], before=first.context)
    alone = score_export(shared.config, bundle, paths[1:])
    return first, second, alone


def test_two_halves_are_the_whole(halves, whole, bundle):
    first, second, _ = halves
    halo = bundle.fitted.scorer.layout.halo
    again = first.scores.index.intersection(second.scores.index)
    assert len(again) == halo

    done = first.scores.index[:-halo]
    assert farthest(first.scores.loc[done], whole.scores.loc[done]) <= CLOSE
    assert farthest(second.scores, whole.scores.loc[second.scores.index]) <= CLOSE
    joined = pd.concat([first.scores.loc[done], second.scores])
    assert farthest(joined, whole.scores) <= CLOSE
    assert second.run.context_sentence == (
        f"The export follows the one scored before: its last {2 * halo + 2} rows came first, and "
        f"the last {halo} of them were scored again with what came after them."
    )


def test_context_matters(halves, whole):
    """Else the test above would show nothing."""
    _, _, alone = halves
    assert alone.run.context_sentence == ""
    difference = alone.scores["score"] - whole.scores.loc[alone.scores.index, "score"]
    assert difference.abs().max() > 100 * CLOSE


def test_counter_goes_on_over_the_cut(halves, whole):
    """The first row of the second half has an increase only if the reading before it is known."""
    _, second, alone = halves
    row = plant.time_of(plant.HALF)
    assert alone.contributions.loc[row, "energy"] == 0.0
    assert second.contributions.loc[row, "energy"] == pytest.approx(
        whole.contributions.loc[row, "energy"], abs=1e-4
    )
    assert second.contributions.loc[row, "energy"] > 0.0


def test_open_event_goes_on_with_its_name(halves, whole):
    first, second, alone = halves
    assert [event.open for event in first.result.events][-1] is True
    open_event = first.result.events[-1]
    continued = second.result.events[0]
    true = next(event for event in whole.result.events if event.id == open_event.id)

    assert continued.id == open_event.id
    assert continued.start_us == open_event.start_us == true.start_us
    assert continued.end_us == true.end_us
    assert not continued.open
    assert alone.result.events[0].id != open_event.id


def test_alarm_is_held_over_the_cut(shared, bundle, whole, tmp_path):
    """A limit that only the fault's peak passes: the rest of the fault is held by the release."""
    fault = whole.scores.loc[plant.time_of(plant.FAULT[0]) : plant.time_of(plant.FAULT[1])]
    limit = replace(bundle.fitted.limit, value=0.999 * float(fault["causal_score"].max()))
    high = replace(bundle, fitted=replace(bundle.fitted, limit=limit))
    held = {"release": 0.1, "fade": 0.0}
    config = shared.config.model_copy(
        update={"events": shared.config.events.model_copy(update=held)}
    )
    truth = score_export(config, high, [shared.later])
    peak = int((fault["causal_score"].idxmax() - plant.time_of(0)) / pd.Timedelta(minutes=1))
    held = peak + 5
    assert truth.scores.loc[plant.time_of(held) : plant.time_of(held + 5), "alarm"].all()
    assert truth.scores.loc[plant.time_of(held) :, "causal_score"].max() < limit.value

    cut = held + bundle.fitted.scorer.layout.halo
    parts = [later(plant.TRAIN_ROWS, cut), later(cut)]
    paths = [write_csv(part, tmp_path / f"{k}.csv") for k, part in enumerate(parts)]
    first = score_export(config, high, paths[:1])
    second = score_export(config, high, paths[1:], before=first.context)

    assert second.scores.index[0] == plant.time_of(held)
    assert (second.scores["alarm"] == truth.scores.loc[second.scores.index, "alarm"]).all()
    (event,) = [one for one in truth.result.events if one.peak > limit.value]
    assert event.id in {one.id for one in second.result.events}


def test_event_that_was_over_keeps_its_name(shared, bundle, tmp_path):
    """It ended so shortly before the cut that its last rows are scored again."""
    scorer = bundle.fitted.scorer
    cut = plant.FAULT[1] + scorer.layout.halo // 2 + scorer.window
    path = write_csv(later(plant.TRAIN_ROWS, cut), tmp_path / "first.csv")
    first = score_export(shared.config, bundle, [path])
    path = write_csv(later(cut), tmp_path / "second.csv")
    second = score_export(shared.config, bundle, [path], before=first.context)
    before = first.result.events[-1]
    shown_again = [event for event in second.result.events if event.start_us <= before.end_us]

    start_of = {event.id: event.start_us for event in first.result.events}
    assert before.id in start_of
    assert all(event.start_us == start_of[event.id] for event in shown_again)


@pytest.mark.parametrize("rows", [1, 20, 130])
def test_halves_of_very_unequal_length(shared, bundle, whole, tmp_path, rows):
    """Context of several short exports adds up."""
    frame, context, seen = later(), None, {}
    start = 1_400
    for first, last in itertools.pairwise([0, *range(start, start + 5 * rows + 1, rows)]):
        path = write_csv(frame.iloc[first:last], tmp_path / f"{first}.csv")
        made = score_export(shared.config, bundle, [path], before=context)
        context = made.context
        seen |= {time: made.scores.loc[[time]] for time in made.scores.index}
    joined = pd.concat(list(seen.values()))
    done = joined.index[: -bundle.fitted.scorer.layout.halo]

    assert len(joined) == start + 5 * rows
    assert farthest(joined.loc[done], whole.scores.loc[done]) <= CLOSE


def test_gap_between_exports(shared, bundle, whole, tmp_path):
    """Over a gap nothing is computed: as the same gap within one export."""
    frame = later()
    first, second = frame.iloc[:1500], frame.iloc[1503:]
    joined = score_export(
        shared.config, bundle, [write_csv(pd.concat([first, second]), tmp_path / "joined.csv")]
    )
    before = score_export(shared.config, bundle, [write_csv(first, tmp_path / "first.csv")])
    path = write_csv(second, tmp_path / "second.csv")
    with_context = score_export(shared.config, bundle, [path], before=before.context)
    alone = score_export(shared.config, bundle, [path])

    assert with_context.run.context_sentence == ""
    assert farthest(with_context.scores, alone.scores) == 0.0
    assert farthest(pd.concat([before.scores, alone.scores]), joined.scores) <= CLOSE


def test_short_hole_between_exports(shared, bundle, tmp_path):
    """A hole that is short enough within an export is short enough between two."""
    frame = later()
    first, second = frame.iloc[:1500], frame.iloc[1502:]
    joined = score_export(
        shared.config, bundle, [write_csv(pd.concat([first, second]), tmp_path / "joined.csv")]
    )
    before = score_export(shared.config, bundle, [write_csv(first, tmp_path / "first.csv")])
    path = write_csv(second, tmp_path / "second.csv")
    made = score_export(shared.config, bundle, [path], before=before.context)

    assert made.run.context_sentence != ""
    assert farthest(made.scores, joined.scores.loc[made.scores.index]) <= CLOSE


@pytest.mark.parametrize("overlap", [1, 40, 500])
def test_overlap_of_exports(shared, bundle, whole, tmp_path, overlap):
    """The second export has the end of the first once more."""
    frame = later()
    before = score_export(
        shared.config, bundle, [write_csv(frame.iloc[:1500], tmp_path / "first.csv")]
    )
    path = write_csv(frame.iloc[1500 - overlap :], tmp_path / "second.csv")
    made = score_export(shared.config, bundle, [path], before=before.context)
    # Without context, the first rows lack what came before them.
    sure = made.scores.index if overlap < 100 else made.scores.index[100:]

    # The counter's increase at the first row is not known, as the readings before it are not kept.
    sure = sure.difference(sure[: 2 * bundle.fitted.scorer.layout.halo])
    assert farthest(made.scores.loc[sure], whole.scores.loc[sure]) <= CLOSE


def test_halves_with_the_phase_of_a_jittering_clock(shared, bundle, tmp_path):
    frame = later()
    random = np.random.default_rng(3)
    frame.index += pd.to_timedelta(random.integers(-5000, 5000, len(frame)) + 20_000, unit="ms")

    def export(part, name):
        part.reset_index().to_parquet(tmp_path / name)
        return [tmp_path / name]

    together = score_export(shared.config, bundle, export(frame, "whole.parquet"))
    first = score_export(shared.config, bundle, export(frame.iloc[:1500], "1.parquet"))
    second = score_export(
        shared.config, bundle, export(frame.iloc[1500:], "2.parquet"), before=first.context
    )
    shift = (
        second.scores.index[0]
        - together.scores.index[
            together.scores.index.get_indexer([second.scores.index[0]], method="nearest")[0]
        ]
    )
    assert abs(shift) < pd.Timedelta(seconds=1)
    moved = second.scores.set_axis(second.scores.index - shift)
    assert farthest(moved, together.scores.loc[moved.index]) <= CLOSE


# The same through the workspace, where the context is kept.


def run_of(site, export, *words):
    """Score by the command; give the events by JSON, and the scores."""
    import json

    ended = plant.command("score", site.config_file, export, "--json", *words)
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    scores = pd.read_parquet(site.reports / told["run"] / "scores.parquet").set_index("time")
    record = json.loads((site.reports / told["run"] / "run.json").read_text())
    return told, scores, record


def test_halves_by_the_command(site, halves):
    first, second, alone = halves
    paths = [
        write_csv(later(plant.TRAIN_ROWS, plant.HALF), site.folder / "first.csv"),
        write_csv(later(plant.HALF), site.folder / "second.csv"),
    ]
    kept = site.folder / "workspace" / "plant" / "context.npz"

    told, scores, record = run_of(site, paths[0])
    assert farthest(scores, first.scores) == 0.0
    assert told["events"][-1]["open"] is True
    assert record["context"] == ""
    name, context = told["events"][-1]["id"], kept.read_bytes()

    told, scores, record = run_of(site, paths[1], "--no-context")
    assert farthest(scores, alone.scores) == 0.0
    assert record["context"] == ""
    assert told["events"][0]["id"] != name
    assert kept.read_bytes() == context, "--no-context leaves what was kept"

    told, scores, record = run_of(site, paths[1])
    assert farthest(scores, second.scores) == 0.0
    assert record["context"] == second.run.context_sentence
    assert told["events"][0]["id"] == name


def test_another_model_in_between(site, halves):
    """Its rows are no context for the model that comes after it, nor are this one's for it."""
    first, _, alone = halves
    config = site.change(training={"max_epochs": 1})
    assert plant.command("train", site.config_file, "--quiet").code == 0
    one, other = sorted(path.name for path in site.models.iterdir())
    paths = [
        write_csv(later(plant.TRAIN_ROWS, plant.HALF), site.folder / "first.csv"),
        write_csv(later(plant.HALF), site.folder / "second.csv"),
    ]

    _, scores, _ = run_of(site, paths[0], "--model", one)
    assert farthest(scores, first.scores) == 0.0
    _, scores, record = run_of(site, paths[1])
    assert record["model"] == other
    assert record["context"] == ""
    expected = score_export(config, load_bundle(site.models / other), paths[1:])
    assert farthest(scores, expected.scores) == 0.0
    _, scores, record = run_of(site, paths[1], "--model", one)
    assert record["context"] == ""
    assert farthest(scores, alone.scores) == 0.0


# Another layout: a short history, cross-fitted, latents pooled at every step.


@pytest.fixture(scope="module")
def short():
    """Fit a model with a longer window to a short history."""
    settings = plant.merged(
        plant.SETTINGS, {"prepare": {"window": 64}, "training": {"max_epochs": 8}}
    )
    detector = Detector(settings).fit(plant.plant(0, 1500))
    assert detector.fitted.scheme == "blocked cross-fitting"
    assert detector.fitted.scorer.window == 64
    return detector


def test_tile_and_halves_of_another_layout(short, tmp_path):
    layout = short.fitted.scorer.layout
    bundle = Bundle("model", short.fitted, short.config, {"libraries": {}})
    small = replace(short.fitted.scorer, layout=replace(layout, tile=32 * layout.align))
    cut = Bundle("model", replace(short.fitted, scorer=small), short.config, {"libraries": {}})
    frame = later()
    path = write_csv(frame, tmp_path / "later.csv")
    whole = score_export(short.config, bundle, [path])

    assert farthest(score_export(short.config, cut, [path]).scores, whole.scores) <= CLOSE
    first = score_export(
        short.config, bundle, [write_csv(frame.iloc[:1500], tmp_path / "first.csv")]
    )
    second = score_export(
        short.config,
        bundle,
        [write_csv(frame.iloc[1500:], tmp_path / "second.csv")],
        before=first.context,
    )
    done = first.scores.index[: -layout.halo]
    assert farthest(first.scores.loc[done], whole.scores.loc[done]) <= CLOSE
    assert farthest(second.scores, whole.scores.loc[second.scores.index]) <= CLOSE
