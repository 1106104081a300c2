"""A seed comes in; the demo plant's two exports, its tag list and the true faults go out.

The plant is a water-circulation loop: a tank feeds a fixed-speed pump, which drives the water
through a flow-control valve, the process that heats it and the exchanger that cools it, back into
the tank. A row is a minute. In here pressures are in bar (gauge), flows in m3/h, temperatures in
degC and times in rows (minutes). `python -m sensor_ad.simulate [FOLDER]` remakes `data/`.
"""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

from sensor_ad.durable import write_text
from sensor_ad.errors import UsageError
from sensor_ad.records import Bools, Floats, Tag

START = np.datetime64("2026-03-03T00:00:00", "s")
"""First row of the first export, UTC, a Tuesday."""
DAY = 24 * 60
"""Rows in a day."""
Rng = np.random.Generator

# The plant. A pressure difference over a resistance k is k·Q², k in bar/(m3/h)².
SHUT_OFF_BAR = 5.0  # pump pressure at zero flow and full speed
PUMP_CURVE = 7.0e-5  # fall of the pump's pressure with the square of its flow
SUCTION_LOSS = 1.0e-5  # tank to pump, strainer clean
PIPE_LOSS = 1.3e-4  # pipes, process and exchanger
RETURN_HEAD_BAR = 0.90  # height of the return nozzle
BAR_PER_M = 0.0981  # water column
TANK_ABOVE_PUMP_M = 5.0
TANK_LEVEL_M = 3.0  # the make-up's set-point
TANK_AREA_M2 = 8.0
MAKE_UP_LAG = 45.0  # minutes
KVS = 223.0  # flow through the open valve at 1 bar, m3/h
RANGEABILITY = 30.0  # equal-percentage valve
VALVE_AT_STOP = 0.30  # opening in which the pump is started
BEST_FLOW = 115.0  # m3/h at which the pump's efficiency is best
BEST_EFFICIENCY = 0.75
MOTOR_VOLT, MOTOR_EFFICIENCY, NO_LOAD_A = 400.0, 0.92, 10.0
UA_KW_PER_K = 140.0  # exchanger
KW_PER_FLOW_K = 1.163  # heat capacity of 1 m3/h of water
PROCESS_RISE_K = 8.0  # warming of the water by the process when flow is at its set-point

TAGS = (
    Tag("pump_running", "", "Pump on (1) or off (0)", 0, 1, "command"),
    Tag("flow_setpoint", "m3/h", "Wanted flow, set by operating mode", 0, 160, "set-point"),
    Tag("valve_position", "%", "Opening of the flow-control valve", 0, 100),
    Tag("flow", "m3/h", "Flow behind the valve", 0, 160),
    Tag("suction_pressure", "bar", "Pressure before the pump (gauge)", -1, 2),
    Tag("discharge_pressure", "bar", "Pressure behind the pump (gauge)", 0, 10),
    Tag("motor_current", "A", "Current of the pump motor, mean of the phases", 0, 80),
    Tag("vibration", "mm/s", "Vibration velocity at the drive-end bearing, RMS", 0, 25),
    Tag("bearing_temperature", "degC", "Temperature of the drive-end bearing", -20, 150),
    Tag("return_temperature", "degC", "Water temperature behind the process", 0, 100),
)
NAMES = tuple(tag.name for tag in TAGS)
DECIMALS = dict(zip(NAMES, (0, 0, 1, 1, 3, 2, 1, 2, 1, 1), strict=True))
"""Each tag's resolution, in decimals of its unit."""
NOISE = dict(zip(NAMES, (0, 0, 0.1, 0.4, 0.003, 0.012, 0.12, 0.03, 0.1, 0.1), strict=True))
"""Standard deviation of each tag's measurement noise, in its unit."""


@dataclass(frozen=True)
class Fault:
    """One true fault."""

    name: str
    kind: Literal["machine", "sensor"]
    tags: tuple[str, ...]
    """The tag at fault, or the tags in which a machine's fault shows best."""
    start: np.datetime64
    """UTC, first row of the fault."""
    end: np.datetime64
    """UTC, first row after it: the restart after the repair, or the sensor's next sound reading."""
    description: str


@dataclass(frozen=True)
class PlantExport:
    """What the historian would have written, and what was truly wrong."""

    time: npt.NDArray[np.datetime64]
    """(T,) datetime64[s], UTC, one row a minute but for a gap."""
    values: Floats
    """(T, C) in plant units, rounded to each tag's resolution, NaN where missing; C as in TAGS."""
    faults: tuple[Fault, ...]


