"""What is known of the model in; pictures of its latents, its training and its limit out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.ticker import LogLocator, MaxNLocator, StrMethodFormatter

from sensor_ad.plots import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    STYLE,
    VERMILLION,
    days,
    label,
    new_figure,
    png,
    score_unit,
    time_label,
)
from sensor_ad.records import Floats, Ints
from sensor_ad.states import States
from sensor_ad.wording import moment

MOST_COLOURED = 12
"""Events with a colour and marker of their own on the latent map; further ones share one."""
MARKERS = "osD^v<>PX*hp"
COLOURS = (VERMILLION, BLUE, GREEN, ORANGE, PURPLE, SKY, INK)
UNMARKED = ("no event", "missing")
"""Groups that are drawn in grey, beneath the others."""
MOST_MODES = 12
"""Values of the tag that tells the mode, to be drawn in colours of their own."""
MOST_DOTS = 1_500
"""Points of one group on the latent map."""


def _few(points: Floats) -> Floats:
    """Return at most `MOST_DOTS` rows of (n, 2), evenly taken, and only finite ones."""
    finite = points[np.isfinite(points).all(axis=1)]
    return finite[:: max(1, -(-len(finite) // MOST_DOTS))]


def latent_map_png(
    calibration: Floats, events: Sequence[tuple[str, Floats]], variance: tuple[float, float]
) -> bytes:
    """Draw where events lie beside normal rows on the two main axes of the latents.

    Parameters
    ----------
    calibration
        (n, 2) normal rows.
    events
        (name, (n, 2)) of each event, the most severe first.
    variance
        Share of the latents' variance along each axis, 0..1.
    """
    with mpl.rc_context(STYLE):
        figure = new_figure(3.9)
        axes = figure.subplots()
        normal = _few(calibration)
        axes.scatter(normal[:, 0], normal[:, 1], s=7, c="#b5b5b5", lw=0, label="normal rows")
        shown = [(name, _few(points)) for name, points in events if len(_few(points))]
        for rank, (name, points) in enumerate(shown[:MOST_COLOURED]):
            axes.scatter(
                points[:, 0],
                points[:, 1],
                s=20,
                c=COLOURS[rank % len(COLOURS)],
                marker=MARKERS[rank % len(MARKERS)],
                linewidths=0.3,
                edgecolors="white",
                label=label(name, 12),
            )
        if rest := [points for _, points in shown[MOST_COLOURED:]]:
            crowd = np.concatenate(rest)
            axes.scatter(crowd[:, 0], crowd[:, 1], s=12, c=INK, marker="+", lw=0.8, label="others")
        _spread_axes(axes, normal, [points for _, points in shown])
        axes.set_xlabel(f"main axis of the latents ({100 * variance[0]:.0f} % of their variation)")
        axes.set_ylabel(f"second axis ({100 * variance[1]:.0f} %)")
        figure.legend(loc="outside right upper", frameon=False, markerscale=1.3)
        return png(figure)


def map_png(
    points: Floats,
    axes_words: tuple[str, str],
    groups: Floats | Ints | Sequence[str],
    title: str,
    zone: tzinfo,
) -> bytes:
    """Draw points on a plane, coloured by what they belong to.

    Parameters
    ----------
    points
        (N, 2).
    axes_words
        What the axes are.
    groups
        (N,) texts for groups; floats for a scale; integers for times, UTC microseconds.
    title
        What the colours mean.
    zone
        The plant's clock.
    """
    with mpl.rc_context(STYLE):
        figure = new_figure(4.2)
        axes = figure.subplots()
        values = np.asarray(groups)
        if values.dtype.kind in "OU":
            _by_group(axes, points, values)
            figure.legend(loc="outside right upper", frameon=False, markerscale=1.3, title=title)
        else:
            times = values.dtype.kind == "i"
            shown = days(values) if times else values
            shades = axes.scatter(points[:, 0], points[:, 1], s=9, c=shown, cmap="viridis", lw=0)
            bar = figure.colorbar(shades, ax=axes, aspect=30, pad=0.02)
            bar.set_label(title)
            if times and len(values):
                bar.set_label(time_label((int(values.min()), int(values.max())), zone))
                locator: Any = AutoDateLocator(tz=zone)  # type: ignore[no-untyped-call]
                bar.ax.yaxis.set_major_locator(locator)
                bar.ax.yaxis.set_major_formatter(
                    ConciseDateFormatter(locator, tz=zone, show_offset=False)  # type: ignore[no-untyped-call]
                )
        axes.set_xlabel(axes_words[0])
        axes.set_ylabel(axes_words[1])
        return png(figure)


def states_png(states: States, points: Floats, zone: tzinfo) -> bytes:
    """Draw the states of a run twice: coloured by time, and by operating mode.

    Parameters
    ----------
    states
        n states.
    points
        (n, 2) where they lie on the two main axes.
    zone
        The plant's clock.
    """
    with mpl.rc_context(STYLE):
        figure = new_figure(3.5, (0.6, 1.15, 0.15, 0.55))
        left, right = figure.subplots(1, 2, gridspec_kw={"wspace": 0.62})
        time = days(states.time_us)
        shades = left.scatter(points[:, 0], points[:, 1], s=7, c=time, cmap="viridis", lw=0)
        bar = figure.colorbar(shades, ax=left, aspect=30, pad=0.03, fraction=0.06)
        ends = [float(time[0]), float(time[-1])]
        if ends[1] > ends[0]:
            shown = [moment(int(us), zone).strftime("%d %b") for us in states.time_us[[0, -1]]]
            bar.set_ticks(ends, labels=shown)
        values = states.mode
        known = np.unique(values[np.isfinite(values)])
        groups = np.array([f"{value:g}" if np.isfinite(value) else "missing" for value in values])
        if not states.mode_tag or len(known) > MOST_MODES:
            groups = np.full(len(points), "no event")
        _by_group(right, points, groups)
        if states.mode_tag and len(known) <= MOST_MODES:
            right.legend(
                title=label(states.mode_tag, 18),
                loc="center left",
                bbox_to_anchor=(1.0, 0.5),
                frameon=False,
                markerscale=1.3,
            )
        for axes in (left, right):
            _spread_axes(axes, points, [])
            axes.set_xlabel("main axis of the latents")
        left.set_ylabel("second axis")
        return png(figure)


def _by_group(axes: Axes, points: Floats, groups: Any) -> None:
    """Draw each group in its own colour and marker, in the order of their numbers or names."""
    ordered = sorted(np.unique(groups.astype(str)).tolist(), key=lambda name: (len(name), name))
    plain = [name for name in ordered if name in UNMARKED]
    marked = [name for name in ordered if name not in UNMARKED]
    for name in [*plain, *marked[:MOST_COLOURED]]:
        inside = points[groups == name]
        look: dict[str, Any] = {"c": "#b5b5b5", "s": 7, "lw": 0}
        if name not in UNMARKED:
            rank = marked.index(name)
            look = {
                "c": COLOURS[rank % len(COLOURS)],
                "marker": MARKERS[rank % len(MARKERS)],
                "s": 14,
                "linewidths": 0.3,
                "edgecolors": "white",
            }
        axes.scatter(inside[:, 0], inside[:, 1], label=label(name, 14), **look)
    if rest := marked[MOST_COLOURED:]:
        inside = points[np.isin(groups.astype(str), rest)]
        axes.scatter(inside[:, 0], inside[:, 1], s=12, c=INK, marker="+", lw=0.8, label="others")


def _spread_axes(axes: Axes, normal: Floats, others: list[Floats]) -> None:
    """Compress an axis far from normal, when events would squeeze the normal rows into a dot."""
    if not len(normal) or not others:
        return
    everything = np.concatenate([normal, *others])
    for column, scale in ((0, axes.set_xscale), (1, axes.set_yscale)):
        usual = float(np.ptp(normal[:, column])) or 1.0
        if float(np.ptp(everything[:, column])) > 8 * usual:
            scale("asinh", linear_width=usual)


def history_png(history: Sequence[dict[str, float]]) -> bytes:
    """Draw the losses of the training, epoch by epoch, with the best epoch of each fold marked."""
    with mpl.rc_context(STYLE):
        figure = new_figure(2.6, (0.75, 0.1, 0.1, 0.5))
        axes = figure.subplots()
        folds = sorted({int(row.get("fold", 0)) for row in history})
        for fold in folds:
            rows = [row for row in history if int(row.get("fold", 0)) == fold]
            first = fold == folds[0]
            epoch = np.array([row.get("epoch", np.nan) for row in rows])
            for key, colour, words in (
                ("train_loss", BLUE, "train"),
                ("validate_loss", VERMILLION, "validate"),
            ):
                loss = np.array([row.get(key, np.nan) for row in rows])
                axes.plot(epoch, loss, color=colour, label=words if first else None, alpha=0.85)
            if np.isfinite(loss).any():
                best = int(np.nanargmin(loss))
                axes.plot(
                    epoch[best], loss[best], "o", ms=6, mfc="white", mec=VERMILLION, mew=1.6,
                    label="best epoch" if first else None,
                )  # fmt: skip
        losses = np.array([row.get("validate_loss", np.nan) for row in history])
        positive = losses[np.isfinite(losses) & (losses > 0)]
        if len(positive) and positive.max() > 10 * positive.min():
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axes.minorticks_off()
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("epoch (one pass over the training rows)")
        axes.set_ylabel("loss")
        axes.legend(frameon=False)
        return png(figure)


def calibration_png(
    scores: Floats, peaks: Floats, limit: float, budget_per_day: float, calibration_days: float
) -> bytes:
    """Draw the scores of normal rows and of their highest clusters, with the limit.

    Parameters
    ----------
    scores
        (n,) fused scores of the calibration rows.
    peaks
        (K,) highest score of each cluster that the tail was fitted to.
    limit
        Score above which an alarm is raised.
    budget_per_day
        Events a day that the budget allows in normal operation.
    calibration_days
        Days of normal operation behind the peaks; NaN when not known.
    """
    with mpl.rc_context(STYLE):
        figure = new_figure(2.7, (0.75, 0.1, 0.1, 0.5))
        left, right = figure.subplots(1, 2)
        unit = score_unit(limit)
        normal = np.asarray(scores)[np.isfinite(scores)] / unit
        if len(normal):
            left.hist(normal, bins=60, color=SKY, histtype="stepfilled")
            left.set_yscale("log")
            left.minorticks_off()
        left.set_ylabel("normal rows")
        top = np.sort(np.asarray(peaks)[np.isfinite(peaks)] / unit)[::-1]
        known = np.isfinite(calibration_days) and calibration_days > 0
        per = 30.0 / calibration_days if known else 1.0
        if len(top):
            right.step(top, np.arange(1, len(top) + 1) * per, "o-", where="post", color=BLUE, ms=3)
            right.set_yscale("log")
            right.minorticks_off()
        if known:
            right.axhline(30 * budget_per_day, color=GREEN, ls=":", label="budget")
        right.set_ylabel("peaks as high, per 30 days" if known else "peaks as high or higher")
        for axes in (left, right):
            axes.axvline(1.0, color=VERMILLION, ls=(0, (5, 2)), label="limit")
            axes.set_xlabel("score (1 = limit)")
        right.legend(frameon=False)
        return png(figure)
