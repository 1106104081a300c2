"""The course of a whole run in; its timeline and its map of contributions out, as PNG."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from sensor_ad.plots import (
    BLUE,
    GREY,
    INK,
    MOST_STRETCHES,
    ORANGE,
    PALE,
    PURPLE,
    STYLE,
    VERMILLION,
    days,
    label,
    map_over_time,
    new_figure,
    png,
    score_axis,
    score_line,
    score_unit,
    shade_gaps,
    steps,
    time_axis,
)
from sensor_ad.records import Event, Floats, Ints, Timeline

MOST_MAP_TAGS = 40
"""Rows of the map of contributions."""
NEARLY = 0.8
"""Contribution that counts for a tag's place on the map, so that a quiet map is sorted too."""
MOST_COUNTED = 50.0
"""Contribution counted at most, so that one wild spike does not outweigh a long fault."""
MOST_LABELS = 40
"""Events that get their name on the timeline, the most severe ones."""
LABEL_SHARE = 0.0105
"""Width of one character of such a name, as a share of the axis."""
MAP_EDGES = (0.0, 0.5, 1.0, 1.5, 2.0, 4.0, 8.0, 16.0)
"""Steps of the map's colours; 1 is the edge of normal."""
MAP_SHADES = (0.0, 0.04, 0.18, 0.32, 0.46, 0.6, 0.76, 0.94)
"""Where in the colour map each step lies: pale as long as it is normal, with a jump at 1."""


def _labels(
    events: Sequence[tuple[str, Event]], span: tuple[int, int]
) -> list[tuple[str, float, int]]:
    """Return (name, time, row) of the events' labels, in up to three rows so that none overlap."""
    width = max(span[1] - span[0], 1)
    named = sorted(events, key=lambda pair: -pair[1].severity)[:MOST_LABELS]
    ends = [-np.inf] * 3
    labels = []
    for name, event in sorted(named, key=lambda pair: pair[1].start_us):
        middle = float(np.clip((event.start_us + event.end_us) / 2, *span))
        half = width * LABEL_SHARE * (len(name) + 1) / 2
        row = next((row for row, end in enumerate(ends) if middle - half > end), -1)
        if row >= 0:
            ends[row] = middle + half
            labels.append((label(name, 8), middle, row))
    return labels


def _mark_events(
    axes: Axes,
    events: Sequence[tuple[str, Event]],
    labels: Sequence[tuple[str, float, int]],
    span: tuple[int, int],
    **look: Any,
) -> None:
    """Shade the stretches of events (wide enough to be seen) and write their labels above."""
    least = (span[1] - span[0]) // 400
    for _, event in events[:MOST_STRETCHES]:
        more = max(0, least - (event.end_us - event.start_us)) // 2
        axes.axvspan(days(event.start_us - more), days(event.end_us + more), **look)
    for name, middle, row in labels:
        axes.annotate(
            name,
            (days(int(middle)), 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 2 + 11 * row),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontweight="bold",
            color="#7a3300",
        )


def _unscored(axes: Axes, timeline: Timeline) -> bool:
    """Shade buckets that had readings but no score; return whether there are any."""
    blind = np.flatnonzero((timeline.scorable == 0) & (timeline.rows > 0))
    runs = np.split(blind, np.flatnonzero(np.diff(blind) > 1) + 1) if len(blind) else []
    for run in runs[:MOST_STRETCHES]:
        axes.axvspan(
            days(int(timeline.start_us[run[0]])),
            days(int(timeline.start_us[run[-1]] + timeline.width_us)),
            facecolor="#eeeeee",
            edgecolor=GREY,
            hatch="////",
            lw=0,
            zorder=0,
        )
    return bool(runs)


