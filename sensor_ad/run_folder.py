"""The files of a run: scored tiles come in, Parquet files and what a report needs go out.

Rows are written as they come, so a run of any length needs the same memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sensor_ad.alarms import AlarmState, EventRules
from sensor_ad.dense import ROW, SPIKE
from sensor_ad.drift_events import with_drift_events
from sensor_ad.events import EventContext, EventTracker, OpenEvent, event_id, finish_events
from sensor_ad.fitting import Fitted
from sensor_ad.grid import Grid
from sensor_ad.records import Event, Floats, Ints, MaskedSensor, Snippet, Timeline
from sensor_ad.scoring import ScoredTile
from sensor_ad.sensor_events import with_sensor_events
from sensor_ad.sensor_watch import MaskedStretch
from sensor_ad.slow_change import SlowChange, judge_slow_change
from sensor_ad.slow_slots import SlowCount
from sensor_ad.spool import Spool
from sensor_ad.states import States, StateSample, mode_column
from sensor_ad.timeline import Coverage, TimelineCount

SCORES, CONTRIBUTIONS = "scores.parquet", "contributions.parquet"


@dataclass(frozen=True)
class RunResult:
    """What passed through, summed up."""

    events: tuple[Event, ...]
    snippets: dict[str, Snippet]
    timeline: Timeline
    coverage: Coverage
    event_latents: dict[str, Floats]
    """Event id -> (K, 2) in the plane of the latent map."""
    states: States
    """A sample of the machine's states over the run."""
    recent_events: list[dict[str, Any]]
    """Id, rows and peak of events that may go on, or whose end will be scored again."""
    masked: tuple[MaskedSensor, ...] = ()
    """Sensors that were found faulty and masked from then on."""
    short: int = 0
    """Stretches of alarms that were too short for an event."""
    slow: SlowChange | None = None
    """How each tag has slowly changed."""
    slow_state: dict[str, Any] = field(default_factory=dict)
    """What the export that follows needs to go on with that."""


