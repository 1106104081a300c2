"""The course of a run in; pictures of it out as PNG; and what all pictures share."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import tzinfo
from functools import lru_cache
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import font_manager, ft2font
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from PIL import Image

from sensor_ad.records import Event, Floats, Ints, Timeline
from sensor_ad.wording import shorten

WIDTH_IN = 8.0
"""Width of every picture: nearly that of the text on A4, so that fonts keep their size on paper."""
DPI = 130
MOST_POINTS = 4_000
"""Points of one line; more would not be seen on a picture of about 1,000 pixels."""
MOST_COLUMNS = 1_000
"""Columns of a map over time, about one for each pixel."""
MOST_MAP_TAGS = 40
"""Rows of the map of contributions."""
MOST_LABELS = 40
"""Events that get their name on the timeline."""

INK, GREY, PALE = "#1a1a1a", "#8a8a8a", "#d0d0d0"
ORANGE, SKY, GREEN, BLUE = "#E69F00", "#56B4E9", "#009E73", "#0072B2"
VERMILLION, PURPLE, YELLOW = "#D55E00", "#CC79A7", "#F0E442"
"""Okabe and Ito's colours, told apart by colour-blind readers too."""

STYLE: Any = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9.0,
    "axes.titlesize": 9.0,
    "axes.labelsize": 9.0,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "text.usetex": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "lines.linewidth": 1.1,
    "path.simplify": True,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "axes.unicode_minus": True,
}
"""What pictures look like, whatever the user's own matplotlib settings are."""

MAP_EDGES = (0.0, 0.5, 1.0, 1.5, 2.0, 4.0, 8.0, 16.0)
"""Steps of the map's colours; 1 is the edge of normal."""
MAP_SHADES = (0.0, 0.04, 0.18, 0.32, 0.46, 0.6, 0.76, 0.94)
"""Where in the colour map each step lies: pale as long as it is normal, with a jump at 1."""


