"""The wheel: it has what the program needs besides its modules, and the demo runs from it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = ("sensor_ad", "configs", "pyproject.toml", "README.md", "LICENSE")


def call(*arguments: str, folder: Path, path: Path | None = None) -> str:
    """Run the present Python, with `path` as the only place of modules besides the libraries."""
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=900,
        check=False,
        env={**environment, "PYTHONUTF8": "1"},
    )
    assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy of the sources without fetching anything."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy(ROOT / name, source)
    call("-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), folder=source)
    (built,) = folder.glob("*.whl")
    return built


def test_wheel_holds_templates_configs_and_licence(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    configs = {f"sensor_ad/configs/{path.name}" for path in (ROOT / "configs").iterdir()}
    templates = {f"sensor_ad/templates/{p.name}" for p in (ROOT / "sensor_ad/templates").iterdir()}
    modules = {p.relative_to(ROOT).as_posix() for p in (ROOT / "sensor_ad").rglob("*.py")}
    assert configs >= {f"sensor_ad/configs/{name}" for name in ("default.toml", "demo.toml")}
    assert "sensor_ad/configs/schema.json" in configs
    assert templates >= {"sensor_ad/templates/report.html.j2", "sensor_ad/templates/report.css"}
    assert configs | templates | modules <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_wheel_holds_nothing_else(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"sensor_ad"}


def test_demo_runs_from_the_installed_wheel(wheel: Path, tmp_path: Path) -> None:
    target, elsewhere = tmp_path / "target", tmp_path / "elsewhere"
    elsewhere.mkdir()
    install = (
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(target),
    )
    call(*install, "--disable-pip-version-check", str(wheel), folder=elsewhere)
    where = "import sensor_ad; print(sensor_ad.__file__)"
    assert call("-c", where, folder=elsewhere, path=target).startswith(str(target))
    said = json.loads(
        call("-m", "sensor_ad.cli", "demo", "demo", "--json", folder=elsewhere, path=target)
    )
    assert said["events"]
    report = elsewhere / "demo" / "reports" / "demo-pump" / said["run"] / "index.html"
    assert said["report"] == str(report.resolve())
    assert "<html" in report.read_text(encoding="utf-8")
    assert (elsewhere / "demo" / "data" / "pump_faults.csv").is_file()
