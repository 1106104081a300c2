"""Numbers and names of a run in; plain words, plant times and safe labels for people out."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo

from sensor_ad.records import Event, MaskedSensor, Tag

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

KIND_WORDS = {
    "machine": "machine",
    "stuck sensor": "stuck sensor {}",
    "spikes": "spikes on {}",
    "failed sensor": "failed sensor {}",
    "drift": "slow drift of {}",
}
"""Kind of an event -> what is said of it; the braces take the sensor's name."""

KIND_ADVICE = {
    "machine": "The tags no longer fit together as they do in normal operation. "
    "Look at the machine, beginning with the tags that moved first.",
    "stuck sensor": "The reading stood still while the other tags say that it should have moved. "
    "Check the transmitter, its wiring and the historian's compression before the machine.",
    "spikes": "Single readings jumped and came back at once, and nothing else followed. "
    "Check wiring, earthing and the signal converter before the machine.",
    "failed sensor": "One reading left its range or disagrees with all the others. "
    "Check this sensor and its wiring before the machine.",
    "drift": "Over days, one tag has left what the others make of it. "
    "Check its sensor's calibration, then what wears or fouls slowly.",
}
"""Kind of an event -> where to look first."""

MOST_MASKED = 30
"""Masked sensors of which a sentence is said."""

EVIDENCE_WORDS = {
    "reconstruction": (
        "differs from expected",
        "a reading differs from what the network expects of it, given the other tags",
    ),
    "mahalanobis": (
        "latent distance",
        "the latents (the network's short summary of the state) are far from their normal centre",
    ),
    "isolation_forest": (
        "easy to isolate",
        "a few cuts are enough to separate this state from the normal ones (isolation forest)",
    ),
    "nearest": (
        "distance to nearest normal",
        "even the most similar normal state on record is far away",
    ),
    "stand_still": (
        "standing still",
        "a sensor repeats one value for longer than it ever did while its tag was moving",
    ),
    "reconstruction_probability": (
        "unlikely reading",
        "the readings are improbable, given how surely the network can tell what they should be",
    ),
    "interval_miss": (
        "outside the forecast",
        "readings lie outside the interval that was forecast for them",
    ),
    "spectrogram": (
        "unusual spectrum",
        "the frequencies of a vibration differ from what the network expects",
    ),
    "scalogram": (
        "unusual scalogram",
        "slow or fast swings of a vibration differ from what the network expects",
    ),
    "level_shift": (
        "level shift",
        "readings averaged over a while have moved away from their usual levels and ratios",
    ),
    "slow_shift": (
        "slow shift",
        "readings averaged over four windows have moved away from their usual levels and ratios",
    ),
    "spread_shift": (
        "unusual variability",
        "readings swing or scatter about their own mean more, or less, than usual",
    ),
    "pattern": (
        "unlike any window",
        "no stretch of the history looks like this one",
    ),
    "pattern_change": (
        "unlike any change",
        "readings move in a way that they never did in the history, whatever their level",
    ),
    "pattern_rest": (
        "unexplained pattern",
        "the main patterns of the history, however mixed, do not explain this stretch",
    ),
    "pattern_change_rest": (
        "unexplained change",
        "the usual ways in which readings move, however mixed, do not explain this stretch",
    ),
    "spike": (
        "spike",
        "a single reading stands out from both its neighbours further than it ever did",
    ),
}
"""Name of an evidence, as in scores.parquet -> (its short name, what a high value says)."""

_DROPPED_CATEGORIES = {"Cc", "Cf", "Cs"}
"""Unicode categories that can hide or turn text around: control, format (RTL marks), surrogates."""


def clean(text: str) -> str:
    """Return `text` without characters that hide or turn text around; line breaks and tabs stay."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char
        for char in text
        if char in "\n\t" or unicodedata.category(char) not in _DROPPED_CATEGORIES
    )


def shorten(text: str, width: int) -> str:
    """Return `text` on one line in at most `width` characters.

    The middle goes, not the end: names from a historian begin alike and differ at the end.

    Examples
    --------
    >>> shorten("SITE7.UNIT12.P101.VIBRATION_DE.PV", 20)
    'SITE7.UNIT12…N_DE.PV'
    """
    line = " ".join(clean(text).split())
    if len(line) <= width:
        return line
    tail = (width - 1) * 2 // 5
    return f"{line[: width - 1 - tail]}…{line[len(line) - tail :]}"


def moment(time_us: int, zone: tzinfo = UTC) -> datetime:
    """Return the time `time_us` (UTC microseconds) on the clock of `zone`."""
    return (EPOCH + timedelta(microseconds=int(time_us))).astimezone(zone)


def iso(time_us: int, zone: tzinfo = UTC) -> str:
    """Return `time_us` (UTC microseconds) as ISO text with the offset of `zone` at that time."""
    return moment(time_us, zone).isoformat()


def clock(time_us: int, zone: tzinfo = UTC, seconds: bool = False) -> str:
    """Return `time_us` (UTC microseconds) as people write it, such as `2026-03-29 03:15`."""
    return moment(time_us, zone).strftime("%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M")


def offset(time_us: int, zone: tzinfo) -> str:
    """Return the offset from UTC that `zone` has at `time_us`, such as `+02:00`."""
    text = moment(time_us, zone).strftime("%z")
    return f"{text[:3]}:{text[3:5]}"


def duration(seconds: float) -> str:
    """Return a length of time in its two largest units.

    Examples
    --------
    >>> duration(12_000), duration(90_000), duration(45)
    ('3 h 20 min', '1 d 1 h', '45 s')
    """
    if seconds < 1:
        return f"{seconds:.2g} s"
    left = round(seconds) if seconds < 3600 else round(seconds / 60) * 60
    parts: list[tuple[int, str]] = []
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        count, left = divmod(left, size)
        if count or parts:
            parts.append((count, unit))
    return " ".join(f"{count} {unit}" for count, unit in parts[:2] if count)


def duration_s(event: Event, period_s: float) -> float:
    """Return how long an event lasted, in seconds; its last row counts in full."""
    return (event.end_us - event.start_us) / 1e6 + period_s


def count(number: int, noun: str) -> str:
    """Return a number with its noun, such as `1 event` or `1,200 rows`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def share(part: float, whole: float) -> str:
    """Return a share in per cent; 0 % is only said of nothing, and 100 % of everything.

    Examples
    --------
    >>> share(0, 10), share(1, 30_000), share(5, 30), share(29_999, 30_000), share(3, 0)
    ('0 %', 'below 0.1 %', '16.7 %', '99.9 %', '–')
    """
    if not whole:
        return "–"
    per_cent = 100 * part / whole
    if 0 < per_cent < 0.1:
        return "below 0.1 %"
    if per_cent in (0, 100):
        return f"{per_cent:.0f} %"
    return f"{min(per_cent, 99.9):.1f} %"


