"""One tag's past comes in; what is wrong with it, in sentences for a plant engineer, goes out.

A false finding is worse than a missed one: each rule asks for a clear gap between what is wrong and
everything else that the tag did.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo

import numpy as np

from sensor_ad.records import Floats
from sensor_ad.tag_history import KEPT_EXTREMES, KEPT_JUMPS, Extreme, Fault, Hold, TagHistory
from sensor_ad.wording import clock, count, shorten

MUCH_MISSING = 0.2
"""Share of missing values from which the report remarks on it."""
MUCH_BAD = 0.01
"""The same for values that the historian calls bad."""
RAILS = frozenset({1023, 2047, -2048, 4095, 8191, 16383, 27648, 32767, -32768, 65535})
"""Ends of the number ranges of converters of 10 to 16 bits, and of Siemens analogue inputs."""
CODE_GAP, RAIL_GAP = 10.0, 1.0
"""A repeated value is a code when it lies so many times the range of all others away from them; a
number such as -999.9 or 32767, which people and converters use as codes, at the latter."""
CODE_ROWS, NINES_ROWS = 3, 2
"""It stands in at least so many rows; a number such as -999.9 in so many."""
END_ROWS, END_SHARE = 20, 0.005
"""A reading is cut off at its highest value when that stands in so many rows and such a share …"""
END_TIMES = 5
"""… and so many times as often as each of the values next to it …"""
END_NEAR = 0.05
"""… which lie within this share of the tag's range: it went up to its end, and did not jump …"""
END_HOLD = 5
"""… and for so many rows on end at least once."""
STUCK_TIMES = 10
"""A tag is stuck when it held a value so many times as long as any other …"""
STUCK_RESTS = 4
"""… and so many times as long as it ever rested at a value that it came back to …"""
USUAL_HOLD = 4
"""… where so many rows are usual for every tag."""
STUCK_TRAINED = 3
"""The same against the longest stretch in training, which was longer than any of normal operation
since."""
STUCK_LEAST = 10
"""Rows."""
TOGETHER_SHARE = 1 / 3
"""When such a share of the moving tags stands still at once, no single sensor is stuck."""
SPIKE_STEPS = 8.0
"""A spike stands out so many times the change from row to row that 99 in 100 rows stay below …"""
SPIKE_SHARE = 0.2
"""… and by this share of the range in which nine in ten values lie."""
SPIKE_DOUBTFUL = 0.25
"""A tag that has this share of its spikes half as high again is wild by nature."""
FEWEST_STEPS = 100
"""Rows of the sample from which spikes are told."""


def find_codes(one: TagHistory) -> tuple[Extreme, ...]:
    """Find values that are codes for "no value" (888.8, -9999): repeated, far outside the rest."""
    if one.kind not in ("continuous", "counter") or one.tag.role != "measurement":
        return ()
    low, high = list(one.lowest), list(one.highest)
    found: list[Extreme] = []
    while len(low) > 1 and len(high) > 1:
        code = next((s for s, o in ((low, high), (high, low)) if _is_code(s, o[0].value)), None)
        if code is None or len({e.value for e in low + high}) < KEPT_EXTREMES:
            break
        found.append(code.pop(0))
    return tuple(found)


def _is_code(side: Sequence[Extreme], other_end: float) -> bool:
    """Whether the outermost value of a side is a code."""
    outer, following = side[0], side[1].value
    span, gap = abs(following - other_end), abs(outer.value - following)
    if outer.value == 0 or span == 0:
        return False
    if looks_like_code(outer.value):
        return outer.rows >= NINES_ROWS and gap >= RAIL_GAP * span
    return outer.rows >= CODE_ROWS and gap >= CODE_GAP * span


def looks_like_code(value: float) -> bool:
    """Whether a number is one that people or converters write where there is no value."""
    digits = f"{abs(value):.6g}".replace(".", "")
    return value in RAILS or (len(digits) >= 3 and len(set(digits)) == 1 and digits[0] in "789")


