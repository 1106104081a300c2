"""Tables for the terminal: findings, models and events come in, text goes to stdout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sensor_ad.config import LimitSettings
from sensor_ad.errors import ModelError
from sensor_ad.exports import ImportedExport
from sensor_ad.inspection import Inspection
from sensor_ad.limit_change import LimitChange, ModelLimit, in_force, model_limit, read_changes
from sensor_ad.limits import Limit, back_test_facts, with_budget
from sensor_ad.records import Event, TagQuality
from sensor_ad.store import Workspace
from sensor_ad.wording import count, duration, share

LEADING = 3
SHOWN_TAGS = 6
"""Tags whose first values are shown."""
SHOWN_BUDGETS, BUDGET_DAYS = (1.0, 2.0, 5.0, 10.0, 30.0), 30.0
"""False events in so many days, for which it is shown what their limit would be."""


def print_events(events: Sequence[Event], zone: ZoneInfo) -> None:
    """Print what was found, one line per event, times in plant time."""
    if not events:
        _console().print("No events.")
        return
    table = Table(
        title=f"{len(events)} event{'s' if len(events) > 1 else ''}", title_justify="left"
    )
    for heading in ("start", "end", "severity", "picture of", "leading tags"):
        table.add_column(heading)
    for event in events:
        picture = event.kind if event.sensor is None else f"{event.kind} {event.sensor}"
        leading = ", ".join(f"{part.tag} {part.share:.0%}" for part in event.leading(LEADING))
        end = "still open" if event.open else _time(event.end_us, zone)
        cells = (
            _time(event.start_us, zone),
            end,
            f"{event.level} ({event.severity:.1f})",
            picture,
            leading,
        )
        table.add_row(*(Text(cell) for cell in cells))
    _console().print(table)


def print_inspection(found: Inspection, zone: ZoneInfo) -> None:
    """Print what is in an export."""
    console = _console()
    period = f"{found.period_s:g} s" if found.period_s is not None else found.remark or "not found"
    lines = {
        **{key: value for key, value in found.profile.items() if key != "files"},
        "rows": f"{found.account.rows_in} read, {found.account.kept} kept",
        "span": f"{_time(found.first_us, zone)} to {_time(found.last_us, zone)} ({zone})",
        "period": period,
        "gaps": _gap_text(found, zone),
    }
    for reason, rows in found.account.dropped.items():
        lines[f"dropped: {reason}"] = rows
    for key, value in lines.items():
        console.print(Text(f"{key}: {value}"))
    for note in found.account.notes:
        console.print(Text(f"note: {note}"))
    console.print(_first_rows(found, zone))
    console.print(_quality_table(found))
    for one in found.quality:
        for remark in one.remarks:
            console.print(Text(f"{one.tag}: {remark}"), soft_wrap=True)


def _first_rows(found: Inspection, zone: ZoneInfo) -> Table:
    """Show the first rows as they were understood; digital tags by their states."""
    rows = found.first_rows
    shown = rows.tags[:SHOWN_TAGS]
    more = len(rows.tags) - len(shown)
    title = "first rows, as understood" + (f" ({more} more tags)" if more else "")
    table = Table("time", *shown, title=title, title_justify="left")
    for time_us, values in zip(rows.time_us, rows.values, strict=True):
        cells = [
            _value(v, found.found.states.get(tag)) for tag, v in zip(shown, values, strict=False)
        ]
        table.add_row(_time(int(time_us), zone), *(Text(cell) for cell in cells))
    return table


def _value(value: float, states: Sequence[str] | None) -> str:
    if value != value:
        return "–"
    return states[int(value)] if states and value < len(states) else f"{value:g}"


def import_facts(imported: ImportedExport) -> dict[str, Any]:
    """Say what an import kept and dropped, for the terminal and as JSON."""
    account = imported.account()
    return {
        "file": str(imported.path),
        "report": str(imported.path.with_suffix(".json")),
        "tags": len(imported.tags),
        "rows": f"{account.rows_in} read, {account.kept} kept",
        **{f"dropped: {reason}": rows for reason, rows in account.dropped.items()},
    }


def _quality_table(found: Inspection) -> Table:
    """One line a tag; columns that would be empty are left out."""
    units = {tag.name: tag.unit for tag in found.tags}
    columns: dict[str, Callable[[TagQuality], str]] = {
        "tag": lambda one: one.tag,
        "unit": lambda one: units[one.tag],
        "kind": lambda one: one.kind,
        "missing": lambda one: share(one.missing, one.rows),
    }
    if any(one.bad or one.uncertain for one in found.quality):
        columns["bad"] = lambda one: share(one.bad, one.rows)
        columns["uncertain"] = lambda one: share(one.uncertain, one.rows)
    if any(one.out_of_range for one in found.quality):
        columns["out of range"] = lambda one: str(one.out_of_range)
    columns |= {
        "lowest": lambda one: f"{one.low:.6g}",
        "highest": lambda one: f"{one.high:.6g}",
        "mean": lambda one: f"{one.mean:.6g}",
        "held": lambda one: share(one.held, one.rows),
        "longest hold": lambda one: count(one.longest_hold, "row"),
        "longest gap": _gap_length,
        "period": _period,
    }
    table = Table(*columns)
    for one in found.quality:
        table.add_row(*(Text(words(one)) for words in columns.values()))
    return table


def _gap_length(one: TagQuality) -> str:
    if one.longest_gap is None:
        return "–"
    return duration((one.longest_gap[1] - one.longest_gap[0]) / 1e6)


def _period(one: TagQuality) -> str:
    if one.period_s is None:
        return "–"
    return duration(one.period_s) + (f" ± {duration(one.jitter_s)}" if one.jitter_s else "")


def inspection_json(found: Inspection) -> dict[str, Any]:
    """Give an inspection as JSON values; times in UTC."""
    return {
        "profile": found.profile,
        "rows": asdict(found.account),
        "first": _iso(found.first_us),
        "last": _iso(found.last_us),
        "period_s": found.period_s,
        "remark": found.remark,
        "gaps": found.gap_count,
        "longest_gaps": [[_iso(start), _iso(stop)] for start, stop in found.gaps],
        "tags": [_quality_json(one) for one in found.quality],
    }


def _quality_json(one: TagQuality) -> dict[str, Any]:
    table = {key: None if value != value else value for key, value in asdict(one).items()}
    gap = one.longest_gap
    return table | {"longest_gap": None if gap is None else [_iso(gap[0]), _iso(gap[1])]}


def model_rows(workspace: Workspace) -> list[dict[str, Any]]:
    """Sum up each model of a workspace, oldest first."""
    from sensor_ad.manifest import read_manifest

    try:
        champion = workspace.champion()
    except ModelError:
        champion = ""
    rows = []
    for folder in workspace.list_models():
        row: dict[str, Any] = {"model": folder.name, "in_service": folder.name == champion}
        try:
            manifest = read_manifest(folder)
        except ModelError as error:
            rows.append({**row, "trained": "", "rows": 0, "limit": None, "state": str(error)})
            continue
        facts = {"trained": manifest["trained"], "rows": manifest["data"]["used"]}
        rows.append({**row, **facts, **_listed_limit(workspace, manifest)})
    return rows


def _listed_limit(workspace: Workspace, manifest: dict[str, Any]) -> dict[str, Any]:
    """Give the limit in force, and how it was changed."""
    trained = manifest["limit"]["value"]
    try:
        change = in_force(read_changes(workspace, manifest["id"]))
    except ModelError as error:
        return {"limit": None, "limit_change": "", "state": str(error)}
    if change is None:
        return {"limit": trained, "limit_change": "", "state": "whole"}
    return {"limit": change.value, "limit_change": change.statement, "state": "whole"}


def model_facts(workspace: Workspace, model: str) -> dict[str, Any]:
    """Give the facts of one model for the engineer."""
    from sensor_ad.manifest import read_manifest

    folder = workspace.model_folder(model)
    found = model_limit(workspace, model)
    limit, manifest = found.now, read_manifest(folder)
    tags = [tag["name"] for tag in manifest["preparation"]["tags"]]
    data = manifest["data"]
    return {
        "model": manifest["id"],
        "asset": manifest["asset"],
        "trained": manifest["trained"],
        "data": ", ".join(data["sha256"]) or "a frame",
        "span": f"{data['first']} to {data['last']}",
        "rows": data["used"],
        "period_s": manifest["preparation"]["grid"]["period_us"] / 1e6,
        "window": manifest["window"],
        "tags": ", ".join(tags),
        "evidence": ", ".join(manifest["evidence"]),
        "fitted by": manifest["scheme"],
        "limit": limit.value,
        "limit from": limit_origin(found),
        "budget": limit.budget,
        "normal hours behind the limit": limit.hours,
        "false events on calibration data": limit.achieved,
        "back-test": limit.tested,
        "program": manifest["program"],
        "folder": str(folder),
    }


def limit_origin(found: ModelLimit) -> str:
    """Say where the limit in force comes from."""
    if found.change is None:
        return f"training ({found.trained.method})"
    return found.change.statement


def limit_facts(found: ModelLimit) -> dict[str, Any]:
    """Give what stands behind a model's limit, and what other budgets would give."""
    return {
        "model": found.model,
        "limit": found.now.value,
        "trained_limit": found.trained.value,
        "limit_from": limit_origin(found),
        "statement": found.now.statement,
        "achieved": found.now.achieved,
        "back_test": back_test_facts(found.now),
        "tested": found.now.tested,
        "budgets": [_budget_facts(found.trained, events) for events in SHOWN_BUDGETS],
        "changes": [asdict(change) for change in found.changes],
    }


