"""Facts and pictures in; self-contained HTML pages that need no network out."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from sensor_ad import wording


@dataclass(frozen=True)
class Picture:
    """One picture of a page."""

    png: bytes
    alt: str
    """What it shows, for those who cannot see it."""


def render(
    template: str,
    facts: Mapping[str, Any],
    pictures: Mapping[str, Picture],
    zone: ZoneInfo,
    seconds: bool,
) -> str:
    """Fill a template.

    Parameters
    ----------
    template
        Name of its file in `templates/`.
    facts
        What it is filled with; every text is escaped.
    pictures
        Name -> picture, which becomes part of the page.
    zone
        The plant's clock.
    seconds
        Whether times are shown to the second.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        clock=lambda us: wording.clock(us, zone, seconds),
        offset=lambda us: wording.offset(us, zone),
        utc=lambda us: wording.clock(us, seconds=seconds),
        duration=wording.duration,
        shorten=wording.shorten,
        count=wording.count,
        share=wording.share,
        kind_words=wording.kind_words,
        advice=wording.advice,
        evidence_words=wording.evidence_words,
        rarity=wording.rarity,
        span=wording.span,
        data_uri=lambda name: (
            "data:image/png;base64," + base64.b64encode(pictures[name].png).decode()
        ),
        pictures=pictures,
        is_utc=zone.key in {"UTC", "Etc/UTC"},
    )
    return environment.get_template(template).render(facts)


def _printable(value: Any) -> Any:
    """Take from a text what could hide or turn it around; everything else passes."""
    return (
        wording.clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value
    )
