"""Alarm budget to limit: scores of normal rows come in, the score that raises an alarm goes out.

Neighbouring rows are not independent, so the tail is fitted to the peaks of clusters, made by the
same rule that merges alarms into events.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from sensor_ad.config import EventSettings, LimitSettings
from sensor_ad.event_counts import EventCounts, count_events
from sensor_ad.grid import Grid
from sensor_ad.records import BackTest, Floats, Ints

QUANTILES = (0.995, 0.99, 0.98, 0.95, 0.9)
"""Exceedances are taken over the highest of these quantiles that gives enough clusters."""
ENOUGH_CLUSTERS = 30
"""From so many clusters on, the shape of the tail is fitted too."""
FEW_CLUSTERS = 5
"""With fewer the tail is not fitted at all."""
MARGIN, USUAL_PER_DAY = 1.0, 2 / 30
"""Then the limit lies a decade of probability above the highest score seen for that budget, lower
by as many decades as the budget is higher: so little data says nothing of what lies further."""
HIGHEST_SHAPE = 0.5
"""Of the generalised Pareto distribution; beyond it not even the variance exists."""
CONFIDENCE = 0.95
WITH_MARGIN = "highest value with a margin"
BY_HAND = "set by hand"
DAY_S = 86_400.0


@dataclass(frozen=True)
class Limit:
    """The score above which an alarm is raised, and what stands behind it."""

    value: float
    method: str
    """generalised Pareto, exponential, highest value with a margin, or set by hand."""
    hours: float
    """Normal data that it was chosen on, hours of scorable time."""
    blocks: int
    """Independent stretches (of a window) in it."""
    peaks: Floats
    """(K,) peaks of the clusters that the tail was fitted to."""
    threshold: float
    """Scores above this formed the clusters."""
    false_events: int
    """Events that the limit gives on that normal data."""
    rate: float
    rate_low: float
    rate_high: float
    """Their rate per budget period, with its exact 95 % Poisson interval."""
    budget_events: float
    budget_days: float
    counts: EventCounts | None = None
    """Events that other limits give on that normal data; None in models of before."""
    back_test: BackTest | None = None
    """Events on time that limits were not chosen on; None in models of before."""

    @property
    def budget(self) -> str:
        """Say what the budget is."""
        events = "event" if self.budget_events == 1 else "events"
        return f"at most {self.budget_events:g} false {events} per {self.budget_days:g} days"

    @property
    def verified(self) -> bool:
        """Whether there is enough normal data to show that the budget is kept."""
        enough = self.hours / 24 * self.budget_events >= self.budget_days
        return enough and self.method not in (WITH_MARGIN, BY_HAND)

    @property
    def statement(self) -> str:
        """Say what the limit promises, and whether the data can show it."""
        if self.method == BY_HAND:
            return f"The limit was set by hand, not by the budget of training ({self.budget})."
        text = f"Budget: {self.budget} of scorable time. "
        if self.verified:
            return text + f"The limit was set on {self.hours:.0f} h of normal data ({self.method})."
        return text + (
            f"The budget cannot be verified with {self.hours:.4g} hours of normal data; the "
            f"limit was "
            f"extrapolated from {len(self.peaks)} peaks ({self.method})."
        )

    @property
    def tested(self) -> str:
        """Say what held-out time says of the budget."""
        if self.back_test is None:
            return "There is no back-test: the model was trained by a program of before."
        of = "Of the limit that training chose, not of this one: " if self._changed else ""
        return of + self.back_test.statement

    @property
    def tested_briefly(self) -> str:
        """Say the same in a few words; none without a back-test."""
        if self.back_test is None:
            return ""
        return self.back_test.brief + (", of the limit of training" if self._changed else "")

    @property
    def _changed(self) -> bool:
        """Whether the back-test was made for another budget."""
        tested = self.back_test
        budget = None if tested is None else (tested.budget_events, tested.budget_days)
        return self.method == BY_HAND or budget != (self.budget_events, self.budget_days)

    @property
    def achieved(self) -> str:
        """Say how often the limit was exceeded on normal data."""
        return (
            f"{self.false_events} in {self.hours:.4g} h of normal calibration data: "
            f"{self.rate:.3g} per "
            f"{self.budget_days:g} days (95 % interval {self.rate_low:.3g} to "
            f"{self.rate_high:.3g})."
        )


def choose_limit(
    score: Floats, index: Ints, settings: LimitSettings, pause: int, period_s: float, window: int
) -> Limit:
    """Choose the limit that keeps the budget on rows like these.

    Parameters
    ----------
    score
        (T,) scores of scorable normal rows.
    index
        (T,) their grid rows, increasing.
    settings
        The budget.
    pause
        Alarms at most so many rows apart are one event.
    period_s
        Seconds per row.
    window
        L, rows; the length of an independent stretch.

    Notes
    -----
    Peaks over threshold: Davison and Smith, J. R. Statist. Soc. B 52 (1990), with runs
    declustering. With `n` clusters in `t` days the excess x that is passed `events` times in `days`
    solves ``n / t * P(excess > x) = events / days``.
    """
    threshold, peaks = _clusters(score, index, pause)
    normal = Limit(
        value=threshold,
        method="",
        hours=len(score) * period_s / DAY_S * 24,
        blocks=len(np.unique(index // window)),
        peaks=peaks,
        threshold=threshold,
        false_events=0,
        rate=0.0,
        rate_low=0.0,
        rate_high=0.0,
        budget_events=settings.events,
        budget_days=settings.days,
        counts=count_events(score, index, pause),
    )
    return with_budget(normal, settings)


def with_budget(limit: Limit, settings: LimitSettings) -> Limit:
    """Choose the limit anew for another budget, on the normal data behind a limit."""
    wanted = settings.events / settings.days * limit.hours / 24
    per_day = settings.events / settings.days
    value, method = _solved(limit.peaks, limit.threshold, wanted, per_day)
    solved = replace(limit, method=method, budget_events=settings.events, budget_days=settings.days)
    return with_value(solved, value)


def with_value(limit: Limit, value: float) -> Limit:
    """Take another value, and count the events that it gives on the normal data behind a limit."""
    counts = limit.counts or EventCounts(np.sort(limit.peaks), np.empty(0))
    count = counts.at(value)
    low, high = poisson_interval(count)
    per_budget = limit.budget_days / (limit.hours / 24)
    return replace(
        limit,
        value=value,
        false_events=count,
        rate=count * per_budget,
        rate_low=low * per_budget,
        rate_high=high * per_budget,
    )


def _solved(peaks: Floats, threshold: float, wanted: float, per_day: float) -> tuple[float, str]:
    """Find the value that as many peaks as wanted pass, and say how it was found."""
    if len(peaks) < FEW_CLUSTERS:
        highest = float(peaks.max()) if len(peaks) else threshold
        margin = MARGIN - float(np.log10(per_day / USUAL_PER_DAY))
        return highest + max(margin, 0.0), WITH_MARGIN
    share = wanted / len(peaks)
    excess = peaks - threshold
    if share >= 1:
        return threshold, "exponential"
    if len(peaks) < ENOUGH_CLUSTERS:
        return threshold + _predicted(excess, share), "exponential"
    return threshold + _pareto_quantile(excess, share), "generalised Pareto"


def _clusters(score: Floats, index: Ints, pause: int) -> tuple[float, Floats]:
    """Lower the threshold until there are enough clusters."""
    threshold = 0.0
    peaks: Floats = np.empty(0)
    for quantile in QUANTILES:
        threshold = float(np.quantile(score, quantile))
        peaks = cluster_peaks(score, index, pause, threshold)
        if len(peaks) >= ENOUGH_CLUSTERS:
            break
    return threshold, peaks


def cluster_peaks(score: Floats, index: Ints, pause: int, threshold: float) -> Floats:
    """Find the peaks of runs of exceedances, runs at most `pause` rows apart being one.

    Examples
    --------
    >>> score, index = np.array([0.0, 5, 6, 0, 0, 7]), np.arange(6)
    >>> cluster_peaks(score, index, pause=2, threshold=1.0).tolist()
    [6.0, 7.0]
    """
    above = np.flatnonzero(score > threshold)
    if not len(above):
        return np.empty(0)
    starts = np.concatenate([[0], np.flatnonzero(np.diff(index[above]) > pause) + 1])
    peaks: Floats = np.maximum.reduceat(score[above], starts).astype(np.float64)
    return peaks


def _predicted(excess: Floats, share: float) -> float:
    """Excess that this share of coming peaks passes, when few exponential ones were seen.

    The predictive distribution P(excess > x) = (1 + x / Σ)^−n, Σ being the sum of the n excesses:
    the rate itself is uncertain (Aitchison and Dunsmore, Statistical Prediction Analysis, 1975).
    """
    n = len(excess)
    return float(excess.sum() * (share ** (-1 / n) - 1))


def _pareto_quantile(excess: Floats, share: float) -> float:
    """Excess that this share of peaks passes, by a generalised Pareto with its shape held ≥ 0."""
    from scipy import stats  # dear to import, and scoring needs none of it

    shape, _, scale = stats.genpareto.fit(excess, floc=0.0)
    if not 0.0 < shape < HIGHEST_SHAPE:
        shape = min(max(shape, 0.0), HIGHEST_SHAPE)
        scale = float(excess.mean()) * (1 - shape)
    if shape < 1e-6:
        return -float(scale) * float(np.log(share))
    return float(scale / shape * (share**-shape - 1))


def poisson_interval(count: int) -> tuple[float, float]:
    """Exact 95 % interval of a Poisson mean after `count` events (Garwood, Biometrika 28, 1936)."""
    from scipy import stats

    tail = (1 - CONFIDENCE) / 2
    low = 0.0 if count == 0 else float(stats.chi2.ppf(tail, 2 * count)) / 2
    return low, float(stats.chi2.ppf(1 - tail, 2 * count + 2)) / 2


def pause_rows(settings: EventSettings, window: int, grid: Grid) -> int:
    """Give the rows that may lie between two alarms of one event; a window if unset."""
    if settings.pause_s is None:
        return window
    return max(1, int(settings.pause_s * 1e6 / grid.period_us))


def limit_facts(limit: Limit) -> dict[str, Any]:
    """Give a limit as JSON values, for the manifest; its arrays stand apart."""
    facts = asdict(replace(limit, peaks=np.empty(0), counts=None))
    return {name: value for name, value in facts.items() if name not in ("peaks", "counts")}


def back_test_facts(limit: Limit) -> dict[str, Any] | None:
    """Give the back-test of a limit as JSON values, with what it says of the limit in force."""
    if limit.back_test is None:
        return None
    return {**asdict(limit.back_test), "statement": limit.tested}


def limit_arrays(limit: Limit) -> dict[str, Floats]:
    """Give the arrays of a limit under the names that a model keeps them by."""
    arrays = {"peaks": limit.peaks}
    if limit.counts is not None:
        arrays |= {"limit/tops": limit.counts.tops, "limit/joins": limit.counts.joins}
    return arrays


def limit_from(facts: dict[str, Any], arrays: dict[str, Any]) -> Limit:
    """Put a limit together again."""
    counts = None
    if "limit/tops" in arrays:
        counts = EventCounts(arrays["limit/tops"], arrays["limit/joins"])
    tested = facts.get("back_test")
    if tested is not None:
        tested = BackTest(**{**tested, "limits": tuple(tested["limits"])})
    arrays_too = {"peaks": arrays["peaks"], "counts": counts, "back_test": tested}
    return Limit(**{**facts, **arrays_too})
