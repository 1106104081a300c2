"""Tennessee Eastman: each of 21 faults at one and the same false alarm rate, beside PCA.

Every method is fitted to the fault-free run `d00`; its limit is the score that at most 1 % of the
fault-free test run `d00_te` pass. A fault begins at row 160 of its test run.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.layers import TEP_FAULT_FROM, tep_frame
from benchmarks.metrics import at_rows
from benchmarks.peers import WINDOW, fit_pca, parallel_analysis, pca_windows, z_scores
from benchmarks.smoothing import trailing
from benchmarks.tsbad import causal_score, lowest_where_unknown, real_data
from sensor_ad.records import Floats

FAULTS = range(1, 22)
FALSE_ALARMS = 0.01
"""Share of the rows of `d00_te` that may pass a limit."""
IN_A_ROW = 6
"""Alarms one after the other that make a detection (Russell, Chiang and Braatz, 2000)."""
PERIOD_MIN = 3
HARD = (3, 9, 15)
"""Faults that hardly show in any reading."""
BEHIND = 1.0
"""Points of detection rate by which the program may lie behind the better of T² and Q."""
OURS, SMOOTHED = "sensor_ad", "sensor_ad, causal"

Scores = dict[str, list[Floats]]
"""Method -> its scores of the fault-free test run, then of each faulty one."""


@dataclass(frozen=True)
class Found:
    """How one method did on one fault."""

    method: str
    fault: int
    rate: float
    """Share of the faulty rows with an alarm, percent."""
    delay_min: float
    """Minutes from the start to the first of six alarms in a row; NaN when there are none."""
    false_rate: float
    """Share of the rows before the fault with an alarm, percent."""


def limit_of(score: Floats) -> float:
    """Find the score that at most 1 % of fault-free rows pass.

    Examples
    --------
    >>> limit_of(np.arange(200.0))
    197.0
    """
    return float(-np.sort(-score)[int(FALSE_ALARMS * len(score))])


def found(method: str, fault: int, score: Floats, limit: float) -> Found:
    """Judge the score of one faulty run, (T,) rows of which the first 160 are normal."""
    alarm = score > limit
    after = alarm[TEP_FAULT_FROM:]
    runs = np.lib.stride_tricks.sliding_window_view(after, IN_A_ROW).all(axis=1)
    delay = float(np.argmax(runs)) * PERIOD_MIN if runs.any() else float("nan")
    return Found(
        method, fault, 100 * float(after.mean()), delay, 100 * float(alarm[:TEP_FAULT_FROM].mean())
    )


def program_scores(train: pd.DataFrame, tests: list[pd.DataFrame], seed: int) -> Scores:
    """Run the program as it comes: its offline score, and its causal one."""
    from sensor_ad.detector import Detector

    detector = Detector({"seed": seed}).fit(train)
    rows = [at_rows(detector.score(test), _times(test), PERIOD_MIN * 60.0) for test in tests]
    given = [lowest_where_unknown(scores["score"].to_numpy()) for scores in rows]
    return {OURS: given, SMOOTHED: [causal_score(scores) for scores in rows]}


def pca_scores(train: pd.DataFrame, tests: list[pd.DataFrame]) -> Scores:
    """Run PCA's T² and Q on rows, alone and smoothed, and its squared error on windows."""
    scaled = _scaled(train, tests)
    pca = fit_pca(scaled[0], parallel_analysis(scaled[0]))
    statistics: dict[str, Callable[[Floats], Floats]] = {"T²": pca.t2, "Q": pca.squared_error}
    scores: Scores = {
        name: [statistic(test) for test in scaled[1:]] for name, statistic in statistics.items()
    }
    scores |= {f"{name}, causal": [trailing(s) for s in scores[name]] for name in statistics}
    windows = [
        pca_windows(np.concatenate([train.to_numpy(), test.to_numpy()]), len(train), 0).causal
        for test in tests
    ]
    # The first window of a test holds rows of the run before it: it takes the first whole one's.
    scores["PCA-SPE, causal"] = [trailing(_own_rows(score[len(train) :])) for score in windows]
    return scores


def judge(scores: Scores, faults: Sequence[int] = FAULTS) -> list[Found]:
    """Set each method's limit on the fault-free run and judge the others."""
    table = []
    for method, (normal, *faulty) in scores.items():
        limit = limit_of(normal)
        table += [found(method, *pair, limit) for pair in zip(faults, faulty, strict=True)]
    return table


