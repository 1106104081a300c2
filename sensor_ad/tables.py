"""Tables for the terminal: findings, models and events come in, text goes to stdout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sensor_ad.inspection import Inspection
from sensor_ad.records import Event
from sensor_ad.store import Workspace

LEADING = 3


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
    for reason, count in found.account.dropped.items():
        lines[f"dropped: {reason}"] = count
    for key, value in lines.items():
        console.print(Text(f"{key}: {value}"))
    for note in found.account.notes:
        console.print(Text(f"note: {note}"))
    headings = ("tag", "unit", "kind", "missing", "out of range", "lowest", "highest", "mean")
    table = Table(*headings, "longest hold", "remarks")
    units = {tag.name: tag.unit for tag in found.tags}
    for one in found.quality:
        missing = f"{one.missing / max(one.rows, 1):.2%}"
        cells = [one.tag, units[one.tag], one.kind, missing, str(one.out_of_range)]
        cells += [f"{value:.6g}" for value in (one.low, one.high, one.mean)]
        table.add_row(*map(Text, [*cells, str(one.longest_hold), "; ".join(one.remarks)]))
    console.print(table)


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
        "tags": [
            {key: None if value != value else value for key, value in asdict(one).items()}
            for one in found.quality
        ],
    }


def model_rows(workspace: Workspace) -> list[dict[str, Any]]:
    """Sum up each model of a workspace, oldest first."""
    from sensor_ad.errors import ModelError
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
        rows.append({**row, **facts, "limit": manifest["limit"]["value"], "state": "whole"})
    return rows


def model_facts(folder: Path) -> dict[str, Any]:
    """Give the facts of one model for the engineer."""
    from sensor_ad.manifest import read_manifest

    manifest = read_manifest(folder)
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
        "limit": manifest["limit"]["value"],
        "normal hours behind the limit": manifest["limit"]["hours"],
        "program": manifest["program"],
        "folder": str(folder),
    }


def print_models(rows: list[dict[str, Any]]) -> None:
    """Print the models of an asset."""
    if not rows:
        _console().print("No models yet; run 'sensor-ad train CONFIG'.")
        return
    table = Table("", "model", "trained", "rows", "limit", "state")
    for row in rows:
        limit = "" if row["limit"] is None else f"{row['limit']:.3g}"
        mark = "*" if row["in_service"] else ""
        cells = [mark, row["model"], row["trained"], str(row["rows"]), limit, row["state"]]
        table.add_row(*map(Text, cells))
    _console().print(table)


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
