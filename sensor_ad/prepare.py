"""Readings to rows that a network can take: kinds of tags, scaling, parts.

Fitted on training readings (`fit_preparation`), then the same for every export: columns in the
model's order, impossible values hidden, rows that do not count hidden, put on the grid, scaled.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import numpy as np

from sensor_ad.conditions import Condition, parse_condition
from sensor_ad.config import Config
from sensor_ad.errors import DataError
from sensor_ad.grid import Grid, Gridder, Layout, Rows
from sensor_ad.quality import QualityCount
from sensor_ad.records import Bools, Floats, Ints, Quality, Readings, Tag

Kind = Literal["continuous", "few-state", "constant", "counter"]

TRAIN, VALIDATE, CALIBRATE, UNUSED = 0, 1, 2, -1
"""Parts of the fitting rows, as labels on each row."""

STEPPED_FLOOR = 1 / 4
"""Least spread of stepped tags, as a share of their training range: a rare valve command divided
by its tiny spread would drown everything else."""
HARDLY_MOVES = 1 / 16
"""A continuous tag whose robust spread is below this share of its range is scaled like a stepped
one."""
CONSTANT_FLOOR = 0.05
"""Spread of a constant tag as a share of its value (of 1 plant unit when the value is 0)."""
CLIP = 20.0
"""Scaled values are held within ± this for the network: five training ranges, so no reading can
swamp it."""
FARTHEST = 1000.0
"""And within ± this for all that judges readings: far beyond normal is worse than beyond normal."""
NORMAL_SPREAD = 1.349
"""Interquartile range of a normal distribution with standard deviation 1."""
MIN_COUNTER_RISES = 0.1
"""A counter rises in at least this share of its steps …"""
MAX_COUNTER_FALLS = 0.001
"""… and falls (is reset) in at most this share."""
MIN_PART_WINDOWS = 20
"""Parts follow one another in time when each has so many windows; else blocked cross-fitting."""
FOLDS = 4
SHORT_TILE = 8192
"""Rows of a tile at most, of a model with little history: it is fitted in many short passes."""
SHORTEST = 48
"""Fewest rows that a model can be fitted to."""


class Network(Protocol):
    """The sizes of a network that a layout follows from; torch is not needed here."""

    stride: int

    @property
    def reach(self) -> int:
        """Rows before or after a row that it depends on."""

    @property
    def hole(self) -> int:
        """Rows without a reading, at most, that are a hole in a segment and not its end."""

    @property
    def most_rows(self) -> int:
        """Rows of a tile at most."""


@dataclass(frozen=True)
class Preparation:
    """What was learnt about the tags; fixed from training on."""

    tags: tuple[Tag, ...]
    """C tags of the model, in channel order."""
    kinds: tuple[Kind, ...]
    center: Floats
    """(C,) value that becomes 0, plant units (counters: increase per row)."""
    scale: Floats
    """(C,) plant units that become 1, above 0."""
    low: Floats
    high: Floats
    """(C,) lowest and highest training value."""
    longest_hold: Ints
    """(C,) longest stretch of equal values in training, grid rows."""
    grid: Grid
    condition: str
    """`use_when` of the config, or ""."""

    @property
    def names(self) -> tuple[str, ...]:
        """The tags' names."""
        return tuple(tag.name for tag in self.tags)

    @property
    def counters(self) -> Bools:
        """(C,) which tags are counters."""
        return np.array([kind == "counter" for kind in self.kinds])

    def scaled(self, values: Floats, most: float = CLIP) -> tuple[Floats, Floats]:
        """Scale plant units, within ± `most`.

        Returns
        -------
        (T, C) float32 scaled values, 0 where unobserved; (T, C) float32 mask, 1 where observed.
        """
        mask = np.isfinite(values)
        with np.errstate(over="ignore"):  # beyond float32 is beyond the clip, too
            x = ((values - self.center) / self.scale).astype(np.float32)
        np.clip(x, -most, most, out=x)
        x[~mask] = 0.0
        return x, mask.astype(np.float32)

    def plant_units(self, x: Floats) -> Floats:
        """(T, C) scaled values back to plant units."""
        return x * self.scale.astype(np.float32) + self.center.astype(np.float32)


@dataclass(frozen=True)
class History:
    """What a model may be fitted to: normal rows of one asset."""

    rows: Rows
    tags: tuple[Tag, ...]
    kinds: tuple[Kind, ...]
    longest_hold: Ints
    """(C,) longest stretch of equal values, rows."""
    grid: Grid