@dataclass(frozen=True)
class Simulation:
    """The plant's history: an export of normal operation and, next in time, one with faults."""

    tags: tuple[Tag, ...]
    """C tags, in the order of the columns."""
    normal: PlantExport
    faulty: PlantExport


@dataclass(frozen=True)
class _Operation:
    """What the operators do."""

    setpoint: Floats  # (T,) m3/h
    running: Bools  # (T,)
    stops: tuple[tuple[int, int], ...]  # first row at rest, first row after


@dataclass(frozen=True)
class _Condition:
    """What is wrong with the machine, (T,) each; all zero when sound."""

    wear: Floats  # of the bearing, 0..1
    clogging: Floats  # of the suction strainer, 0..1: the pump cavitates
    closure: Floats  # part of the valve's opening that is blocked, 0..1
    leak: Floats  # m3/h lost between pump and valve


# Fault, kind, tags; start and end as day and hour of the second export; description. A machine is
# repaired at the first stop after `end`.
_Plan = tuple[str, Literal["machine", "sensor"], str, tuple[int, float], tuple[int, float], str]
_PLAN: tuple[_Plan, ...] = (
    ("spikes", "sensor", "return_temperature", (2, 9.0), (2, 11.0),
     "Loose contact: eight single readings 5 to 12 degC off"),
    ("cavitation", "machine", "suction_pressure vibration flow discharge_pressure",
     (3, 12.5), (3, 20.0), "Suction strainer clogs within two hours; pump cavitates"),
    ("bearing wear", "machine", "vibration bearing_temperature motor_current",
     (5, 6.0), (7, 20.0), "Drive-end bearing wears progressively; replaced at the stop"),
    ("partly closed valve", "machine", "valve_position flow discharge_pressure",
     (9, 8.0), (9, 20.0), "Debris blocks 65 % of the valve; the controller opens it to its end"),
    ("stuck sensor", "sensor", "motor_current", (11, 4.5), (11, 20.5),
     "Transmitter holds its last value while the mode changes thrice"),
    ("leak", "machine", "suction_pressure discharge_pressure motor_current",
     (13, 6.0), (13, 20.0), "Flange between pump and valve leaks 8 m3/h; the tank level falls"),
    ("drifting sensor", "sensor", "discharge_pressure", (15, 6.0), (17, 12.0),
     "Transmitter drifts evenly to +0.4 bar; then recalibrated"),
)  # fmt: skip
_PLAN_DAYS = 18
# Greatest severity, rows until then (0: until the repair) and power of the curve, as in _Condition.
_COURSE: dict[str, tuple[float, int, float]] = {
    "bearing wear": (1.0, 0, 1.5),
    "cavitation": (1.0, 120, 1.0),
    "partly closed valve": (0.65, 10, 1.0),
    "leak": (8.0, 60, 1.0),
}


def simulate(seed: int = 7, days: int = 20) -> Simulation:
    """Simulate the plant for twice `days` days.

    Parameters
    ----------
    seed
        Of the PCG64 generator; the same seed gives the same exports.
    days
        Length of each export in days, at least 18 for all faults to fit.

    Raises
    ------
    UsageError
        When `days` is too small.
    """
    if days < _PLAN_DAYS:
        raise UsageError(f"days is {days}; the faults need at least {_PLAN_DAYS}: give more days.")
    rng = np.random.Generator(np.random.PCG64(seed))
    operation = _operation(rng, 2 * days)
    faults = _true_faults(operation, first_row=days * DAY)
    condition = _condition(operation, faults)
    values = _measure(rng, _loop(rng, operation, condition))
    values = _break_sensors(rng, values, faults)
    time = START + np.arange(len(values)).astype("timedelta64[m]")
    parts = []
    for first, found in ((0, ()), (days * DAY, faults)):
        rows = slice(first, first + days * DAY)
        kept, readings = _lose(rng, values[rows])
        parts.append(PlantExport(time[rows][kept], readings[kept], found))
    return Simulation(TAGS, parts[0], parts[1])


