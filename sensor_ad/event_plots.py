"""One event and the rows around it in; the picture of its leading tags and evidence out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from sensor_ad.plots import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    SKY,
    STYLE,
    WIDTH_IN,
    days,
    jumps,
    label,
    line,
    map_over_time,
    new_figure,
    png,
    score_axis,
    score_line,
    score_unit,
    shade_gaps,
    steps,
    thin,
    time_axis,
)
from sensor_ad.records import Event, Snippet, Tag
from sensor_ad.wording import evidence_words

MOST_PANELS = 4
"""Leading tags that are drawn: as many as fit on a page with the rest of the event."""
LEAST_PANELS = 2
"""Tags that are drawn even when one does it all: a quiet neighbour tells a sensor's fault."""
LEAST_SHARE = 0.03
"""Share of the event that earns a tag its panel."""
TOP_IN, TITLE_IN, BOTTOM_IN, LEFT_IN, RIGHT_IN = 0.2, 0.27, 0.66, 1.1, 0.25
LABEL_IN = 0.65
"""Room around the panels, inches; the same in all events, so that they can be compared."""
SCORE_IN, PANEL_IN, PANELS_IN, STRIP_IN = 0.65, 1.02, 3.4, 0.28
"""Height of the score, of a tag, of all tags at most, and of an evidence's strip, inches: with its
tables an event fits on a page of A4."""
LEGEND: Any = {"ncols": 5, "frameon": False, "columnspacing": 1.4, "handlelength": 1.6}
RARITY_EDGES = (0.0, 1.0, 2.0, 3.0, 4.0)
"""Steps of the strips' colours: −log10 of how often normal rows reach such a value."""
RARITY_WORDS = (
    "usual",
    "rarer than 1 in 10",
    "1 in 100",
    "1 in 1,000",
    "1 in 10,000 normal rows",
)
RARITY_SHADES = (0.0, 0.14, 0.34, 0.6, 0.86)


def leading_tags(event: Event, tags: Sequence[Tag]) -> list[tuple[int, float]]:
    """Return (column, share) of the tags to draw, largest share first."""
    column = {tag.name: index for index, tag in enumerate(tags)}
    parts = [(column[part.tag], part.share) for part in event.tags if part.tag in column]
    needed = sum(share >= LEAST_SHARE for _, share in parts)
    return parts[: max(LEAST_PANELS, min(needed, MOST_PANELS))]


def event_png(
    event: Event,
    snippet: Snippet,
    tags: Sequence[Tag],
    limit: float,
    evidence_names: Sequence[str],
    zone: tzinfo,
) -> bytes:
    """Draw an event on one axis of time: score, leading tags against expected, evidence.

    Parameters
    ----------
    event
        What is shown; its stretch is shaded.
    snippet
        The T rows around it.
    tags
        C tags in the order of the snippet's columns.
    limit
        Score above which an alarm is raised.
    evidence_names
        E names in the order of the snippet's evidence.
    zone
        The plant's clock.
    """
    with mpl.rc_context(STYLE):
        leading = leading_tags(event, tags)
        strips = STRIP_IN * len(evidence_names)
        panel = min(PANEL_IN, PANELS_IN / max(1, len(leading)))
        heights = [SCORE_IN, *[panel] * len(leading), *([strips] if strips else [])]
        figure, column = _column(heights)
        _draw_score(column[0], snippet, limit)
        for rank, (axes, (index, share)) in enumerate(
            zip(column[1:], leading, strict=False), start=1
        ):
            _draw_tag(axes, snippet, tags[index], index, f"{rank}", share)
        for axes in column[: 1 + len(leading)]:
            _shade_event(axes, event, snippet)
            shade_gaps(axes, snippet.time_us)
            axes.grid(axis="y", color="#ececec", lw=0.6)
            axes.set_axisbelow(True)
        if strips:
            _draw_evidence(column[-1], snippet, evidence_names)
        first, last = _span(snippet)
        for axes in column[:-1]:
            axes.set_xlim(days(first), days(last))
            axes.xaxis.set_visible(False)
        time_axis(column[-1], (first, last), zone)
        figure.legend(handles=_keys(), loc="upper center", borderaxespad=0.2, **LEGEND)
        if strips:
            figure.legend(handles=_rarity_keys(), loc="lower center", borderaxespad=0.1, **LEGEND)
        return png(figure)


def _column(heights_in: Sequence[float]) -> tuple[Figure, list[Axes]]:
    """Return a picture with panels of these heights (inches) below each other, titles between."""
    total = TOP_IN + sum(heights_in) + TITLE_IN * len(heights_in) + BOTTOM_IN
    figure = new_figure(total, (0, 0, 0, 0))
    width = WIDTH_IN - LEFT_IN - RIGHT_IN
    column, top = [], total - TOP_IN
    for height in heights_in:
        top -= TITLE_IN + height
        box = (LEFT_IN / WIDTH_IN, top / total, width / WIDTH_IN, height / total)
        column.append(figure.add_axes(box))
    return figure, column


