"""What a run found in; a folder with `index.html`, `events.csv` and `figures/*.png` out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from sensor_ad import event_plots, model_plots, quality_plots, run_plots, slow_plots, wording
from sensor_ad.durable import replacing, write_text
from sensor_ad.event_table import events_csv
from sensor_ad.horizons import time_scales
from sensor_ad.pages import Picture, render
from sensor_ad.records import (
    Availability,
    Event,
    Floats,
    RowAccount,
    Snippet,
    Tag,
    TagQuality,
    Timeline,
)
from sensor_ad.slow_change import SlowChange
from sensor_ad.slow_words import drift_of, notice, section
from sensor_ad.states import States

MOST_DETAILED = 30
"""Events shown with their pictures, the most severe ones."""
MOST_LISTED = 500
"""Lines of the table of events; events.csv has them all."""
MOST_RANKED = 6
"""Tags ranked in the details of one event."""
FEWEST_STATES = 20
"""States from which a map of them is drawn."""
TSNE_ALT = "Map of the machine's states on which neighbours stay neighbours (t-SNE), by event"
MOST_TAG_ROWS = 200
"""Lines of the data quality table."""

FADED_LONG = 2
"""Windows by which an event outlasts its last alarm, from which on that is told."""

Progress = Callable[[int, int], None]
"""Called with the pictures done and their number."""


@dataclass(frozen=True)
class Scored:
    """How much of an export could be scored, and why not all of it."""

    start_us: int
    """First grid row, UTC microseconds."""
    end_us: int
    """Last grid row, UTC microseconds."""
    rows: int
    """Grid rows that had a reading."""
    scorable_rows: int
    """Grid rows that got a score."""
    gaps: tuple[tuple[int, int], ...] = ()
    """(from, to) without any reading, UTC microseconds, longest first; bounded."""
    gap_count: int = 0
    """All gaps, listed or not."""
    gap_s: float = 0.0
    """Length of all gaps together, seconds."""
    not_scorable: dict[str, int] = field(default_factory=dict)
    """Reason in words -> grid rows that got no score for it."""


@dataclass(frozen=True)
class RunReport:
    """Everything that a report shows."""

    asset: str
    run: str
    model: str
    """Id of the model that scored."""
    timezone: str
    """IANA zone of the plant; its clock is shown, with UTC beside it."""
    period_s: float
    """Step of the grid, seconds."""
    tags: tuple[Tag, ...]
    """C tags of the model, in channel order."""
    kinds: tuple[str, ...]
    """(C,) continuous, few-state, constant or counter."""
    scored: Scored
    account: RowAccount
    quality: tuple[TagQuality, ...]
    differences: tuple[str, ...]
    """Sentences: how the export differs from what the model was trained on, and was tolerated."""
    excluded: tuple[tuple[int, int, str], ...]
    """(from, to, reason) of the config, UTC microseconds."""
    use_when: str
    """Expression over tags that tells rows that count; empty for all."""
    limit: float
    """Score above which an alarm is raised."""
    limit_statement: str
    """How the limit was found and whether the budget could be verified."""
    budget_events: float
    """Events allowed in `budget_days` of normal operation."""
    budget_days: float
    achieved: str
    """Rate of events on normal rows with its exact Poisson interval."""
    events: tuple[Event, ...]
    snippets: Mapping[str, Snippet]
    """Event id -> rows around it, for the most severe events."""
    timeline: Timeline
    calibration_latents: Floats
    """(n, 2) calibration rows on the two main axes of the latents."""
    event_latents: Mapping[str, Floats]
    """Event id -> (n, 2)."""
    latent_variance: tuple[float, float]
    """Share of the latents' variance along the two axes."""
    states: States
    """A sample of the machine's states over the run."""
    state_points: Floats
    """(n, 2) the same on the two main axes."""
    tsne: bool
    """Whether a t-SNE map of them is wanted, which takes some seconds."""
    history: list[dict[str, float]]
    """One an epoch: epoch, train_loss, validate_loss, learning_rate, and fold if several."""
    calibration_scores: Floats
    """(n,) fused scores of calibration rows, thinned."""
    peaks: Floats
    """(K,) peaks of the clusters that the limit's tail was fitted to."""
    provenance: dict[str, dict[str, str]]
    """Section -> key -> value."""
    config_toml: str
    context: str = ""
    """Sentence on the rows that the run was prefixed with; empty when there were none."""
    calibration_days: float = float("nan")
    """Days of normal operation behind `peaks`; NaN when not known."""
    limit_change: str = ""
    """When the limit was changed after training, from what and why; empty when it was not."""
    limit_by_hand: bool = False
    """Whether the limit was set by hand, so that no budget stands behind it."""
    release: float = 1.0
    """Share of the limit that the score must fall below for an alarm to end."""
    short_alarms: str = ""
    """How many alarms were too short for an event; empty when none was."""
    back_test: str = ""
    """What held-out normal time says of the budget; empty when it was not asked."""
    back_test_brief: str = ""
    """The same in a few words."""
    masked: tuple[str, ...] = ()
    """Sentences: which sensors were masked when, and what can still be said without them."""
    availability: Availability | None = None
    """How much of each tag was there over time; None when not known."""
    slow: SlowChange | None = None
    """How each tag has slowly changed; None when that was not looked at."""
    window_s: float = 0.0
    """Length of a window, seconds."""
    fade: float = 0.0
    """Share of its highest excess over the limit below which an alarm ends."""


