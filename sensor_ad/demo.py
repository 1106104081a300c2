"""The demo: a folder comes in; config and exports of the simulated plant are in it afterwards."""

from __future__ import annotations

from pathlib import Path

from sensor_ad.config import Config, load_config, shipped_config
from sensor_ad.durable import write_text

CONFIG = "demo.toml"
SCORED = "pump_faults.csv"


def prepare_demo(folder: Path) -> tuple[Config, Path]:
    """Put config and data of the demo plant into `folder` where they are missing.

    Returns
    -------
    The config, and the export to be scored.
    """
    config = folder / "configs" / CONFIG
    if not config.is_file():
        write_text(config, shipped_config(CONFIG).read_text(encoding="utf-8"))
    export = folder / "data" / SCORED
    if not export.is_file():
        from sensor_ad.simulate import write_demo

        write_demo(folder / "data")
    return load_config(config), export
