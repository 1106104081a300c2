"""One scoring: a model and an export come in; a run folder, its report and its record go out."""

from __future__ import annotations

import itertools
import platform
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from sensor_ad import __version__
from sensor_ad.alarms import event_rules
from sensor_ad.bundle import Bundle
from sensor_ad.compare import Differences, compare_period, compare_tags
from sensor_ad.config import Config, to_table, to_toml
from sensor_ad.devices import threads_beside_reading
from sensor_ad.grid import Rows, tiles
from sensor_ad.hashing import FileHashes
from sensor_ad.limit_change import LimitChange
from sensor_ad.limits import BY_HAND, back_test_facts
from sensor_ad.prefetch import prefetched
from sensor_ad.prepare import row_maker, with_phase
from sensor_ad.reading import Announce, AnyExport, announced, exclusions_us, probed
from sensor_ad.records import Floats, Ints, MaskedSensor
from sensor_ad.report import RunReport, Scored
from sensor_ad.run_folder import RunFolder, RunResult
from sensor_ad.scoring import ScoredTile
from sensor_ad.sensor_watch import SensorWatch, state_from, watch_limits
from sensor_ad.slow_words import drift_records, notice
from sensor_ad.store import Context
from sensor_ad.wording import iso, masked_words, short_words


class ScoringRun:
    """The scoring of one export by one model."""

    def __init__(
        self,
        config: Config,
        bundle: Bundle,
        export: AnyExport,
        before: Context | None,
        change: LimitChange | None = None,
    ) -> None:
        self._config, self._bundle, self._export = config, bundle, export
        self._fitted = bundle.fitted
        self._change = change
        preparation = self._fitted.scorer.preparation
        self._differences = compare_tags(export.tags, preparation, config)
        self._before = before
        self._grid = preparation.grid
        self._maker = row_maker(preparation)
        self._watch = self._new_watch()
        self._tail = _Tail(
            2 * self._fitted.scorer.layout.halo + self._fitted.scorer.layout.max_hole
        )
        self._hashes = FileHashes(export.files)
        self.notes: tuple[str, ...] = ()
        """Sentences for the user, whole after the run."""
        self.context_sentence = ""

    def run(self, folder: Path, announce: Announce) -> RunResult:
        """Score the export; writes Parquet files into `folder`."""
        config, fitted = self._config, self._fitted
        times, chunks = probed(announced(self._export, announce, "reading and scoring"))
        scorer = fitted.scorer
        phase = None if self._before is None else self._before.phase_us
        self._grid, other = compare_period(times, scorer.preparation, config, phase)
        self._differences = Differences((*self._differences.sentences, *other.sentences))
        preparation = with_phase(scorer.preparation, self._grid.phase_us)
        self._maker = row_maker(preparation)
        slow = self._slow_before(times)
        rows, report_from = self._with_context(times, chunks)
        out = RunFolder(
            folder,
            fitted,
            self._grid,
            config.zone,
            event_rules(config.events, scorer.window, self._grid),
        )
        if self._before is not None:
            out.go_on(self._before.recent_events, report_from)
        if slow:
            out.slow.go_on(slow)
        try:
            source = prefetched(tiles(self._tail.passing(rows), scorer.layout))
            with threads_beside_reading(config.threads), ThreadPoolExecutor(1, "write") as writer:
                written: Future[None] | None = None
                for tile in scorer.score(source):
                    if written is not None:
                        written.result()
                    shown = np.array(self._watch.confirmed)
                    written = writer.submit(out.add, _from(tile, report_from), shown)
                if written is not None:
                    written.result()
        except BaseException:
            out.close()
            raise
        before = [] if self._before is None else self._before.recent_events
        result = out.finish(before, self._watch.stretches())
        account = self._export.account()
        masked = masked_words(result.masked, preparation.tags, config.zone)
        short = short_words(result.short, config.events.min_length_s)
        change = self._change.statement if self._change is not None else ""
        told = (short, change, notice(result.slow, config.zone))
        self.notes = (
            *account.notes,
            *self._differences.sentences,
            *masked,
            *(sentence for sentence in told if sentence),
        )
        return result

    def _new_watch(self) -> SensorWatch:
        """Make what masks faulty sensors."""
        scorer = self._fitted.scorer
        names = {tag.name for tag in scorer.preparation.tags}
        absent = names.difference(self._export.tags)
        limits = watch_limits(scorer.preparation, scorer.stand_still, scorer.window, absent)
        return SensorWatch(limits, scorer.stand_still, scorer.layout.max_hole)

    def _slow_before(self, times: Ints) -> Mapping[str, Any]:
        """Slots of slow change to go on from: of an export that came before, with a gap or not."""
        before = self._before
        if before is None or not len(before.index) or not len(times):
            return {}
        return before.slow if self._grid.row(times[:1])[0] > before.index[-1] else {}

    def _with_context(self, times: Ints, chunks: Any) -> tuple[Iterator[Rows], int]:
        """Prefix the rows that the last scoring left, if the export follows them.

        Returns
        -------
        All rows, and the first grid row to be reported.
        """
        rows = self._maker.rows(chunks)
        if self._config.scoring.mask_faulty_sensors:
            rows = self._watch.passing(rows)
        before, layout = self._before, self._fitted.scorer.layout
        nothing = int(np.iinfo(np.int64).min)
        if before is None or not len(times) or not len(before.index):
            self._before = None
            return rows, nothing
        first, last = int(self._grid.row(times[:1])[0]), int(before.index[-1])
        kept = before.index < first
        if first - last > layout.max_hole + 1 or not kept.any():
            self._before = None
            return rows, nothing
        if kept.all():
            self._maker.go_on((last, before.counters))
            if before.sensors:
                self._watch.go_on(state_from(before.sensors))
        prefix = Rows(before.index[kept], before.values[kept], before.used[kept])
        report_from = max(int(prefix.index[-1]) + 1 - layout.halo, int(prefix.index[0]))
        # Scored again: rows that lacked what came after them when they were scored first.
        again = int((prefix.index >= report_from).sum())
        self.context_sentence = (
            f"The export follows the one scored before: its last {len(prefix.index)} rows came "
            f"first, "
            f"and the last {again} of them were scored again with what came after them."
        )
        return itertools.chain([prefix], rows), report_from

    def context(self, result: RunResult) -> Context:
        """Give what the next scoring needs."""
        index, values, used = self._tail.rows(self._maker.counters)
        level = self._maker.counter_level
        counters = np.empty(0) if level is None else level[1]
        return Context(
            model=self._bundle.id,
            phase_us=self._grid.phase_us,
            index=index,
            values=values,
            used=used,
            counters=counters,
            recent_events=result.recent_events,
            sensors=vars(self._watch.state),
            slow=result.slow_state,
        )

    def report(self, run: str, result: RunResult, seconds: dict[str, float]) -> RunReport:
        """Gather everything that the report shows."""
        config, fitted, bundle = self._config, self._fitted, self._bundle
        preparation = fitted.scorer.preparation
        return RunReport(
            asset=config.asset,
            run=run,
            model=bundle.id,
            timezone=config.data.timezone,
            period_s=self._grid.period_us / 1e6,
            tags=preparation.tags,
            kinds=preparation.kinds,
            scored=self._scored(result),
            account=self._export.account(),
            quality=tuple(
                self._maker.quality.findings(
                    preparation.kinds, preparation.longest_hold, config.zone
                )
            ),
            availability=self._maker.quality.availability(),
            differences=self._differences.sentences,
            excluded=exclusions_us(config),
            use_when=preparation.condition,
            limit=fitted.limit.value,
            limit_statement=fitted.limit.statement,
            budget_events=fitted.limit.budget_events,
            budget_days=fitted.limit.budget_days,
            achieved=fitted.limit.achieved,
            events=result.events,
            snippets=result.snippets,
            timeline=result.timeline,
            calibration_latents=fitted.calibration_latents,
            event_latents=result.event_latents,
            latent_variance=(float(fitted.latent_variance[0]), float(fitted.latent_variance[1])),
            states=result.states,
            state_points=(result.states.latents - fitted.latent_center) @ fitted.latent_axes
            if len(result.states.time_us)
            else np.empty((0, 2)),
            tsne=config.report.tsne,
            history=list(fitted.history),
            calibration_scores=fitted.calibration_scores,
            peaks=fitted.limit.peaks,
            provenance=self._provenance(seconds),
            config_toml=to_toml(config),
            context=self.context_sentence,
            masked=masked_words(result.masked, preparation.tags, config.zone),
            calibration_days=fitted.limit.hours / 24,
            limit_change="" if self._change is None else self._change.statement,
            limit_by_hand=fitted.limit.method == BY_HAND,
            release=config.events.release,
            short_alarms=short_words(result.short, config.events.min_length_s),
            back_test=fitted.limit.tested,
            back_test_brief=fitted.limit.tested_briefly,
            slow=result.slow,
            window_s=fitted.scorer.window * self._grid.period_us / 1e6,
            fade=config.events.fade,
        )

    def record(self, run: str, result: RunResult, seconds: dict[str, float]) -> dict[str, Any]:
        """Give what run.json says."""
        account, coverage = self._export.account(), result.coverage
        return {
            "run": run,
            "asset": self._config.asset,
            "model": self._bundle.id,
            "program": __version__,
            "python": platform.python_version(),
            "libraries": self._bundle.manifest["libraries"],
            "device": str(self._fitted.scorer.device),
            "rows_in": account.rows_in,
            "rows_kept": account.kept,
            "rows_dropped": account.dropped,
            "rows_sorted": account.sorted,
            "grid_rows": coverage.rows,
            "scorable_rows": coverage.scorable,
            "events": len(result.events),
            "short_alarms": result.short,
            "limit": self._fitted.limit.value,
            "limit_change": _change_record(self._change),
            "back_test": back_test_facts(self._fitted.limit),
            "applied": self._fitted.scorer.network.applied,
            "context": self.context_sentence,
            "masked": [_masked_record(one) for one in result.masked],
            "drifts": drift_records(result.slow),
            "notes": list(self.notes),
            "profile": self._export.profile,
            "sha256": self._hashes.result(),
            "seconds": {key: round(value, 3) for key, value in seconds.items()},
            "config": to_table(self._config),
        }

    def _scored(self, result: RunResult) -> Scored:
        coverage = result.coverage
        first, last = coverage.first or 0, coverage.last or 0
        reasons = {}
        by_condition = self._maker.unused
        if by_condition:
            reasons[f"use_when does not hold ({self._config.data.use_when})"] = by_condition
        empty = max(coverage.unused - by_condition, 0)
        if empty:
            reasons["no value of any tag"] = empty
        thin = coverage.rows - coverage.scorable - coverage.unused
        if thin:
            reasons["too few readings in the window around"] = thin
        return Scored(
            start_us=int(self._grid.time_us(np.array(first))),
            end_us=int(self._grid.time_us(np.array(last))),
            rows=coverage.rows,
            scorable_rows=coverage.scorable,
            gaps=coverage.gaps_us(),
            gap_count=coverage.gap_count,
            gap_s=coverage.gap_rows * self._grid.period_us / 1e6,
            not_scorable=reasons,
        )

    def _provenance(self, seconds: dict[str, float]) -> dict[str, dict[str, str]]:
        manifest, fitted = self._bundle.manifest, self._fitted
        hashes = self._hashes.result()
        data = manifest["data"]
        return {
            "Model": {
                "id": self._bundle.id,
                "trained": manifest["trained"],
                "trained on": ", ".join(data["sha256"]),
                "training span (UTC)": f"{data['first']} to {data['last']}",
                "fitted by": fitted.scheme,
                "rows": ", ".join(f"{name} {rows}" for name, rows in fitted.parts.items()),
                "window": f"{fitted.scorer.window} rows",
                "best epoch": str(fitted.best_epoch),
                "device of training": manifest["device"],
            },
            "Data scored (SHA-256)": hashes,
            "Program": {
                "sensor_ad": __version__,
                "Python": platform.python_version(),
                **manifest["libraries"],
                "device": str(fitted.scorer.device),
            },
            "Timings": {name: f"{value:.1f} s" for name, value in seconds.items()},
        }


