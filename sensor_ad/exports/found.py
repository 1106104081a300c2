"""What was found of an export, as a profile and in words for people."""

from __future__ import annotations

from collections.abc import Sequence

from sensor_ad.exports.blocks import Plan
from sensor_ad.exports.books import Book
from sensor_ad.exports.layouts import Layout
from sensor_ad.exports.parquet import ParquetTable
from sensor_ad.exports.profile import Profile
from sensor_ad.exports.section_source import Sectioned
from sensor_ad.exports.settings import ReadSettings
from sensor_ad.exports.sources import Source
from sensor_ad.exports.tables import Table

SIGNS = {"\t": "tab", " ": "blanks", "\u00a0": "no-break blank", "\u202f": "narrow blank"}
"""Signs that cannot be seen -> how they are called."""


def profile_of(source: Source, layout: Layout, plan: Plan, settings: ReadSettings) -> Profile:
    """Gather what was found of a file."""
    table = source.sections[0].table if isinstance(source, Sectioned) else source
    dialect = table.dialect if isinstance(table, Table) else None
    time = layout.time
    stamp = time.stamp if time is not None else layout.pairs[0].time if layout.pairs else None
    return Profile(
        kind=_kind(source),
        columns=tuple(source.columns),
        layout=layout.kind,
        evidence=layout.evidence,
        encoding=None if dialect is None else dialect.encoding,
        separator=None if dialect is None else dialect.separator,
        decimal=None if dialect is None else dialect.decimal,
        thousands=None if dialect is None else dialect.thousands,
        header=settings.header,
        transposed=settings.transposed,
        sheet=source.sheet if isinstance(source, Book) else None,
        time_columns=() if time is None else time.columns,
        time_format=None if stamp is None else plan.time_formats[stamp].name,
        timezone=None if plan.in_utc else plan.zone,
        clock=settings.clock,
        start=settings.start,
        period_s=settings.period_s,
        tag_column=layout.tag,
        value_column=layout.value,
        quality_column=layout.quality,
        quality_codes=settings.quality_codes,
        texts=settings.texts,
        states=settings.states,
        units=_units(source),
        grid_s=settings.grid_s,
    )


def _kind(source: Source) -> str:
    if isinstance(source, Book):
        return "excel"
    return "parquet" if isinstance(source, ParquetTable) else "csv"


def _units(source: Source) -> dict[str, str]:
    if isinstance(source, Book):
        return source.header.units
    if isinstance(source, Sectioned):
        return dict(source.units)
    return source.dialect.units if isinstance(source, Table) else {}


def confidence_of(source: Source, profile: Profile) -> dict[str, str]:
    """Say how certain the separator and the times are, from the lines that were looked at."""
    if not isinstance(source, Table):
        return {}
    dialect = source.dialect
    told = {}
    if dialect.looked_at:
        told["separator"] = (
            f"{dialect.fitting / dialect.looked_at:.1%} of {dialect.looked_at} lines have "
            f"{len(dialect.names)} fields"
        )
    stamps = [source.columns[name] for name in profile.time_columns if name in source.columns]
    if stamps and stamps[0].times:
        others = [name for name in stamps[0].times if name != profile.time_format]
        rest = f"{' and '.join(others)} fitted the first lines too" if others else ""
        told["time format"] = rest or "no other fits the first lines"
    return told


def describe_profile(sources: Sequence[Source], profile: Profile) -> dict[str, object]:
    """Give what people read of a profile, and the files."""
    files = [source.path for source in sources]
    told: dict[str, object] = {
        "files": [{"name": path.name, "bytes": path.stat().st_size} for path in files],
        "zone": profile.timezone or "UTC",
        "time column": ", ".join(profile.time_columns) or None,
        "time format": profile.time_format or "row number",
        "kind": profile.kind,
        "layout": f"{profile.layout} ({profile.evidence})" if profile.evidence else profile.layout,
    }
    for name in (
        "separator",
        "decimal",
        "thousands",
        "encoding",
        "tag_column",
        "value_column",
        "quality_column",
        "quality_codes",
        "clock",
    ):
        value = getattr(profile, name)
        if value not in (None, "", "local"):
            told[name.replace("_", " ")] = SIGNS.get(str(value), value)
    sure = confidence_of(sources[0], profile)
    if sure:
        told["confidence"] = "; ".join(f"{name}: {why}" for name, why in sure.items())
    return told
