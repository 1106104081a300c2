"""Settings: what is refused, and in which words; paths, tag lists, the way to TOML and back."""

import tomllib
from datetime import UTC, date, datetime

import pytest

from sensor_ad.config import (
    Config,
    load_config,
    make_config,
    shipped_config,
    to_table,
    to_toml,
)
from sensor_ad.detector_names import (
    OWN_DETECTORS,
    PYOD_MISLEADING,
    PYOD_REFUSED,
    PYOD_TESTED,
)
from sensor_ad.errors import UsageError

END = ". Correct the config and run again."


def refusal(raw, **more):
    with pytest.raises(UsageError) as refused:
        make_config(raw, **more)
    return str(refused.value)


def test_defaults_are_valid():
    assert make_config({}) == Config(folder=make_config({}).folder)


@pytest.mark.parametrize(
    ("raw", "fault"),
    [
        ({"aset": "p"}, "unknown key 'aset' (did you mean 'asset'?)"),
        ({"zzz": 1}, "unknown key 'zzz'"),
        (
            {"data": {"time_colum": "t"}},
            "unknown key 'data.time_colum' (did you mean 'time_column'?)",
        ),
        (
            {"tags": {"flow": {"units": "m3/h"}}},
            "unknown key 'tags.flow.units' (did you mean 'unit'?)",
        ),
        (
            {"data": {"exclude": [{"form": 1, "from": "2026-01-01", "to": "2026-01-02"}]}},
            "unknown key 'data.exclude.0.form' (did you mean 'from'?)",
        ),
        (
            {"seed": "one"},
            "'seed' = 'one': input should be a valid integer, unable to parse string as an integer",
        ),
        (
            {"prepare": {"window": 4}},
            "'prepare.window' = 4: input should be greater than or equal to 8",
        ),
        (
            {"prepare": {"window": 100}},
            "'prepare.window': 100 is not a power of two; take 64 or 128",
        ),
        (
            {"prepare": {"parts": [0.5, 0.5, 0.5]}},
            "'prepare.parts': [0.5, 0.5, 0.5] must be three shares above 0 that add up to 1",
        ),
        (
            {"prepare": {"parts": [1.2, -0.2, 0.0]}},
            "'prepare.parts': [1.2, -0.2, 0.0] must be three shares above 0 that add up to 1",
        ),
        (
            {"prepare": {"period_s": float("inf")}},
            "'prepare.period_s' = inf: input should be a finite number",
        ),
        (
            {"data": {"timezone": "Europe/Berln"}},
            "'data.timezone': 'Europe/Berln' is not an IANA time zone; "
            "did you mean 'Europe/Berlin'?",
        ),
        (
            {"data": {"timezone": "####"}},
            "'data.timezone': '####' is not an IANA time zone such as 'Europe/Berlin'",
        ),
        (
            {"data": {"separator": ":"}},
            "'data.separator': ':' is not one of ',', ';', tab, '|', a blank",
        ),
        (
            {"data": {"use_when": "open('x')"}},
            "'data.use_when': \"open('x')\" holds Call, which is not allowed; use tags, numbers, "
            "comparisons, and, or, not, + - * /",
        ),
        (
            {"data": {"period_s": 60}},
            "'data': 'start' and 'period_s' stand for a missing time column together",
        ),
        (
            {"data": {"start": "yesterday", "period_s": 60}},
            "'data.start': 'yesterday' is not an ISO time such as 2026-03-01T06:00",
        ),
        (
            {"data": {"exclude": [{"from": "2026-01-02T00:00", "to": "2026-01-01T00:00"}]}},
            "'data.exclude.0': 'from' (2026-01-02 00:00:00) must be before 'to' "
            "(2026-01-01 00:00:00)",
        ),
        (
            {"data": {"exclude": [{"from": "2026-01-01T00:00Z", "to": "2026-01-02T00:00"}]}},
            "'data.exclude.0': 'from' and 'to' must both carry a zone, or both be plant time",
        ),
        (
            {"compare": {"period": "ignore"}},
            "'compare.period' = 'ignore': input should be 'refuse' or 'tolerate'",
        ),
        (
            {"tags": {"flow": {"role": "control"}}},
            "'tags.flow.role' = 'control': input should be 'measurement', 'set-point', 'command' "
            "or 'ignore'",
        ),
        (
            {"scoring": {"detectors": ["nearest", "nearest"]}},
            "'scoring.detectors': ['nearest', 'nearest'] names a detector twice",
        ),
    ],
)
def test_fault_refused(raw, fault):
    assert refusal(raw) == f"the config: {fault}{END}".replace("'?.", "'?")


