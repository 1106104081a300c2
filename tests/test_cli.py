"""The commands: what they print and where, what they write, and how they end."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import filelock
import pandas as pd
import plant
import pytest

EVIDENCE = [
    "reconstruction",
    "spike",
    "stand_still",
    "mahalanobis",
    "isolation_forest",
    "nearest",
    "pyod_IForest",
    "level_shift",
    "slow_shift",
    "spread_shift",
    "pattern",
    "pattern_rest",
    "pattern_change",
    "pattern_change_rest",
]
TAGS = ["flow", "pressure", "temperature", "energy"]
COMMANDS = [
    ("demo",),
    ("inspect",),
    ("train",),
    ("score",),
    ("models", "list"),
    ("models", "show"),
    ("models", "use"),
    ("models", "limit"),
]


def start(*words, cwd):
    """Start `sensor-ad` as a process."""
    return subprocess.Popen(
        [sys.executable, "-m", "sensor_ad.cli", *map(str, words)],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def files_of(folder):
    """Return the files below a folder, without the lock, which may come."""
    return {path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


def leftovers(folder):
    """Return temporary files and spools below a folder."""
    return [
        path
        for path in folder.rglob("*")
        if path.name.endswith(".tmp") or path.name.startswith(".spool")
    ]


# Help.


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_has_an_example(words):
    ended = plant.command(*words, "--help")

    assert (ended.code, ended.err) == (0, "")
    assert re.search(r"Examples?: sensor-ad " + " ".join(words), ended.out)


def test_help_names_every_command():
    ended = plant.command("--help")

    assert ended.code == 0
    for words in COMMANDS:
        assert re.search(rf"^\s+{words[0]}\b", ended.out, re.MULTILINE)


def test_help_and_version_import_neither_torch_nor_pandas():
    script = (
        "import sys\n"
        "from sensor_ad.cli import main\n"
        "sys.argv = ['sensor-ad', sys.argv[1]]\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert not end.code\n"
        "heavy = {'torch', 'pandas', 'numpy', 'sklearn', 'skops', 'matplotlib', 'pydantic'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    for word in ("--help", "--version"):
        ended = subprocess.run(
            [sys.executable, "-c", script, word], capture_output=True, text=True, check=True
        )
        assert ended.stdout.splitlines()[-1] == "[]"


def test_wrong_words_end_with_2(tmp_path):
    assert plant.command("scoer").code == 2
    assert plant.command("score").code == 2
    assert plant.command("train", tmp_path, "--no-such-option").code == 2


# Train and score.


@pytest.fixture(scope="module")
def scored(plant_folder, tmp_path_factory):
    """Score once, with its JSON; the site, what was told, and the run's folder."""
    import shutil

    folder = tmp_path_factory.mktemp("scored") / "site"
    shutil.copytree(plant_folder, folder)
    site = plant.Site(folder)
    ended = plant.command("score", site.config_file, site.later, "--json")
    assert ended.code == 0, ended.err
    (run,) = site.runs()
    return site, ended, run


def test_score_prints_json_on_stdout_and_messages_on_stderr(scored):
    site, ended, run = scored
    told = json.loads(ended.out)

    assert set(told) == {
        "run", "report", "model", "rows", "scorable_rows", "limit", "statement", "events",
        "notes", "seconds",
    }  # fmt: skip
    assert told["run"] == run.name
    assert told["report"] == str(run / "index.html")
    assert told["model"] == site.bundle.name
    assert told["rows"] == plant.SCORE_ROWS
    assert 0 < told["scorable_rows"] <= told["rows"]
    assert told["notes"] == ["times carry no zone: read as UTC; set data.timezone if that is wrong"]
    assert ended.err.splitlines() == told["notes"]
    for event in told["events"]:
        assert event["start_us"] <= event["peak_us"] <= event["end_us"]
        assert event["severity"] > 1
        assert sum(part["share"] for part in event["tags"]) == pytest.approx(1)


def test_run_folder_has_its_files_and_nothing_else(scored):
    _, _, run = scored
    there = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    pictures = {name for name in there if name.startswith("figures/")}

    assert there - pictures == {
        "index.html", "events.csv", "scores.parquet", "contributions.parquet", "run.json",
    }  # fmt: skip
    assert pictures
    assert all(name.endswith(".png") for name in pictures)
    assert all((run / name).read_bytes().startswith(b"\x89PNG") for name in pictures)
    assert not leftovers(run)


