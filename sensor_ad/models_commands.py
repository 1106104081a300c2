"""The commands on models: list them, look at one, put one in service, change its limit."""

from __future__ import annotations

from typing import Annotated

import typer

from sensor_ad.command_parts import (
    ConfigFile,
    Json,
    asset_workspace,
    print_json,
    print_result,
)

models_app = typer.Typer(
    help="List models, look at one, put one in service, change its limit.", no_args_is_help=True
)


@models_app.command("list", epilog="Example: sensor-ad models list pump.toml")
def models_list(config: ConfigFile, as_json: Json = False) -> None:
    """List the models of an asset; the one in service is marked."""
    from sensor_ad.tables import model_rows, print_models

    rows = model_rows(asset_workspace(config))
    if as_json:
        print_json(rows)
    else:
        print_models(rows)


@models_app.command(
    "show", epilog="Example: sensor-ad models show pump.toml 20260301T060000-1a2b3c"
)
def models_show(
    config: ConfigFile,
    model: Annotated[
        str | None, typer.Argument(help="Id of the model; the one in service if left out.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what a model was trained on, its limit and what stands behind it."""
    from sensor_ad.tables import model_facts

    workspace = asset_workspace(config)
    print_result(model_facts(workspace, model or workspace.champion()), as_json)


@models_app.command("use", epilog="Example: sensor-ad models use pump.toml 20260301T060000-1a2b3c")
def models_use(
    config: ConfigFile, model: Annotated[str, typer.Argument(help="Id of the model.")]
) -> None:
    """Put a model in service; checked before it is."""
    from sensor_ad.manifest import check_bundle

    workspace = asset_workspace(config)
    check_bundle(workspace.model_folder(model))
    with workspace.lock():
        workspace.use(model)
    typer.echo(f"{model} is in service for {workspace.folder.name}.")


@models_app.command(
    "limit",
    epilog="Examples: sensor-ad models limit pump.toml  |  "
    "sensor-ad models limit pump.toml --events 5 --reason 'two operators are on leave'  |  "
    "sensor-ad models limit pump.toml --reset",
)
def models_limit(
    config: ConfigFile,
    model: Annotated[
        str | None, typer.Argument(help="Id of the model; the one in service if left out.")
    ] = None,
    events: Annotated[
        float | None, typer.Option("--events", help="New budget: at most so many false events …")
    ] = None,
    days: Annotated[
        float | None,
        typer.Option("--days", help="… in so many days; those of the budget now if left out."),
    ] = None,
    value: Annotated[
        float | None, typer.Option("--value", help="The limit itself, a score, instead.")
    ] = None,
    reset: Annotated[bool, typer.Option("--reset", help="Go back to what training chose.")] = False,
    reason: Annotated[
        str, typer.Option("--reason", help="Why; told in reports, run.json and models list.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Show a model's limit and what other budgets would give, or change it without training."""
    from sensor_ad.limit_change import LimitRequest, change_limit, model_limit
    from sensor_ad.tables import limit_facts, print_limit

    workspace = asset_workspace(config)
    asked = LimitRequest(events, days, value, reset, reason)
    name = model or workspace.champion()
    if asked == LimitRequest():
        facts = limit_facts(model_limit(workspace, name))
    else:
        facts = limit_facts(change_limit(workspace, name, asked))
    if as_json:
        print_json(facts)
    else:
        print_limit(facts)
