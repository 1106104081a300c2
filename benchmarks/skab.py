"""SKAB by its own protocol: each experiment's first 400 rows are for fitting, the rest is scored.

The program runs as it comes (its default configuration) on all 34 experiments with faults; alarms
are taken at its own limit. Labels are read by a second function, after an experiment was scored.
Change-points are judged by NAB as on SKAB's leaderboard; rules (multiples of the limit, networks)
are chosen on random halves of the experiments and judged on the others.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.halves import chosen_on_halves
from benchmarks.jobs import results
from benchmarks.metrics import Figures, Judged, at_rows, figures, pooled
from benchmarks.nab import WINDOW_S, Nab, nab, pooled_nab
from sensor_ad.records import Bools, Floats

TRAINING_ROWS = 400
FOLDERS = ("valve1", "valve2", "other")
LABELS = ("anomaly", "changepoint")
SUSPECT = "other/2"
"""296 of its 400 training rows are labelled abnormal: pooled figures are printed without it too."""

PUBLISHED = (
    ("Conv-AE", 0.78, 13.55, 28.02),
    ("MSET", 0.78, 39.73, 14.13),
    ("T²+Q (PCA)", 0.76, 26.62, 24.92),
    ("LSTM-AE", 0.74, 29.96, 25.92),
    ("T²", 0.66, 19.21, 42.6),
    ("LSTM-VAE", 0.56, 9.13, 55.03),
    ("Vanilla AE", 0.39, 2.59, 75.15),
    ("Isolation forest", 0.29, 2.56, 82.89),
)
"""Published, SKAB leaderboard: F1, FAR in percent, MAR in percent, pooled over the 34 tests."""
PUBLISHED_NAB = (
    ("MSCRED", 32.42, 55, 342),
    ("Isolation forest", 26.16, 76, 135),
    ("T²+Q (PCA)", 25.35, 72, 232),
    ("Conv-AE", 23.61, 82, 23),
    ("LSTM-AE", 23.51, 88, 69),
)
"""Published, SKAB leaderboard: NAB (standard), missed change-points, false ones."""
HEAD = (
    f"{'experiment':<22}{'rows':>7}{'F1':>7}{'FAR %':>8}{'MAR %':>8}{'AUC':>8}{'AP':>8}"
    f"{'limit':>8}{'events':>8}{'s':>7}"
)


@dataclass(frozen=True)
class Scored:
    """What the program said of one experiment's test rows; it has seen no label."""

    name: str
    score: Floats
    """(T,) NaN where a row could not be scored."""
    alarm: Bools
    limit: float
    events: int
    seconds: float
    """Fitting and scoring together."""


def experiments(root: Path, only: str | None = None) -> list[str]:
    """Name the experiments with faults, such as ``valve1/0``, in the order of their numbers."""
    names = [
        f"{path.parent.name}/{path.stem}" for f in FOLDERS for path in (root / f).glob("*.csv")
    ]
    names.sort(key=lambda name: (FOLDERS.index(name.split("/")[0]), int(name.split("/")[1])))
    if only is not None:
        names = [name for name in names if name == only]
    if not names:
        sys.exit(f"no experiment {only or ''} in {root}; experiments are named like valve1/0.")
    return names


def score_experiment(
    root: Path, config: Path | None, network: str, threads: int, name: str
) -> Scored:
    """Fit on the first 400 rows and score the rest on its own, as a frame."""
    import torch

    from sensor_ad.config import load_config, make_config
    from sensor_ad.detector import Detector

    torch.set_num_threads(threads)
    frame = _read(root, name, lambda column: column not in LABELS)
    began = time.monotonic()
    settings = make_config({}) if config is None else load_config(config)
    if network:
        model = settings.model.model_copy(update={"name": network})
        settings = settings.model_copy(update={"model": model})
    detector = Detector(settings).fit(frame.iloc[:TRAINING_ROWS])
    test = frame.iloc[TRAINING_ROWS:]
    scores = detector.score(test)
    period_s = detector.fitted.scorer.preparation.grid.period_us / 1e6
    rows = at_rows(scores, pd.DatetimeIndex(test.index).tz_localize("UTC"), period_s)
    return Scored(
        name=name,
        score=rows["score"].to_numpy(),
        alarm=rows["alarm"].to_numpy(),
        limit=detector.fitted.limit.value,
        events=len(detector.events()),
        seconds=time.monotonic() - began,
    )


def judge(root: Path, scored: Scored) -> Judged:
    """Read the labels of an experiment that was scored."""
    labels = _read(root, scored.name, lambda column: column in ("datetime", "anomaly"))
    label = labels["anomaly"].to_numpy()[TRAINING_ROWS:] > 0
    return Judged(scored.score, scored.alarm, label)