@dataclass
class RowMaker:
    """Readings of one export to grid rows; counts what is wrong with each tag meanwhile."""

    tags: tuple[Tag, ...]
    counters: Bools
    grid: Grid
    condition: Condition | None
    excluded: tuple[tuple[int, int, str], ...] = ()
    """(from, to, reason) of history that must not be learnt, UTC microseconds."""
    quality: QualityCount = field(init=False)
    unused: int = 0
    """Readings that `use_when` left out."""

    def __post_init__(self) -> None:
        self.quality = QualityCount(self.tags)
        self._gridder = Gridder(self.grid, self.counters)

    @property
    def merged(self) -> int:
        """Readings that shared a grid row with another one."""
        return self._gridder.merged

    @property
    def counter_level(self) -> tuple[int, Floats] | None:
        """Row and (K,) readings of the counters at the end, for the export that follows."""
        return self._gridder.last

    def go_on(self, level: tuple[int, Floats] | None) -> None:
        """Take the counters' readings over from the export before."""
        self._gridder.last = level

    def rows(self, chunks: Iterable[Readings]) -> Iterator[Rows]:
        """Yield the grid rows of an export, in bounded memory."""
        for readings in chunks:
            values = select_tags(readings, self.tags)
            quality = select_quality(readings, self.tags)
            values = self.quality.add(readings.time_us, values, quality)
            used = np.ones(len(values), dtype=bool)
            if self.condition is not None:
                columns = dict(zip(readings.tags, readings.values.T, strict=True))
                used = self.condition.holds(columns)
                self.unused += int(len(used) - used.sum())
            for start, stop, _ in self.excluded:
                used &= (readings.time_us < start) | (readings.time_us >= stop)
            yield self._gridder.add(readings.time_us, values, used)
        yield self._gridder.close()


def select_tags(readings: Readings, tags: tuple[Tag, ...]) -> Floats:
    """(T, C) columns in the model's order; a tag that the export lacks is NaN throughout."""
    where = {name: column for column, name in enumerate(readings.tags)}
    columns = [where.get(tag.name, -1) for tag in tags]
    if columns == list(range(readings.values.shape[1])):
        return readings.values
    padded = readings.values[:, [max(column, 0) for column in columns]]
    padded[:, [column < 0 for column in columns]] = np.nan
    return padded


def select_quality(readings: Readings, tags: tuple[Tag, ...]) -> Ints | None:
    """(T, C) `Quality` of the model's tags, no data for a tag that the export lacks; or None."""
    if readings.quality is None:
        return None
    where = {name: column for column, name in enumerate(readings.tags)}
    columns = [where.get(tag.name, -1) for tag in tags]
    quality = readings.quality[:, [max(column, 0) for column in columns]]
    quality[:, [column < 0 for column in columns]] = Quality.NO_DATA
    return quality


def row_maker(preparation: Preparation) -> RowMaker:
    """Make what turns an export's readings into rows for a fitted model."""
    condition = parse_condition(preparation.condition) if preparation.condition else None
    return RowMaker(preparation.tags, preparation.counters, preparation.grid, condition)


def model_tags(
    names: tuple[str, ...], config: Config, units: Mapping[str, str] | None = None
) -> tuple[Tag, ...]:
    """Say what is known of each column of an export; those with the role `ignore` are left out.

    `units` are those that the export itself gives; the config's go first.
    """
    given = units or {}
    known = {
        name: Tag(name, s.unit or given.get(name, ""), s.description, s.low, s.high, s.role)
        for name, s in config.tags.items()
    }
    tags = (known.get(name, Tag(name, given.get(name, ""))) for name in names)
    return tuple(tag for tag in tags if tag.role != "ignore")


def find_kinds(values: Floats, few_states: int) -> tuple[Kind | Literal["empty"], ...]:
    """Tell continuous, few-state, constant, counter and empty tags apart.

    Parameters
    ----------
    values
        (T, C) training readings in time order.
    few_states
        At most so many different values make a few-state tag.
    """
    return tuple(_kind(values[:, c], few_states) for c in range(values.shape[1]))


def _kind(column: Floats, few_states: int) -> Kind | Literal["empty"]:
    good = column[np.isfinite(column)]
    if not len(good):
        return "empty"
    if good.min() == good.max():
        return "constant"
    if len(np.unique(good[: 50 * few_states])) <= few_states and len(np.unique(good)) <= few_states:
        return "few-state"
    steps = np.diff(good)
    rises, falls = (steps > 0).mean(), (steps < 0).mean()
    if len(good) >= 100 and rises >= MIN_COUNTER_RISES and falls <= MAX_COUNTER_FALLS:
        return "counter"
    return "continuous"