def write_report(report: RunReport, folder: Path, progress: Progress | None = None) -> None:
    """Write `index.html`, `events.csv` and `figures/*.png` into `folder`, each in one piece.

    Parameters
    ----------
    report
        What the run found.
    folder
        The run's own folder; made when it does not exist.
    progress
        Called with the pictures done and their number.
    """
    figures = folder / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    pictures = draw_pictures(report, progress)
    for old in figures.glob("event-*.png"):
        if old.stem not in pictures:
            old.unlink()
    for name, picture in pictures.items():
        with replacing(figures / f"{name}.png") as temporary:
            temporary.write_bytes(picture.png)
    zone = ZoneInfo(report.timezone)
    table = events_csv(report.events, report.period_s, report.window_s, zone)
    write_text(folder / "events.csv", table)
    write_text(folder / "index.html", page(report, pictures))


def by_severity(events: tuple[Event, ...]) -> list[Event]:
    """Return the events, the most severe first."""
    return sorted(events, key=lambda event: (-event.severity, event.start_us))


def short_names(events: tuple[Event, ...]) -> dict[str, str]:
    """Return event id -> its name in this report: the id when short, else `E1`, `E2` … by time."""
    ordered = sorted(events, key=lambda event: event.start_us)
    if all(len(event.id) <= 6 for event in ordered):
        return {event.id: event.id for event in ordered}
    return {event.id: f"E{number}" for number, event in enumerate(ordered, start=1)}


def detailed(report: RunReport) -> list[Event]:
    """Return the events that are shown with pictures."""
    return [event for event in by_severity(report.events) if _drawable(report, event)][
        :MOST_DETAILED
    ]


def _drawable(report: RunReport, event: Event) -> bool:
    """Return whether there are rows to draw around an event."""
    return event.id in report.snippets and len(report.snippets[event.id].time_us) > 0


def draw_pictures(report: RunReport, progress: Progress | None = None) -> dict[str, Picture]:
    """Draw all pictures of a report; file name (without `.png`) -> picture."""
    jobs = _jobs(report)
    pictures = {}
    for done, (name, (draw, alt)) in enumerate(jobs.items(), start=1):
        pictures[name] = Picture(png=draw(), alt=alt)
        if progress is not None:
            progress(done, len(jobs))
    return pictures


def _jobs(report: RunReport) -> dict[str, tuple[Callable[[], bytes], str]]:
    """Return file name -> (what draws it, its alternative text)."""
    zone = ZoneInfo(report.timezone)
    names = short_names(report.events)
    marks = [(names[event.id], event) for event in report.events]
    tags = [tag.name for tag in report.tags]
    line = report.timeline
    jobs: dict[str, tuple[Callable[[], bytes], str]] = {}
    some = len(line.start_us) > 0 and report.scored.scorable_rows > 0
    if some:
        jobs["timeline"] = (
            lambda: run_plots.timeline_png(line, report.limit, marks, report.excluded, zone),
            f"Score over time with its limit and {wording.count(len(marks), 'event')}",
        )
    if some and tags:
        jobs["contributions"] = (
            lambda: run_plots.heat_map_png(line, tags, marks, zone),
            "Map of how far each tag was from normal over time",
        )
    for number, event in enumerate(detailed(report), start=1):
        jobs[f"event-{number:02d}"] = (_event_job(report, event, zone), _event_alt(event, names))
    found = report.availability
    if found is not None and len(found.start_us) and found.tags:
        jobs["availability"] = (
            lambda: quality_plots.availability_png(found, zone),
            quality_plots.ALT,
        )
    slow = report.slow
    if slow is not None and (drawn := slow_plots.shown(slow)):
        jobs["slow"] = (lambda: slow_plots.slow_png(slow, drawn, zone), slow_plots.ALT)
    return jobs | _model_jobs(report, names)


def _event_job(report: RunReport, event: Event, zone: ZoneInfo) -> Callable[[], bytes]:
    """Return what draws one event."""
    return lambda: event_plots.event_png(
        event,
        report.snippets[event.id],
        report.tags,
        report.limit,
        report.timeline.evidence_names,
        zone,
    )


def _event_alt(event: Event, names: dict[str, str]) -> str:
    """Return the alternative text of an event's picture."""
    leading = ", ".join(
        wording.shorten(part.tag, 40) for part in event.tags[: event_plots.MOST_PANELS]
    )
    return f"{names[event.id]}: actual and expected readings of {leading}; score and evidence"


