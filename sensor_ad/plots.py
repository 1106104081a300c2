"""What all pictures share: style, names that are safe to draw, time axes, thinned lines, PNG."""

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
from PIL import Image

from sensor_ad.records import Floats, Ints
from sensor_ad.wording import moment, shorten

WIDTH_IN = 8.0
"""Width of every picture: nearly that of the text on A4, so that fonts keep their size on paper."""
DPI = 130
MOST_POINTS = 4_000
"""Points of one line; more would not be seen on a picture of about 1,000 pixels."""
MOST_COLUMNS = 1_000
"""Columns of a map over time, about one for each pixel."""
LOWEST_SCORE = 0.03
"""Score that is drawn at least, in multiples of the limit."""
MOST_STRETCHES = 500
"""Events, gaps and the like that are shaded."""

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


def new_figure(height_in: float, margins_in: Sequence[float] | None = None) -> Figure:
    """Return an empty picture, bound to no window.

    Parameters
    ----------
    height_in
        Its height, inches.
    margins_in
        Left, right, top and bottom around the axes, inches. Without them matplotlib finds them,
        which takes as long as the drawing itself.
    """
    figure = Figure(figsize=(WIDTH_IN, height_in), dpi=DPI)
    FigureCanvasAgg(figure)
    if margins_in is None:
        figure.set_layout_engine("constrained")
        return figure
    left, right, top, bottom = margins_in
    figure.subplots_adjust(
        left / WIDTH_IN, bottom / height_in, 1 - right / WIDTH_IN, 1 - top / height_in
    )
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


def time_axis(axes: Axes, span: tuple[int, int], zone: tzinfo) -> None:
    """Draw `axes` over `span` (first, last; UTC microseconds) with ticks on the plant's clock.

    The ticks are found once and set: matplotlib would look for them anew dozens of times.
    """
    low, high = days(span[0]), days(span[1])
    axes.set_xlim(low, high)
    locator: Any = AutoDateLocator(tz=zone, minticks=4, maxticks=9)  # type: ignore[no-untyped-call]
    formatter: Any = ConciseDateFormatter(locator, tz=zone)  # type: ignore[no-untyped-call]
    found = locator.tick_values(moment(span[0], zone), moment(span[1], zone))
    # An hour that the clock leaps over in spring is found twice.
    ticks = [tick for tick in np.unique(found) if low <= tick <= high]
    axes.set_xticks(ticks, formatter.format_ticks(ticks))
    axes.set_xlabel(time_label(span, zone), labelpad=2)


def time_label(span: tuple[int, int], zone: tzinfo) -> str:
    """Return what an axis of time shows: the clock, and from which day to which.

    Ticks give parts of a date only, and matplotlib names the month or year of the last one alone.
    """
    first, last = (f"{moment(time_us, zone):%Y-%m-%d}" for time_us in (span[0], span[1] - 1))
    return f"plant time ({zone}) · {first}" + (f" to {last}" if last > first else "")


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
    for row in rows[:MOST_STRETCHES]:
        axes.axvspan(
            days(int(time_us[row] + width_us)),
            days(int(time_us[row + 1])),
            color=PALE,
            lw=0,
            zorder=0.8,
        )
    return len(rows) > 0


def score_unit(limit: float) -> float:
    """Return what a score is divided by to be read as multiples of the limit."""
    return float(limit) if np.isfinite(limit) and limit > 0 else 1.0


def score_line(time_us: Ints, score: Floats, limit: float) -> tuple[Floats, Floats]:
    """Return dates and multiples of the limit to draw of a score (T,), the lowest ones lifted.

    A score of nothing has no place on the logarithmic axis of a high one, and would break the line.
    """
    x, y = line(time_us, score / score_unit(limit))
    return x, np.maximum(y, LOWEST_SCORE)


def score_axis(axes: Axes, highest: float) -> None:
    """Scale an axis of scores in multiples of the limit, and draw the limit."""
    axes.axhline(1.0, color=VERMILLION, lw=1.2, ls=(0, (5, 2)), zorder=3)
    if highest > 10:
        axes.set_yscale("log")
        axes.set_ylim(LOWEST_SCORE, highest * 1.6)
        ticks = [tick for tick in (0.1, 1, 10, 100, 1_000, 10_000) if tick <= highest * 1.6]
        axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
    else:
        axes.set_ylim(0.0, max(1.5, highest * 1.1))


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