def judge(
    one: TagHistory, codes: Sequence[Extreme], sample: Floats, steps: Floats, zone: tzinfo
) -> list[Fault]:
    """Say what is wrong with a tag by itself; standing still is judged for all tags together.

    Parameters
    ----------
    codes
        What `find_codes` found.
    sample, steps
        (B,) an even sample of its values and of its changes from row to row, NaN where missing.
    zone
        The plant's clock.
    """
    faults = [*_availability(one)]
    if one.kind == "constant" and one.lowest:
        faults.append(Fault("constant", f"holds one value, {_say(one, one.low)}, throughout"))
    if one.kind == "counter" and one.lowest:
        faults.append(
            Fault("counter", f"counts up, from {_say(one, one.low)} to {_say(one, one.high)}")
        )
    rest = (one.lowest[0].value, one.highest[0].value) if one.lowest else (0.0, 0.0)
    inner = [e.value for e in (*one.lowest, *one.highest) if e not in codes]
    if inner:
        rest = min(inner), max(inner)
    faults += [_code(one, code, rest, zone) for code in codes]
    for side, word in ((one.highest, "upper"), (one.lowest, "lower")):
        faults += _cut_off(one, [e for e in side if e not in codes], word, zone)
    faults += _spikes(one, [code.value for code in codes], sample, steps, zone)
    return faults


def _availability(one: TagHistory) -> list[Fault]:
    faults = []
    if not one.good:
        faults.append(Fault("no value", "no usable value in this export"))
    elif one.missing > MUCH_MISSING * one.rows:
        faults.append(Fault("missing", f"{one.missing / one.rows:.0%} of its values are missing"))
    if one.bad > MUCH_BAD * one.rows:
        faults.append(Fault("bad", f"{one.bad / one.rows:.0%} of its values are marked as bad"))
    if one.out_of_range:
        faults.append(
            Fault(
                "out of range",
                f"{count(one.out_of_range, 'value')} outside its physical range, treated as "
                "missing",
            )
        )
    return faults


def _code(one: TagHistory, code: Extreme, rest: tuple[float, float], zone: tzinfo) -> Fault:
    return Fault(
        "code",
        f"the value {_say(one, code.value)} stands in {count(code.rows, 'row')} "
        f"({_when(code.first_us, code.last_us, zone)}), far outside all others "
        f"({rest[0]:.6g} to {rest[1]:.6g}): a code for “no value”? It was kept as a "
        "number; give the tag its physical range to have it hidden",
    )


def _cut_off(one: TagHistory, side: Sequence[Extreme], word: str, zone: tzinfo) -> list[Fault]:
    """Tell a tag whose readings are cut off at an end of its range."""
    if one.kind != "continuous" or one.tag.role != "measurement" or len(side) < 4:
        return []
    end, others = side[0], side[1:]
    near = abs(end.value - others[-1].value) <= END_NEAR * (one.high - one.low)
    held = max((hold.rows for hold in one.holds if hold.value == end.value), default=1)
    piled = end.rows >= max(END_ROWS, END_SHARE * one.good, *(END_TIMES * e.rows for e in others))
    natural = end.value in (0.0, 100.0) and end.value not in (one.tag.low, one.tag.high)
    rail = end.value in RAILS
    # One stretch only is a tag that stands still, wherever it does.
    if natural or not (held >= END_HOLD and (rail or (near and piled and end.rows > held))):
        return []
    return [
        Fault(
            "cut off",
            f"stands at its {word} end, {_say(one, end.value)}, in {count(end.rows, 'row')} "
            f"({_when(end.first_us, end.last_us, zone)}), up to {held} on end: the reading is cut "
            "off there" + (" (the end of a converter's range)" if rail else ""),
        )
    ]


