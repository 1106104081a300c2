"""What the commands share: arguments, where an asset's things are, how results are printed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from sensor_ad.config import Config
    from sensor_ad.store import Workspace

Exports = Annotated[list[Path], typer.Argument(help="Files or folders; together one export.")]
ConfigFile = Annotated[Path, typer.Argument(help="TOML file of the asset.")]
OptionalConfig = Annotated[
    Path | None, typer.Option("--config", "-c", help="TOML file of the asset: time zone, tags.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no messages.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Check config, exports and model; write nothing.")
]


def asset_config(path: Path | None) -> Config:
    """Read the config of an asset; the defaults when none is named."""
    from sensor_ad.config import Config, load_config

    return Config() if path is None else load_config(path)


def asset_workspace(path: Path) -> Workspace:
    """Open the workspace of an asset by its config; makes nothing."""
    from sensor_ad.store import open_workspace

    settings = asset_config(path)
    return open_workspace(settings.path(settings.workspace), settings.asset)


def print_result(facts: dict[str, Any], as_json: bool) -> None:
    """Print facts, a line each, or as JSON."""
    if as_json:
        print_json(facts)
        return
    for key, value in facts.items():
        typer.echo(f"{key}: {value}")


def print_json(value: Any) -> None:
    """Print JSON on stdout."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))
