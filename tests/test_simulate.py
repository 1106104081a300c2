"""The demo plant: reproducible, plausible, and every fault in it can be seen."""

from __future__ import annotations

import csv
import hashlib
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from sensor_ad.errors import UsageError
from sensor_ad.simulate import DECIMALS, NAMES, PlantExport, Simulation, simulate, write_demo

ROOT = Path(__file__).parents[1]
FILES = ("pump_normal.csv", "pump_faults.csv", "faults.csv", "tags.csv")
MINUTE = np.timedelta64(1, "m")


@pytest.fixture(scope="module")
def plant() -> Simulation:
    return simulate()


@pytest.fixture(scope="module")
def remade(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    write_demo(folder)
    return folder


def column(export: PlantExport, tag: str) -> np.ndarray:
    return export.values[:, NAMES.index(tag)]


def steady(export: PlantExport) -> np.ndarray:
    """(T,) rows at which the pump has run for four hours and no value is missing."""
    running = (
        np.convolve(column(export, "pump_running") == 0, np.ones(240))[: len(export.time)] == 0
    )
    return running & ~np.isnan(export.values).any(axis=1)


def at_fault(export: PlantExport, name: str, hours_after: int = 0) -> np.ndarray:
    """(T,) rows of the named fault and of some hours after it."""
    fault = next(fault for fault in export.faults if fault.name == name)
    return (export.time >= fault.start) & (export.time < fault.end + 60 * hours_after * MINUTE)


def residuals(plant: Simulation, tag: str, given: tuple[str, ...]) -> np.ndarray:
    """(T,) second export: `tag` less what its squares-and-products fit on the first export says."""

    def design(export: PlantExport) -> np.ndarray:
        x = np.column_stack([column(export, name) for name in given]) / 100
        i, j = np.triu_indices(len(given))
        return np.column_stack([np.ones(len(x)), x, x[:, i] * x[:, j]])

    rows = steady(plant.normal)
    known = column(plant.normal, tag)[rows]
    weights, *_ = np.linalg.lstsq(design(plant.normal)[rows], known, rcond=None)
    return column(plant.faulty, tag) - design(plant.faulty) @ weights


def pinned_here() -> bool:
    """Whether numpy and scipy are the versions of constraints.txt."""
    constraints = ROOT / "constraints.txt"
    text = constraints.read_text() if constraints.exists() else ""
    pins = dict(re.findall(r"^(numpy|scipy)==([^\s;]+)", text, flags=re.MULTILINE))
    return len(pins) == 2 and all(version(name) == pin for name, pin in pins.items())


@pytest.mark.parametrize("name", FILES)
def test_committed_file_equals_remade_one(name: str, remade: Path) -> None:
    committed, fresh = (ROOT / "data" / name).read_bytes(), (remade / name).read_bytes()
    if pinned_here() or not name.startswith("pump_"):
        assert hashlib.sha256(committed).hexdigest() == hashlib.sha256(fresh).hexdigest()
        return
    one, other = (list(csv.reader(data.decode().splitlines())) for data in (committed, fresh))
    assert one[0] == other[0] == ["time", *NAMES]
    assert [row[0] for row in one] == [row[0] for row in other]
    old, new = (np.array([[x or "nan" for x in r[1:]] for r in t[1:]], float) for t in (one, other))
    resolution = 10.0 ** -np.array(list(DECIMALS.values()))
    np.testing.assert_array_less(np.nan_to_num(np.abs(old - new)) - 1.01 * resolution, 0)
    np.testing.assert_array_equal(np.isnan(old), np.isnan(new))


def test_data_folder_is_small_and_has_only_these_files(remade: Path) -> None:
    assert sorted(path.name for path in remade.iterdir()) == sorted(FILES)
    assert sum(path.stat().st_size for path in (ROOT / "data").iterdir()) <= 5_000_000


def test_write_demo_leaves_other_files_alone(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    write_demo(tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"


def test_command_remakes_files_without_torch_or_pandas(tmp_path: Path, remade: Path) -> None:
    code = (
        "import sys; from sensor_ad.simulate import main; main([sys.argv[1]])\n"
        "sys.exit(' '.join({'torch', 'pandas'} & sys.modules.keys()) or None)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "new"], check=True, cwd=ROOT)
    for name in FILES:
        assert (tmp_path / "new" / name).read_bytes() == (remade / name).read_bytes()


def test_seed_decides(plant: Simulation) -> None:
    other = simulate(seed=8)
    assert other.normal.values.shape != plant.normal.values.shape or not np.array_equal(
        other.normal.values, plant.normal.values, equal_nan=True
    )


def test_too_few_days_are_refused() -> None:
    message = "days is 5; the faults need at least 18: give more days."
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        simulate(days=5)


def test_exports_follow_one_another_with_one_gap_each(plant: Simulation) -> None:
    assert plant.faulty.time[0] - plant.normal.time[-1] == MINUTE
    for export in (plant.normal, plant.faulty):
        steps = np.diff(export.time)
        assert (steps != MINUTE).sum() == 1
        assert 60 * MINUTE <= steps.max() <= 100 * MINUTE
        assert (export.time[-1] - export.time[0]) == (20 * 24 * 60 - 1) * MINUTE


def test_some_cells_are_missing_and_few(plant: Simulation) -> None:
    for export in (plant.normal, plant.faulty):
        missing = np.isnan(export.values)
        assert not missing[:, :2].any()
        assert (missing[:, 2:].sum(axis=0) > 5).all()
        assert missing.mean() < 0.003


def test_faults_lie_apart_in_second_export_only(plant: Simulation) -> None:
    faults = plant.faulty.faults
    assert plant.normal.faults == ()
    assert {fault.name for fault in faults} == {
        "bearing wear", "cavitation", "partly closed valve", "leak",
        "stuck sensor", "drifting sensor", "spikes",
    }  # fmt: skip
    edges = [plant.faulty.time[0]]
    for fault in faults:
        edges += [fault.start, fault.end]
    edges.append(plant.faulty.time[-1])
    assert (np.diff(edges) > 0 * MINUTE).all()
    assert (np.diff(edges)[::2] >= 12 * 60 * MINUTE).all()
    assert all(set(fault.tags) <= set(NAMES) for fault in faults)
    assert all(len(fault.tags) == 1 for fault in faults if fault.kind == "sensor")


@pytest.mark.parametrize("part", ["normal", "faulty"])
def test_values_are_physical(plant: Simulation, part: str) -> None:
    export: PlantExport = getattr(plant, part)
    running = column(export, "pump_running")
    assert set(running) == {0.0, 1.0}
    assert set(column(export, "flow_setpoint")) == {80.0, 100.0, 110.0, 120.0, 130.0}
    for tag in plant.tags:
        low, high = np.nanmin(column(export, tag.name)), np.nanmax(column(export, tag.name))
        assert tag.low is not None
        assert tag.high is not None
        assert tag.low <= low < high <= tag.high
    resting = (running[2:] == 0) & (running[1:-1] == 0) & (running[:-2] == 0)
    assert np.nanmax(column(export, "flow")[2:][resting]) == 0
    if part == "normal":
        assert np.nanmax(column(export, "motor_current")[2:][resting]) == 0
        rows = steady(export)
        control = np.abs(column(export, "flow") - column(export, "flow_setpoint"))[rows]
        assert np.quantile(control, 0.95) < 3


def test_modes_and_stops_occur_in_every_part(plant: Simulation) -> None:
    """A detector learns on the first 60 % and sets its limits on the last 25 %."""
    T = len(plant.normal.time)
    parts = np.split(plant.normal.values, [int(0.6 * T), int(0.75 * T)])
    for rows in [*parts, plant.faulty.values]:
        assert set(rows[:, 1]) == {80.0, 100.0, 110.0, 120.0, 130.0}
        assert (np.diff(rows[:, 0]) == -1).sum() >= 2
    usual = steady(plant.faulty) & ~at_fault(plant.faulty, "bearing wear", 6)
    usual &= ~at_fault(plant.faulty, "partly closed valve", 6) & ~at_fault(plant.faulty, "spikes")
    known, later = plant.normal.values[steady(plant.normal), 8:], plant.faulty.values[usual, 8:]
    assert (later.max(axis=0) <= known.max(axis=0) + 1.0).all()
    assert (later.min(axis=0) >= known.min(axis=0) - 1.0).all()


MARKS = [
    # fault, tag, the tags that explain it in normal times, least multiple of the normal scatter
    ("cavitation", "suction_pressure", ("flow",), 15),
    ("cavitation", "vibration", ("flow",), 10),
    ("bearing wear", "vibration", ("flow",), 8),
    ("bearing wear", "bearing_temperature", ("motor_current", "return_temperature"), 3),
    ("partly closed valve", "valve_position", ("flow",), 50),
    ("leak", "suction_pressure", ("flow",), 8),
    ("leak", "discharge_pressure", ("flow",), 6),
    ("leak", "motor_current", ("flow",), 3),
    ("stuck sensor", "motor_current", ("flow",), 8),
    ("drifting sensor", "discharge_pressure", ("flow", "motor_current"), 10),
]


@pytest.mark.parametrize(("fault", "tag", "given", "times"), MARKS)
def test_fault_leaves_mark(
    plant: Simulation, fault: str, tag: str, given: tuple[str, ...], times: float
) -> None:
    rest = np.abs(residuals(plant, tag, given))
    rows = steady(plant.faulty)
    sound = rows & ~np.any([at_fault(plant.faulty, f.name, 6) for f in plant.faulty.faults], axis=0)
    assert np.median(rest[rows & at_fault(plant.faulty, fault)]) > times * np.median(rest[sound])
    # What was mended is as before, and the second export is as normal as the first.
    assert np.quantile(rest[sound], 0.99) < 6 * np.median(rest[sound])


def test_partly_closed_valve_starves_flow_and_raises_pressure(plant: Simulation) -> None:
    rows = steady(plant.faulty) & at_fault(plant.faulty, "partly closed valve")
    rows &= column(plant.faulty, "valve_position") > 99.5
    assert rows.sum() > 60
    assert np.mean((column(plant.faulty, "flow_setpoint") - column(plant.faulty, "flow"))[rows]) > 5
    usual = steady(plant.normal) & (column(plant.normal, "flow_setpoint") == 130)
    rise = column(plant.faulty, "discharge_pressure")[rows].mean()
    assert rise > column(plant.normal, "discharge_pressure")[usual].mean() + 0.1


def test_cavitation_shakes_flow_and_pressure(plant: Simulation) -> None:
    for tag in ("flow", "discharge_pressure"):
        shake = np.abs(np.diff(column(plant.faulty, tag), prepend=np.nan))
        rows = steady(plant.faulty) & at_fault(plant.faulty, "cavitation")
        sound = steady(plant.normal)
        usual = np.abs(np.diff(column(plant.normal, tag), prepend=np.nan))[sound]
        assert np.nanmedian(shake[rows]) > 3 * np.nanmedian(usual)


def test_stuck_sensor_holds_one_value_while_mode_changes(plant: Simulation) -> None:
    rows = at_fault(plant.faulty, "stuck sensor")
    held = column(plant.faulty, "motor_current")[rows]
    assert len(set(held[~np.isnan(held)])) == 1
    assert len(held) >= 12 * 60
    assert len(set(column(plant.faulty, "flow_setpoint")[rows])) >= 3


def test_drift_reaches_its_offset(plant: Simulation) -> None:
    fault = next(fault for fault in plant.faulty.faults if fault.name == "drifting sensor")
    rest = residuals(plant, "discharge_pressure", ("flow", "motor_current"))
    last = (plant.faulty.time < fault.end) & (plant.faulty.time >= fault.end - 30 * MINUTE)
    after = (plant.faulty.time >= fault.end) & (plant.faulty.time < fault.end + 30 * MINUTE)
    assert np.nanmedian(rest[last]) == pytest.approx(0.4, abs=0.05)
    assert np.nanmedian(rest[after]) == pytest.approx(0.0, abs=0.03)


def test_spikes_are_single_and_apart(plant: Simulation) -> None:
    rows = at_fault(plant.faulty, "spikes")
    value = column(plant.faulty, "return_temperature")[rows]
    around = np.array([np.nanmedian(value[max(0, i - 3) : i + 4]) for i in range(len(value))])
    at = np.flatnonzero(np.abs(value - around) > 3)
    assert len(at) == 8
    assert np.diff(at).min() >= 3
