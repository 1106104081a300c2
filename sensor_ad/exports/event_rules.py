"""What a survey found and what the engineer says in, how events become readings out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sensor_ad.exports.event_survey import GapCounts, Survey
from sensor_ad.exports.tally import quoted
from sensor_ad.periods import snapped_us

SHARED_TIMES = 1.2
"""Tags share their times when all distinct times are at most so many times the events of the most
frequent tag …"""
FILLED_SHARE = 0.5
"""… and every tag has an event at no less than this share of them. Where scans coincide but most
values of a tag were left out as unchanged, it is exception-reported all the same, and what lies
between must be filled in."""
HOLD_QUANTILE = 0.99
HOLD_FACTOR = 3.0
"""Gaps of exception reports are about exponential: 99 % lie below 4.6 times their mean, and one of
a million beyond three times that."""
LEAST_HOLD_PERIODS = 5
FEWEST_GAPS = 10
"""With fewer gaps the hold of a stepped tag cannot be learnt, and it has no limit."""
FEWEST_PER_STATE = 4
"""Few different values make a stepped tag only when each came so often on average."""
NAMED_TAGS = 20
"""So many tags are named in a note."""

Way = Literal["pivot", "resample"]


@dataclass(frozen=True)
class TagRule:
    """What is known of a tag before its events are counted."""

    name: str
    stepped: bool | None = None
    """Hold the last state (states, set-points, commands) or draw lines; None: it is found."""
    hold_s: float | None = None
    """Longest hold or gap, seconds; None: that of the settings, else it is learnt."""


@dataclass(frozen=True)
class EventSettings:
    """How events are turned into readings; None means that it is found."""

    period_s: float | None = None
    """Step of the grid, seconds (config prepare.period_s)."""
    duplicates: str = "refuse"
    """Different values of a tag at one time: refuse, last or mean."""
    hold_s: float | None = None
    """Longest hold or gap of every tag, seconds."""
    uncertain_is_bad: bool = False
    """Treat uncertain values as bad ones."""
    hold_after_last: bool = False
    """Hold the last value of a tag that is not stepped when its events end before the export."""
    way: Way | None = None
    """Pivot or resample whatever the times look like."""


@dataclass(frozen=True)
class FoundTag:
    """How one tag's events are read."""

    name: str
    events: int
    """Archived values, duplicates left out."""
    stepped: bool
    why: Literal["said", "few states", "no states"]
    typical_s: float | None
    """Median step between its events, seconds; None with fewer than two events."""
    hold_us: int | None
    """Longest hold or gap, microseconds; None: no limit."""
    hold_why: Literal["said", "learnt", "too few gaps"]


@dataclass(frozen=True)
class Found:
    """How events become readings; for the profile."""

    way: Way
    period_us: int | None
    """Step of the grid, microseconds; None where each distinct time is a row."""
    quiet_us: int
    """Longest time without an event of any tag within which there are rows, microseconds."""
    tags: tuple[FoundTag, ...]


def find_rules(survey: Survey, rules: Sequence[TagRule], settings: EventSettings) -> Found:
    """Decide what is done with the events.

    Whether tags share their times; else the period of the grid: the median over the tags of each
    tag's median step, snapped to a period that instruments are set to, and not finer than the
    fastest tag's own. A hold that nobody gave is three times the 99 % quantile of the tag's gaps,
    at least five periods.
    """
    way = settings.way or ("pivot" if _share_times(survey) else "resample")
    kinds = [_kind(survey, k, rule) for k, rule in enumerate(rules)]
    steps = [_typical_us(survey.gaps, k) for k in range(len(rules))]
    period_us = _period_us(kinds, steps, settings)
    tags, finite = [], []
    for k, rule in enumerate(rules):
        hold_us, why = _hold(survey, k, rule, kinds[k][0], period_us, settings)
        step = steps[k]
        typical_s = None if step is None else step / 1e6
        events = int(survey.events[k])
        tags.append(FoundTag(rule.name, events, *kinds[k], typical_s, hold_us, why))
        if hold_us is not None and events:
            finite.append(hold_us)
    quiet_us = max([_learnt_us(survey.any_gaps, 0, period_us), *finite])
    return Found(way, period_us if way == "resample" else None, quiet_us, tuple(tags))