def span(low: float | None, high: float | None) -> str:
    """Return a range in words; an end that is not known is left open.

    Examples
    --------
    >>> span(0.0, 50.25), span(None, 150), span(None, float("nan"))
    ('0 to 50.25', 'up to 150', '–')
    """
    ends = ["" if end is None or end != end else f"{end:.5g}" for end in (low, high)]
    if all(ends):
        return " to ".join(ends)
    return f"from {ends[0]}" if ends[0] else f"up to {ends[1]}" if ends[1] else "–"


def kind_words(event: Event) -> str:
    """Return what an event is the picture of, such as `spikes on flow`."""
    words = KIND_WORDS.get(event.kind, event.kind)
    return words.format(shorten(event.sensor or "(unknown)", 60)) if "{}" in words else words


def short_words(short: int, min_length_s: float) -> str:
    """Say how many alarms were too short for an event; nothing when there was none.

    Examples
    --------
    >>> short_words(2, 300.0), short_words(0, 300.0)
    ('2 alarms shorter than 5 min raised no event (events.min_length_s)', '')
    """
    if not short:
        return ""
    return (
        f"{count(short, 'alarm')} shorter than {duration(min_length_s)} raised no event "
        "(events.min_length_s)"
    )


def masked_words(
    sensors: Sequence[MaskedSensor], tags: Sequence[Tag], zone: tzinfo = UTC
) -> tuple[str, ...]:
    """Return a sentence for each masked sensor, and what can still be said without it.

    Parameters
    ----------
    tags
        The model's tags.
    """
    units = {tag.name: tag.unit for tag in tags}
    told = [_masked_sentence(one, units, zone) for one in sensors[:MOST_MASKED]]
    if len(sensors) > MOST_MASKED:
        more = count(len(sensors) - MOST_MASKED, "more time")
        told.append(f"sensors were masked {more}; run.json has them all")
    return tuple(told)


def _masked_sentence(one: MaskedSensor, units: Mapping[str, str], zone: tzinfo) -> str:
    name = shorten(one.tag, 60)
    what = "had no usable value"
    if one.value == one.value:
        what = f"stood at {one.value:.6g} {shorten(units[one.tag], 20)}".rstrip()
    if one.kind == "failed sensor" and one.value == one.value:
        what += ", far outside everything before,"
    until = "the end of the export" if one.open else clock(one.end_us, zone)
    others = len(units) - 1
    rest = f"the other {count(others, 'tag')} {'was' if others == 1 else 'were'} scored"
    return (
        f"{name} {what} from {clock(one.start_us, zone)} on, which is a fault of the sensor; it "
        f"was masked from {clock(one.confirmed_us, zone)} to {until}: {rest} without it, and a "
        f"fault of the machine that shows in {name} alone was not seen meanwhile"
    )


def advice(event: Event) -> str:
    """Return where to look first, for this kind of event."""
    return KIND_ADVICE.get(event.kind, "")


def evidence_words(name: str) -> tuple[str, str]:
    """Return the short plain name of an evidence, and what a high value of it says."""
    if name in EVIDENCE_WORDS:
        return EVIDENCE_WORDS[name]
    if name.startswith("pyod:"):
        return (
            f"PyOD {name[5:]}",
            f"the PyOD detector {name[5:]} finds the state unlike the normal ones",
        )
    return shorten(name, 40), "a further detector"


def rarity(evidence: float) -> str:
    """Return a tail probability given as −log10 in words.

    Examples
    --------
    >>> rarity(2.0), rarity(3.2), rarity(14.0), rarity(0.1)
    ('1 in 100', '1 in 1,600', 'below 1 in a million', 'usual')
    """
    if not evidence >= 0.5:  # also NaN
        return "usual"
    if evidence > 6:
        return "below 1 in a million"
    times = 10.0**evidence
    step = 10 ** max(0, len(str(int(times))) - 2)
    return f"1 in {round(times / step) * step:,}"
