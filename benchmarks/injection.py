"""A normal export comes in, the same export with known sensor faults goes out.

Each fault is at one tag for three hours: a step, a drift, a burst of spikes, from faint to plain in
units of the tag's normal spread, or a reading that stands still for ever longer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from sensor_ad.prepare import NORMAL_SPREAD
from sensor_ad.records import Bools, Floats
from sensor_ad.simulate import DAY, DECIMALS, NAMES

KINDS = ("step", "drift", "spikes", "stuck")
SEVERITIES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Size of a step, of a drift's end and of spikes, in normal spreads; a tag stands still for as many
hours, three at most."""
MEASURED = NAMES[2:]
"""Tags with faults: what is measured, not what is set."""
FAULT_ROWS = 180
"""Minutes that a fault lasts."""
SPIKES = 8
"""Single readings in a burst."""
STARTS = (7 * 60, 14 * 60)
"""Minutes of a day at which faults may begin: the pump runs then."""
JITTER = 60
"""A fault begins up to so many minutes later."""


@dataclass(frozen=True)
class Injected:
    """One fault that was put in."""

    kind: str
    tag: str
    severity: float
    start: int
    stop: int
    """Rows of the export: first one of the fault, first one after it."""


def normal_spreads(values: Floats, running: Bools) -> Floats:
    """(C,) robust standard deviation of each tag while the plant runs."""
    q25, q75 = np.nanpercentile(values[running], [25, 75], axis=0)
    return np.asarray((q75 - q25) / NORMAL_SPREAD)


def plan(days: int, seed: int) -> list[Injected]:
    """Spread faults over days: two a day, every kind, tag and severity equally often.

    Returns
    -------
    Faults in order of time; as many whole rounds of all of them as the days hold, or a random part
    of one round.
    """
    rng = np.random.default_rng(seed)
    slots = [day * DAY + start for day in range(days) for start in STARTS]
    every = list(product(KINDS, MEASURED, SEVERITIES))
    rounds = max(1, len(slots) // len(every))
    wanted = [every[k] for _ in range(rounds) for k in rng.permutation(len(every))]
    chosen = np.sort(rng.permutation(len(slots))[: len(wanted)])
    faults = []
    for slot, (kind, tag, severity) in zip(chosen, wanted, strict=False):
        start = slots[slot] + int(rng.integers(0, JITTER))
        rows = min(round(severity * 60), FAULT_ROWS) if kind == "stuck" else FAULT_ROWS
        faults.append(Injected(kind, tag, severity, start, start + rows))
    return faults


def inject(values: Floats, faults: Sequence[Injected], spreads: Floats, seed: int) -> Floats:
    """Put faults into readings.

    Parameters
    ----------
    values
        (T, C) normal readings in plant units, columns as the simulator's.
    faults
        What to put in where.
    spreads
        (C,) normal spread of each tag.
    seed
        Of signs and of the places of spikes.

    Returns
    -------
    (T, C) readings at each tag's resolution.
    """
    rng = np.random.default_rng(seed)
    broken = values.copy()
    for fault in faults:
        column = NAMES.index(fault.tag)
        rows, n = slice(fault.start, fault.stop), fault.stop - fault.start
        size = fault.severity * spreads[column] * rng.choice([-1, 1])
        if fault.kind == "stuck":
            broken[rows, column] = _last_known(values[: fault.start, column])
        elif fault.kind == "spikes":
            at = fault.start + rng.permutation(n)[:SPIKES]
            broken[at, column] += size
        else:
            broken[rows, column] += size * (np.arange(1, n + 1) / n if fault.kind == "drift" else 1)
        broken[rows, column] = np.round(broken[rows, column], DECIMALS[fault.tag])
    return broken


def _last_known(column: Floats) -> float:
    known = column[np.isfinite(column)]
    return float(known[-1])
