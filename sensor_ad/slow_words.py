"""How tags have slowly changed comes in; the sentences of the report and run.json go out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any

from sensor_ad.records import Event
from sensor_ad.slow_change import SlowChange
from sensor_ad.slow_tag import LASTING, Drift, TagChange
from sensor_ad.wording import clock, count, duration, iso, shorten

NAMED = 6
"""Tags or events named in one sentence."""
MANY_DAYS = 20
"""From a drift of so many days on, its rate is given for 30 days."""
RETRAIN = (
    "If the machine is well, train again with readings of these conditions: sensor-ad train CONFIG"
)
UNKNOWN = (
    "This model does not know what slow change is normal: its history was too short to tell, or it "
    "was trained before this was learnt. Train again with some weeks: sensor-ad train CONFIG."
)


def rule_words(change: SlowChange, zone: tzinfo) -> tuple[str, ...]:
    """Say how slow levels are found, with the lengths of time that this model uses."""
    if change.normal is None:
        return (UNKNOWN,)
    span, slot = duration(change.span_us / 1e6), duration(change.slots.width_us / 1e6)
    lasting = duration(LASTING * change.span_us / 1e6)
    least = duration(change.least_us / 1e6)
    short = (
        f"There are too few readings to tell slow change: it takes {least} of them, in this export "
        f"and those scored before it in turn."
    )
    told = (
        f"A tag's slow level is the median over {span} of readings of its means over {slot}: "
        f"faults of less than half that do not move it. What is said below lasted {lasting} "
        f"without a break."
    )
    if len(change.slots.start_us) and change.slots.start_us[0] < change.since_us:
        since = clock(int(change.slots.start_us[0]), zone)
        told += f" It looks back to {since}, as the exports before this one were scored, too."
    return (told,) if change.told else (short, told)


def meanings(change: SlowChange) -> tuple[tuple[str, str], ...]:
    """Say what each status means."""
    if change.normal is None or not change.told:
        return ()
    span, slot = duration(change.span_us / 1e6), duration(change.slots.width_us / 1e6)
    return (
        ("as in training", "the level is one that the history had, too."),
        (
            "normal change",
            "the level is new, but the other tags explain it: reading − expected stays in its "
            "normal band (three times as wide while another tag's level is new, too), learnt from "
            f"{change.normal.spans} × {span} of readings that the network did not learn from.",
        ),
        (
            "drift",
            "reading − expected has left that band, on one side, and no other tag's offset makes "
            "it do so. The network is given the reading too and follows it in part, so the true "
            "drift is larger. After a sensor was replaced or set anew on purpose, train again.",
        ),
        (
            "beyond training",
            f"the level lies outside every mean over {slot} of the history: the model is asked "
            "about conditions that it never saw.",
        ),
        (
            "unclear",
            "reading − expected has left its band while another tag is in new conditions (a "
            f"quarter of its means over {slot} lie outside all of the history), so that what is "
            "expected cannot be relied on; or the level is new, and explained only now and then.",
        ),
    )


def notice(change: SlowChange | None, zone: tzinfo) -> str:
    """Say in one line what has drifted or is beyond training; empty when nothing is."""
    if change is None:
        return ""
    parts = []
    drifting = change.having("drift")
    if drifting:
        named = [_brief(one, zone) for one in drifting[:NAMED]]
        more = _more(len(drifting))
        verb = "drifts" if len(drifting) == 1 else "drift"
        parts.append(f"{count(len(drifting), 'tag')} {verb}: {'; '.join(named)}{more}")
    beyond = change.having("beyond training")
    if beyond:
        named = [shorten(one.tag, 60) for one in beyond[:NAMED]]
        more = _more(len(beyond))
        parts.append(f"{count(len(beyond), 'tag')} beyond training: {', '.join(named)}{more}")
    return ". ".join(parts)


def tag_words(one: TagChange, change: SlowChange, zone: tzinfo) -> str:
    """Say what the status of a tag means."""
    if one.drift is not None:
        return _drift_words(one, one.drift, change, zone)
    if one.status in ("beyond training", "unclear"):
        return _beyond_words(one, change, zone)
    if one.status == "normal change":
        low, high = _range(one, change)
        words = f"{_stretch(one, zone)} outside {low} to {high}, and the other tags explain it"
    elif one.status == "not judged":
        return "too few readings"
    elif one.brief:
        lasting = duration(LASTING * change.span_us / 1e6)
        words = f"strayed for less than {lasting}: left to the events"
    else:
        words = ""
    return f"{words}{'; ' if words and one.reaches_us else ''}{_moving(one, zone)}"


def drift_records(change: SlowChange | None) -> list[dict[str, Any]]:
    """Give what run.json says of drifts; times in UTC."""
    if change is None or change.normal is None:
        return []
    bands = dict(zip(change.names, change.normal.band.tolist(), strict=True))
    return [
        {
            "tag": one.tag,
            "unit": one.unit,
            "from": iso(drift.start_us),
            "to": iso(drift.end_us),
            "open": drift.open,
            "farthest": drift.farthest,
            "last": drift.last,
            "band": bands[one.tag],
            "per_day": drift.per_day,
            "course": drift.course,
            "alone": drift.alone if drift.alone == drift.alone else None,
        }
        for one in change.tags
        for drift in one.drifts
    ]


def part_of(events: Sequence[Event], one: TagChange) -> list[Event]:
    """Give the events that a drifting tag leads while it drifts: they are one matter."""
    return [
        event
        for event in events
        if event.tags
        and event.tags[0].tag == one.tag
        and any(d.start_us <= event.end_us and event.start_us <= d.end_us for d in one.drifts)
    ]


def drift_of(events: Sequence[Event], change: SlowChange | None) -> dict[str, str]:
    """Give the drifting tag of each event that is part of a drift, by the event's id."""
    drifting = () if change is None else change.having("drift")
    return {event.id: one.tag for one in drifting for event in part_of(events, one)}