def test_scores(scored):
    _, ended, run = scored
    told = json.loads(ended.out)
    scores = pd.read_parquet(run / "scores.parquet")

    assert list(scores.columns) == ["time", "score", "causal_score", *EVIDENCE, "alarm", "scorable"]
    assert scores["time"].is_monotonic_increasing
    assert str(scores["time"].dt.tz) == "UTC"
    assert len(scores) == told["rows"]
    assert scores["scorable"].sum() == told["scorable_rows"]
    assert (
        scores.loc[scores["scorable"], ["score", "causal_score", *EVIDENCE]].notna().all(axis=None)
    )
    above = scores["scorable"] & (scores["causal_score"] > told["limit"])
    assert scores["alarm"].any()
    assert (scores["alarm"] <= above).all()
    times = scores["time"].astype("int64")
    spans = [(e["raised_us"], max(e["end_us"], e["faded_us"])) for e in told["events"]]
    covered = sum((times >= first) & (times <= last) for first, last in spans)
    assert (covered[scores["alarm"]] == 1).all(), "each alarm lies in one event"
    assert scores["alarm"].sum() == sum(event["alarm_rows"] for event in told["events"])


def test_contributions(scored):
    _, _, run = scored
    contributions = pd.read_parquet(run / "contributions.parquet")

    assert list(contributions.columns) == ["time", *TAGS]
    assert len(contributions) == plant.SCORE_ROWS
    assert (contributions[TAGS] >= 0).all(axis=None)
    fault = contributions[slice(*(row - plant.TRAIN_ROWS for row in plant.FAULT))]
    assert fault[TAGS].mean().idxmax() == "pressure"


def test_record_of_the_run(scored):
    site, ended, run = scored
    told = json.loads(ended.out)
    record = json.loads((run / "run.json").read_text())

    assert set(record) == {
        "run", "asset", "model", "program", "python", "libraries", "device", "rows_in",
        "rows_kept", "rows_dropped", "rows_sorted", "grid_rows", "scorable_rows", "events",
        "short_alarms", "limit", "limit_change", "back_test", "applied", "context", "masked",
        "drifts",
        "notes", "profile", "sha256", "seconds", "config",
    }  # fmt: skip
    assert (record["run"], record["asset"], record["model"]) == (
        run.name,
        "plant",
        site.bundle.name,
    )
    assert record["rows_in"] == record["rows_kept"] == record["grid_rows"] == plant.SCORE_ROWS
    assert record["events"] == len(told["events"])
    assert record["device"] == "cpu"
    assert set(record["sha256"]) == {"later.csv"}
    assert record["profile"]["separator"] == ","
    assert record["config"]["prepare"]["window"] == 16
    assert {"torch", "numpy"} <= set(record["libraries"])
    tested = record["back_test"]
    assert len(tested["limits"]) == 4
    assert tested["rate"] == pytest.approx(tested["events"] / tested["hours"] * 24 * 30)
    page = (run / "index.html").read_text(encoding="utf-8")
    assert tested["statement"] in page
    assert f"back-test: {tested['rate']:.3g} per 30 days" in page


