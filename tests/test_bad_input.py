"""Bad input through the command: its exit code, and one whole sentence that says what to do."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import plant
import pytest
import tomli_w
import torch

from sensor_ad.detector_names import OWN_DETECTORS, PYOD_TESTED

USAGE, DATA, MODEL, RESOURCES = 2, 3, 6, 7
CONFIG = "plant.toml"
ISO = "times such as 2026-01-31 23:59:00"


def rows(count=300):
    """Return the first rows of a good export."""
    return plant.plant(0, count)


def text_of(frame):
    """Return a frame as the text of a CSV file."""
    return frame.to_csv(date_format="%Y-%m-%d %H:%M:%S")


def empty_file(folder):
    (folder / "bad.csv").write_bytes(b"")


def header_only(folder):
    (folder / "bad.csv").write_text("time,flow,pressure,temperature,energy\n")


def web_page(folder):
    (folder / "bad.csv").write_text("<!DOCTYPE html>\n<html><body>Please log in</body></html>\n")


def ragged_rows(folder):
    lines = text_of(rows()).splitlines()
    lines[11:41] = [line + ",1" for line in lines[11:41]]
    (folder / "bad.csv").write_text("\n".join(lines) + "\n")


def no_time_column(folder):
    (folder / "bad.csv").write_text(rows().to_csv(index=False))


def times_in_doubt(folder):
    frame = rows()
    frame.index = frame.index.strftime("%d.%m.%Y %H:%M:%S")
    (folder / "bad.csv").write_text(frame.to_csv(index_label="time"))


def no_number_at_all(folder):
    frame = rows()
    frame[:] = np.nan
    (folder / "bad.csv").write_text(text_of(frame))


def tag_seen_in_calibration_only(folder):
    frame = plant.plant(0, plant.TRAIN_ROWS)
    frame.loc[frame.index[:3500], "flow"] = np.nan
    (folder / "bad.csv").write_text(text_of(frame))


def too_short(folder):
    (folder / "bad.csv").write_text(text_of(rows(40)))


def two_rows(folder):
    (folder / "bad.csv").write_text(text_of(rows(2)))


def conflicting_times(folder):
    frame = pd.concat([rows(), rows().iloc[[100]] + 1]).sort_index(kind="stable")
    (folder / "bad.csv").write_text(text_of(frame))


def irregular_times(folder):
    frame = rows(1000)
    steps = np.random.default_rng(0).lognormal(4, 1.5, len(frame))
    frame.index = plant.BEGIN + pd.to_timedelta(np.cumsum(steps.round() + 1), unit="s")
    (folder / "bad.csv").write_text(text_of(frame.rename_axis("time")))


def deviating(folder):
    (folder / "bad.csv").write_text(text_of(rows()))
    columns = ["time", *rows().columns, "level"]
    profile = {"version": 1, "kind": "csv", "layout": "wide", "columns": columns}
    profile |= {"separator": ";", "time_columns": ["time"]}
    (folder / "profile.toml").write_text(tomli_w.dumps(profile))
    plant.write_config(folder / CONFIG, data={"profile": "profile.toml"})


def not_a_table(folder):
    (folder / "bad.csv").write_bytes(bytes(range(256)) * 20)


def truncated_parquet(folder):
    rows().to_parquet(folder / "bad.parquet")
    content = (folder / "bad.parquet").read_bytes()
    (folder / "bad.parquet").write_bytes(content[: len(content) // 2])


def folder_without_exports(folder):
    (folder / "exports").mkdir()
    (folder / "exports" / "notes.docx").write_text("x")


def hour_that_comes_twice(folder):
    frame = rows()
    frame.index = pd.date_range("2025-10-26 00:00", periods=len(frame), freq="min", name="time")
    (folder / "bad.csv").write_text(text_of(frame))
    plant.write_config(folder / CONFIG, data={"timezone": "Europe/Berlin"})


def other_tags(folder):
    (folder / "bad.csv").write_text(text_of(rows().rename(columns={"flow": "flow_rate"})))


def other_period(folder):
    (folder / "bad.csv").write_text(text_of(rows(1000).iloc[::10]))


def use_when_of_a_missing_tag(folder):
    plant.write_config(folder / CONFIG, data={"use_when": "flw > 1"})


def everything_excluded(folder):
    span = {"from": "2026-01-01T00:00:00", "to": "2026-02-01T00:00:00"}
    plant.write_config(folder / CONFIG, data={"exclude": [span]})


def changed(**changes):
    """Give what writes the config with changes."""

    def write(folder):
        plant.write_config(folder / CONFIG, **changes)

    return write


def text_config(text):
    """Give what writes a text as the config."""

    def write(folder):
        (folder / CONFIG).write_text(text)

    return write


def nothing(folder):
    """Change nothing."""


TRAIN, SCORE = ("train", CONFIG, "bad.csv"), ("score", CONFIG, "bad.csv")
INSPECT = ("inspect", "bad.csv")
FIT = ("train", CONFIG)
EVERY_KEY = "Correct the config and run again."
DETECTORS = ", ".join([*OWN_DETECTORS, *(f"pyod:{word}" for word in PYOD_TESTED)])
OFFER = (
    "Score an export with the model's tags, allow the difference in [compare] of the config, or "
    "train anew."
)

CASES = {
    "empty file": (
        empty_file,
        INSPECT,
        DATA,
        "bad.csv: the file is empty (0 bytes), expected a table: export it again.",
    ),
    "header only": (
        header_only,
        SCORE,
        DATA,
        "bad.csv: only one line with text, expected a header and rows: export a stretch of time "
        "that has data.",
    ),
    "HTML page named .csv": (
        web_page,
        TRAIN,
        DATA,
        "bad.csv: a web page, expected CSV or Parquet: the log-in to the historian may have "
        "expired; log in and export again.",
    ),
    "ragged rows": (
        ragged_rows,
        SCORE,
        DATA,
        "bad.csv, line 12: 6 fields, expected 5 as in the header (30 of 300 rows are like that): "
        "mend these lines or export again.",
    ),
    "no time column": (
        no_time_column,
        TRAIN,
        DATA,
        "bad.csv: no time column among 'flow', 'pressure', 'temperature', 'energy', expected one "
        f"with {ISO}: export it too, or give data.start and data.period_s.",
    ),
    "times that may be of two countries": (
        times_in_doubt,
        SCORE,
        DATA,
        "bad.csv: column 'time': '05.01.2026 00:00:00' is 5 January 2026 as dd.mm.yyyy, 1 May "
        "2026 as mm.dd.yyyy, and nothing else in the column tells, expected times that can be read "
        'in one way: say which by data.time_format = "dd.mm.yyyy" or "mm.dd.yyyy".',
    ),
    "no number at all": (
        no_number_at_all,
        TRAIN,
        DATA,
        "none of the 4 tags has a single number, at least one with values was expected; check the "
        "export (sensor-ad inspect) and its decimal sign.",
    ),
    "tag without a value where it is needed": (
        tag_seen_in_calibration_only,
        TRAIN,
        DATA,
        "the tag 'flow' has no value in the rows to train on, at least some were expected; give "
        "it the role 'ignore', or train on a longer export.",
    ),
    "too short to fit": (
        too_short,
        TRAIN,
        DATA,
        "only 40 rows are left to train on, at least 48 are needed (some hundred windows are "
        "better); train on a longer export.",
    ),
    "too short for a period": (
        two_rows,
        TRAIN,
        DATA,
        "the export has 2 rows, too few to find its sampling period; train on a longer export, or "
        "set prepare.period_s.",
    ),
    "two different rows at one time": (
        conflicting_times,
        SCORE,
        DATA,
        "two rows at 2026-01-05 01:40:00 UTC differ: tag 'flow' is 25.639 and 26.639, expected one "
        "row for each time: export again, or say by data.duplicates whether the last or the mean "
        "counts.",
    ),
    "irregular times": (
        irregular_times,
        TRAIN,
        DATA,
        "the times of the export are irregular (most steps lie between 9 s and 346 s), a steady "
        "sampling period was expected; set prepare.period_s to the period wanted.",
    ),
    "export that deviates from its profile": (
        deviating,
        SCORE,
        DATA,
        "bad.csv: deviates from its profile: separator is ',', not ';'; column 'level' is missing; "
        "expected what data.profile says: export it as before, or freeze a new profile (sensor-ad "
        "inspect --save-profile).",
    ),
    "binary file": (
        not_a_table,
        INSPECT,
        DATA,
        "bad.csv: binary data (NUL bytes), expected CSV or Parquet: export it again; UTF-16 text "
        "needs a byte-order mark.",
    ),
    "truncated Parquet file": (
        truncated_parquet,
        ("score", CONFIG, "bad.parquet"),
        DATA,
        "bad.parquet: a damaged Parquet file (Parquet magic bytes not found in footer. Either the "
        "file is corrupted or this is not a parquet file.), expected one that can be read to its "
        "end: copy or export it again.",
    ),
    "missing file": (
        nothing,
        ("score", CONFIG, "latr.csv"),
        DATA,
        "latr.csv: no such file; the nearest is 'later.csv', expected an export: correct the path.",
    ),
    "folder without exports": (
        folder_without_exports,
        ("inspect", "exports"),
        DATA,
        "exports: no export in this folder (1 files), expected *.csv, *.txt, *.tsv, *.parquet, "
        "*.xlsx, *.xlsm: name the folder that holds them.",
    ),
    "hour that the clock shows twice": (
        hour_that_comes_twice,
        TRAIN,
        DATA,
        "bad.csv, line 182: the clock of Europe/Berlin goes back from 2025-10-26 03:00 to "
        "2025-10-26 02:00, so that 2025-10-26 02:00:00 comes twice, and the rows show one pass, "
        "expected both passes of that hour in order: export in UTC or with the offset from UTC in "
        "every time, or, if the plant's clock stays on standard time all year, set data.clock = "
        '"standard time".',
    ),
    "export with other tags": (
        other_tags,
        SCORE,
        MODEL,
        "the model does not fit this export: the export lacks the tag 'flow' of the model (renamed "
        f"to 'flow_rate'?). {OFFER}",
    ),
    "export at another period": (
        other_period,
        SCORE,
        MODEL,
        "the model does not fit this export: the export has a row every 600 s, the model was "
        "trained on one every 60 s. Export at the model's period, set compare.period = "
        '"tolerate" to have it resampled, or train anew.',
    ),
    "use_when naming a missing tag": (
        use_when_of_a_missing_tag,
        FIT,
        DATA,
        "use_when names the tag 'flw', which the export lacks; did you mean 'flow'?",
    ),
    "everything excluded": (
        everything_excluded,
        FIT,
        DATA,
        "no row is left to train on after use_when and exclude, some hundred were expected; check "
        "both in the config.",
    ),
    "unknown config key": (
        changed(training={"max_epoch": 3}, limt={"events": 1}),
        FIT,
        USAGE,
        "plant.toml: unknown key 'training.max_epoch' (did you mean 'max_epochs'?); unknown key "
        f"'limt' (did you mean 'limit'?). {EVERY_KEY}",
    ),
    "wrong type": (
        changed(prepare={"window": "wide"}),
        FIT,
        USAGE,
        "plant.toml: 'prepare.window' = 'wide': input should be a valid integer, unable to parse "
        f"string as an integer. {EVERY_KEY}",
    ),
    "window that is no power of two": (
        changed(prepare={"window": 60}),
        FIT,
        USAGE,
        "plant.toml: 'prepare.window': 60 is not a power of two; take 32 or 64. " + EVERY_KEY,
    ),
    "unsupported detector": (
        changed(scoring={"detectors": ["pyod:ECOD"]}),
        FIT,
        USAGE,
        "plant.toml: 'scoring.detectors': 'pyod:ECOD' scores a row differently with other rows "
        "beside it and is not supported; the nearest that is: 'pyod:HBOS'. " + EVERY_KEY,
    ),
    "misspelt detector": (
        changed(scoring={"detectors": ["isolation_forrest"]}),
        FIT,
        USAGE,
        f"plant.toml: 'scoring.detectors': 'isolation_forrest' is not a supported detector "
        f"({DETECTORS}); did you mean 'isolation_forest'? {EVERY_KEY}",
    ),
    "unknown time zone": (
        changed(data={"timezone": "Europe/Berlni"}),
        FIT,
        USAGE,
        "plant.toml: 'data.timezone': 'Europe/Berlni' is not an IANA time zone; did you mean "
        f"'Europe/Berlin'? {EVERY_KEY}",
    ),
    "condition that calls something": (
        changed(data={"use_when": "open('x') == 1"}),
        FIT,
        USAGE,
        "plant.toml: 'data.use_when': \"open('x') == 1\" holds Call, which is not allowed; use "
        f"tags, numbers, comparisons, and, or, not, + - * /. {EVERY_KEY}",
    ),
    "no TOML": (
        text_config("asset = plant\n"),
        FIT,
        USAGE,
        "plant.toml is not valid TOML: Invalid value (at line 1, column 9); correct that place "
        "(texts need quotes).",
    ),
    "missing config": (
        nothing,
        ("train", "plnat.toml"),
        USAGE,
        "the config plnat.toml does not exist; did you mean plant.toml?",
    ),
    "no export named": (
        changed(data={"train": []}),
        FIT,
        USAGE,
        "no export to train on was given, at least one was expected; name it behind the config, or "
        "set data.train in the config.",
    ),
    "variable that is not set": (
        changed(data={"train": ["${NO_SUCH_FOLDER}/a.csv"]}),
        FIT,
        USAGE,
        "the path '${NO_SUCH_FOLDER}/a.csv' needs the environment variable NO_SUCH_FOLDER, which "
        "is not set; set it to the folder meant, or write the path out in the config.",
    ),
    "unknown model": (
        nothing,
        ("score", CONFIG, "later.csv", "--model", "nosuchmodel"),
        MODEL,
        "there is no model 'nosuchmodel' in {plant}; see 'sensor-ad models list'.",
    ),
    "no model yet": (
        changed(asset="another"),
        ("score", CONFIG, "later.csv"),
        MODEL,
        "no model is in service in {another}; run 'sensor-ad train CONFIG' first.",
    ),
    "CUDA that is not there": (
        changed(device="cuda"),
        FIT,
        RESOURCES,
        f"device = 'cuda' was asked for, but torch {torch.__version__} finds no CUDA device here; "
        'install the driver and a CUDA build of torch, or set device = "cpu".',
    ),
}


@pytest.fixture
def there(site, monkeypatch):
    """Work in a folder with config, exports and a model; no GPU is to be seen."""
    monkeypatch.chdir(site.folder)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    return site


@pytest.mark.parametrize("kind", CASES)
def test_bad_input(there, kind):
    prepare, words, code, sentence = CASES[kind]
    prepare(Path())
    for name in ("plant", "another"):
        sentence = sentence.replace(f"{{{name}}}", str(there.folder / "workspace" / name))
    before = files_of(there.folder)

    ended = plant.command(*words)

    assert ended.err == f"sensor-ad: {sentence}\n"
    assert ended.code == code
    assert ended.out == ""
    assert files_of(there.folder) == before


def files_of(folder):
    """Return the files below a folder with their times; the lock may come."""
    return {
        path: path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def test_there_are_many_kinds():
    assert len(CASES) >= 20


def test_sentences_are_sentences():
    for kind, (_, _, _, sentence) in CASES.items():
        assert re.fullmatch(r"\S.*[.?]", sentence), kind
        assert "Traceback" not in sentence
        assert re.search(r"[:;.] \S", sentence), f"{kind}: no remedy"
