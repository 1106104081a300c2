"""Slow change of a run comes in; the few most changed tags go out as PNG, over the run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo

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
    PALE,
    SKY,
    STYLE,
    VERMILLION,
    WIDTH_IN,
    days,
    label,
    line,
    new_figure,
    png,
    shade_gaps,
    time_axis,
)
from sensor_ad.records import Floats, Ints
from sensor_ad.slow_change import SlowChange
from sensor_ad.slow_slots import slow_level
from sensor_ad.slow_tag import TagChange
from sensor_ad.slow_words import amount

MOST_PANELS = 4
"""Tags drawn, the most changed ones …"""
LEAST_PANELS = 2
"""… and so many when fewer changed."""
LEFT_IN, RIGHT_IN, TOP_IN, BOTTOM_IN = 0.85, 0.2, 0.3, 0.45
TITLE_IN, LEVEL_IN, STRAYED_IN, BETWEEN_IN = 0.28, 1.1, 0.65, 0.2
"""Heights of a tag's panels: its title, its level, what it strays by, and between the two."""
LABEL_IN = 0.62
"""Distance of the units from the panels, inches."""
ALT = "Slow levels of the most changed tags, what was expected, and by how much they stray from it"


def shown(change: SlowChange) -> tuple[TagChange, ...]:
    """Choose the tags that are drawn: of which something can be told, the most changed first."""
    told = [one for one in change.tags if one.status != "not judged" and one.strayed == one.strayed]
    changed = sum(one.status != "as in training" for one in told)
    return tuple(told[: int(np.clip(changed, LEAST_PANELS, MOST_PANELS))])


def slow_png(change: SlowChange, tags: Sequence[TagChange], zone: tzinfo) -> bytes:
    """Draw readings and expectations of some tags over the run, and by how much they stray.

    Parameters
    ----------
    change
        B slots, B ≥ 1.
    tags
        Those that are drawn, one at least.
    zone
        The plant's clock.
    """
    assert change.normal is not None
    with mpl.rc_context(STYLE):
        figure, pairs = _panels(len(tags))
        slots = change.slots
        middle = slots.start_us + slots.width_us // 2
        size = max(1, change.span_us // slots.width_us)
        for (upper, lower), one in zip(pairs, tags, strict=True):
            c = change.names.index(one.tag)
            reading, expected = slots.reading[:, [c]], slots.expected[:, [c]]
            known = np.isfinite(reading[:, 0])
            normal = (change.normal.span_low[c], change.normal.span_high[c])
            upper.axhspan(*normal, color=SKY, alpha=0.3, lw=0, zorder=0.5)
            _line(upper, middle[known], reading[known, 0], color=PALE, lw=0.7)
            _line(upper, middle, slow_level(reading, size)[:, 0], color=INK, lw=1.6)
            _line(
                upper, middle, slow_level(expected, size)[:, 0], color=BLUE, lw=1.4, ls=(0, (4, 2))
            )
            band = float(change.normal.band[c])
            if np.isfinite(band):
                lower.axhspan(-band, band, color=SKY, alpha=0.3, lw=0, zorder=0.5)
            lower.axhline(0.0, color=GREY, lw=0.7)
            _line(lower, middle, change.strayed[:, c], color=VERMILLION, lw=1.5)
            for axes in (upper, lower):
                for drift in one.drifts:
                    span = (days(drift.start_us), days(drift.end_us))
                    axes.axvspan(*span, color=ORANGE, alpha=0.2, lw=0, zorder=0.2)
                if slots.start_us[0] < change.since_us:
                    axes.axvline(days(change.since_us), color=INK, lw=1.0, ls=":")
                shade_gaps(axes, slots.start_us, slots.width_us)
                axes.margins(y=0.1)
            _name(upper, lower, one, amount(band, one.unit, digits=3) if np.isfinite(band) else "")
        first, last = int(slots.start_us[0]), int(slots.start_us[-1]) + slots.width_us
        for axes in [axes for pair in pairs for axes in pair][:-1]:
            axes.set_xlim(days(first), days(last))
            axes.xaxis.set_visible(False)
        time_axis(pairs[-1][1], (first, last), zone)
        figure.legend(
            handles=_keys(any(one.drifts for one in tags)),
            loc="upper center",
            ncols=6,
            frameon=False,
            borderaxespad=0.1,
            columnspacing=1.2,
            handlelength=1.6,
        )
        return png(figure)


def _panels(count: int) -> tuple[Figure, list[tuple[Axes, Axes]]]:
    """Return a picture with two panels for each tag."""
    one = TITLE_IN + LEVEL_IN + BETWEEN_IN + STRAYED_IN
    total = TOP_IN + count * one + BOTTOM_IN
    figure, top, pairs = new_figure(total, (0, 0, 0, 0)), total - TOP_IN, []
    left, width = LEFT_IN / WIDTH_IN, (WIDTH_IN - LEFT_IN - RIGHT_IN) / WIDTH_IN
    for _ in range(count):
        upper = (left, (top - TITLE_IN - LEVEL_IN) / total, width, LEVEL_IN / total)
        lower = (left, (top - one) / total, width, STRAYED_IN / total)
        pairs.append((figure.add_axes(upper), figure.add_axes(lower)))
        top -= one
    return figure, pairs


def _line(axes: Axes, time_us: Ints, values: Floats, **look: object) -> None:
    """Draw a line over slots; a single one is a dot."""
    few = np.isfinite(values).sum() < 3
    axes.plot(*line(time_us, values), marker="." if few else None, **look)  # type: ignore[arg-type]


def _name(upper: Axes, lower: Axes, one: TagChange, band: str) -> None:
    """Write what a tag's panels show."""
    upper.set_title(f"{label(one.tag, 60)}: {one.status}", loc="left", pad=3, fontweight="bold")
    words = "reading − expected, less what is usual and what another tag explains"
    words += f" (normal within ±{label(band, 30)})" if band else ""
    lower.set_title(words, loc="left", pad=2, fontsize=8)
    for axes in (upper, lower):
        axes.set_ylabel(label(one.unit, 12) or "no unit")
        axes.yaxis.set_label_coords(-LABEL_IN / (WIDTH_IN - LEFT_IN - RIGHT_IN), 0.5)
        axes.ticklabel_format(axis="y", useOffset=False)
        axes.locator_params(axis="y", nbins=4)


def _keys(drifts: bool) -> list[Artist]:
    """Return what lines and shades mean."""
    keys: list[Artist] = [
        Line2D([], [], color=PALE, label="means of slots"),
        Line2D([], [], color=INK, lw=1.6, label="slow level"),
        Line2D([], [], color=BLUE, lw=1.4, ls=(0, (4, 2)), label="expected"),
        Line2D([], [], color=VERMILLION, label="strays by"),
        Patch(color=SKY, alpha=0.3, label="as in training"),
    ]
    return [*keys, Patch(color=ORANGE, alpha=0.2, label="drift")] if drifts else keys