class RunFolder:
    """Takes scored tiles, writes them down, and keeps what events and report need."""

    def __init__(
        self, folder: Path, fitted: Fitted, grid: Grid, zone: ZoneInfo, rules: EventRules
    ) -> None:
        self._folder, self._fitted, self._grid, self._rules = folder, fitted, grid, rules
        scorer = fitted.scorer
        self._margin, self._late = 2 * scorer.window, scorer.reach.most
        names = scorer.preparation.names
        time = pa.field("time", pa.timestamp("us", tz=str(zone)))
        evidence = [pa.field(name, pa.float32()) for name in scorer.evidence_names]
        self._score_schema = pa.schema(
            [
                time,
                pa.field("score", pa.float32()),
                pa.field("causal_score", pa.float32()),
                *evidence,
                pa.field("alarm", pa.bool_()),
                pa.field("scorable", pa.bool_()),
            ]
        )
        # A tag may itself be called "time"; the first column is ours.
        tags = [
            pa.field(f"{name} (tag)" if name == "time" else name, pa.float32()) for name in names
        ]
        self._contribution_schema = pa.schema([time, *tags])
        self._scores = _writer(folder / SCORES, self._score_schema)
        self._contributions = _writer(folder / CONTRIBUTIONS, self._contribution_schema)
        self._spool_path = folder / ".spool"
        shown = self._margin + self._late
        self._spool = Spool(self._spool_path, len(names), len(evidence), shown)
        self._tracker = EventTracker(AlarmState(fitted.limit.value, rules))
        self._timeline = TimelineCount(grid, scorer.evidence_names)
        self.coverage = Coverage(grid, scorer.layout.max_hole)
        self._latents: list[tuple[Ints, Floats]] = []
        self._mode = mode_column(scorer.preparation.tags, scorer.preparation.kinds)
        self._states = StateSample(self._mode)
        slot_rows = 1 if fitted.slow is None else fitted.slow.slot_rows
        self.slow = SlowCount(grid, len(names), slot_rows)

    def go_on(self, before: Sequence[dict[str, Any]], first: int) -> None:
        """Begin with the alarm on if an event of the export before reaches up to the first row.

        Parameters
        ----------
        before
            Its last events, as `RunResult.recent_events` gave them.
        first
            Grid row of the first row to come.
        """
        state = self._tracker.state
        state.last = first - 1
        for event in before:
            if event["start"] < first <= event["end"] + 1:
                state.on |= bool(first <= event["faded"] + 1)
                state.highest = max(state.highest, event["peak"] - state.limit)

    def add(self, tile: ScoredTile, shown: Ints | None = None) -> None:
        """Take the next scored rows.

        Parameters
        ----------
        shown
            (K,) grid rows that pictures are wanted of, whatever their score.
        """
        alarm, within = self._tracker.add(tile)
        self._spool.add(tile, within if shown is None else within | np.isin(tile.index, shown))
        self._timeline.add(tile, alarm)
        self.slow.add(tile.index, tile.actual, tile.expected, tile.scorable)
        self.coverage.add(tile)
        flat = (tile.latents - self._fitted.latent_center) @ self._fitted.latent_axes
        self._latents.append((tile.steps, flat.astype(np.float32)))
        self._states.add(tile.index, tile.actual, tile.steps, tile.latents)
        time = pa.array(self._grid.time_us(tile.index), pa.int64()).cast(self._score_schema[0].type)
        scores = [pa.array(one, mask=~tile.scorable) for one in (tile.score, tile.causal)]
        evidence = [
            pa.array(np.ascontiguousarray(column), mask=~tile.scorable)
            for column in tile.evidence.T
        ]
        columns = [time, *scores, *evidence, pa.array(alarm), pa.array(tile.scorable)]
        self._scores.write_batch(pa.record_batch(columns, schema=self._score_schema))
        parts = np.ascontiguousarray(tile.contribution.T)
        columns = [time, *[pa.array(column) for column in parts]]
        self._contributions.write_batch(pa.record_batch(columns, schema=self._contribution_schema))

    def finish(
        self, before: Sequence[dict[str, Any]], stretches: Sequence[MaskedStretch] = ()
    ) -> RunResult:
        """Close the files and make events.

        Parameters
        ----------
        before
            The last events of the export before, as `RunResult.recent_events` gave them.
        stretches
            Which sensors were masked when.
        """
        self._scores.close()
        self._contributions.close()
        rows = self._spool.close()
        scorer, preparation = self._fitted.scorer, self._fitted.scorer.preparation
        last = self.coverage.last if self.coverage.last is not None else 0
        context = EventContext(
            grid=self._grid,
            tags=preparation.names,
            kinds=preparation.kinds,
            evidence_names=scorer.evidence_names,
            limit=self._fitted.limit.value,
            rules=self._rules,
            last_row=last,
            longest_hold=preparation.longest_hold,
            band=scorer.residual_scale[ROW] * preparation.scale,
            spike_band=scorer.residual_scale[SPIKE] * preparation.scale,
            margin=self._margin,
            late=self._late,
        )
        sums = self._tracker.events
        _go_on(sums, before, self._rules.pause)
        events, snippets = finish_events(sums, rows, context)
        events, snippets, masked = with_sensor_events(events, snippets, stretches, rows, context)
        slow = judge_slow_change(
            self.slow.slots(),
            self._fitted.slow,
            preparation.tags,
            preparation.kinds,
            int(self._grid.time_us(np.array(self.coverage.first or 0))),
        )
        events = with_drift_events(events, slow, context)
        del rows
        self._spool_path.unlink()
        return RunResult(
            events=tuple(events),
            snippets=snippets,
            timeline=self._timeline.timeline(len(preparation.tags)),
            coverage=self.coverage,
            event_latents=self._latents_of(events),
            states=self._sample(),
            masked=masked,
            slow=slow,
            slow_state={} if self._fitted.slow is None else self.slow.state(),
            short=sum(one.rows < self._rules.min_rows for one in sums),
            recent_events=_recent(
                sums, last - max(self._rules.pause, scorer.layout.halo), self._grid
            ),
        )

    def close(self) -> None:
        """Let go of the files after a fault."""
        for file in (self._scores, self._contributions, self._spool):
            file.close()

    def _sample(self) -> States:
        steps, latents, mode = self._states.states()
        names = self._fitted.scorer.preparation.names
        name = "" if self._mode is None else names[self._mode]
        return States(self._grid.time_us(steps), latents, mode, name)

    def _latents_of(self, events: list[Event]) -> dict[str, Floats]:
        if not self._latents:
            return {}
        index = np.concatenate([steps for steps, _ in self._latents])
        flat = np.concatenate([points for _, points in self._latents])
        time = self._grid.time_us(index)
        return {
            event.id: flat[
                np.searchsorted(time, event.start_us) : np.searchsorted(time, event.end_us + 1)
            ]
            for event in events
        }


def _go_on(sums: list[OpenEvent], before: Sequence[dict[str, Any]], pause: int) -> None:
    """Give events that the export before showed already their names and their starts."""
    known = list(before)
    for one in sums:
        for event in known:
            if event["start"] - pause <= one.end and one.start <= event["end"] + pause:
                one.id, one.start = event["id"], min(one.start, event["start"])
                one.began = event["began"]
                known.remove(event)
                break


def _recent(sums: list[OpenEvent], since: int, grid: Grid) -> list[dict[str, Any]]:
    """Events that were above the limit at or after a grid row."""
    return [
        {
            "id": one.id or event_id(int(grid.time_us(np.array(one.start)))),
            "start": one.start,
            "end": one.end,
            "began": one.start if one.began is None else one.began,
            "peak": one.peak,
            "faded": one.faded,
        }
        for one in sums
        if one.end >= since
    ]


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    # Scores hardly repeat: a dictionary would only cost time. Page checksums reveal damaged files.
    return pq.ParquetWriter(
        path, schema, compression="lz4", use_dictionary=False, write_page_checksum=True
    )