def _span(snippet: Snippet) -> tuple[int, int]:
    """Return the first and last time to draw, UTC microseconds; never the same."""
    first, last = int(snippet.time_us[0]), int(snippet.time_us[-1])
    return (first, last) if last > first else (first - 60_000_000, last + 60_000_000)


def _shade_event(axes: Axes, event: Event, snippet: Snippet) -> None:
    """Shade the stretch of the event, at least a three-hundredth of the picture wide."""
    first, last = _span(snippet)
    more = max(0, (last - first) // 300 - (event.end_us - event.start_us)) // 2
    axes.axvspan(
        days(event.start_us - more),
        days(event.end_us + more),
        color=ORANGE,
        alpha=0.22,
        lw=0,
        zorder=0,
    )


def _draw_score(axes: Axes, snippet: Snippet, limit: float) -> None:
    """Draw both scores in multiples of the limit."""
    highest = np.fmax(snippet.score, snippet.causal) / score_unit(limit)
    axes.plot(*score_line(snippet.time_us, snippet.score, limit), color=GREY, lw=1.0)
    axes.plot(*score_line(snippet.time_us, snippet.causal, limit), color=INK, lw=1.0)
    score_axis(axes, float(np.nanmax(highest)) if np.isfinite(highest).any() else 1.0)
    axes.set_title(
        "score as raised; grey: seen afterwards (dashed: the limit = 1)", loc="left", pad=3, y=1.0
    )


def _draw_tag(axes: Axes, snippet: Snippet, tag: Tag, index: int, rank: str, share: float) -> None:
    """Draw one tag: actual, expected, and the band of what is normal around expected."""
    expected = np.asarray(snippet.expected[:, index], dtype=np.float64)
    band = float(snippet.band[index])
    rows = thin(expected)
    time_us = snippet.time_us[rows]
    broken = np.isin(rows, jumps(snippet.time_us))
    middle = np.where(broken, np.nan, expected[rows])
    if np.isfinite(band):
        axes.fill_between(days(time_us), middle - band, middle + band, color=SKY, alpha=0.35, lw=0)
    axes.plot(*line(snippet.time_us, expected), color=BLUE, lw=1.2, ls=(0, (4, 2)))
    actual = snippet.actual[:, index]
    few = np.isfinite(actual).sum() < 60
    axes.plot(*line(snippet.time_us, actual), color=INK, lw=1.1, marker="." if few else None, ms=3)
    unit = label(tag.unit, 12)
    axes.set_ylabel(unit if unit else "no unit")
    # In one column, and matplotlib need not measure the ticks to find a place for it.
    axes.yaxis.set_label_coords(-LABEL_IN / (WIDTH_IN - LEFT_IN - RIGHT_IN), 0.5)
    axes.set_title(
        f"{rank}  {label(tag.name, 60)}" + f"  ({100 * share:.0f} % of the event)",
        loc="left",
        pad=3,
        y=1.0,
    )
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.margins(y=0.08)


def _draw_evidence(axes: Axes, snippet: Snippet, names: Sequence[str]) -> None:
    """Draw one strip for each kind of evidence, the darker the rarer in normal operation."""
    apart = np.diff(snippet.time_us)
    width_us = int(np.median(apart)) if len(apart) else 1_000_000
    image, span = map_over_time(snippet.time_us, max(width_us, 1), snippet.evidence)
    axes.imshow(
        image,
        **steps(RARITY_EDGES, RARITY_SHADES),
        extent=(float(days(span[0])), float(days(span[1])), len(names), 0),
        aspect="auto",
        interpolation="nearest",
    )
    words = ["\n".join(_two_lines(label(evidence_words(name)[0], 40))) for name in names]
    axes.set_yticks(np.arange(len(names)) + 0.5, words, fontsize=8, linespacing=0.95)
    axes.tick_params(axis="y", length=0)
    axes.set_title("evidence: how rare in normal operation", loc="left", pad=3, y=1.0)
    for edge in range(1, len(names)):
        axes.axhline(edge, color="white", lw=1.5)


def _two_lines(words: str) -> list[str]:
    """Return `words` in two lines of much the same length, when they are too long for one."""
    if len(words) < 15 or " " not in words:
        return [words]
    cut = min(
        (at for at, char in enumerate(words) if char == " "),
        key=lambda at: abs(at - len(words) / 2),
    )
    return [words[:cut], words[cut + 1 :]]


def _keys() -> list[Artist]:
    """Return what the colours of the panels mean."""
    return [
        Line2D([], [], color=INK, label="actual"),
        Line2D([], [], color=BLUE, ls=(0, (4, 2)), label="expected"),
        Patch(color=SKY, alpha=0.35, label="normal band"),
        Patch(color=ORANGE, alpha=0.22, label="event"),
    ]


def _rarity_keys() -> list[Patch]:
    """Return what the colours of the strips mean."""
    shades = mpl.colormaps["magma_r"](np.array(RARITY_SHADES))
    return [
        Patch(facecolor=shade, edgecolor="#999999", lw=0.5, label=words)
        for shade, words in zip(shades, RARITY_WORDS, strict=True)
    ]