def _operation(rng: Rng, days: int) -> _Operation:
    """Draw the set-points of night, two shifts, evening and weekend, and a stop a night."""
    setpoint = np.full(days * DAY, 80.0)
    running = np.ones(days * DAY, dtype=bool)
    stops = []
    levels: list[float] = []
    for day in range(days):
        change = day * DAY + np.array([6, 12, 18, 22]) * 60 + rng.integers(-20, 21, 4)
        setpoint[change[0] : change[3]] = 100.0
        for shift in range(2 if (day + 1) % 7 < 5 else 0):  # two, Monday to Friday
            levels = levels or list(rng.permutation([110.0, 120.0, 130.0]))
            setpoint[change[shift] : change[shift + 1]] = levels.pop()
        begin = day * DAY + int(rng.integers(21 * 60 + 30, 26 * 60 + 30))
        end = begin + int(rng.integers(60, 151))
        running[begin:end] = False
        stops.append((begin, end))
    return _Operation(setpoint, running, tuple(stops))


def _true_faults(operation: _Operation, first_row: int) -> tuple[Fault, ...]:
    """Date the plan."""
    faults = []
    for name, kind, tags, begin, until, description in _PLAN:
        start, end = (first_row + round(day * DAY + hour * 60) for day, hour in (begin, until))
        if kind == "machine":
            end = min(after for at, after in operation.stops if at >= end)
        first, last = START + np.timedelta64(start, "m"), START + np.timedelta64(end, "m")
        faults.append(Fault(name, kind, tuple(tags.split()), first, last, description))
    return tuple(faults)


def _rows(fault: Fault) -> slice:
    """Rows of a fault, counted from the start of the first export."""
    start, end = (int((t - START) / np.timedelta64(1, "m")) for t in (fault.start, fault.end))
    return slice(start, end)


def _condition(operation: _Operation, faults: Sequence[Fault]) -> _Condition:
    """Turn the machine's faults into their severity in time."""
    severity = {name: np.zeros(len(operation.running)) for name in _COURSE}
    for fault in faults:
        if fault.kind == "machine":
            most, ramp, power = _COURSE[fault.name]
            rows = _rows(fault)
            mended = rows.start + int(np.flatnonzero(operation.running[rows])[-1]) + 1
            age = np.arange(1, mended - rows.start + 1) / (ramp or mended - rows.start)
            severity[fault.name][rows.start : mended] = most * np.minimum(age, 1.0) ** power
    return _Condition(*severity.values())


def _loop(rng: Rng, operation: _Operation, condition: _Condition) -> Floats:
    """Solve the loop; return the true values, (T, C) in plant units.

    Pump, by the affinity laws with n the speed over its rated value: p = n²·p0 − k·Q². Tank, with
    make-up in proportion to the missing level: A·dh/dt = make-up − leak. Vibration: n², the square
    of the flow's distance from best efficiency, wear and cavitation.
    """
    T = len(operation.running)
    speed = _lag(operation.running.astype(float), 0.6)
    level = TANK_LEVEL_M + _lag(-condition.leak * MAKE_UP_LAG / 60 / TANK_AREA_M2, MAKE_UP_LAG)
    static = BAR_PER_M * (level + TANK_ABOVE_PUMP_M + _wander(rng, T, 240.0, 0.04))
    rough = 0.04 * condition.clogging * operation.running  # gas bubbles shake the pump's head
    head = SHUT_OFF_BAR * speed**2 * (1 - rough * (1 + rng.standard_normal(T)))
    suction_loss = SUCTION_LOSS * (1 + 2.0 * condition.clogging)
    opening, flow = _valve_and_flow(rng, operation, condition, static, head, suction_loss)
    through_pump = flow + np.where(flow > 0, condition.leak, 0.0)
    suction = static - suction_loss * through_pump**2
    rise = np.maximum(head - PUMP_CURVE * through_pump**2, 0.0)
    off_best = (through_pump - BEST_FLOW * speed) / BEST_FLOW
    efficiency = BEST_EFFICIENCY * (1 - np.minimum(off_best**2, 0.8))
    friction_kw = speed**3 * (0.5 + 0.8 * condition.wear)
    shaft_kw = through_pump / 3600 * rise * 100 / efficiency + friction_kw
    current = _current(rng, shaft_kw, operation.running)
    rumble = 1 + _wander(rng, T, 90.0, 0.03) + 0.03 * rng.standard_normal(T)
    vibration = 0.15 + rumble * (
        speed**2 * (1.4 + 2.2 * condition.wear) + 2.5 * off_best**2 * (flow > 0)
        + 1.1 * condition.clogging * operation.running * (1 + 0.3 * rng.standard_normal(T))
    )  # fmt: skip
    temperatures = _temperatures(rng, operation, speed, current, flow, condition.wear)
    plant = (opening * 100, flow, suction, suction + rise, current, vibration, *temperatures)
    return np.column_stack([operation.running, operation.setpoint, *plant])