def _change_record(change: LimitChange | None) -> dict[str, Any] | None:
    """Give what run.json says of a changed limit."""
    return None if change is None else {**asdict(change), "statement": change.statement}


def _masked_record(one: MaskedSensor) -> dict[str, Any]:
    """Give what run.json says of a masked sensor; times in UTC."""
    return {
        "event": one.event,
        "tag": one.tag,
        "kind": one.kind,
        "faulty_from": iso(one.start_us),
        "masked_from": iso(one.confirmed_us),
        "masked_to": iso(one.end_us),
        "open": one.open,
    }


class _Tail:
    """The last grid rows of a stream."""

    def __init__(self, rows: int) -> None:
        self._span = rows
        self._held: list[Rows] = []

    def passing(self, chunks: Iterator[Rows]) -> Iterator[Rows]:
        """Hand rows through and keep the last ones."""
        for rows in chunks:
            if len(rows.index):
                self._held.append(rows)
                last = int(rows.index[-1])
                while len(self._held) > 1 and last - int(self._held[1].index[0]) >= self._span:
                    self._held.pop(0)
            yield rows

    def rows(self, counters: Any) -> tuple[Ints, Floats, Any]:
        """(T,) grid rows, (T, C) values and (T,) use of the last rows."""
        if not self._held:
            return np.empty(0, np.int64), np.empty((0, len(counters))), np.empty(0, bool)
        index = np.concatenate([rows.index for rows in self._held])
        keep = index > index[-1] - self._span
        values = np.concatenate([rows.values for rows in self._held])
        used = np.concatenate([rows.used for rows in self._held])
        return index[keep], values[keep], used[keep]


def _from(tile: ScoredTile, first: int) -> ScoredTile:
    """Drop rows before the first one to be reported."""
    if not len(tile.index) or tile.index[0] >= first:
        return tile
    keep, steps = tile.index >= first, tile.steps >= first
    return ScoredTile(
        index=tile.index[keep],
        score=tile.score[keep],
        causal=tile.causal[keep],
        scorable=tile.scorable[keep],
        used=tile.used[keep],
        evidence=tile.evidence[keep],
        contribution=tile.contribution[keep],
        actual=tile.actual[keep],
        expected=tile.expected[keep],
        steps=tile.steps[steps],
        latents=tile.latents[steps],
    )