def timeline_png(
    timeline: Timeline,
    limit: float,
    events: Sequence[tuple[str, Event]],
    excluded: Sequence[tuple[int, int, str]],
    zone: tzinfo,
) -> bytes:
    """Draw the score of a whole run with its limit, events, gaps and excluded stretches.

    Parameters
    ----------
    timeline
        The run in B buckets, B ≥ 1.
    limit
        Score above which an alarm is raised.
    events
        (name, event) of each.
    excluded
        (from, to, reason) of the config, UTC microseconds.
    zone
        The plant's clock.
    """
    with mpl.rc_context(STYLE):
        span = (int(timeline.start_us[0]), int(timeline.start_us[-1]) + timeline.width_us)
        labels = _labels(events, span)
        top = 0.12 + 0.16 * max([row + 1 for _, _, row in labels], default=0)
        figure = new_figure(2.4 + top, (0.6, 0.25, top, 0.8))
        axes = figure.subplots()
        score = timeline.score_max / score_unit(limit)
        highest = float(np.nanmax(score)) if np.isfinite(score).any() else 1.0
        x, y = score_line(timeline.start_us + timeline.width_us // 2, timeline.score_max, limit)
        axes.plot(x, y, color=BLUE, lw=0.9, zorder=4)
        axes.fill_between(
            x, 1.0, y, where=y > 1.0, interpolate=True, color=VERMILLION, lw=0, zorder=5
        )
        score_axis(axes, highest)
        _mark_events(axes, events, labels, span, color=ORANGE, alpha=0.35, lw=0, zorder=0.1)
        keys: list[Artist] = [
            axes.plot([], [], color=BLUE, label="score (highest in each stretch)")[0],
            axes.plot([], [], color=VERMILLION, ls=(0, (5, 2)), label="limit")[0],
        ]
        if events:
            keys.append(Patch(color=ORANGE, alpha=0.35, label="event"))
        if shade_gaps(axes, timeline.start_us, timeline.width_us):
            keys.append(Patch(color=PALE, label="no data"))
        if _unscored(axes, timeline):
            keys.append(Patch(fc="#eeeeee", ec=GREY, hatch="////", lw=0, label="not scorable"))
        if _excluded(axes, excluded, span):
            keys.append(
                Patch(fc="white", ec=PURPLE, hatch="\\\\\\", lw=0, label="excluded (config)")
            )
        axes.set_ylabel("score (1 = limit)")
        time_axis(axes, span, zone)
        figure.legend(handles=keys, loc="lower center", ncols=6, frameon=False, borderaxespad=0.1)
        return png(figure)


def _excluded(axes: Axes, excluded: Sequence[tuple[int, int, str]], span: tuple[int, int]) -> bool:
    """Shade the stretches that the config excludes; return whether one lies in `span`."""
    seen = [
        (max(a, span[0]), min(b, span[1])) for a, b, _ in excluded if a < span[1] and b > span[0]
    ]
    for start, end in seen:
        axes.axvspan(
            days(start),
            days(end),
            facecolor="none",
            edgecolor=PURPLE,
            hatch="\\\\\\",
            lw=0,
            zorder=2,
        )
    return bool(seen)


def leading_rows(contribution: Floats, most: int = MOST_MAP_TAGS) -> Ints:
    """Return the columns of `contribution` (B, C) with most abnormal in them, the most first."""
    beyond = np.nansum(np.clip(np.nan_to_num(contribution) - NEARLY, 0.0, MOST_COUNTED), axis=0)
    return np.argsort(-beyond, kind="stable")[:most]


def heat_map_png(
    timeline: Timeline, tags: Sequence[str], events: Sequence[tuple[str, Event]], zone: tzinfo
) -> bytes:
    """Draw which tag was how far from normal, and when.

    Parameters
    ----------
    timeline
        The run in B buckets, B ≥ 1.
    tags
        C names; the `MOST_MAP_TAGS` with most abnormal in them are drawn.
    events
        (name, event) of each.
    zone
        The plant's clock.
    """
    with mpl.rc_context(STYLE):
        chosen = leading_rows(timeline.contribution)
        figure = new_figure(1.75 + 0.21 * len(chosen))
        axes = figure.subplots()
        seen = np.where(timeline.scorable[:, None] > 0, timeline.contribution[:, chosen], np.nan)
        image, span = map_over_time(timeline.start_us, timeline.width_us, seen)
        drawn = axes.imshow(
            image,
            **steps(MAP_EDGES, MAP_SHADES),
            extent=(float(days(span[0])), float(days(span[1])), len(chosen), 0),
            aspect="auto",
            interpolation="nearest",
        )
        names = [label(tags[row], 30) for row in chosen]
        axes.set_yticks(np.arange(len(chosen)) + 0.5, names)
        axes.tick_params(axis="y", length=0)
        _mark_events(axes, events, _labels(events, span), span, fc="none", ec=INK, lw=0.8)
        time_axis(axes, span, zone)
        bar = figure.colorbar(drawn, ax=axes, location="bottom", shrink=0.7, aspect=45, pad=0.02)
        bar.set_ticks(MAP_EDGES, labels=["0", "0.5", "1", "1.5", "2", "4", "8", "16"])
        bar.set_label(
            "times the most that is normal for the tag (1 = edge of normal; grey: no score)"
        )
        bar.ax.axvline(1.0, color=INK, lw=2.5)
        return png(figure)