def _model_jobs(
    report: RunReport, names: dict[str, str]
) -> dict[str, tuple[Callable[[], bytes], str]]:
    """Return the pictures on the model: name -> (what draws it, its alternative text)."""
    jobs: dict[str, tuple[Callable[[], bytes], str]] = {}
    latents = [
        (names[event.id], report.event_latents[event.id])
        for event in by_severity(report.events)
        if event.id in report.event_latents
    ]
    if len(report.calibration_latents) and latents:
        jobs["latents"] = (
            lambda: model_plots.latent_map_png(
                report.calibration_latents, latents, report.latent_variance
            ),
            "Map of the machine's states: normal ones in grey, those of events in colour",
        )
    if len(report.states.time_us) >= FEWEST_STATES:
        zone = ZoneInfo(report.timezone)
        jobs["states"] = (
            lambda: model_plots.states_png(report.states, report.state_points, zone),
            "The same map, coloured by time and by operating mode",
        )
        if report.tsne:
            jobs["tsne"] = (lambda: _tsne_png(report, names, zone), TSNE_ALT)
    if report.history:
        jobs["training"] = (
            lambda: model_plots.history_png(report.history),
            "Training and validation loss for each epoch",
        )
    if len(report.calibration_scores) or len(report.peaks):
        per_day = report.budget_events / report.budget_days
        jobs["calibration"] = (
            lambda: model_plots.calibration_png(
                report.calibration_scores,
                report.peaks,
                report.limit,
                per_day,
                report.calibration_days,
            ),
            "Scores of normal rows and of their highest peaks, with the limit",
        )
    return jobs


def _tsne_png(report: RunReport, names: dict[str, str], zone: ZoneInfo) -> bytes:
    """Draw the states on a plane on which neighbours stay neighbours, coloured by event."""
    from sensor_ad.maps import on_plane

    time_us = report.states.time_us
    groups = np.full(len(time_us), "no event", dtype=object)
    for event in report.events:
        groups[(time_us >= event.start_us) & (time_us <= event.end_us)] = names[event.id]
    points, words = on_plane(report.states.latents.astype(np.float64), "tsne")
    return model_plots.map_png(points, words, list(groups), "event", zone)


def page(report: RunReport, pictures: dict[str, Picture]) -> str:
    """Return the report as one HTML page that needs no network."""
    zone, seconds = ZoneInfo(report.timezone), report.period_s < 60
    return render("report.html.j2", page_facts(report), pictures, zone, seconds)


def page_facts(report: RunReport) -> dict[str, Any]:
    """Return what the template is filled with."""
    events = by_severity(report.events)
    shown = detailed(report)
    best = _best_epochs(report)
    zone, slow, names = ZoneInfo(report.timezone), report.slow, short_names(report.events)
    return {
        "r": report,
        "events": events[:MOST_LISTED],
        "more_events": max(0, len(events) - MOST_LISTED),
        "details": [(number, event) for number, event in enumerate(shown, start=1)],
        "detail_of": {event.id: number for number, event in enumerate(shown, start=1)},
        "names": names,
        "lasted": {
            event.id: wording.duration(wording.duration_s(event, report.period_s))
            for event in events
        },
        "scales": {event.id: ", ".join(time_scales(event, report.window_s)) for event in events},
        "faded_long": {
            event.id
            for event in events
            if event.end_us > event.faded_us + FADED_LONG * report.window_s * 1e6
        },
        "bars": {event.id: severity_bar(event.severity) for event in events},
        "units": {tag.name: tag.unit for tag in report.tags},
        "descriptions": {tag.name: tag.description for tag in report.tags},
        "kind_of": dict(zip([tag.name for tag in report.tags], report.kinds, strict=True)),
        "scored_s": report.scored.scorable_rows * report.period_s,
        "expected": expected_events(report),
        "machine_events": sum(event.kind == "machine" for event in events),
        "slow": slow and section(slow, report.events, names, zone),
        "slow_notice": notice(slow, zone),
        "drift_of": drift_of(report.events, slow),
        "map_tags": run_plots.MOST_MAP_TAGS,
        "strip_tags": quality_plots.MOST_STRIPS,
        "most_ranked": MOST_RANKED,
        "most_tag_rows": MOST_TAG_ROWS,
        "best_epochs": best,
    }


def expected_events(report: RunReport) -> float:
    """Return the events that the budget allows in the time scored, were all of it normal."""
    days = report.scored.scorable_rows * report.period_s / 86_400
    return report.budget_events * days / report.budget_days


def severity_bar(severity: float) -> int:
    """Return the width of a severity's bar in per cent: doubling adds a fifth, 32 times is full."""
    if not np.isfinite(severity) or severity <= 1:
        return 100 if severity > 1 else 4
    return int(np.clip(20 * np.log2(severity), 4, 100))


def _best_epochs(report: RunReport) -> list[tuple[int, int, float]]:
    """Return (fold, epoch, loss) with the lowest validation loss of each fold."""
    best: dict[int, tuple[int, int, float]] = {}
    for row in report.history:
        fold, loss = int(row.get("fold", 0)), float(row.get("validate_loss", np.nan))
        if np.isfinite(loss) and (fold not in best or loss < best[fold][2]):
            best[fold] = (fold, int(row.get("epoch", 0)), loss)
    return [best[fold] for fold in sorted(best)]