def test_faults_listed_at_once():
    raw = {"aset": 1, "seed": -1, "prepare": {"window": 7}, "limit": {"days": 0}}

    message = refusal(raw, origin="pump.toml")

    assert message == (
        "pump.toml: 'seed' = -1: input should be greater than or equal to 0; "
        "'prepare.window' = 7: input should be greater than or equal to 8; "
        "'limit.days' = 0: input should be greater than 0; "
        f"unknown key 'aset' (did you mean 'asset'?){END}"
    )


def test_folder_is_no_key():
    assert refusal({"folder": "x"}) == "the config: unknown key 'folder'; remove it."


@pytest.mark.parametrize("asset", ["../up", "", "a/b", ".hidden", "x" * 65])
def test_asset_that_is_no_folder_name_refused(asset):
    assert refusal({"asset": asset}).startswith(f"the config: 'asset' = {asset!r}: string should ")


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:1"])
def test_device_word_taken(device):
    assert make_config({"device": device}).device == device


@pytest.mark.parametrize("device", ["gpu", "cuda:", "mps"])
def test_device_word_refused(device):
    assert f"'device' = {device!r}" in refusal({"device": device})


@pytest.mark.parametrize("name", [*OWN_DETECTORS, *(f"pyod:{word}" for word in PYOD_TESTED)])
def test_detector_taken(name):
    assert make_config({"scoring": {"detectors": [name]}}).scoring.detectors == (name,)


@pytest.mark.parametrize(("word", "nearest"), PYOD_REFUSED.items())
def test_detector_that_looks_at_neighbours_refused(word, nearest):
    assert nearest in PYOD_TESTED
    assert refusal({"scoring": {"detectors": [f"pyod:{word}"]}}) == (
        f"the config: 'scoring.detectors': 'pyod:{word}' scores a row differently with other rows "
        f"beside it and is not supported; the nearest that is: 'pyod:{nearest}'{END}"
    )


@pytest.mark.parametrize(("word", "nearest"), PYOD_MISLEADING.items())
def test_detector_that_calls_the_farthest_normal_refused(word, nearest):
    assert nearest in PYOD_TESTED
    assert refusal({"scoring": {"detectors": [f"pyod:{word}"]}}) == (
        f"the config: 'scoring.detectors': 'pyod:{word}' takes values far outside the normal range "
        f"for the most normal of all and is not supported; the nearest that is: 'pyod:{nearest}'"
        f"{END}"
    )


@pytest.mark.parametrize(
    ("name", "near"), [("mahalanobi", "mahalanobis"), ("pyod:knn", "pyod:KNN")]
)
def test_detector_unknown_names_nearest(name, near):
    known = ", ".join([*OWN_DETECTORS, *(f"pyod:{word}" for word in PYOD_TESTED)])
    assert refusal({"scoring": {"detectors": [name]}}) == (
        f"the config: 'scoring.detectors': {name!r} is not a supported detector ({known}); "
        f"did you mean {near!r}?{END[1:]}"
    )


def test_exclusion_compares_zones():
    raw = {"from": "2026-01-01T10:00+05:00", "to": "2026-01-01T06:00Z"}

    exclusion = make_config({"data": {"exclude": [raw]}}).data.exclude[0]

    assert exclusion.from_.astimezone(UTC).hour == 5


def test_exclusion_takes_toml_times_and_days():
    raw = {"from": date(2026, 1, 1), "to": datetime(2026, 1, 2, 6), "reason": "repair"}

    exclusion = make_config({"data": {"exclude": [raw]}}).data.exclude[0]

    assert exclusion.from_ == datetime(2026, 1, 1)
    assert exclusion.reason == "repair"


def test_round_trip_by_toml(tmp_path):
    raw = {
        "asset": "pump-7",
        "data": {
            "train": ["a.csv", "b"],
            "timezone": "Europe/Berlin",
            "start": "2026-03-01T06:00:00+01:00",
            "period_s": 0.5,
            "exclude": [{"from": "2026-01-01T00:00", "to": "2026-01-02T00:00", "reason": 'Öl "x"'}],
            "use_when": "`pump running` == 1",
        },
        "tags": {"flow rate": {"unit": "m³/h", "low": -1, "high": 20}, "n": {"role": "ignore"}},
        "prepare": {"window": 128, "max_hole_s": 3.5},
        "scoring": {"detectors": ["nearest", "pyod:KNN"]},
        "limit": {"events": 1, "days": 7},
    }
    config = make_config(raw, tmp_path)

    again = make_config(tomllib.loads(to_toml(config)), tmp_path)

    assert again == config
    assert to_table(again) == to_table(config)