def notes(found: Found, settings: EventSettings) -> list[str]:
    """Return sentences for the account: the way, the period, each tag's rule and hold."""
    if found.way == "pivot":
        return [
            "the tags share their times: each time is a row, and a tag without a value there has "
            "no data"
        ]
    period = f"{(found.period_us or 0) / 1e6:g} s"
    how = (
        "as prepare.period_s says"
        if settings.period_s
        else ("the median step of the tags; set prepare.period_s to have another one")
    )
    told = [
        f"the tags have times of their own: brought to one row each {period} ({how}); no rows "
        f"where no tag has an event for more than {_seconds(found.quiet_us)}"
    ]
    fastest = min((tag.typical_s for tag in found.tags if tag.typical_s), default=0.0)
    if settings.period_s is not None and settings.period_s < fastest:
        told.append(
            f"the period of {period} is finer than the step of the fastest tag ({fastest:g} s)"
        )
    groups: dict[str, list[str]] = {}
    for tag in found.tags:
        if tag.events:
            groups.setdefault(_rule(tag), []).append(tag.name)
    return told + [f"{_names(names)}: {rule}" for rule, names in groups.items()]


def _share_times(survey: Survey) -> bool:
    events = survey.events[survey.events > 0]
    if not len(events):
        return False
    coincide = survey.distinct_times <= SHARED_TIMES * int(events.max())
    return coincide and int(events.min()) >= FILLED_SHARE * survey.distinct_times


def _kind(
    survey: Survey, tag: int, rule: TagRule
) -> tuple[bool, Literal["said", "few states", "no states"]]:
    if rule.stepped is not None:
        return rule.stepped, "said"
    states = survey.states(tag)
    if states is None or int(survey.events[tag]) < FEWEST_PER_STATE * states:
        return False, "no states"
    return True, "few states"


def _typical_us(gaps: GapCounts, tag: int) -> int | None:
    return gaps.quantile(tag, 0.5) if gaps.total(tag) else None


def _period_us(
    kinds: Sequence[tuple[bool, str]], steps: Sequence[int | None], settings: EventSettings
) -> int:
    """Return the period given, or the one that the tags that are not stepped have in the middle."""
    if settings.period_s is not None:
        return max(1, round(settings.period_s * 1e6))
    known = sorted(step for step in steps if step is not None)
    if not known:
        return snapped_us(1e6, 0)
    sloped = sorted(
        step for step, (stepped, _) in zip(steps, kinds, strict=True) if step and not stepped
    )
    # How often a state changes says nothing about the step at which measurements are worth a row.
    use = sloped or known
    return snapped_us(use[len(use) // 2], known[0])


def _hold(
    survey: Survey,
    tag: int,
    rule: TagRule,
    stepped: bool,
    period_us: int,
    settings: EventSettings,
) -> tuple[int | None, Literal["said", "learnt", "too few gaps"]]:
    said = settings.hold_s if rule.hold_s is None else rule.hold_s
    if said is not None:
        return round(said * 1e6), "said"
    if stepped and survey.gaps.total(tag) < FEWEST_GAPS:
        return None, "too few gaps"
    return _learnt_us(survey.gaps, tag, period_us), "learnt"


def _learnt_us(gaps: GapCounts, tag: int, period_us: int) -> int:
    least = LEAST_HOLD_PERIODS * period_us
    if not gaps.total(tag):
        return least
    return max(least, round(HOLD_FACTOR * gaps.quantile(tag, HOLD_QUANTILE)))


def _rule(tag: FoundTag) -> str:
    why = {
        "said": "as said",
        "few states": "it has few states",
        "no states": "no states were found",
    }[tag.why]
    kind = "stepped, the last state is held" if tag.stepped else "lines between the points"
    if tag.hold_us is None:
        limit = "until the next event (too few gaps to learn a limit from)"
    else:
        learnt = "three times the 99 % quantile of its gaps, at least five periods"
        source = "as said" if tag.hold_why == "said" else learnt
        limit = f"over at most {_seconds(tag.hold_us)} ({source})"
    return f"{kind} ({why}) {limit}"


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(map(quoted, names[:NAMED_TAGS]))
    more = f" and {len(names) - NAMED_TAGS} more" if len(names) > NAMED_TAGS else ""
    return f"{'tag' if len(names) == 1 else 'tags'} {shown}{more}"


def _seconds(span_us: int) -> str:
    return f"{span_us / 1e6:.6g} s"