def _valve_and_flow(
    rng: Rng, operation: _Operation, fault: _Condition, static: Floats, head: Floats, inlet: Floats
) -> tuple[Floats, Floats]:
    """Return the valve's opening (0..1) and the flow behind it (m3/h), (T,) each.

    Valve: Q = Kv·√dp with Kv = Kvs·R^(x−1). The controller seeks the opening that gives the
    set-point, two minutes late. The leak leaves before the valve, so that pump and suction carry
    Q + leak and the flow is the root of
    (k_pump + k_suction)·(Q + leak)² + (k_pipe + Kv⁻²)·Q² = available pressure.
    """
    before = PUMP_CURVE + inlet
    lost = before * (operation.setpoint + fault.leak) ** 2
    left = static + SHUT_OFF_BAR - RETURN_HEAD_BAR - lost
    wanted_kv = (left / operation.setpoint**2 - PIPE_LOSS).clip(1 / KVS**2 / 10) ** -0.5
    wanted = 1 + np.log(wanted_kv / (1 - fault.closure) / KVS) / np.log(RANGEABILITY)
    hunting = _wander(rng, len(wanted), 8.0, 0.003)
    wanted = np.where(operation.running, (wanted + hunting).clip(0.05, 1.0), VALVE_AT_STOP)
    opening = _lag(wanted, 2.0)
    kv = KVS * RANGEABILITY ** (opening - 1) * (1 - fault.closure)
    square, linear = before + PIPE_LOSS + kv**-2.0, before * fault.leak
    available = static + head - RETURN_HEAD_BAR - linear * fault.leak
    flow = (np.sqrt(np.maximum(linear**2 + square * available, 0.0)) - linear) / square
    return opening, np.where(head > 0.5, np.maximum(flow, 0.0), 0.0)


def _current(rng: Rng, shaft_kw: Floats, running: Bools) -> Floats:
    """Return A: load and magnetising current at right angles, the mains within about 1 %."""
    volt = MOTOR_VOLT * (1 + _wander(rng, len(running), 45.0, 0.004))
    load = shaft_kw * 1000 / (np.sqrt(3) * volt * MOTOR_EFFICIENCY)
    return np.where(running, np.hypot(load, NO_LOAD_A), 0.0)


def _temperatures(
    rng: Rng, operation: _Operation, speed: Floats, current: Floats, flow: Floats, wear: Floats
) -> tuple[Floats, Floats]:
    """Return degC of the bearing and of the water behind the process, (T,) each.

    Ambient: a daily cycle, warmest at 15:00, and bounded weather. The motor's winding (lag 60 min)
    and friction warm the bearing (25 min). The exchanger gives off what the process puts in,
    heat = ε·C·(T_return − T_cooling) with ε = 1 − exp(−UA/C); the water follows in 40 min.
    """
    phase = 2 * np.pi * (np.arange(len(flow)) / DAY - 15 / 24)
    weather = np.tanh(_wander(rng, len(flow), 600.0, 1.0))
    ambient = 14.0 + 4.0 * np.cos(phase) + 1.5 * weather
    winding_rise = _lag(0.03 * current**2, 60.0)
    bearing = _lag(ambient + 0.35 * winding_rise + speed**2 * (16.0 + 11.0 * wear), 25.0)
    capacity = KW_PER_FLOW_K * np.maximum(flow, 5.0)  # kW/K
    exchange = capacity * -np.expm1(-UA_KW_PER_K / capacity)
    load = operation.running * (1 + _wander(rng, len(flow), 180.0, 0.03))
    heat_kw = KW_PER_FLOW_K * operation.setpoint * PROCESS_RISE_K * load
    return bearing, _lag(ambient + 4.0 + heat_kw / exchange, 40.0)


def _lag(target: Floats, tau: float) -> Floats:
    """Follow `target` by a first-order lag of `tau` minutes: τ·dy/dt = target − y."""
    keep = float(np.exp(-1 / tau))
    lagged, _ = lfilter([1 - keep], [1, -keep], target, zi=[keep * target[0]])
    return np.asarray(lagged)