def judge_changes(root: Path, scored: Scored, factor: float = 1.0) -> Nab:
    """Read the change-points of an experiment that was scored; judge alarms at its limit by NAB.

    Parameters
    ----------
    factor
        The limit's multiple that the score must pass instead, if not 1.
    """
    labels = _read(root, scored.name, lambda column: column in ("datetime", "changepoint"))
    labels = labels.iloc[TRAINING_ROWS:]
    times = pd.DatetimeIndex(labels.index)
    time_s = (times - times[0]).total_seconds().to_numpy()
    return nab(at_limit(scored, factor), labels["changepoint"].to_numpy() > 0, time_s)


def at_limit(scored: Scored, factor: float) -> Bools:
    """(T,) rows whose score passes a multiple of the limit; the program's own alarms for 1."""
    if factor == 1:
        return scored.alarm
    passed: Bools = np.nan_to_num(scored.score, nan=-np.inf) > factor * scored.limit
    return passed


def _read(root: Path, name: str, wanted: object) -> pd.DataFrame:
    return pd.read_csv(
        root / f"{name}.csv",
        sep=";",
        usecols=wanted,
        parse_dates=["datetime"],
        index_col="datetime",
    )


def score_all(
    root: Path,
    names: Sequence[str],
    config: Path | None,
    network: str,
    processes: int,
    threads: int,
) -> Iterator[Scored]:
    """Score experiment after experiment, several at a time."""
    job = partial(score_experiment, root, config, network, threads)
    yield from results(job, names, processes)


def print_row(name: str, rows: int, f: Figures, rest: str = "") -> None:
    """Print one line of the table."""
    auc, ap = (f"{x:8.3f}" if np.isfinite(x) else "       –" for x in (f.auc, f.ap))
    print(
        f"{name:<22}{rows:>7}{f.f1:>7.3f}{f.far:>8.2f}{f.mar:>8.2f}  {auc}  {ap}{rest}", flush=True
    )


def run(
    root: Path, arguments: argparse.Namespace, network: str = ""
) -> tuple[dict[str, Any], list[Judged], list[Nab]]:
    """Score, then judge; print the table as it grows.

    Returns
    -------
    All figures for a file; each experiment's rows and changes at the program's own limit.
    """
    names = experiments(root, arguments.only)
    factors = limit_factors(arguments.factors)
    began = time.monotonic()
    print(
        f"{'experiment':<22}{'rows':>7}{'F1':>7}{'FAR %':>8}{'MAR %':>8}{'AUC':>8}{'AP':>8}", end=""
    )
    print(f"{'limit':>8}{'events':>8}{'s':>7}")
    tests: dict[str, Judged] = {}
    changes: dict[float, list[Nab]] = {factor: [] for factor in factors}
    rules: dict[str, list[Judged]] = {rule_name(factor): [] for factor in factors}
    table = []
    counts = arguments.processes, arguments.threads
    for scored in score_all(root, names, arguments.config, network, *counts):
        tests[scored.name] = judged = judge(root, scored)
        found = figures(judged)
        rest = f"{scored.limit:8.2f}{scored.events:8}{scored.seconds:7.1f}"
        print_row(scored.name, len(judged.label), found, rest)
        facts = {"limit": scored.limit, "events": scored.events, "seconds": scored.seconds}
        table.append({"experiment": scored.name, **asdict(found), **facts})
        for factor in factors:
            alarm = at_limit(scored, factor)
            changes[factor].append(judge_changes(root, scored, factor))
            rules[rule_name(factor)].append(Judged(judged.score, alarm, judged.label))
    seconds = time.monotonic() - began
    summary = summarise(tests)
    found_nab = print_nab(pooled_nab(changes[1.0]))
    if len(factors) > 1:
        print_rules(rules, {rule_name(f): changes[f] for f in factors})
    not_scored = sum(int((~np.isfinite(test.score)).sum()) for test in tests.values())
    print(
        f"\n{not_scored} rows could not be scored: they count as normal, with the lowest score. "
        f"{seconds:.0f} s in all ({counts[0]} processes of {counts[1]} threads)."
    )
    result = {
        "experiments": table,
        "pooled": summary,
        "nab": found_nab,
        "not_scored": not_scored,
        "seconds": seconds,
    }
    return result, list(tests.values()), changes[1.0]


def summarise(tests: dict[str, Judged]) -> dict[str, dict[str, float]]:
    """Print the pooled figures next to the published ones; returns ours."""
    pools = {"sensor_ad, all": list(tests.values())}
    if SUSPECT in tests and len(tests) > 1:
        rest = [test for name, test in tests.items() if name != SUSPECT]
        pools[f"… without {SUSPECT}"] = rest
    print(f"\nPooled over the rows of {len(tests)} tests")
    summary = {}
    for name, chosen in pools.items():
        whole = pooled(chosen)
        found = figures(whole)
        print_row(name, len(whole.label), found)
        summary[name] = {"rows": len(whole.label), **asdict(found)}
    each = [figures(test) for test in tests.values()]
    auc, ap = (float(np.nanmean([getattr(f, key) for f in each])) for key in ("auc", "ap"))
    print(f"mean of the tests' own AUC {auc:.3f}, AP {ap:.3f}")
    print("\nPublished, SKAB leaderboard (all 34 tests)")
    for name, f1, far, mar in PUBLISHED:
        print(f"{name:<22}{'':>7}{f1:>7.2f}{far:>8.2f}{mar:>8.2f}")
    return {**summary, "mean of tests": {"auc": auc, "ap": ap}}


