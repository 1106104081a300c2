"""Does an export fit a model? Tags, units and times come in; refused or told differences go out."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from sensor_ad.config import Config
from sensor_ad.errors import DataError, ModelError
from sensor_ad.grid import Grid, find_period_us, find_phase_us
from sensor_ad.prepare import Preparation
from sensor_ad.records import Ints

PERIOD_TOLERANCE = 0.01
"""Relative difference of sampling periods that does not count."""
LISTED = 10
"""Names listed in one sentence."""


@dataclass(frozen=True)
class Differences:
    """How an export differs from what the model was trained on, and was tolerated."""

    sentences: tuple[str, ...]


def compare_tags(names: tuple[str, ...], preparation: Preparation, config: Config) -> Differences:
    """Compare an export's columns with the model's tags.

    Raises
    ------
    ModelError
        They differ in a way that the config does not tolerate; all such differences are listed.
    """
    refused: list[str] = []
    told: list[str] = []
    missing = [tag for tag in preparation.names if tag not in names]
    ignored = {name for name, tag in config.tags.items() if tag.role == "ignore"}
    extra = [name for name in names if name not in preparation.names and name not in ignored]
    if missing:
        text = f"the export lacks {_listed('tag', missing)} of the model{_renamed(missing, extra)}"
        (refused if config.compare.missing_tag == "refuse" else told).append(text)
    if extra:
        text = f"the export has {_listed('tag', extra)} that the model does not know"
        (refused if config.compare.extra_tag == "refuse" else told).append(text)
    for tag in preparation.tags:
        now = config.tags[tag.name].unit if tag.name in config.tags else ""
        if now != tag.unit and now and tag.unit:
            text = f"the unit of {tag.name!r} was {tag.unit!r} in training and is {now!r} now"
            (refused if config.compare.unit == "refuse" else told).append(text)
    if refused or len(missing) == len(preparation.tags):
        raise ModelError(
            f"the model does not fit this export: {'; '.join(refused or told)}. Score an "
            f"export with "
            "the model's tags, allow the difference in [compare] of the config, or train anew."
        )
    return Differences(tuple(told))


def compare_period(
    time_us: Ints, preparation: Preparation, config: Config, phase_us: int | None
) -> tuple[Grid, Differences]:
    """Find an export's period and place on the grid, and compare the period with the model's.

    Parameters
    ----------
    time_us
        (T,) first times of the export, UTC microseconds, in order.
    phase_us
        Place within the period of the export that this one follows; kept if the rows lie near it.
    """
    period_us = preparation.grid.period_us
    told: tuple[str, ...] = ()
    found = None if config.prepare.period_s is not None else find_period_us(time_us)
    if found is not None and abs(found - period_us) > PERIOD_TOLERANCE * period_us:
        text = (
            f"the export has a row every {found / 1e6:g} s, the model was trained on one every "
            f"{period_us / 1e6:g} s"
        )
        if config.compare.period == "refuse":
            raise ModelError(
                f"the model does not fit this export: {text}. Export at the model's period, set "
                'compare.period = "tolerate" to have it resampled, or train anew.'
            )
        told = (f"{text}; it was put on the model's grid",)
    phase = find_phase_us(time_us, period_us) if len(time_us) else preparation.grid.phase_us
    if phase_us is not None:
        distance = abs((phase - phase_us + period_us // 2) % period_us - period_us // 2)
        if distance <= period_us // 4:
            phase = phase_us
    return Grid(period_us, phase), Differences(told)


def training_grid(time_us: Ints, config: Config) -> Grid:
    """Find the grid of a model to be trained.

    Raises
    ------
    DataError
        The export has too few rows, or no steady period.
    """
    if config.prepare.period_s is not None:
        period_us = round(config.prepare.period_s * 1e6)
    else:
        found = find_period_us(time_us)
        if found is None:
            raise DataError(
                f"the export has {len(time_us)} rows, too few to find its sampling period; "
                f"train on a "
                "longer export, or set prepare.period_s."
            )
        period_us = found
    return Grid(period_us, find_phase_us(time_us, period_us))


def _listed(what: str, names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:LISTED])
    rest = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return f"the {what}{'s' if len(names) > 1 else ''} {shown}{rest}"


def _renamed(missing: list[str], extra: list[str]) -> str:
    near = difflib.get_close_matches(missing[0], extra, 1, 0.6)
    return f" (renamed to {near[0]!r}?)" if near else ""