def events_words(events: Sequence[Event], names: Mapping[str, str]) -> str:
    """Name the events that belong to a drift."""
    if not events:
        return ""
    named = ", ".join(names[event.id] for event in events[:NAMED])
    verb = "is" if len(events) == 1 else "are"
    return f"{count(len(events), 'event')} {verb} part of it ({named}{_more(len(events))})"


@dataclass(frozen=True)
class Line:
    """What the report's table says of one tag."""

    tag: str
    status: str
    level: str
    """Lowest to highest slow level in this export."""
    history: str
    """The same of the history, with its leeway."""
    strayed: str
    """Farthest slow residual and its normal band."""
    words: str
    """What the status means."""


@dataclass(frozen=True)
class Section:
    """What the report says of slow change."""

    rule: tuple[str, ...]
    meanings: tuple[tuple[str, str], ...]
    """Status -> what it means."""
    lines: tuple[Line, ...]
    together: int
    """Tags that drift at the same time as another one."""


def section(
    change: SlowChange, events: Sequence[Event], names: Mapping[str, str], zone: tzinfo
) -> Section:
    """Put into words how all tags have slowly changed.

    Parameters
    ----------
    names
        Event id -> its name in the report.
    zone
        The plant's clock.
    """
    lines = []
    for one in change.tags if change.told else ():
        low, high = _range(one, change)
        strayed = amount(one.strayed, one.unit, sign=True)
        if one.strayed == one.strayed and _band(one, change) < float("inf"):
            strayed += f" (±{amount(_band(one, change), '', digits=3)})"
        own = events_words(part_of(events, one), names)
        words = ". ".join(p[:1].upper() + p[1:] for p in (tag_words(one, change, zone), own) if p)
        here = f"{amount(one.low, '')} to {amount(one.high, one.unit)}"
        lines.append(Line(one.tag, one.status, here, f"{low} to {high}", strayed, words))
    return Section(rule_words(change, zone), meanings(change), tuple(lines), _together(change))


def amount(value: float, unit: str, sign: bool = False, digits: int = 4) -> str:
    """Return a value with its unit; with its sign, to three digits.

    Examples
    --------
    >>> amount(0.31249, "bar", sign=True), amount(50.0, "")
    ('+0.312 bar', '50')
    """
    if value != value:
        return "–"
    number = f"{value:+.3g}" if sign else f"{value:.{digits}g}"
    return f"{number} {shorten(unit, 20)}".rstrip()