def new_figure(height_in: float) -> Figure:
    """Return an empty picture `height_in` inches high, bound to no window."""
    figure = Figure(figsize=(WIDTH_IN, height_in), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def png(figure: Figure) -> bytes:
    """Draw a picture and return it as PNG of at most 256 colours (a third of the bytes)."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    image = Image.fromarray(pixels[..., :3])
    out = io.BytesIO()
    image.quantize(256, method=Image.Quantize.FASTOCTREE).save(out, "PNG", dpi=(DPI, DPI))
    return out.getvalue()


@lru_cache(maxsize=1)
def _glyphs() -> frozenset[int]:
    """Return the characters that the pictures' font can draw."""
    path = font_manager.findfont(font_manager.FontProperties(family=STYLE["font.family"]))
    return frozenset(ft2font.FT2Font(path).get_charmap())


def label(text: str, width: int = 40) -> str:
    r"""Return a name as it may stand in a picture.

    Dollars are escaped, since a pair of them would be read as a formula; a character that the font
    lacks becomes a box, since matplotlib would warn of each.
    """
    known = _glyphs()
    drawn = "".join(char if ord(char) in known else "□" for char in shorten(text, width))
    return drawn.replace("$", r"\$")


def days(time_us: Ints | int) -> Any:
    """Return UTC microseconds as matplotlib's dates: days since 1970."""
    return np.asarray(time_us, dtype=np.float64) / 86_400e6


def time_axis(axes: Axes, zone: tzinfo) -> None:
    """Give `axes` ticks on the plant's clock, and say which one it is."""
    locator = AutoDateLocator(tz=zone, minticks=4, maxticks=9)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    formatter = ConciseDateFormatter(locator, tz=zone)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(formatter)
    axes.set_xlabel(f"plant time ({zone})", labelpad=2)


def thin(values: Floats, most: int = MOST_POINTS) -> Ints:
    """Return the rows to draw of a long line: the lowest and the highest of each equal stretch.

    Parameters
    ----------
    values
        (T,) what is drawn; NaN where missing.
    most
        Rows to return at most; every row when there are no more.
    """
    T = len(values)
    if most >= T:
        return np.arange(T)
    stretch = -(-T // (most // 2))
    blocks = -(-T // stretch)
    padded = np.full((blocks, stretch), np.nan)
    padded.flat[:T] = values
    low = np.where(np.isnan(padded), np.inf, padded).argmin(axis=1)
    high = np.where(np.isnan(padded), -np.inf, padded).argmax(axis=1)
    first = np.arange(blocks) * stretch
    return np.unique(np.concatenate([first + low, first + high]))


def jumps(time_us: Ints) -> Ints:
    """Return the rows (J,) after which time jumps by more than 1.5 usual steps."""
    if len(time_us) < 3:
        return np.zeros(0, dtype=np.int64)
    steps = np.diff(time_us)
    return np.flatnonzero(steps > 1.5 * np.median(steps))


def line(time_us: Ints, values: Floats) -> tuple[Floats, Floats]:
    """Return dates and values of a line to draw: thinned, and broken where time jumps.

    Parameters
    ----------
    time_us
        (T,) UTC microseconds.
    values
        (T,)
    """
    rows = thin(values)
    x, y = days(time_us[rows]), np.asarray(values, dtype=np.float64)[rows]
    breaks = days(time_us[jumps(time_us)])
    at = np.searchsorted(x, breaks, side="right")
    return np.insert(x, at, breaks), np.insert(y, at, np.nan)


def shade_gaps(axes: Axes, time_us: Ints, width_us: float = 0.0) -> bool:
    """Shade where time jumps; return whether it does. `width_us` is what one row covers."""
    rows = jumps(time_us)
    for row in rows[:500]:
        axes.axvspan(
            days(int(time_us[row] + width_us)),
            days(int(time_us[row + 1])),
            color=PALE,
            lw=0,
            zorder=0,
        )
    return len(rows) > 0


def score_unit(limit: float) -> float:
    """Return what a score is divided by to be read as multiples of the limit."""
    return float(limit) if np.isfinite(limit) and limit > 0 else 1.0


def score_axis(axes: Axes, highest: float) -> None:
    """Scale an axis of scores in multiples of the limit, and draw the limit."""
    axes.axhline(1.0, color=VERMILLION, lw=1.2, ls=(0, (5, 2)), zorder=3)
    if highest > 10:
        axes.set_yscale("log")
        axes.set_ylim(0.05, highest * 1.6)
        ticks = [tick for tick in (0.1, 1, 10, 100, 1_000, 10_000) if tick <= highest * 1.6]
        axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
    else:
        axes.set_ylim(0.0, max(1.5, highest * 1.1))


def _event_marks(axes: Axes, events: Sequence[tuple[str, Event]], span: tuple[int, int]) -> None:
    """Shade events and write their names above `axes`, in up to three rows so that none overlap."""
    width = max(span[1] - span[0], 1)
    least = width / 400
    for _, event in events:
        middle, half = (event.start_us + event.end_us) / 2, (event.end_us - event.start_us) / 2
        half = max(half, least / 2)
        axes.axvspan(
            days(int(middle - half)),
            days(int(middle + half)),
            color=ORANGE,
            alpha=0.35,
            lw=0,
            zorder=1,
        )
    named = sorted(events, key=lambda pair: -pair[1].severity)[:MOST_LABELS]
    ends = [-np.inf] * 3
    for name, event in sorted(named, key=lambda pair: pair[1].start_us):
        middle = float(np.clip((event.start_us + event.end_us) / 2, *span))
        row = next((row for row, end in enumerate(ends) if middle > end), int(np.argmin(ends)))
        ends[row] = middle + width * 0.012 * (len(name) + 1)
        axes.annotate(
            label(name, 8),
            (days(int(middle)), 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 2 + 11 * row),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=8.5,
            fontweight="bold",
            color="#7a3300",
        )


def _unscored(axes: Axes, timeline: Timeline) -> bool:
    """Shade buckets that had readings but no score; return whether there are any."""
    blind = np.flatnonzero((timeline.scorable == 0) & (timeline.rows > 0))
    runs = np.split(blind, np.flatnonzero(np.diff(blind) > 1) + 1) if len(blind) else []
    for run in runs[:500]:
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
        figure = new_figure(2.9)
        axes = figure.subplots()
        span = (int(timeline.start_us[0]), int(timeline.start_us[-1]) + timeline.width_us)
        score = timeline.score_max / score_unit(limit)
        highest = float(np.nanmax(score)) if np.isfinite(score).any() else 1.0
        x, y = line(timeline.start_us + timeline.width_us // 2, score)
        axes.plot(x, y, color=BLUE, lw=0.9, zorder=4)
        axes.fill_between(
            x, 1.0, y, where=y > 1.0, interpolate=True, color=VERMILLION, lw=0, zorder=5
        )
        score_axis(axes, highest)
        _event_marks(axes, events, span)
        keys = [
            axes.plot([], [], color=BLUE, label="score (highest in each stretch)")[0],
            axes.plot([], [], color=VERMILLION, ls=(0, (5, 2)), label="limit")[0],
            Patch(color=ORANGE, alpha=0.35, label="event"),
        ]
        if shade_gaps(axes, timeline.start_us, timeline.width_us):
            keys.append(Patch(color=PALE, label="no data"))
        if _unscored(axes, timeline):
            keys.append(Patch(fc="#eeeeee", ec=GREY, hatch="////", lw=0, label="not scorable"))
        if _excluded(axes, excluded, span):
            keys.append(
                Patch(fc="white", ec=PURPLE, hatch="\\\\\\", lw=0, label="excluded (config)")
            )
        axes.set_xlim(days(span[0]), days(span[1]))
        axes.set_ylabel("score (1 = limit)")
        time_axis(axes, zone)
        figure.legend(handles=keys, loc="outside lower center", ncols=6, frameon=False)
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
    beyond = np.nansum(np.clip(np.nan_to_num(contribution) - 0.8, 0.0, 50.0), axis=0)
    return np.argsort(-beyond, kind="stable")[:most]


def map_over_time(time_us: Ints, width_us: int, values: Floats) -> tuple[Floats, tuple[int, int]]:
    """Lay buckets on one regular axis of time, for a map.

    Parameters
    ----------
    time_us
        (B,) starts of the buckets, UTC microseconds.
    width_us
        What one bucket covers.
    values
        (B, K) what is shown; NaN where there is nothing.

    Returns
    -------
    image
        (K, columns) the highest value in each column, NaN in gaps.
    span
        First and last time of the image, UTC microseconds.
    """
    first = int(time_us[0])
    buckets = (np.asarray(time_us, dtype=np.int64) - first + width_us // 2) // width_us
    wide = -(-int(buckets[-1] + 1) // MOST_COLUMNS)
    column = buckets // wide
    image = np.full((int(column[-1]) + 1, values.shape[1]), -np.inf)
    np.maximum.at(image, column, np.where(np.isnan(values), -np.inf, values))
    image[np.isneginf(image)] = np.nan
    return image.T, (first, first + len(image) * wide * width_us)


def steps(edges: Sequence[float], shades: Sequence[float]) -> dict[str, Any]:
    """Return colour map and norm that give each step between `edges`, and beyond, one shade."""
    colours = ListedColormap(mpl.colormaps["magma_r"](np.array(shades)))
    return {
        "cmap": colours.with_extremes(bad=PALE),
        "norm": BoundaryNorm(edges, len(shades), extend="max"),
    }


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
        _event_marks(axes, events, span)
        for patch in axes.patches:
            patch.set(facecolor="none", edgecolor=INK, alpha=0.8, linewidth=0.8)
        time_axis(axes, zone)
        bar = figure.colorbar(drawn, ax=axes, location="bottom", shrink=0.7, aspect=45, pad=0.02)
        bar.set_ticks(MAP_EDGES, labels=["0", "0.5", "1", "1.5", "2", "4", "8", "16"])
        bar.set_label(
            "times the most that is normal for the tag (1 = edge of normal; grey: no score)"
        )
        bar.ax.axvline(1.0, color=INK, lw=2.5)
        return png(figure)