def limit_factors(text: str) -> list[float]:
    """Read `--factors`: numbers with commas; 1 is always among them."""
    return sorted({1.0, *(float(word) for word in text.split(",") if word)})


def rule_name(factor: float) -> str:
    """Name the rule that takes alarms at a multiple of the limit."""
    return "own limit" if factor == 1 else f"limit × {factor:g}"


def print_nab(found: Nab) -> dict[str, float]:
    """Print NAB next to the published values; returns ours."""
    print(f"\nChange-points, NAB (standard, {WINDOW_S:g} s to the right): of {found.windows}")
    print(f"{'':<22}{'NAB':>7}{'missed':>8}{'false':>8}")
    print(f"{'sensor_ad, all':<22}{found.score:>7.2f}{found.missed:>8}{found.false:>8}")
    for name, score, missed, false in PUBLISHED_NAB:
        print(f"{name:<22}{score:>7.2f}{missed:>8}{false:>8}")
    return {"score": found.score, **asdict(found)}


def print_rules(rules: dict[str, list[Judged]], changes: dict[str, list[Nab]]) -> None:
    """Print each rule on all experiments, and what choosing on random halves gives."""
    print(f"\n{'rule, all tests':<22}{'F1':>7}{'FAR %':>8}{'MAR %':>8}{'NAB':>8}")
    for rule, tests in rules.items():
        f, score = figures(pooled(tests)), pooled_nab(changes[rule]).score
        print(f"{rule:<22}{f.f1:>7.3f}{f.far:>8.2f}{f.mar:>8.2f}{score:>8.2f}")
    if len(next(iter(rules.values()))) > 1:
        by_f1 = chosen_on_halves(rules, lambda tests: figures(pooled(tests)).f1)
        by_nab = chosen_on_halves(changes, lambda parts: pooled_nab(parts).score)
        print(f"F1, rule chosen on random halves: {by_f1.statement}")
        print(f"NAB, rule chosen on random halves: {by_nab.statement}")


def run_networks(root: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Score all experiments with one network after another; print one line for each.

    Then what choosing among the networks on random halves of the experiments gives.
    """
    from sensor_ad.config import NETWORK_WORDS

    words = NETWORK_WORDS if arguments.networks == "all" else arguments.networks.split(",")
    found: dict[str, Any] = {}
    rules: dict[str, list[Judged]] = {}
    changes: dict[str, list[Nab]] = {}
    for word in words:
        print(f"\nmodel.name = {word}")
        found[word], rules[word], changes[word] = run(root, arguments, word)
    print(
        f"\nPooled over all tests\n{'network':<12}{'F1':>7}{'FAR %':>8}{'MAR %':>8}{'AUC':>8}"
        f"{'AP':>8}{'mean AUC':>10}{'mean AP':>9}{'s':>7}"
    )
    for word, result in found.items():
        pool, mean = result["pooled"]["sensor_ad, all"], result["pooled"]["mean of tests"]
        print(
            f"{word:<12}{pool['f1']:>7.3f}{pool['far']:>8.2f}{pool['mar']:>8.2f}"
            f"{pool['auc']:>8.3f}{pool['ap']:>8.3f}{mean['auc']:>10.3f}{mean['ap']:>9.3f}"
            f"{result['seconds']:>7.0f}"
        )
    if len(words) > 1:
        print_rules(rules, changes)
    return found


def real_data() -> Path:
    """Find the folder named by SENSOR_AD_REAL_DATA; ends with a sentence if it is not there."""
    folder = os.environ.get("SENSOR_AD_REAL_DATA")
    if not folder or not (Path(folder) / "skab").is_dir():
        sys.exit(
            "SENSOR_AD_REAL_DATA does not name a folder that holds skab/; get SKAB (benchmarks/"
            "README.md says how) and set the variable to the folder above it."
        )
    return Path(folder)


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.skab", description=__doc__)
    parser.add_argument("--only", help="one experiment, such as valve1/0")
    parser.add_argument("--json", type=Path, help="write all figures into this file")
    parser.add_argument("--config", type=Path, help="TOML of other settings than the defaults")
    parser.add_argument(
        "--networks", default="", help="words of model.name, with commas, or all; one line each"
    )
    parser.add_argument(
        "--factors", default="", help="multiples of the limit to judge as well, such as 1.5,2"
    )
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    arguments = parser.parse_args()
    if arguments.config is not None:
        print(f"Settings of {arguments.config}, not the program's defaults.")
    root = real_data() / "skab"
    result = run_networks(root, arguments) if arguments.networks else run(root, arguments)[0]
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(result, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
