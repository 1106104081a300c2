"""The commands: parse, call, print. Data goes to stdout, messages to stderr."""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sensor_ad import __version__
from sensor_ad.command_parts import (
    ConfigFile,
    DryRun,
    Exports,
    Json,
    OptionalConfig,
    Quiet,
    asset_config,
    asset_workspace,
    print_json,
    print_result,
)
from sensor_ad.errors import PARTLY_DONE, SensorAdError, UsageError, lack_of_memory
from sensor_ad.models_commands import models_app
from sensor_ad.progress import Progress, messages

if TYPE_CHECKING:
    from sensor_ad.config import Config

app = typer.Typer(
    name="sensor-ad",
    help="Find faults in industrial machines from their sensor data.\n\n"
    "Train on an export of normal operation, score the next export, read the report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.add_typer(models_app, name="models")

INTERRUPTED, TERMINATED = 130, 143
PASSIVE_THREADS = {"OMP_WAIT_POLICY": "PASSIVE", "OPENBLAS_NUM_THREADS": "1"}


@app.command(epilog="Example: sensor-ad demo")
def demo(
    folder: Annotated[
        Path, typer.Argument(help="Where data, config, model and report go; made if missing.")
    ] = Path("sensor-ad-demo"),
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train on a simulated pump, score its faults, write the report.

    Files that are already there (data/, configs/demo.toml) are used as they are.
    """
    from sensor_ad.demo import prepare_demo
    from sensor_ad.pipeline import score as run_score
    from sensor_ad.pipeline import train as run_train

    config, export = prepare_demo(folder)
    with Progress(quiet) as progress:
        trained = run_train(config, (), progress.tell)
        messages(_training_lines(trained), quiet)
        scored = run_score(config, [export], progress.tell, use_context=False)
    _print_run(scored, config, as_json)


@app.command(
    epilog="Examples: sensor-ad inspect export.csv  |  sensor-ad inspect exports/ -c pump.toml  |  "
    "sensor-ad inspect export.csv --html export.html  |  "
    "sensor-ad inspect export.csv --save-profile plant.toml"
)
def inspect(
    exports: Exports,
    config: OptionalConfig = None,
    html: Annotated[
        Path | None, typer.Option("--html", help="Also write a page with pictures to this file.")
    ] = None,
    save_profile: Annotated[
        Path | None,
        typer.Option("--save-profile", help="Freeze how the export is written in this file."),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show what is in an export: columns, period, gaps, kinds of tags, quality of each tag."""
    from sensor_ad.inspection import inspect as run_inspect
    from sensor_ad.tables import inspection_json, print_inspection

    settings = asset_config(config)
    with Progress(quiet) as progress:
        found = run_inspect(exports, settings, progress.tell)
    if save_profile is not None:
        from sensor_ad.exports.profile import save_profile as save

        save(found.found, save_profile)
        messages([f"the profile is {save_profile}; name it by data.profile in the config"], quiet)
    if html is not None:
        from sensor_ad.inspection_page import write_inspection

        write_inspection(found, html, settings.zone)
        messages([f"the page is {html}"], quiet)
    if as_json:
        print_json(inspection_json(found))
    else:
        print_inspection(found, settings.zone)


@app.command("import", epilog="Example: sensor-ad import pump.toml exports/2026-03")
def import_exports(
    config: ConfigFile, exports: Exports, as_json: Json = False, quiet: Quiet = False
) -> None:
    """Bring exports of any layout and order into one canonical Parquet file of the workspace.

    Training and scoring find it again by the content of the exports. They import by themselves
    what they cannot read at once; tables whose rows are far out of order need this command.
    """
    from sensor_ad.exports import ImportedExport, open_export
    from sensor_ad.reading import read_settings, workspace_imports
    from sensor_ad.tables import import_facts

    settings = asset_config(config)
    with asset_workspace(config).lock(), Progress(quiet) as progress:
        imported = open_export(
            exports,
            read_settings(settings),
            workspace_imports(settings),
            lambda done, total: progress.tell("importing", done, total),
            keep=True,
        )
    assert isinstance(imported, ImportedExport)
    messages(imported.account().notes, quiet)
    print_result(import_facts(imported), as_json)


@app.command(epilog="Examples: sensor-ad train pump.toml  |  sensor-ad train pump.toml january.csv")
def train(
    config: ConfigFile,
    exports: Annotated[
        list[Path] | None, typer.Argument(help="Instead of data.train of the config.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    dry_run: DryRun = False,
) -> None:
    """Train a model on exports of normal operation and put it in service.

    Ctrl-C saves the training; the same command goes on with it.
    """
    settings = asset_config(config)
    if dry_run:
        from sensor_ad.dry_run import check_training

        with Progress(quiet) as progress:
            print_result(check_training(settings, exports or [], progress.tell), as_json)
        return
    from sensor_ad.pipeline import train as run_train

    try:
        with Progress(quiet) as progress:
            trained = run_train(settings, exports or [], progress.tell)
    except KeyboardInterrupt:
        messages(["interrupted; finished epochs are saved, the same command goes on."], quiet)
        raise
    from sensor_ad.limits import back_test_facts

    messages(trained.notes, quiet)
    limit = trained.fitted.limit
    result = {
        "model": trained.model,
        "folder": str(trained.folder),
        "rows": trained.account.kept,
        "rows_learnt": trained.learnt,
        "fitted_by": trained.fitted.scheme,
        "limit": limit.value,
        "statement": limit.statement,
        "achieved": limit.achieved,
        "back_test": back_test_facts(limit),
        "seconds": {name: round(value, 2) for name, value in trained.seconds.items()},
    }
    if as_json:
        print_json(result)
    else:
        for line in _training_lines(trained):
            typer.echo(line)


@app.command(
    epilog="Examples: sensor-ad score pump.toml march.csv  |  sensor-ad score pump.toml exports/"
)
def score(
    config: ConfigFile,
    exports: Exports,
    model: Annotated[
        str | None, typer.Option("--model", help="Id of another model than the one in service.")
    ] = None,
    no_context: Annotated[
        bool, typer.Option("--no-context", help="Do not go on from the export scored before.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    dry_run: DryRun = False,
) -> None:
    """Score exports with the model in service and write the report."""
    settings = asset_config(config)
    if dry_run:
        from sensor_ad.dry_run import check_scoring

        print_result(check_scoring(settings, exports, model), as_json)
        return
    from sensor_ad.pipeline import score as run_score

    with Progress(quiet) as progress:
        scored = run_score(settings, exports, progress.tell, model, use_context=not no_context)
    messages(scored.notes, quiet)
    _print_run(scored, settings, as_json)
    if not scored.scorable:
        messages(["no row of this export could be scored; the report says why."], quiet=False)
        raise typer.Exit(PARTLY_DONE)


@app.command(
    epilog="Examples: sensor-ad features pump.toml march.csv  |  "
    "sensor-ad features pump.toml march.csv --layer 'encoder.*' --pool mean  |  "
    "sensor-ad features pump.toml --layers"
)
def features(
    model: Annotated[Path, typer.Argument(help="Config of the asset, or a model's folder.")],
    exports: Annotated[
        list[Path] | None, typer.Argument(help="Files or folders; together one export.")
    ] = None,
    layer: Annotated[
        list[str] | None,
        typer.Option("--layer", "-l", help="Hidden layer or pattern; the bottleneck if left out."),
    ] = None,
    pool: Annotated[
        str, typer.Option("--pool", help="mean_spread, mean, max, last (of a window), or none.")
    ] = "mean_spread",
    tag: Annotated[
        list[str] | None, typer.Option("--tag", "-t", help="Tag whose readings stand beside.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Parquet file.")] = Path(
        "features.parquet"
    ),
    layers: Annotated[bool, typer.Option("--layers", help="List the model's layers.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write features of a model's hidden layers, for an export prepared as in training."""
    from sensor_ad.latents import model_layers, open_model, write_features

    bundle, settings = open_model(model)
    if layers:
        from sensor_ad.features import layer_table

        found = model_layers(bundle)
        if as_json:
            print_json([dataclasses.asdict(one) for one in found])
        else:
            typer.echo(layer_table(found))
        return
    if not exports:
        raise UsageError("no export was named, at least one was expected; put it behind the model.")
    from sensor_ad.exports import open_export
    from sensor_ad.reading import read_settings

    export = open_export(exports, read_settings(settings))
    with Progress(quiet) as progress:
        written = write_features(
            bundle, settings, export, out, layer or (), pool, tag or (), progress.tell
        )
    messages(written.notes, quiet)
    sizes = ", ".join(f"{name} ({size})" for name, size in written.layers.items())
    facts = {"file": str(written.path), "rows": written.rows, "layers": sizes}
    print_result({**facts, "layers": written.layers} if as_json else facts, as_json)


@app.command(
    "map",
    epilog="Examples: sensor-ad map features.parquet --colour tag:pump_running  |  "
    "sensor-ad map features.parquet --method tsne --colour events.csv",
)
def draw_map(
    features: Annotated[Path, typer.Argument(help="File that `sensor-ad features` wrote.")],
    colour: Annotated[
        str, typer.Option("--colour", "-c", help="time, tag:NAME, or a run's events.csv.")
    ] = "time",
    method: Annotated[str, typer.Option("--method", "-m", help="pca or tsne.")] = "pca",
    out: Annotated[Path, typer.Option("--out", "-o", help="PNG file.")] = Path("map.png"),
) -> None:
    """Draw features on a plane, coloured by time, by a tag (an operating mode), or by event."""
    from sensor_ad.maps import draw_map as draw

    typer.echo(draw(features, colour, method, out))


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sensor-ad {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run a command; the user's faults end in one line and their exit code."""
    signal.signal(signal.SIGTERM, _terminate)
    # Before torch and numpy are loaded: threads that wait actively slow a busy PC down many times.
    for name, value in PASSIVE_THREADS.items():
        os.environ.setdefault(name, value)
    try:
        app(standalone_mode=True)
    except SensorAdError as error:
        typer.echo(f"sensor-ad: {error}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except (MemoryError, RuntimeError) as error:
        lacking = lack_of_memory(error)
        if lacking is None:
            raise
        typer.echo(f"sensor-ad: {lacking}", err=True)
        sys.exit(lacking.exit_code)


def _terminate(number: int, frame: FrameType | None) -> None:
    sys.exit(TERMINATED)


def _training_lines(trained: Any) -> list[str]:
    limit = trained.fitted.limit
    return [
        f"Model {trained.model} was trained on {trained.learnt} rows "
        f"({trained.fitted.scheme}) and is in service.",
        limit.statement,
        f"False events on calibration data: {limit.achieved}",
        limit.tested,
    ]


def _print_run(scored: Any, config: Config, as_json: bool) -> None:
    from sensor_ad.tables import print_events

    if as_json:
        print_json(
            {
                "run": scored.run,
                "report": str(scored.folder / "index.html"),
                "model": scored.model,
                "rows": scored.rows,
                "scorable_rows": scored.scorable,
                "limit": scored.limit,
                "statement": scored.statement,
                "events": [dataclasses.asdict(event) for event in scored.events],
                "notes": list(scored.notes),
                "seconds": {name: round(value, 2) for name, value in scored.seconds.items()},
            }
        )
        return
    print_events(scored.events, config.zone)
    typer.echo(f"{scored.scorable} of {scored.rows} rows were scored. {scored.statement}")
    typer.echo(f"Report: {scored.folder / 'index.html'}")


if __name__ == "__main__":
    main()