def _budget_facts(trained: Limit, events: float) -> dict[str, Any]:
    """Give what another budget would give on the same normal data."""
    limit = with_budget(trained, LimitSettings(events=events, days=BUDGET_DAYS))
    numbers = ("method", "verified", "false_events", "rate", "rate_low", "rate_high")
    facts = {"events": events, "days": BUDGET_DAYS, "limit": limit.value}
    return facts | {name: getattr(limit, name) for name in numbers}


def print_limit(facts: dict[str, Any]) -> None:
    """Print a model's limit, and what other budgets would give."""
    console = _console()
    lines = {
        "model": facts["model"],
        "limit": f"{facts['limit']:.4g} (training chose {facts['trained_limit']:.4g})",
        "from": facts["limit_from"],
    }
    for key, value in lines.items():
        console.print(Text(f"{key}: {value}"), soft_wrap=True)
    for sentence in (facts["statement"], _on_calibration(facts), facts["tested"]):
        console.print(Text(sentence), soft_wrap=True)
    title = f"other budgets, per {BUDGET_DAYS:g} days"
    headings = ("false events", "limit", "on calibration data", "95 % interval", "can be verified")
    table = Table(*headings, title=title, title_justify="left")
    for budget in facts["budgets"]:
        cells = (
            f"{budget['events']:g}",
            f"{budget['limit']:.4g}",
            f"{budget['rate']:.3g}",
            f"{budget['rate_low']:.3g} to {budget['rate_high']:.3g}",
            "yes" if budget["verified"] else "no",
        )
        table.add_row(*map(Text, cells))
    console.print(table)
    changes = [LimitChange(**one) for one in facts["changes"]]
    # The one in force stands above.
    for one in reversed(changes if in_force(tuple(changes)) is None else changes[:-1]):
        console.print(Text(f"earlier: {one.statement}"), soft_wrap=True)