def test_paths_start_at_the_file(tmp_path, monkeypatch):
    monkeypatch.setenv("PLANT_EXPORTS", str(tmp_path / "elsewhere"))
    config = make_config({}, tmp_path / "configs")

    assert config.path("../data/a.csv") == (tmp_path / "data" / "a.csv").resolve()
    assert config.path("${PLANT_EXPORTS}/a.csv") == tmp_path / "elsewhere" / "a.csv"
    assert config.path(str(tmp_path / "b")) == tmp_path / "b"


def test_path_with_unset_variable_refused(monkeypatch):
    monkeypatch.delenv("PLANT_EXPORTS", raising=False)
    with pytest.raises(UsageError) as refused:
        make_config({}).path("${PLANT_EXPORTS}/a.csv")
    assert str(refused.value) == (
        "the path '${PLANT_EXPORTS}/a.csv' needs the environment variable PLANT_EXPORTS, which is "
        "not set; set it to the folder meant, or write the path out in the config."
    )


def test_tags_file_read_and_overridden(tmp_path):
    header = "tag,unit,description,low,high,role\n"
    lines = "flow,m3/h,Flow,0,20,\nspeed,rpm,,,,set-point\n"
    (tmp_path / "tags.csv").write_text("\ufeff" + header + lines, encoding="utf-8")
    raw = {"data": {"tags_file": "tags.csv"}, "tags": {"flow": {"unit": "l/s"}, "p": {}}}

    config = make_config(raw, tmp_path)

    assert list(config.tags) == ["flow", "speed", "p"]
    assert (config.tags["flow"].unit, config.tags["flow"].high) == ("l/s", None)
    assert config.tags["speed"].role == "set-point"
    assert to_table(config)["tags"]["speed"]["role"] == "set-point"
    assert make_config(tomllib.loads(to_toml(config)), tmp_path).tags == config.tags


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "tag;unit\nflow;bar\n",
            "{path}, line 2: columns must be tag, unit, description, low, high, role (separated by "
            "commas), found tag;unit; correct the header.",
        ),
        (
            "tag,unit\nflow,bar,9\n",
            "{path}, line 2: columns must be tag, unit, description, low, high, role (separated by "
            "commas), found tag, unit, None; correct the header.",
        ),
        (
            "tag,unit\nflow,bar\nflow,bar\n",
            "{path}, line 3: the tag 'flow' stands there twice; remove one.",
        ),
        (
            "tag,low\nflow,low\n",
            "the config: 'tags.flow.low' = 'low': input should be a valid number, unable to parse "
            "string as a number. Correct the config and run again.",
        ),
        (b"tag,unit\nT,\xb0C\n", "the tags file {path} is not UTF-8 text; save it as UTF-8."),
        (
            None,
            "the tags file {path} cannot be read (No such file or directory); correct "
            "data.tags_file.",
        ),
    ],
)
def test_tags_file_refused(tmp_path, text, message):
    path = tmp_path / "tags.csv"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())

    found = refusal({"data": {"tags_file": "tags.csv"}}, folder=tmp_path)

    assert found == message.format(path=path)


def test_load_names_the_file(tmp_path):
    path = tmp_path / "pump.toml"
    path.write_text('asset = "p"\nsed = 1\n')

    with pytest.raises(UsageError) as refused:
        load_config(path)

    assert str(refused.value) == f"{path}: unknown key 'sed' (did you mean 'seed'?){END}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"asset = pump\n",
            "{path} is not valid TOML: Invalid value (at line 1, column 9); correct that place "
            "(texts need quotes).",
        ),
        (b'asset = "\xd6l"\n', "{path} is not UTF-8 text; save the config as UTF-8."),
        (None, "the config {path} does not exist; did you mean {near}?"),
    ],
)
def test_load_refused(tmp_path, content, message):
    path, near = tmp_path / "pump.toml", tmp_path / "pump1.toml"
    near.touch()
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(UsageError) as refused:
        load_config(path)

    assert str(refused.value) == message.format(path=path, near=near)


def test_load_from_a_folder_that_is_not_there(tmp_path):
    path = tmp_path / "no" / "pump.toml"
    with pytest.raises(UsageError) as refused:
        load_config(path)
    assert str(refused.value) == f"the config {path} does not exist; name an existing TOML file."


def test_shipped_config_loads():
    assert load_config(shipped_config("demo.toml")).asset == "demo-pump"


def test_shipped_config_unknown_refused():
    with pytest.raises(UsageError) as refused:
        shipped_config("nothing.toml")
    assert str(refused.value) == (
        "nothing.toml does not come with this installation of sensor_ad; reinstall it."
    )