def _spikes(
    one: TagHistory, codes: Sequence[float], sample: Floats, steps: Floats, zone: tzinfo
) -> list[Fault]:
    """Tell single readings that jump and come back at once."""
    steps, sample = np.abs(steps[np.isfinite(steps)]), sample[np.isfinite(sample)]
    if one.kind != "continuous" or one.tag.role != "measurement" or len(steps) < FEWEST_STEPS:
        return []
    low, high = np.quantile(sample[~np.isin(sample, codes)], [0.05, 0.95])
    least = max(SPIKE_STEPS * np.quantile(steps, 0.99), SPIKE_SHARE * (high - low))
    height = np.where(np.isin(one.jump_value, codes), 0.0, one.jump_height)
    spikes = np.flatnonzero((height >= least) & (height > 0))
    doubtful = ((height >= least / 2) & (height < least)).sum()
    if len(spikes) == KEPT_JUMPS and height[-1] < 2 * least:
        return []  # there may be any number of doubtful ones below
    if not len(spikes) or doubtful > SPIKE_DOUBTFUL * len(spikes):
        return []
    top = spikes[height[spikes].argmax()]
    first, last = one.jump_us[spikes].min(), one.jump_us[spikes].max()
    number = f"{len(spikes)} spikes" if len(spikes) < KEPT_JUMPS else f"{KEPT_JUMPS} spikes or more"
    if len(spikes) == 1:
        text = f"1 spike: a single reading of {_say(one, one.jump_value[top])} at "
        text += f"{clock(int(one.jump_us[top]), zone)}, {height[top]:.3g} off its neighbours"
    else:
        text = f"{number} ({_when(int(first), int(last), zone)}): single readings that jump by "
        text += f"{height[spikes].min():.3g} to {height[top]:.3g} {one.tag.unit}".rstrip()
        text += " and come back at once"
    return [Fault("spikes", text)]


def judge_stuck(
    histories: Sequence[TagHistory],
    codes: Sequence[Sequence[Extreme]],
    usual: Sequence[int | None],
    zone: tzinfo,
) -> list[list[Fault]]:
    """Tell tags that stood still for far longer than they ever do.

    What is long follows from the tag's own other stretches, and so from the historian's
    compression; a value at which it rested more than once (0 of a stopped pump) is no fault.
    """
    stuck = [
        _stuck_hold(one, [code.value for code in found], most)
        for one, found, most in zip(histories, codes, usual, strict=True)
    ]
    moving = sum(one.kind == "continuous" for one in histories)
    faults: list[list[Fault]] = []
    for one, hold, most in zip(histories, stuck, usual, strict=True):
        if hold is None:
            faults.append([])
            continue
        others = sum(_overlap(hold, other) for other in stuck if other is not None) - 1
        text = f"stood still at {_say(one, hold.value)} for {count(hold.rows, 'row')} "
        text += f"({_when(hold.start_us, hold.end_us, zone)}"
        if others and others + 1 > TOGETHER_SHARE * moving:
            text += f") together with {count(others, 'other tag')}: the machine rested, or the "
            faults.append([Fault("stood still", text + "historian repeated its last values")])
            continue
        text += f"; {_usually(one, hold, most)})"
        faults.append([Fault("stuck", text)])
    return faults


def _stuck_hold(one: TagHistory, codes: Sequence[float], usual: int | None) -> Hold | None:
    """Find the stretch in which a tag was stuck, if it was."""
    if one.kind not in ("continuous", "counter"):
        return None
    if one.kind == "counter" and usual is None:
        return None  # a counter stands still whenever its machine does
    values = [hold.value for hold in one.holds]
    moved = [
        hold
        for hold in one.holds
        if hold.value and values.count(hold.value) == 1 and hold.value not in codes
    ]
    if not moved:
        return None
    if usual is not None:
        return moved[0] if moved[0].rows > max(STUCK_LEAST, STUCK_TRAINED * usual) else None
    other = max([USUAL_HOLD, *(hold.rows for hold in moved[1:])])
    rest = max([0, *(hold.rows for hold in one.holds if hold not in moved[:1])])
    long = moved[0].rows >= max(STUCK_TIMES * other, STUCK_RESTS * rest)
    return moved[0] if long else None


def _usually(one: TagHistory, hold: Hold, usual: int | None) -> str:
    if usual is not None:
        return f"at most {usual} in training"
    others = [other.rows for other in one.holds if other is not hold and other.rows < hold.rows]
    return f"else at most {max(others, default=1)}"


def _overlap(one: Hold, other: Hold) -> bool:
    """Whether two stretches are for the most part the same time."""
    common = min(one.end_us, other.end_us) - max(one.start_us, other.start_us)
    return 2 * common >= max(one.end_us - one.start_us, other.end_us - other.start_us) >= 0


def _say(one: TagHistory, value: float) -> str:
    """Give a value with its unit."""
    return f"{value:.6g} {shorten(one.tag.unit, 20)}".rstrip()


def _when(first_us: int, last_us: int, zone: tzinfo) -> str:
    return f"{clock(first_us, zone)} to {clock(last_us, zone)}"