def print_table(table: list[Found], faults: Sequence[int] = FAULTS) -> None:
    """Print detection rates, then delays, one line a fault and one column a method."""
    methods = list(dict.fromkeys(one.method for one in table))
    for what, unit, key in (
        ("Detection rate", "percent of the faulty rows", "rate"),
        ("Delay", f"minutes to the first of {IN_A_ROW} alarms in a row", "delay_min"),
    ):
        print(f"\n{what}, {unit}\n{'fault':<8}" + "".join(f"{name:>19}" for name in methods))
        by = {(one.method, one.fault): getattr(one, key) for one in table}
        for fault in faults:
            print(f"{fault:<8}" + "".join(_cell(by[name, fault]) for name in methods))
        columns = np.array([[by[name, fault] for fault in faults] for name in methods])
        shared = np.isfinite(columns).all(axis=0)
        word = "mean" if shared.all() else f"mean*{shared.sum()}"
        print(f"{word:<8}" + "".join(_cell(_mean(column)) for column in columns[:, shared]))
        if key == "delay_min":
            hits = np.isfinite(columns).sum(axis=1)
            print(f"{'found':<8}" + "".join(f"{count:>19}" for count in hits))
            print("* faults found by all; an alarm that stands when a fault begins counts at once")
    before = [_mean([one.false_rate for one in table if one.method == name]) for name in methods]
    print(f"\nAlarms before the faults, percent\n{'':<8}" + "".join(map(_cell, before)))


def print_asked(
    table: list[Found], faults: Sequence[int] = FAULTS, hard: Sequence[int] = HARD
) -> None:
    """Print what was asked for: nowhere behind the better of T² and Q, ahead in the mean."""
    rate = {(one.method, one.fault): one.rate for one in table}
    print()
    for ours, peers in ((OURS, ("T²", "Q")), (SMOOTHED, ("T², causal", "Q, causal"))):
        ahead = {
            fault: rate[ours, fault] - max(rate[peer, fault] for peer in peers) for fault in faults
        }
        behind = [fault for fault, points in ahead.items() if points < -BEHIND]
        word = "FAIL" if behind else "PASS"
        print(f"{word} {ours}: more than {BEHIND:g} point behind {' and '.join(peers)} on {behind}")
        mean = _mean([rate[ours, fault] for fault in faults])
        best = max(_mean([rate[peer, fault] for fault in faults]) for peer in peers)
        word = "PASS" if mean > best else "FAIL"
        print(f"{word} {ours}: mean {mean:.1f}, the better one's {best:.1f}")
        print(f"     ahead on {hard}: {[fault for fault in hard if ahead[fault] > 0]}")


def _own_rows(score: Floats) -> Floats:
    kept = score.copy()
    kept[: WINDOW - 1] = score[WINDOW - 1]
    return kept


def _scaled(train: pd.DataFrame, tests: list[pd.DataFrame]) -> list[Floats]:
    """(T, C) z-scores by the training rows: of the training run, then of each test."""
    rows = [frame.to_numpy(dtype=np.float64) for frame in (train, *tests)]
    scaled = z_scores(np.concatenate(rows), len(train))
    return np.split(scaled, np.cumsum([len(part) for part in rows])[:-1])


def _times(frame: pd.DataFrame) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(frame.index).tz_localize("UTC")


def _mean(values: Sequence[float] | Floats) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def _cell(value: float) -> str:
    return f"{value:19.1f}" if np.isfinite(value) else f"{'–':>19}"


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tep", description=__doc__)
    parser.add_argument("--json", type=Path, help="write all figures into this file")
    parser.add_argument("--seed", type=int, default=0, help="of the program")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    arguments = parser.parse_args()
    import torch

    torch.set_num_threads(arguments.threads)
    root, began = real_data("tep"), time.monotonic()
    train = tep_frame(root / "d00.dat")
    tests = [tep_frame(root / f"d{fault:02d}_te.dat") for fault in (0, *FAULTS)]
    scores = program_scores(train, tests, arguments.seed) | pca_scores(train, tests)
    table = judge(scores)
    print_table(table)
    print_asked(table)
    print(f"\n{time.monotonic() - began:.0f} s in all.")
    if arguments.json is not None:
        text = json.dumps([asdict(one) for one in table], indent=2)
        arguments.json.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
