"""The demo plant's faults are found, and little else, by the config that comes with it."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from sensor_ad.config import Config, load_config
from sensor_ad.pipeline import score, train
from sensor_ad.records import Event

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