def test_table_of_events(scored):
    _, ended, run = scored
    told = json.loads(ended.out)
    with (run / "events.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))

    assert len(rows) == len(told["events"]) >= 2
    text = " ".join(rows[0].values())
    assert told["events"][0]["id"] in text
    assert "pressure" in text


def rows_above_the_limit(run, events):
    """Count, for each event, the rows from its first alarm to its last above the limit."""
    scores = pd.read_parquet(run / "scores.parquet")
    times = pd.DatetimeIndex(scores["time"]).tz_convert("UTC").as_unit("us").asi8
    limit = json.loads((run / "run.json").read_text())["limit"]
    above = times[(scores["causal_score"] > limit).to_numpy()]
    raised = [event["raised_us"] for event in events]
    return [
        (above[(above >= start) & (above < stop)].max() - start) / 60e6 + 1
        for start, stop in zip(raised, [*raised[1:], times[-1] + 1], strict=True)
    ]


def test_alarms_too_short_for_an_event_are_told(site):
    """Only the longest event is left; the others are a number."""
    before = json.loads(plant.command("score", site.config_file, site.later, "--json").out)
    lasting = rows_above_the_limit(site.runs()[-1], before["events"])
    site.change(events={"min_length_s": 60.0 * max(lasting)})

    ended = plant.command("score", site.config_file, site.later, "--json", "--no-context")

    told = json.loads(ended.out)
    kept = told["events"]
    assert 0 < len(kept) < len(before["events"])
    longest = before["events"][lasting.index(max(lasting))]["id"]
    assert longest in {e["id"] for e in kept} <= {e["id"] for e in before["events"]}
    short = len(before["events"]) - len(kept)
    assert short > 0
    words = f"{short} alarm{'s' if short > 1 else ''} shorter than "
    assert told["notes"][-1].startswith(words)
    assert told["notes"][-1].endswith(" raised no event (events.min_length_s)")
    run = site.runs()[-1]
    assert json.loads((run / "run.json").read_text())["short_alarms"] == short
    assert told["notes"][-1] in (run / "index.html").read_text(encoding="utf-8")
    alarms = [pd.read_parquet(one / "scores.parquet")["alarm"] for one in site.runs()]
    assert (alarms[0] == alarms[1]).all(), "rows are marked whether or not they made an event"


def test_score_in_words(site):
    ended = plant.command("score", site.config_file, site.later)
    (run,) = site.runs()

    assert ended.code == 0
    assert ended.out.splitlines()[-1] == f"Report: {run / 'index.html'}"
    assert re.search(r"^[23] events", ended.out, re.MULTILINE)
    assert "3000 rows were scored. Budget: at most 2 false events per 30 days" in ended.out


def test_quiet_is_silent_on_stderr(site):
    ended = plant.command("score", site.config_file, site.later, "--quiet", "--json")
    assert (ended.code, ended.err) == (0, "")
    json.loads(ended.out)
    ended = plant.command("inspect", site.later, "--quiet", "--json")
    assert (ended.code, ended.err) == (0, "")
    site.change(training={"max_epochs": 1})
    ended = plant.command("train", site.config_file, "--quiet", "--json")
    assert (ended.code, ended.err) == (0, "")
    told = json.loads(ended.out)
    assert set(told) == {
        "model", "folder", "rows", "rows_learnt", "fitted_by", "limit", "statement", "achieved",
        "back_test", "seconds",
    }  # fmt: skip
    assert told["rows"] == told["rows_learnt"] == plant.TRAIN_ROWS
    assert told["fitted_by"] == "parts in time"
    assert told["back_test"]["statement"].startswith(f"Back-test: {told['back_test']['events']} ")
    assert (site.models / told["model"]).is_dir()
    assert not leftovers(site.folder)
    assert not (site.models.parent / "training").exists() or not any(
        (site.models.parent / "training").iterdir()
    )


def test_dry_run_writes_nothing(site):
    before = files_of(site.folder)
    trained = plant.command("train", site.config_file, "--dry-run", "--json")
    scored = plant.command("score", site.config_file, site.later, "--dry-run", "--json")

    assert (trained.code, trained.err, scored.code, scored.err) == (0, "", 0, "")
    told = json.loads(trained.out)
    assert told["rows to learn from"] == plant.TRAIN_ROWS
    assert told["fitted by"] == "parts in time"
    assert told["period_s"] == 60
    assert "energy (counter)" in told["tags"]
    told = json.loads(scored.out)
    assert told["model"] == site.bundle.name
    assert told["period"] == "as in training"
    assert files_of(site.folder) == before
    assert not site.reports.exists()
    words = plant.command("train", site.config_file, "--dry-run")
    assert "written: nothing (dry run)" in words.out.splitlines()


def test_inspect(shared):
    ended = plant.command("inspect", shared.later, "--json")
    found = json.loads(ended.out)

    assert (ended.code, ended.err) == (0, "")
    assert found["period_s"] == 60
    assert found["gaps"] == 0
    assert found["rows"]["kept"] == plant.SCORE_ROWS
    assert {tag["tag"]: tag["kind"] for tag in found["tags"]} == {
        "flow": "continuous",
        "pressure": "continuous",
        "temperature": "continuous",
        "energy": "counter",
    }
    words = plant.command("inspect", shared.later, "--config", shared.config_file)
    assert words.code == 0
    assert "period: 60 s" in words.out.splitlines()
    assert "bar" in words.out


def test_models(site):
    first = site.bundle.name
    site.change(training={"max_epochs": 1})
    second = json.loads(plant.command("train", site.config_file, "-q", "--json").out)["model"]

    def listed():
        ended = plant.command("models", "list", site.config_file, "--json")
        assert (ended.code, ended.err) == (0, "")
        return {row["model"]: row for row in json.loads(ended.out)}

    assert list(listed()) == [first, second]
    assert [row["in_service"] for row in listed().values()] == [False, True]
    assert all(row["state"] == "whole" for row in listed().values())

    ended = plant.command("models", "use", site.config_file, first)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == f"{first} is in service for plant.\n"
    assert [row["in_service"] for row in listed().values()] == [True, False]

    shown = json.loads(plant.command("models", "show", site.config_file, "--json").out)
    assert shown["model"] == first
    assert shown["tags"] == ", ".join(TAGS)
    assert shown["rows"] == plant.TRAIN_ROWS
    assert shown["data"] == "normal.csv"
    manifest = json.loads((site.bundle / "manifest.json").read_text())
    found = manifest["limit"]["back_test"]
    assert shown["back-test"].startswith(f"Back-test: {found['events']} false event")
    assert f"{manifest['limit']['false_events']} in " in shown["false events on calibration data"]
    words = plant.command("models", "show", site.config_file, second)
    assert f"model: {second}" in words.out.splitlines()
    table = plant.command("models", "list", site.config_file).out
    assert re.search(rf"\* *│ {first}", table)

    (site.models / second / "arrays.npz").write_bytes(b"x")
    ended = plant.command("models", "use", site.config_file, second)
    assert ended.code == 6
    assert listed()[first]["in_service"], "a damaged model is not put in service"

    (site.models / second / "manifest.json").write_bytes(b"x")
    assert "is damaged" in listed()[second]["state"]


def test_no_models_yet(tmp_path):
    site = plant.make_site(tmp_path)
    ended = plant.command("models", "list", site.config_file)
    assert (ended.code, ended.out) == (0, "No models yet; run 'sensor-ad train CONFIG'.\n")
    assert plant.command("models", "list", site.config_file, "--json").out == "[]\n"
    ended = plant.command("models", "show", site.config_file)
    assert ended.code == 6
    assert not (tmp_path / "workspace").exists()


# How commands end.


def test_nothing_scorable_is_partly_done(site):
    frame = plant.later()
    frame[:] = float("nan")
    frame.iloc[::40, 0] = 40.0
    export = plant.write_csv(frame, site.folder / "thin.csv")
    ended = plant.command("score", site.config_file, export, "--quiet", "--json")

    assert ended.code == 4
    assert ended.err == "no row of this export could be scored; the report says why.\n"
    assert json.loads(ended.out)["scorable_rows"] == 0
    (run,) = site.runs()
    assert (run / "index.html").is_file()
    assert not pd.read_parquet(run / "scores.parquet")["scorable"].any()


def test_locked_workspace(site):
    asset = site.models.parent
    for words in (
        ("train", site.config_file),
        ("score", site.config_file, site.later),
        ("models", "use", site.config_file, site.bundle.name),
    ):
        with filelock.FileLock(asset / ".lock"):
            ended = plant.command(*words)
        assert ended.code == 5
        assert ended.err == (
            f"sensor-ad: another sensor-ad command is at work in {asset}; wait until it has "
            "ended.\n"
        )
        assert ended.out == ""
    assert site.runs() == []


def test_workspace_that_cannot_be_written(site):
    (site.folder / "file").write_text("in the way")
    site.change(workspace="file/workspace")
    ended = plant.command("train", site.config_file)

    assert ended.code == 7
    assert ended.err == (
        f"sensor-ad: the workspace {site.folder}/file/workspace/plant cannot be made (Not a "
        "directory); choose a folder that can be written (key 'workspace').\n"
    )


def test_reports_that_cannot_be_written(site):
    (site.folder / "file").write_text("in the way")
    site.change(reports="file/reports")
    ended = plant.command("score", site.config_file, site.later, "--quiet")

    assert ended.code == 7
    assert re.fullmatch(
        rf"sensor-ad: {site.folder}/file/reports/plant/\w+ could not be written "
        r"\(Not a directory\); choose a folder that can be written\.\n",
        ended.err,
    )


def test_full_disk(site, monkeypatch):
    """The disk fills up while the scores are written: no run folder, no other trace."""
    import errno

    from sensor_ad.run_folder import RunFolder

    def full(self, tile, shown):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(RunFolder, "add", full)
    before = files_of(site.folder)
    ended = plant.command("score", site.config_file, site.later, "--quiet")

    assert ended.code == 7
    assert re.fullmatch(
        rf"sensor-ad: the disk is full: {site.reports}/\w+ could not be written; free some "
        r"space\.\n",
        ended.err,
    )
    assert files_of(site.folder) == before
    assert not leftovers(site.folder)


def test_failed_run_leaves_nothing(site):
    """The export turns bad on its last rows, when most of the scores are written."""
    text = site.later.read_text()
    time, *values = text.splitlines()[-1].split(",")
    text += ",".join([time, *(f"{float(value) + 1:g}" for value in values)]) + "\n"
    (site.folder / "bad.csv").write_text(text)
    before = files_of(site.folder)
    ended = plant.command("score", site.config_file, site.folder / "bad.csv")

    assert ended.code == 3
    assert ended.err == (
        "sensor-ad: two rows at 2026-01-09 20:39:00 UTC differ: tag 'flow' is 53.841 and 54.841, "
        "expected one row for each time: export again, or say by data.duplicates whether the last "
        "or the mean counts.\n"
    )
    assert files_of(site.folder) == before
    assert site.runs() == []


def wait_for_epoch(checkpoint, epoch, process):
    """Wait until a training has done so many epochs; return how many it has done."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        assert process.poll() is None, process.communicate()
        try:
            done = json.loads(next(checkpoint.rglob("progress.json")).read_text())["epoch"]
        except (StopIteration, FileNotFoundError):
            done = 0
        if done >= epoch:
            return done
        time.sleep(0.01)
    raise AssertionError(f"no epoch {epoch} within two minutes")


def test_interrupted_training_goes_on_with_the_same_weights(tmp_path):
    """Ctrl-C, then the end of the system's session, then the rest: as if nothing had been."""
    changes = {"threads": 1, "training": {"max_epochs": 24, "batch": 8, "patience": 24}}
    for name in ("cut", "straight"):
        (tmp_path / name).mkdir()
        plant.make_site(tmp_path / name).change(**changes)
    site = plant.Site(tmp_path / "cut")
    checkpoint = site.models.parent / "training"
    done = 0
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        process = start("train", "plant.toml", "--quiet", cwd=site.folder)
        done = wait_for_epoch(checkpoint, done + 2, process)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        assert process.returncode == code
        assert (out, err) == ("", "")
        assert not site.models.exists()
        assert not leftovers(site.folder)
    assert done < 24

    weights = []
    for name in ("cut", "straight"):
        site = plant.Site(tmp_path / name)
        process = start("train", "plant.toml", "--quiet", "--json", cwd=site.folder)
        out, err = process.communicate(timeout=300)
        assert (process.returncode, err) == (0, "")
        weights.append((site.bundle / "network.safetensors").read_bytes())
        manifest = json.loads((site.bundle / "manifest.json").read_text())
        assert [entry["epoch"] for entry in manifest["history"]] == list(range(1, 25))
        assert not list(checkpoint.rglob("progress.json"))
    assert weights[0] == weights[1]


def test_interrupted_scoring_leaves_no_run(site):
    """In a process of its own; the export is a pipe's worth of rows, so that there is time."""
    frame = plant.later()
    for k in range(40):
        part = frame.set_axis(frame.index + pd.Timedelta(minutes=3000 * k))
        plant.write_csv(part, site.folder / "long.csv", mode="a", header=k == 0)
    process = start("score", "plant.toml", "long.csv", "--quiet", cwd=site.folder)
    until = time.monotonic() + 120
    while not leftovers(site.folder) and time.monotonic() < until:
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)

    assert process.returncode == 130
    assert (out, err) == ("", "")
    assert site.runs() == []
    assert not leftovers(site.folder)


def test_installed_command_ends_with_the_same_codes(shared):
    """By its own script, as a user starts it."""
    script = Path(sys.executable).parent / "sensor-ad"
    ended = subprocess.run(
        [script, "score", "plant.toml", "latr.csv"],
        cwd=shared.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (3, "")
    assert ended.stderr == (
        "sensor-ad: latr.csv: no such file; the nearest is 'later.csv', expected an export: "
        "correct the path.\n"
    )
