"""What `benchmarks.tsbad` prints: judged series come in, tables go out on standard output."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.event_metrics import AlarmFigures, SeriesFigures
from benchmarks.peers import TITLES

PROGRAM, CONTROL = "sensor_ad", "argmax only"
FAMILIES = ("MSL", "SMAP", "SMD")
VIEWS = ("given", "smoothed", "causal")
BASELINE = "pca-spe"
WHOLE = 22
"""Series of the benchmark; what was asked for is asked of all."""
MUST_OFFLINE, MUST_CAUSAL, MUST_HITS = 0.55, 0.40, 20
NAMES = {PROGRAM: PROGRAM, CONTROL: "control: argmax only", **TITLES}


@dataclass(frozen=True)
class Series:
    """One series of the benchmark, as its table states it."""

    name: str
    source: str
    """Such as `MSL S-2`; its first word is the family."""
    train_rows: int
    window: int
    """Of VUS-PR, rows."""
    published: dict[str, float]
    """Method -> its published VUS-PR."""

    @property
    def family(self) -> str:
        """MSL, SMAP or SMD."""
        return self.source.split()[0]


@dataclass(frozen=True)
class Judged:
    """How good one method was on a series."""

    series: str
    family: str
    method: str
    seed: int
    views: dict[str, SeriesFigures]
    limit: AlarmFigures
    """Alarms of the causal score above its highest value on training rows."""
    own: AlarmFigures | None
    """Alarms at the method's own limit."""
    seconds: float


def print_head() -> None:
    """Print the head of the table that grows."""
    print(
        "VUS-PR: the program's score as given, smoothed (centred) and causal (trailing); the "
        "control\nthat knows only where the smoothed score is highest; the baseline; published."
    )
    print(
        f"{'series':<8}{'source':<16}{'events':>6}{'window':>7}{'given':>8}{'smooth':>8}"
        f"{'causal':>8}{'control':>8}{'PCA-SPE':>8}{'KMeans':>8}  {'best published':<26}{'s':>6}"
    )


def print_series(series: Series, judged: Sequence[Judged]) -> None:
    """Print one line of that table."""
    by = {one.method: one for one in judged if one.seed == 0}
    ours = by[PROGRAM]
    cells = [ours.views[view].vus_pr for view in VIEWS]
    cells.append(by[CONTROL].views["smoothed"].vus_pr)
    text = "".join(f"{cell:8.3f}" for cell in cells)
    text += f"{by[BASELINE].views['smoothed'].vus_pr:8.3f}" if BASELINE in by else f"{'–':>8}"
    text += f"{series.published['KMeansAD']:8.3f}"
    best = max(series.published, key=lambda method: series.published[method])
    print(
        f"{series.name[:3]:<8}{series.source:<16}{ours.views['given'].events:>6}"
        f"{series.window:>7}{text}  {f'{best} {series.published[best]:.3f}':<26}"
        f"{ours.seconds:6.0f}",
        flush=True,
    )


def print_tables(table: Sequence[Series], judged: Sequence[Judged]) -> None:
    """Print means per family, other measures, alarms, seeds, and what was asked for."""
    methods = list(dict.fromkeys(one.method for one in judged))
    _print_families(table, judged, methods)
    _print_measures(judged, methods)
    _print_alarms(judged, methods)
    if len({one.seed for one in judged}) > 1:
        _print_seeds(judged, methods)
    if len(table) == WHOLE:
        _print_asked(table, judged)


def mean_over(
    judged: Iterable[Judged], method: str, value: Callable[[Judged], float], family: str = ""
) -> float:
    """Average a figure of a method over series (and seeds), of one family or all."""
    found = [
        value(one)
        for one in judged
        if one.method == method and (not family or one.family == family)
    ]
    return float(np.mean(found)) if found else float("nan")


def _vus(view: str) -> Callable[[Judged], float]:
    return lambda one: one.views[view].vus_pr


def _print_families(
    table: Sequence[Series], judged: Sequence[Judged], methods: Sequence[str]
) -> None:
    several = [one for one in judged if one.views["given"].events > 1]
    print(f"\nMean VUS-PR over {len(table)} series; smoothed by family; all views in the mean")
    print(
        f"{'':<32}{'MSL':>7}{'SMAP':>7}{'SMD':>7}{'mean':>8}{'given':>8}{'causal':>8}"
        f"{'several events':>16}"
    )
    for method in methods:
        cells = [mean_over(judged, method, _vus("smoothed"), family) for family in FAMILIES]
        means = [mean_over(judged, method, _vus(view)) for view in ("smoothed", "given", "causal")]
        rest = mean_over(several, method, _vus("smoothed"))
        print(
            f"{NAMES[method]:<32}{_cells(cells, 7)}{_cells(means, 8)}{_cells([rest], 16)}",
            flush=True,
        )
    print("Published (TSB-AD), as they are: not smoothed here")
    of_family = {family: [s for s in table if s.family == family] for family in FAMILIES}
    rows = []
    for method in table[0].published:
        cells = [
            float(np.mean([s.published[method] for s in chosen])) if chosen else float("nan")
            for chosen in of_family.values()
        ]
        rows.append((float(np.mean([s.published[method] for s in table])), method, cells))
    for mean, method, cells in sorted(rows, reverse=True):
        print(f"{method:<32}{_cells(cells, 7)}{_cells([mean], 8)}")


