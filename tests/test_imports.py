"""Imports point one way, light commands stay light, and nothing in the package unpickles."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import sensor_ad

PACKAGE = Path(sensor_ad.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

LAYERS = (
    {"errors", "records", "hashing", "detector_names", "prefetch", "progress", "trees",
     "periods"},
    {"durable", "trend"},
    {"manifest", "tags_file", "forest",
     "conditions", "devices", "grid", "calibration",
     "standstill", "wording", "exports", "tag_history", "tag_slots"},
    {"tag_drift", "tag_faults", "tag_levels", "slow_slots", "slow_cause", "horizons"},
    {"config", "store", "states", "quality", "simulate", "plots", "event_table", "features",
     "event_counts", "slow_normal", "slow_tag"},
    {"event_plots", "model_plots", "quality_plots", "run_plots", "pages", "prepare", "models",
     "slow_change", "detectors", "limits", "frames", "schema", "demo", "command_parts"},
    {"maps", "backtest", "alarms", "limit_change", "slow_words"},
    {"slow_plots"},
    {"report", "compare", "dense", "training"},
    {"patterns", "slow_echo"},
    {"fusion"},
    {"reading", "scoring"},
    {"inspection", "dry_run", "evidence", "slow_history", "spool", "timeline", "sensor_watch"},
    {"events", "fitting", "tables", "inspection_page"},
    {"bundle", "sensor_events", "drift_events"},
    {"run_folder"},
    {"run", "latents"},
    {"pipeline", "detector"},
    {"models_commands"},
    {"cli"},
)  # fmt: skip
"""A stage (a module or a folder of them) may import from the layers above it, and from nowhere
else in the package. A new one gets its place here."""

LAYER_OF = {stage: number for number, layer in enumerate(LAYERS) for stage in layer}

HEAVY = {
    "torch": {
        "models",
        "features",
        "training",
        "dense",
        "patterns",
        "fusion",
        "scoring",
        "fitting",
        "bundle",
        "devices",
        "latents",
        "slow_echo",
    },
    "sklearn": set(),
    "skops": set(),
    "pyod": set(),
    "matplotlib": {
        "plots",
        "event_plots",
        "model_plots",
        "quality_plots",
        "run_plots",
        "slow_plots",
    },
}
"""Library that is dear to import -> stages that may import it when they are imported themselves."""


def stage_of(path):
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(nodes):
    """Names of the modules that these statements import, ``from a import b`` as a and a.b."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "the package imports by full names"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def name_of(path):
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_point_one_way(path):
    stage = stage_of(path)
    if stage == "__init__":
        assert not any(name.startswith("sensor_ad") for name in imported(ast.walk(tree_of(path))))
        return
    assert stage in LAYER_OF, f"{stage} is new: give it a place in LAYERS"
    for name in imported(ast.walk(tree_of(path))):
        parts = name.split(".")
        assert parts[0] not in ("tests", "benchmarks")
        if parts[0] != "sensor_ad" or len(parts) < 2 or parts[1] in (stage, "__version__"):
            continue
        assert LAYER_OF[parts[1]] < LAYER_OF[stage], f"{stage} must not import {parts[1]}"


def test_layers_name_what_exists():
    assert {stage_of(path) for path in FILES} - {"__init__"} == set(LAYER_OF)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_heavy_libraries_are_imported_late(path):
    for name in imported(tree_of(path).body):
        library = name.split(".")[0]
        assert library not in HEAVY or stage_of(path) in HEAVY[library], name


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_nothing_unpickles_or_runs_text(path):
    tree = tree_of(path)
    libraries = {name.split(".")[0] for name in imported(ast.walk(tree))}
    assert not libraries & {"pickle", "joblib", "cloudpickle", "dill", "marshal", "shelve"}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        assert called not in ("eval", "exec", "compile", "__import__", "torch.load", "torch.save")
        assert not called.endswith(("read_pickle", "to_pickle", "yaml.load"))
        for keyword in node.keywords:
            assert keyword.arg != "allow_pickle" or ast.unparse(keyword.value) == "False"
            assert keyword.arg != "shell"


def modules_after(script, *arguments):
    """Run a script in a fresh Python; return the top-level modules that it imported."""
    ending = "\nimport json, sys\nprint(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    done = subprocess.run(
        [sys.executable, "-c", script + ending, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


COMMAND = """
import sys
from sensor_ad.cli import app
try:
    app(sys.argv[1:])
except SystemExit as end:
    assert not end.code, end.code
"""


@pytest.mark.parametrize("command", [(), ("score",), ("models", "use")], ids=" ".join)
def test_help_imports_no_heavy_library(command):
    found = modules_after(COMMAND, *command, "--help")
    assert "typer" in found
    assert not found & {"torch", "pandas", "numpy", "sklearn", "skops", "matplotlib"}


def test_inspect_imports_no_heavy_library(tmp_path):
    path = tmp_path / "plant.csv"
    lines = [f"2026-01-01 00:{minute:02d}:00,{minute % 7}" for minute in range(60)]
    path.write_text("\n".join(["time,flow", *lines]) + "\n")
    found = modules_after(COMMAND, "inspect", path, "--quiet")
    assert "pyarrow" in found
    assert not found & {"torch", "sklearn", "skops", "scipy", "matplotlib", "pyod"}


@pytest.mark.parametrize(
    "modules",
    [
        ("report", "plots", "run_plots", "event_plots", "model_plots", "event_table"),
        ("store", "tables", "manifest"),
    ],
    ids=["report", "store"],
)
def test_report_and_store_import_no_torch(modules):
    found = modules_after("\n".join(f"import sensor_ad.{module}" for module in modules))
    assert "numpy" in found
    assert not found & {"torch", "sklearn", "skops", "pyod"}