def _wander(rng: Rng, T: int, tau: float, sd: float) -> Floats:
    """Draw a stationary Ornstein-Uhlenbeck process with correlation time `tau` minutes."""
    keep = float(np.exp(-1 / tau))
    shocks = rng.standard_normal(T)
    shocks[0] /= np.sqrt(1 - keep**2)
    return np.asarray(sd * lfilter([np.sqrt(1 - keep**2)], [1, -keep], shocks))


def _measure(rng: Rng, true: Floats) -> Floats:
    """Add noise; flow meter and ammeter cut off at zero, as real ones do."""
    noise = rng.standard_normal(true.shape) * np.array([NOISE[name] for name in NAMES])
    cut_off = np.array([{"flow": 2.0, "motor_current": 1.0}.get(name, -np.inf) for name in NAMES])
    low, high = (np.array([getattr(tag, side) for tag in TAGS]) for side in ("low", "high"))
    return np.where(true < cut_off, 0.0, (true + noise).clip(low, high))


def _break_sensors(rng: Rng, values: Floats, faults: Iterable[Fault]) -> Floats:
    """Round to each tag's resolution and put the sensors' faults in."""
    broken = values.copy()
    for fault in faults:
        rows, column = _rows(fault), NAMES.index(fault.tags[0])
        n = rows.stop - rows.start
        if fault.name == "stuck sensor":
            broken[rows, column] = broken[rows.start - 1, column]
        elif fault.name == "drifting sensor":
            broken[rows, column] += 0.4 * np.arange(1, n + 1) / n
        elif fault.name == "spikes":
            at = rows.start + np.linspace(0, n - 1, 8).round().astype(int)
            at[1:-1] += rng.integers(-6, 7, 6)
            broken[at, column] += rng.choice([-1, 1], 8) * rng.uniform(5.0, 12.0, 8)
    rounded = [np.round(broken[:, c], DECIMALS[name]) for c, name in enumerate(NAMES)]
    return np.column_stack(rounded) + 0.0  # no minus zero


def _lose(rng: Rng, values: Floats) -> tuple[Bools, Floats]:
    """Return the rows (T,) that were written, and the readings with lost cells as NaN."""
    T, C = values.shape
    lost = rng.random((T, C)) < 5e-4
    for _ in range(12):  # a transmitter or two out of reach for some minutes
        begin, columns = int(rng.integers(0, T - 20)), rng.choice(np.arange(2, C), 2, replace=False)
        lost[begin : begin + int(rng.integers(3, 16)), columns] = True
    lost[:, :2] = False  # command and set-point come from the control system itself
    written = np.ones(T, dtype=bool)
    gap = T - 2 * DAY + int(rng.integers(8 * 60, 16 * 60))  # of the historian
    written[gap : gap + int(rng.integers(60, 91))] = False
    return written, np.where(lost, np.nan, values)


def write_demo(folder: Path) -> None:
    """Write the exports, the tag list and the true faults into `folder`, each file in one step.

    Makes or replaces `pump_normal.csv`, `pump_faults.csv`, `faults.csv` and `tags.csv`; nothing
    else in the folder is touched.

    Parameters
    ----------
    folder
        Made when missing.

    Raises
    ------
    ResourceError
        When the folder cannot be written.
    """
    plant = simulate()
    for name, export in (("pump_normal.csv", plant.normal), ("pump_faults.csv", plant.faulty)):
        columns = [np.datetime_as_string(export.time).tolist()]
        for column, decimals in zip(export.values.T.tolist(), DECIMALS.values(), strict=True):
            columns.append(["" if isnan(x) else f"{x:.{decimals}f}" for x in column])
        _write(folder / name, ("time", *NAMES), zip(*columns, strict=True))
    true = plant.faulty.faults
    faults = ((f.name, f.kind, " ".join(f.tags), f.start, f.end, f.description) for f in true)
    _write(folder / "faults.csv", ("fault", "kind", "tag", "start", "end", "description"), faults)
    tags = ((t.name, t.unit, t.description, t.low, t.high, t.role) for t in plant.tags)
    _write(folder / "tags.csv", ("tag", "unit", "description", "low", "high", "role"), tags)


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file, whole or not at all."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, text.getvalue())


def main(arguments: Sequence[str] | None = None) -> None:
    """Remake the demo data: `python -m sensor_ad.simulate [FOLDER]`."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("data"), help="default: data")
    write_demo(parser.parse_args(arguments).folder)


if __name__ == "__main__":
    main()