def _print_measures(judged: Sequence[Judged], methods: Sequence[str]) -> None:
    first = [one for one in judged if one.seed == 0]
    events = sum(one.views["given"].events for one in first if one.method == PROGRAM)
    print(
        "\nOther measures, smoothed score: means; series whose highest score lies in an event (as "
        f"given\nand causal, too); of {events} events those found before a series' first and third "
        "false one"
    )
    print(
        f"{'':<32}{'AUC-PR':>8}{'AUC-ROC':>8}{'top hit':>9}{'given':>7}{'causal':>7}"
        f"{'before 1st':>12}{'3rd':>5}{'s':>8}"
    )
    for method in methods:
        if method == CONTROL:
            continue
        ours = [one for one in first if one.method == method]
        smooth = [one.views["smoothed"] for one in ours]
        hits = [sum(one.views[v].top_hit for one in ours) for v in ("smoothed", "given", "causal")]
        means = [
            float(np.mean([f.auc_pr for f in smooth])),
            float(np.mean([f.auc_roc for f in smooth])),
        ]
        print(
            f"{NAMES[method]:<32}{_cells(means, 8)}{hits[0]:>4} of {len(ours):<2}{hits[1]:>6}"
            f"{hits[2]:>7}{sum(f.before_first for f in smooth):>12}"
            f"{sum(f.before_third for f in smooth):>5}{sum(one.seconds for one in ours):>8.0f}"
        )


def _print_alarms(judged: Sequence[Judged], methods: Sequence[str]) -> None:
    first = [one for one in judged if one.seed == 0]
    print(
        "\nAlarms: rows whose causal score passes the highest one of the training rows, for all "
        "methods alike"
    )
    print(
        f"{'':<32}{'recall':>8}{'events':>12}{'median delay, rows':>20}{'false events':>14}"
        f"{'normal rows':>13}"
    )
    for method in methods:
        if method != CONTROL:
            _print_alarm_row(NAMES[method], [one.limit for one in first if one.method == method])
    own = [one.own for one in first if one.own is not None]
    _print_alarm_row(f"{PROGRAM}, its own limit", own)


def _print_alarm_row(name: str, found: Sequence[AlarmFigures]) -> None:
    events, hits = sum(f.events for f in found), sum(f.found for f in found)
    delays = [delay for f in found for delay in f.delays]
    delay = f"{np.median(delays):.0f}" if delays else "–"
    print(
        f"{name:<32}{np.mean([f.recall for f in found]):8.3f}{f'{hits} of {events}':>12}"
        f"{delay:>20}{sum(f.false_events for f in found):>14}"
        f"{100 * np.mean([f.false_share for f in found]):>11.1f} %"
    )


def _print_seeds(judged: Sequence[Judged], methods: Sequence[str]) -> None:
    print("\nMean VUS-PR of each seed, smoothed and causal; mean and spread (standard deviation)")
    for method in methods:
        seeds = sorted({one.seed for one in judged if one.method == method})
        if len(seeds) < 2 or method == CONTROL:
            continue
        for view in ("smoothed", "causal"):
            means = [
                mean_over([one for one in judged if one.seed == seed], method, _vus(view))
                for seed in seeds
            ]
            print(
                f"{NAMES[method]:<32}{view:<10}{_cells(means, 7)}   {np.mean(means):.3f} ± "
                f"{np.std(means, ddof=1):.3f}"
            )


def _print_asked(table: Sequence[Series], judged: Sequence[Judged]) -> None:
    print()
    offline = mean_over(judged, PROGRAM, _vus("smoothed"))
    causal = mean_over(judged, PROGRAM, _vus("causal"))
    ours = [one for one in judged if one.method == PROGRAM and one.seed == 0]
    hits = sum(one.views["smoothed"].top_hit for one in ours)
    _asked("mean VUS-PR, smoothed", offline, MUST_OFFLINE)
    _asked("mean VUS-PR, causal", causal, MUST_CAUSAL)
    _asked("series whose highest score lies in an event", hits, MUST_HITS)
    if any(one.method == BASELINE for one in judged):
        _asked(
            "mean VUS-PR, smoothed, ahead of PCA-SPE's",
            offline,
            mean_over(judged, BASELINE, _vus("smoothed")),
        )
        ahead = sum(
            mean_over(judged, PROGRAM, _vus("smoothed"), family)
            > mean_over(judged, BASELINE, _vus("smoothed"), family)
            for family in FAMILIES
        )
        _asked("families ahead of PCA-SPE", ahead, 2)


def _asked(what: str, found: float, wanted: float) -> None:
    word = "PASS" if found >= wanted else "FAIL"
    shown = (
        f"{found} (asked: {wanted})"
        if isinstance(found, int)
        else (f"{found:.3f} (asked: {wanted:.3f})")
    )
    print(f"{word} {what}: {shown}")


def _cells(values: Iterable[float], width: int) -> str:
    return "".join(
        f"{value:{width}.3f}" if np.isfinite(value) else f"{'–':>{width}}" for value in values
    )
