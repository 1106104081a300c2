"""What is in an export comes in; a small self-contained HTML page of it goes out."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

from sensor_ad import quality_plots
from sensor_ad.durable import write_text
from sensor_ad.inspection import Inspection
from sensor_ad.pages import Picture, render

MOST_TAG_ROWS = 1000
"""Lines of a table."""


def write_inspection(found: Inspection, path: Path, zone: ZoneInfo) -> None:
    """Write the page, whole or not at all; its folder is made when it does not exist."""
    write_text(path, inspection_html(found, zone))


def inspection_html(found: Inspection, zone: ZoneInfo) -> str:
    """Return the page; times on the clock of `zone`."""
    pictures = {}
    if len(found.availability.start_us) and found.tags:
        picture = quality_plots.availability_png(found.availability, zone)
        pictures["availability"] = Picture(picture, quality_plots.ALT)
    files = found.profile.get("files")
    facts = {
        "found": found,
        "files": [str(one["name"]) for one in files] if isinstance(files, list) else [],
        "profile": {key: value for key, value in found.profile.items() if key != "files"},
        "faulty": sum(bool(one.remarks) for one in found.quality),
        "units": {tag.name: tag.unit for tag in found.tags},
        "zone": zone.key,
        "strip_tags": quality_plots.MOST_STRIPS,
        "most": MOST_TAG_ROWS,
    }
    seconds = found.period_s is None or found.period_s < 60
    return render("inspect.html.j2", facts, pictures, zone, seconds)