def _on_calibration(facts: dict[str, Any]) -> str:
    return f"False events on calibration data: {facts['achieved']}"


def print_models(rows: list[dict[str, Any]]) -> None:
    """Print the models of an asset."""
    if not rows:
        _console().print("No models yet; run 'sensor-ad train CONFIG'.")
        return
    table = Table("", "model", "trained", "rows", "limit", "state")
    for row in rows:
        limit = "" if row["limit"] is None else f"{row['limit']:.3g}"
        limit += " (changed)" if row.get("limit_change") else ""
        mark = "*" if row["in_service"] else ""
        cells = [mark, row["model"], row["trained"], str(row["rows"]), limit, row["state"]]
        table.add_row(*map(Text, cells))
    _console().print(table)
    for row in rows:
        if row.get("limit_change"):
            _console().print(Text(f"{row['model']}: {row['limit_change']}"), soft_wrap=True)


def _gap_text(found: Inspection, zone: ZoneInfo) -> str:
    if not found.gap_count:
        return "none"
    longest = "; ".join(
        f"{_time(start, zone)} to {_time(stop, zone)} ({(stop - start) / 1e6:g} s)"
        for start, stop in found.gaps
    )
    return f"{found.gap_count}, the longest: {longest}"


def _time(us: int, zone: ZoneInfo) -> str:
    return datetime.fromtimestamp(us / 1e6, zone).strftime("%Y-%m-%d %H:%M:%S")


def _iso(us: int) -> str:
    return datetime.fromtimestamp(us / 1e6, UTC).isoformat()


def _console() -> Console:
    """Make a console for stdout, wide enough for tables when it is no terminal."""
    import sys

    return Console(file=sys.stdout, width=None if sys.stdout.isatty() else 160, highlight=False)
