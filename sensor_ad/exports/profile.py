"""What was found of an export, as a profile that can be kept: profile in, TOML out, and back.

A kept profile is frozen: it settles what a file alone leaves open, and whatever else a later file
does otherwise is refused, not guessed again.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import tomli_w

from sensor_ad.errors import DataError, UsageError
from sensor_ad.exports.settings import BLANK, ReadSettings
from sensor_ad.exports.tally import quoted

VERSION = 1
HEAD = (
    "# How exports of this kind are read; made by `sensor-ad inspect --save-profile`.\n"
    "# An export that is written otherwise is refused: nothing is guessed again.\n"
)
LISTED = 5
"""Columns named in a message, at most."""


@dataclass(frozen=True)
class Profile:
    """How one kind of export is written."""

    kind: str
    """csv, parquet, excel."""
    columns: tuple[str, ...]
    """Their names, in any order."""
    layout: str
    evidence: str = ""
    """Why it was taken for that layout."""
    encoding: str | None = None
    separator: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    header: bool = True
    transposed: bool = False
    sheet: str | None = None
    time_columns: tuple[str, ...] = ()
    """None where times are made from row numbers or each tag has its own."""
    time_format: str | None = None
    timezone: str | None = None
    clock: str = "local"
    start: str | None = None
    period_s: float | None = None
    tag_column: str | None = None
    value_column: str | None = None
    quality_column: str | None = None
    quality_codes: str | None = None
    texts: Mapping[str, str] = field(default_factory=dict)
    states: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    """Column or tag -> unit, as the file says."""
    grid_s: float | None = None
    """Period onto which single values are brought."""


def profile_of_table(table: Mapping[str, Any]) -> Profile:
    """Make a profile of plain values, as TOML and JSON have them."""
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in table.items()
    }
    states = {tag: tuple(some) for tag, some in values.get("states", {}).items()}
    return Profile(**{**values, "states": states})


COMPARED = (
    "kind",
    "layout",
    "separator",
    "header",
    "time_columns",
    "tag_column",
    "value_column",
    "quality_column",
)
"""What a file must have in common with its profile."""
SETTLED = (
    "encoding",
    "decimal",
    "thousands",
    "header",
    "transposed",
    "sheet",
    "time_format",
    "timezone",
    "clock",
    "start",
    "period_s",
    "quality_codes",
    "grid_s",
)
"""What a profile says before a file is looked at."""


def save_profile(profile: Profile, path: Path) -> None:
    """Write a profile as TOML; refuses to replace one that is there."""
    table: dict[str, Any] = {"version": VERSION}
    for one in fields(profile):
        value = getattr(profile, one.name)
        if value is None or value in ((), {}):
            continue
        if isinstance(value, Mapping):
            value = {key: list(v) if isinstance(v, tuple) else v for key, v in value.items()}
        table[one.name] = list(value) if isinstance(value, tuple) else value
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(HEAD + tomli_w.dumps(table))
    except FileExistsError:
        raise UsageError(
            f"{path} exists already, a new file was expected; remove it to freeze a new profile, "
            "or choose another name."
        ) from None


def load_profile(path: Path) -> Profile:
    """Read a profile.

    Raises
    ------
    UsageError
        The file is missing, no TOML, or no profile; all keys at fault are named.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"the profile {path} cannot be read ({error.strerror}); correct data.profile."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(
            f"the profile {path} is not valid TOML: {error}; correct that place, or make it anew "
            "by sensor-ad inspect --save-profile."
        ) from None
    version = table.pop("version", None)
    if version != VERSION:
        raise UsageError(
            f"the profile {path} has version {version!r}, {VERSION} was expected; make it anew by "
            "sensor-ad inspect --save-profile."
        )
    known = {one.name: one for one in fields(Profile)}
    faults = []
    for key in table:
        if key not in known:
            near = get_close_matches(key, known, 1, 0.5)
            faults.append(
                f"unknown key {key!r}" + (f" (did you mean {near[0]!r}?)" if near else "")
            )
    faults += [f"{key!r} is missing" for key in ("kind", "columns", "layout") if key not in table]
    faults += _wrong_kinds(table, known)
    if faults:
        raise UsageError(f"the profile {path}: {'; '.join(faults)}; correct it or make it anew.")
    return profile_of_table(table)


def _wrong_kinds(table: Mapping[str, Any], known: Mapping[str, Any]) -> list[str]:
    """Name keys whose values are of the wrong kind."""
    faults = []
    for key, value in table.items():
        if key in known:
            wanted, fits = _KINDS[str(known[key].type).removesuffix(" | None")]
            if not fits(value):
                faults.append(f"{key!r} is {value!r} ({wanted} was expected)")
    return faults


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


_KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "str": ("a text", _is_text),
    "bool": ("true or false", lambda value: isinstance(value, bool)),
    "float": ("a number", lambda value: type(value) in (int, float)),
    "tuple[str, ...]": ("a list of texts", _are_texts),
    "Mapping[str, str]": (
        "a table of texts",
        lambda value: isinstance(value, dict) and all(map(_is_text, value.values())),
    ),
    "Mapping[str, tuple[str, ...]]": (
        "a table of lists of texts",
        lambda value: isinstance(value, dict) and all(map(_are_texts, value.values())),
    ),
}
"""Type of a field -> what it is called in a profile, and whether a value is one."""


def with_profile(settings: ReadSettings, profile: Profile) -> ReadSettings:
    """Let a profile say what the settings leave open."""
    said = {
        name: getattr(profile, name)
        for name in SETTLED
        if getattr(profile, name) is not None and _unsaid(settings, name)
    }
    if profile.separator == BLANK and settings.separator is None:
        said["separator"] = BLANK  # which nobody finds unless told
    return replace(
        settings,
        **said,
        texts={**profile.texts, **settings.texts},
        states={**profile.states, **settings.states},
    )


def _unsaid(settings: ReadSettings, name: str) -> bool:
    default = {one.name: one.default for one in fields(ReadSettings)}[name]
    return bool(getattr(settings, name) == default)


def check_against(profile: Profile, found: Profile, file: str, hidden: Sequence[str]) -> None:
    """Refuse a file that is written otherwise than its profile says.

    Parameters
    ----------
    hidden
        Columns that are read from nowhere and may come or stay away.

    Raises
    ------
    DataError
        One sentence with everything that deviates.
    """
    faults = [
        f"{name.replace('_', ' ')} is {_shown(getattr(found, name))}, not "
        f"{_shown(getattr(profile, name))}"
        for name in COMPARED
        if getattr(profile, name) not in (None, getattr(found, name))
    ]
    wanted, there = ({*one.columns} - {*hidden} for one in (profile, found))
    for what, names in (("is missing", wanted - there), ("is new", there - wanted)):
        faults += [f"column {quoted(name)} {what}" for name in sorted(names)[:LISTED]]
        if len(names) > LISTED:
            faults.append(f"{len(names) - LISTED} more columns {what.replace('is', 'are')}")
    if faults:
        raise DataError(
            f"{file}: deviates from its profile: {'; '.join(faults)}; expected what data.profile "
            "says: export it as before, or freeze a new profile (sensor-ad inspect --save-profile)."
        )


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(quoted, value)) or "none"
    return (
        "none" if value is None else quoted(value) if isinstance(value, str) else str(value).lower()
    )
