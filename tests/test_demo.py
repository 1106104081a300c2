"""The demo plant's faults are found, and little else, by the config that comes with it."""

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sensor_ad.config import Config, load_config
from sensor_ad.pipeline import score, train
from sensor_ad.records import Event
from sensor_ad.simulate import NAMES, simulate

ROOT = Path(__file__).parent.parent
FAULTS = pd.read_csv(ROOT / "data" / "faults.csv", parse_dates=["start", "end"])
RECOVERY_WINDOWS = 2
"""An event may go on for so long after its fault: evidence is smoothed over windows."""


@dataclass(frozen=True)
class Demo:
    """What the demo gave."""

    events: tuple[Event, ...]
    window_s: float
    days: float
    """Scorable time."""
    config: Config
    drifts: list[dict[str, Any]]
    """As in run.json."""

    def within(self, start: pd.Timestamp, end: pd.Timestamp) -> list[Event]:
        """Return the events that overlap a stretch of time."""
        return [
            event
            for event in self.events
            if event.start_us <= _us(end) and event.end_us >= _us(start)
        ]


def _us(time: pd.Timestamp) -> int:
    return round(time.replace(tzinfo=UTC).timestamp() * 1e6)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Train and score as `sensor-ad demo` does; workspace and reports lie elsewhere."""
    folder = tmp_path_factory.mktemp("demo")
    config = load_config(ROOT / "configs" / "demo.toml").model_copy(
        update={"workspace": str(folder / "workspace"), "reports": str(folder / "reports")}
    )
    trained = train(config)
    scored = score(config, [ROOT / "data" / "pump_faults.csv"], use_context=False)
    period_s = trained.fitted.scorer.preparation.grid.period_us / 1e6
    return Demo(
        events=scored.events,
        window_s=trained.fitted.scorer.window * period_s,
        days=scored.scorable * period_s / 86_400,
        config=config,
        drifts=json.loads((scored.folder / "run.json").read_text())["drifts"],
    )


def said(events):
    """Return events as lines, for the message of a test that fails."""
    return [
        f"{datetime.fromtimestamp(event.start_us / 1e6, UTC):%m-%d %H:%M} to "
        f"{datetime.fromtimestamp(event.end_us / 1e6, UTC):%m-%d %H:%M} {event.kind} "
        f"{event.tags[0].tag} {event.severity:.2f}"
        for event in events
    ]


def fault(name):
    """Return a row of faults.csv."""
    (row,) = FAULTS[FAULTS["fault"] == name].itertuples()
    return row


def test_faults_are_those_of_the_issue():
    assert set(FAULTS["fault"]) == {
        "bearing wear",
        "cavitation",
        "partly closed valve",
        "leak",
        "stuck sensor",
        "drifting sensor",
        "spikes",
    }
    assert set(FAULTS["kind"]) == {"machine", "sensor"}


@pytest.mark.parametrize("name", FAULTS.loc[FAULTS["kind"] == "machine", "fault"])
def test_machine_fault_is_found(demo, name):
    row = fault(name)
    assert demo.within(row.start, row.end), said(demo.events)


def test_drifting_sensor_is_found(demo):
    row = fault("drifting sensor")
    assert demo.within(row.start, row.end), said(demo.events)


def test_drifting_sensor_is_called_a_drift(demo):
    row = fault("drifting sensor")
    (drift,) = [one for one in demo.drifts if one["tag"] == row.tag]
    day = pd.Timedelta(days=1)
    start, end = (pd.Timestamp(drift[key]).tz_localize(None) for key in ("from", "to"))
    assert row.start - day / 4 < start < row.start + day
    assert abs(end - row.end) < day / 2
    assert (drift["open"], drift["course"], drift["unit"]) == (False, "growing", "bar")
    # 0.18 bar a day, to 0.4 bar; a day's median lags behind by half a day.
    assert 0.1 < drift["per_day"] < 0.22
    assert 0.22 < drift["alone"] < 0.4


def test_only_what_wears_or_drifts_is_called_a_drift(demo):
    """The bearing's wear is a drift of the machine, which vibration shows."""
    worn = fault("bearing wear")
    for drift in demo.drifts:
        start = pd.Timestamp(drift["from"]).tz_localize(None)
        if drift["tag"] != fault("drifting sensor").tag:
            assert drift["tag"] in worn.tag.split(), drift
            assert worn.start <= start < worn.end, drift


def test_normal_operation_of_another_year_has_no_drift(demo, tmp_path):
    """Other weather, other shifts, the same plant."""
    export = simulate(seed=21).normal
    frame = pd.DataFrame(export.values, pd.DatetimeIndex(export.time, name="time"), NAMES)
    frame.to_csv(tmp_path / "normal.csv")
    scored = score(demo.config, [tmp_path / "normal.csv"], use_context=False)
    assert json.loads((scored.folder / "run.json").read_text())["drifts"] == []


@pytest.mark.parametrize("name", ["stuck sensor", "spikes"])
def test_faulty_sensor_is_named(demo, name):
    row = fault(name)
    named = [(event.kind, event.sensor) for event in demo.within(row.start, row.end)]
    assert (name, row.tag) in named, said(demo.events)


def test_machine_faults_are_not_blamed_on_one_sensor(demo):
    machine = FAULTS[FAULTS["kind"] == "machine"]
    blamed = [
        event
        for row in machine.itertuples()
        for event in demo.within(row.start, row.end)
        if event.kind in ("stuck sensor", "failed sensor")
    ]
    assert not blamed, said(blamed)


def test_false_events_stay_within_the_budget(demo):
    recovery = pd.Timedelta(seconds=RECOVERY_WINDOWS * demo.window_s)
    true = {
        event.id
        for row in FAULTS.itertuples()
        for event in demo.within(row.start, row.end + recovery)
    }
    false = [event for event in demo.events if event.id not in true]
    limit = demo.config.limit
    budget = math.ceil(limit.events * demo.days / limit.days)

    assert 15 < demo.days < 25
    assert len(false) <= budget, said(false)


def test_no_event_covers_several_faults(demo):
    """One event over everything would find each fault, and help nobody."""
    over = [
        event
        for event in demo.events
        if sum(event in demo.within(row.start, row.end) for row in FAULTS.itertuples()) > 1
    ]
    assert not over, said(over)