def _drift_words(one: TagChange, drift: Drift, change: SlowChange, zone: tzinfo) -> str:
    far = drift.last if drift.open else drift.farthest
    band = amount(_band(one, change), one.unit, digits=3)
    days = (drift.end_us - drift.start_us) / 86_400e6
    rate = f"{amount(drift.per_day, one.unit, sign=True)} a day"
    if days >= MANY_DAYS:
        rate = f"{amount(30 * drift.per_day, one.unit, sign=True)} in 30 days"
    course = drift.course if drift.course == "steady" else f"{drift.course}, {rate}"
    if drift.open:
        words = f"left its band (±{band}) about {clock(drift.start_us, zone)} and is there still: "
        words += f"{amount(far, one.unit, sign=True)} now, {course}"
    else:
        words = f"outside its band (±{band}) from about {clock(drift.start_us, zone)} to "
        words += f"{clock(drift.end_us, zone)}: {amount(far, one.unit, sign=True)} at most, "
        words += f"{course}; then it was back"
    if len(one.drifts) > 1:
        words += f"; {count(len(one.drifts) - 1, 'more time')} in this export"
    if drift.alone == drift.alone:
        off = amount(drift.alone, one.unit, sign=True)
        return f"{words}. If the sensor alone is at fault, it is off by {off}; else look for wear"
    return f"{words}. Check the sensor, then the machine for wear"


def _beyond_words(one: TagChange, change: SlowChange, zone: tzinfo) -> str:
    others = ", ".join(shorten(name, 40) for name in one.others[:NAMED]) + _more(len(one.others))
    verb = "is" if len(one.others) == 1 else "are"
    if one.status == "unclear" and not others:
        low, high = _range(one, change)
        return f"{_stretch(one, zone)} outside {low} to {high}, only in part explained by others"
    if one.status == "unclear":
        drifted = set(one.others) <= set(_drifting_with(one, change))
        told = "drifted" if drifted else f"{verb} in new conditions"
        return f"{_stretch(one, zone)} off what is expected, while {others} {told}"
    low, high = _range(one, change, slots=True)
    words = f"{_stretch(one, zone)} outside {low} to {high}, all that the model learnt from"
    if others:
        words += f"; {others} {verb} in new conditions, too"
    drifting = [shorten(name, 40) for name in _drifting_with(one, change)]
    if drifting:
        named = ", ".join(drifting[:NAMED]) + _more(len(drifting))
        return f"{words}. At the same time {named} drifted: look at the machine first"
    return f"{words}. {RETRAIN}"


def _drifting_with(one: TagChange, change: SlowChange) -> list[str]:
    """Name the tags that drifted while one was beyond training."""
    if one.span is None:
        return []
    start, end = one.span
    return [
        other.tag
        for other in change.tags
        if any(drift.start_us < end and start < drift.end_us for drift in other.drifts)
    ]


def _together(change: SlowChange) -> int:
    """Count the tags that drift at the same time as another one."""
    drifting = change.having("drift")
    return sum(
        any(
            mine.start_us < its.end_us and its.start_us < mine.end_us
            for other in drifting
            if other is not one
            for mine in one.drifts
            for its in other.drifts
        )
        for one in drifting
    )


def _stretch(one: TagChange, zone: tzinfo) -> str:
    if one.span is None:
        return ""
    start = clock(one.span[0], zone)
    return f"since about {start}" if one.open else f"{start} to {clock(one.span[1], zone)}"


def _moving(one: TagChange, zone: tzinfo) -> str:
    if one.reaches_us is None:
        return ""
    rate = f"{amount(30 * one.per_day, one.unit, sign=True)} in 30 days"
    when = clock(one.reaches_us, zone)[:10]
    return f"moves by {rate} against the others; leaves its band about {when} if that goes on"


def _brief(one: TagChange, zone: tzinfo) -> str:
    drift = one.drift
    assert drift is not None
    far = amount(drift.last if drift.open else drift.farthest, one.unit, sign=True)
    since = clock(drift.start_us, zone)
    until = "" if drift.open else f" to {clock(drift.end_us, zone)}"
    return f"{shorten(one.tag, 60)} ({far} {'since' if drift.open else 'from'} {since}{until})"


def _band(one: TagChange, change: SlowChange) -> float:
    assert change.normal is not None
    return float(change.normal.band[change.names.index(one.tag)])


def _range(one: TagChange, change: SlowChange, slots: bool = False) -> tuple[str, str]:
    normal, c = change.normal, change.names.index(one.tag)
    assert normal is not None
    ends = (normal.slot_low, normal.slot_high) if slots else (normal.span_low, normal.span_high)
    return amount(float(ends[0][c]), ""), amount(float(ends[1][c]), one.unit)


def _more(number: int) -> str:
    return f" and {number - NAMED} more" if number > NAMED else ""
