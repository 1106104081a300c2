"""How much of each tag was there over time in; strips of it out, as PNG."""

from __future__ import annotations

from datetime import tzinfo

import matplotlib as mpl
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.patches import Patch

from sensor_ad.plots import (
    INK,
    MOST_COLUMNS,
    PALE,
    SKY,
    STYLE,
    VERMILLION,
    YELLOW,
    days,
    label,
    new_figure,
    png,
    time_axis,
)
from sensor_ad.records import Availability, Floats, Ints

MOST_STRIPS = 60
"""Tags that get a strip, those with least good values when there are more."""
SHADES = (SKY, YELLOW, VERMILLION, INK)
WORDS = ("good", "uncertain or substituted", "bad or out of range", "missing")
"""Colours and names of what a slot is made of, good first."""
ALT = "How much of each tag was there over time: good, uncertain, bad and missing values"
LINES = 12
"""Pixels of a strip's height …"""
SPACE = 4
"""… and between two strips."""
SEEN = 3
"""Pixels that the smallest share of something other than good gets: a rare hole must show."""


def shown_tags(availability: Availability) -> Ints:
    """Choose the columns that get a strip, in the order of the tags."""
    C = len(availability.tags)
    if C <= MOST_STRIPS:
        return np.arange(C)
    worst = np.argsort(good_share(availability), kind="stable")[:MOST_STRIPS]
    return np.sort(worst)


def good_share(availability: Availability) -> Floats:
    """(C,) share of good values in all rows."""
    rows = availability.rows
    share: Floats = rows @ availability.shares[:, :, 0] / max(int(rows.sum()), 1)
    return share


def availability_png(availability: Availability, zone: tzinfo) -> bytes:
    """Draw a strip for each tag: share of good, uncertain, bad and missing values over time.

    Parameters
    ----------
    availability
        B slots, B ≥ 1, of C tags, C ≥ 1.
    zone
        The plant's clock.
    """
    with mpl.rc_context(STYLE):
        chosen = shown_tags(availability)
        shares, span = _on_axis(availability, chosen)
        figure = new_figure(1.05 + 0.2 * len(chosen))
        axes = figure.subplots()
        axes.imshow(
            _strips(shares),
            extent=(float(days(span[0])), float(days(span[1])), len(chosen), 0),
            aspect="auto",
            interpolation="nearest",
        )
        names = [label(availability.tags[c], 30) for c in chosen]
        middles = np.arange(len(chosen)) + 0.5
        axes.set_yticks(middles, names)
        axes.tick_params(axis="y", length=0)
        good = good_share(availability)[chosen]
        for middle, share in zip(middles, good, strict=True):
            axes.annotate(
                _percent(share),
                (1.0, middle),
                xycoords=("axes fraction", "data"),
                xytext=(5, 0),
                textcoords="offset points",
                va="center",
                fontsize=8.5,
            )
        axes.annotate(
            "good",
            (1.0, 1.0),
            xycoords="axes fraction",
            xytext=(5, 4),
            textcoords="offset points",
            fontsize=8.5,
        )
        axes.spines[:].set_visible(False)
        time_axis(axes, span, zone)
        used = [bool((shares[..., k] > 0).any()) for k in range(4)]
        keys = [
            Patch(color=shade, label=word)
            for shade, word, some in zip(SHADES, WORDS, used, strict=True)
            if some
        ]
        if np.isnan(shares[:, 0, 0]).any():
            keys.append(Patch(color=PALE, label="no row at all"))
        figure.legend(handles=keys, loc="outside lower center", ncols=5, frameon=False)
        return png(figure)


def _percent(share: float) -> str:
    """Give a share in per cent; 100 % is only said of all."""
    if share == 1:
        return "100 %"
    return f"{min(100 * share, 99.9):.1f} %" if share > 0.9 else f"{100 * share:.0f} %"


def _on_axis(availability: Availability, chosen: Ints) -> tuple[Floats, tuple[int, int]]:
    """Lay slots on one regular axis.

    Returns
    -------
    (columns, K, 4) shares, NaN where there was no row; first and last time, UTC microseconds.
    """
    first, width = int(availability.start_us[0]), availability.width_us
    slot = (availability.start_us - first) // width
    wide = -(-int(slot[-1] + 1) // MOST_COLUMNS)
    column = slot // wide
    starts = np.flatnonzero(np.diff(column, prepend=-1))
    weighted = availability.shares[:, chosen] * availability.rows[:, None, None]
    total = np.add.reduceat(weighted, starts, axis=0)
    rows = np.add.reduceat(availability.rows, starts)
    shares = np.full((int(column[-1]) + 1, len(chosen), 4), np.nan)
    shares[column[starts]] = total / rows[:, None, None]
    return shares, (first, first + len(shares) * wide * width)


def _strips(shares: Floats) -> Floats:
    """(K · (LINES + SPACE), columns, 3) picture: in each column the shares, good at the foot."""
    columns, K, _ = shares.shape
    lines = np.ceil(np.nan_to_num(shares) * LINES - 1e-9)
    lines[..., 1:] = np.where(shares[..., 1:] > 0, np.maximum(lines[..., 1:], SEEN), 0)
    # What is not good stands above, and takes its lines from the good.
    tops = np.minimum(np.cumsum(lines[..., :0:-1], axis=2), LINES)
    shades = np.array([to_rgb(shade) for shade in SHADES])
    height = np.arange(LINES)[:, None, None]
    image = np.broadcast_to(shades[0], (LINES, columns, K, 3)).copy()
    for k in range(3):
        below = tops[..., k - 1] if k else np.zeros((columns, K))
        image[(height >= below) & (height < tops[..., k])] = shades[3 - k]
    image[:, np.isnan(shares[..., 0])] = to_rgb(PALE)
    strips = np.ones((K, LINES + SPACE, columns, 3))
    strips[:, SPACE // 2 : SPACE // 2 + LINES] = image.transpose(2, 0, 1, 3)
    picture: Floats = strips.reshape(K * (LINES + SPACE), columns, 3)
    return picture