def fit_preparation(
    tags: tuple[Tag, ...],
    kinds: tuple[Kind, ...],
    rows: Rows,
    grid: Grid,
    holds: Ints,
    use_when: str,
) -> Preparation:
    """Fit the scaling to grid rows.

    Parameters
    ----------
    tags, kinds
        C tags and their kinds, none of them empty.
    rows
        The rows that the scaling may see (train and validate).
    grid
        The time axis.
    holds
        (C,) longest stretch of equal values, rows.
    use_when
        The config's condition.
    """
    values = np.where(rows.used[:, None], rows.values, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column without any value is NaN
        q25, center, q75 = np.nanpercentile(values, [25, 50, 75], axis=0)
        low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
    unseen = ~np.isfinite(center)
    if unseen.any():
        name = tags[int(np.flatnonzero(unseen)[0])].name
        raise DataError(
            f"the tag {name!r} has no value in the rows to train on, at least some were expected; "
            "give it the role 'ignore', or train on a longer export."
        )
    stepped = np.array(
        [
            k in ("few-state", "counter") or t.role != "measurement"
            for k, t in zip(kinds, tags, strict=True)
        ]
    )
    scale = _spread((q75 - q25) / NORMAL_SPREAD, high - low, center, stepped)
    return Preparation(tags, kinds, center, scale, low, high, holds, grid, use_when)


def _spread(robust: Floats, span: Floats, center: Floats, stepped: Bools) -> Floats:
    """(C,) what becomes 1: the robust spread, floored as the kind of tag asks for."""
    floored = stepped | (robust < HARDLY_MOVES * span)
    spread = np.where(floored, np.maximum(robust, STEPPED_FLOOR * span), robust)
    constant = np.where(center == 0, 1.0, CONSTANT_FLOOR * np.abs(center))
    return np.where(span > 0, spread, constant)


def make_layout(
    config: Config, window: int, network: Network, grid: Grid, C: int, fine: bool
) -> Layout:
    """Work out the sizes of the packed axis for a network and its smoothing.

    Parameters
    ----------
    window
        L, rows.
    network
        Its total stride, its one-sided reach and the longest tile, rows.
    C
        Number of tags; the tile shrinks with it, so that memory stays bounded.
    fine
        Pool latents at every latent step (short series), not at every half window.
    """
    align = network.stride if fine else max(network.stride, window // 2)
    # What a causal score depends on: evidence of so many rows before, and what that was made of:
    # the network and the holes that it may bridge, means over four windows, interpolation.
    halo = 2 * (network.reach + network.hole + 2 * window + align)
    halo = -(-halo // align) * align
    if config.prepare.max_hole_s is None:
        max_hole = max(1, window // 8)
    else:
        max_hole = int(config.prepare.max_hole_s * 1e6 / grid.period_us)
    tile = 1 << int(np.log2(max(2**21 // max(C, 1), 1)))
    tile = min(tile, network.most_rows, SHORT_TILE if fine else tile)
    tile = max(tile, 4 * halo // align * align)
    return Layout(align, halo, max_hole, tile)


def known_inputs(tags: Sequence[Tag], kinds: Sequence[Kind]) -> tuple[bool, ...]:
    """(C,) tags that people or logic set: a forecaster may be told them in advance."""
    return tuple(
        tag.role != "measurement" or kind == "few-state"
        for tag, kind in zip(tags, kinds, strict=True)
    )


def split_parts(used: Bools, shares: tuple[float, float, float], window: int) -> Ints | None:
    """Label rows: parts that follow one another in time, with a window between them.

    Returns
    -------
    (T,) TRAIN, VALIDATE, CALIBRATE or UNUSED; None when a part would have fewer than 20 windows.
    """
    total = int(used.sum())
    if min(shares) * total - window < MIN_PART_WINDOWS * window:
        return None
    order = np.cumsum(used)
    first, second = shares[0] * total, (shares[0] + shares[1]) * total
    parts = np.where(order <= first, TRAIN, np.where(order <= second, VALIDATE, CALIBRATE))
    for border in (first, second):
        parts[(order > border) & (order <= border + window)] = UNUSED
    parts[~used] = UNUSED
    return parts


def split_blocks(used: Bools) -> Ints:
    """(T,) number 0..3 of the block of time that a row lies in, for blocked cross-fitting."""
    order = np.cumsum(used) - 1
    blocks: Ints = np.clip(order * FOLDS // max(1, int(used.sum())), 0, FOLDS - 1)
    return blocks


def usable_window(window: int, rows: int) -> int:
    """Shorten the window of a short series to the power of two within a twelfth of its rows.

    Raises
    ------
    DataError
        There are too few rows to fit anything.
    """
    if rows < SHORTEST:
        raise DataError(
            f"only {rows} rows are left to train on, at least {SHORTEST} are needed (some hundred "
            "windows are better); train on a longer export."
        )
    while window > 8 and window > rows / 12:
        window //= 2
    return window


def to_json(preparation: Preparation) -> dict[str, Any]:
    """Give the parts of a preparation that are not arrays, for a manifest."""
    return {
        "tags": [vars(tag) for tag in preparation.tags],
        "kinds": list(preparation.kinds),
        "grid": {"period_us": preparation.grid.period_us, "phase_us": preparation.grid.phase_us},
        "use_when": preparation.condition,
    }


def from_json(table: dict[str, Any], arrays: dict[str, Any]) -> Preparation:
    """Rebuild a preparation from a manifest and its arrays."""
    return Preparation(
        tags=tuple(Tag(**tag) for tag in table["tags"]),
        kinds=tuple(table["kinds"]),
        grid=Grid(**table["grid"]),
        condition=table["use_when"],
        **{name: arrays[name] for name in ("center", "scale", "low", "high", "longest_hold")},
    )


def with_phase(preparation: Preparation, phase_us: int) -> Preparation:
    """Give the same preparation for rows that lie elsewhere within the period."""
    return replace(preparation, grid=Grid(preparation.grid.period_us, phase_us))
