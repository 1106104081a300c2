"""Config and exports to history: what an export is read with, and what of it a model may learn."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo

import numpy as np

from sensor_ad.compare import training_grid
from sensor_ad.conditions import parse_condition
from sensor_ad.config import Config
from sensor_ad.errors import DataError, UsageError
from sensor_ad.exports import Imports, ReadSettings
from sensor_ad.exports.profile import load_profile
from sensor_ad.grid import Rows
from sensor_ad.prepare import History, Kind, RowMaker, find_kinds, model_tags
from sensor_ad.records import Ints, Readings, RowAccount

PROBE_ROWS = 10_000
"""First rows of an export in which its period is found, however it is read."""

AS_THEY_ARE = (
    "clock", "layout", "time_column", "time_format", "tag_column", "value_column",
    "quality_column", "quality_codes", "treat_uncertain_as_bad", "texts", "max_hold_s", "separator",
    "decimal", "thousands", "header", "names", "transposed", "sheet", "encoding", "label_columns",
    "period_s", "lookback_rows", "duplicates",
)  # fmt: skip
"""Settings of `[data]` that reading takes over under the same name."""

Announce = Callable[[str, int, int], None]
"""Called with what is being done, the amount done and the amount in all."""


class AnyExport(Protocol):
    """What files and frames have in common."""

    tags: tuple[str, ...]
    total_bytes: int
    profile: dict[str, object]

    @property
    def files(self) -> tuple[Path, ...]:
        """The files, in the order in which they are read; none for a frame."""

    @property
    def units(self) -> Mapping[str, str]:
        """Tag -> unit, where the export gives one."""

    @property
    def states(self) -> Mapping[str, tuple[str, ...]]:
        """Digital tag -> its states in the order of their numbers."""

    def chunks(self, progress: Callable[[int], None] | None = None) -> Iterator[Readings]:
        """Yield the readings, sorted by time, one row for each time."""

    def account(self) -> RowAccount:
        """Return where the rows went; to be asked when `chunks` has come to its end."""


def silent(what: str, done: int, total: int) -> None:
    """Announce nothing."""


def read_settings(
    config: Config, states: Mapping[str, tuple[str, ...]] | None = None
) -> ReadSettings:
    """Say how the config wants exports to be read.

    Parameters
    ----------
    states
        States of digital tags as a model learnt them: they keep their numbers.
    """
    data = config.data
    needed = parse_condition(data.use_when).tags if data.use_when else ()
    ignored = [name for name, tag in config.tags.items() if tag.role == "ignore"]
    said = {name: tag.states for name, tag in config.tags.items() if tag.states}
    stepped = [
        name
        for name, tag in config.tags.items()
        if tag.stepped or tag.role in ("set-point", "command")
    ]
    plain = {name: getattr(data, name) for name in AS_THEY_ARE}
    return ReadSettings(
        **plain,
        timezone=data.timezone if "timezone" in data.model_fields_set else None,
        compressed=data.allow_compressed,
        ignore_columns=(*data.ignore_columns, *(n for n in ignored if n not in needed)),
        start=None if data.start is None else data.start.isoformat(),
        states={**(states or {}), **said},
        stepped=tuple(stepped),
        grid_s=config.prepare.period_s,
        profile=None if data.profile is None else load_profile(config.path(data.profile)),
    )


def workspace_imports(config: Config) -> Imports:
    """Return where imports of the config's asset are kept."""
    return Imports(config.path(config.workspace) / config.asset / "imports")


def training_exports(config: Config, exports: Sequence[Path]) -> list[Path]:
    """Name the exports to train on: those given, else those of the config."""
    paths = list(exports) or [config.path(text) for text in config.data.train]
    if not paths:
        raise UsageError(
            "no export to train on was given, at least one was expected; name it behind the "
            "config, "
            "or set data.train in the config."
        )
    return paths


def read_history(
    config: Config, export: AnyExport, announce: Announce
) -> tuple[History, RowMaker, tuple[str, ...]]:
    """Read a whole export for training.

    Returns
    -------
    The rows that may be learnt, what made them (it knows the tags' quality), and
    sentences for the user.
    """
    chunks = list(announced(export, announce))
    names = export.tags
    tags = model_tags(names, config, export.units)
    if not chunks or not tags:
        raise DataError(
            "the export has no row with a tag to train on, at least one tag was expected; "
            "check the "
            "export (sensor-ad inspect) and the roles in [tags]."
        )
    columns = [names.index(tag.name) for tag in tags]
    values = np.concatenate([chunk.values[:, columns] for chunk in chunks])
    found = find_kinds(values, config.prepare.few_states)
    del values
    empty = [tag.name for tag, kind in zip(tags, found, strict=True) if kind == "empty"]
    notes = tuple(f"the tag {name!r} has no value at all and was left out" for name in empty)
    if len(empty) == len(tags):
        raise DataError(
            f"none of the {len(tags)} tags has a single number, at least one with values was "
            f"expected; "
            "check the export (sensor-ad inspect) and its decimal sign."
        )
    pairs = [(t, k) for t, k in zip(tags, found, strict=True) if k != "empty"]
    tags = tuple(tag for tag, _ in pairs)
    kinds: tuple[Kind, ...] = tuple(kind for _, kind in pairs)
    grid = training_grid(probed(iter(chunks))[0], config)
    condition = parse_condition(config.data.use_when) if config.data.use_when else None
    counters = np.array([kind == "counter" for kind in kinds])
    maker = RowMaker(tags, counters, grid, condition, exclusions_us(config))
    pieces = list(maker.rows(chunks))
    rows = Rows(
        np.concatenate([piece.index for piece in pieces]),
        np.concatenate([piece.values for piece in pieces]),
        np.concatenate([piece.used for piece in pieces]),
    )
    if not rows.used.any():
        raise DataError(
            "no row is left to train on after use_when and exclude, some hundred were "
            "expected; check "
            "both in the config."
        )
    holds = maker.quality.longest_hold
    return History(rows, tags, kinds, holds, grid), maker, notes


def announced(export: AnyExport, announce: Announce, what: str = "reading") -> Iterator[Readings]:
    """Yield an export's chunks and tell how far they are."""
    done = 0

    def tell(more: int) -> None:
        nonlocal done
        done += more
        announce(what, done, export.total_bytes)

    yield from export.chunks(tell)


def first_rows(chunks: Iterable[Readings]) -> Iterator[Readings]:
    """Yield chunks until the probe is full."""
    rows = 0
    for chunk in chunks:
        yield chunk
        rows += len(chunk.time_us)
        if rows >= PROBE_ROWS:
            return


def probed(chunks: Iterator[Readings]) -> tuple[Ints, Iterator[Readings]]:
    """Look at the first times of a stream; gives them, and the whole stream again."""
    held = list(first_rows(chunks))
    times = [chunk.time_us for chunk in held] or [np.empty(0, np.int64)]
    return np.concatenate(times)[:PROBE_ROWS], itertools.chain(held, chunks)


def exclusions_us(config: Config) -> tuple[tuple[int, int, str], ...]:
    """(from, to, reason) of bad history, UTC microseconds."""
    return tuple(
        (_utc_us(one.from_, config.zone), _utc_us(one.to, config.zone), one.reason)
        for one in config.data.exclude
    )


def _utc_us(time: datetime, zone: ZoneInfo) -> int:
    """Naive times are plant time."""
    aware = time if time.tzinfo is not None else time.replace(tzinfo=zone)
    return round(aware.timestamp() * 1e6)
