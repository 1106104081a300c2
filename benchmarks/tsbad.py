"""22 series of TSB-AD-M as published: the first rows are for fitting, the whole series is scored.

The program runs as it comes; other methods run beside it on the same rows, smoothed alike. Labels
are read by another function, after a series was scored.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.event_metrics import alarm_figures, series_figures
from benchmarks.jobs import results
from benchmarks.metrics import at_rows
from benchmarks.peers import PEERS, RANDOM, PeerScore
from benchmarks.smoothing import MOST_ROWS, argmax_only, centred, trailing
from benchmarks.tsbad_tables import (
    CONTROL,
    PROGRAM,
    Judged,
    Series,
    print_head,
    print_series,
    print_tables,
)
from sensor_ad.fusion import smoothed_rows
from sensor_ad.records import Bools, Floats

PERIOD = "1min"
"""Of the time axis that is made up: the series have none."""


@dataclass(frozen=True)
class Said:
    """What one method said of a series; it has seen no label."""

    series: str
    method: str
    seed: int
    views: dict[str, Floats]
    """`given`, `smoothed` (both offline) and `causal` -> (T,) finite scores."""
    alarm: Bools | None
    """(T,) of a method with a limit of its own, else None."""
    seconds: float


def read_table(root: Path, only: str | None = None) -> list[Series]:
    """Read the table of the series; `only` names one by its first digits or its source."""
    table = pd.read_csv(root / "published_vus_pr.csv")
    methods = list(table.columns[7:])
    series = [
        Series(
            row["file"],
            row["source"],
            int(row["train_rows"]),
            int(row["vus_window"]),
            {method: float(row[method]) for method in methods},
        )
        for row in table.to_dict("records")
    ]
    if only is not None:
        wanted = only.split(",")
        series = [
            s for s in series if s.name[:3] in wanted or s.source in wanted or s.family in wanted
        ]
    if not series:
        sys.exit(f"no series {only} in {root}; they are named like 002, 'MSL S-2' or MSL.")
    return series


def score_series(
    root: Path, peers: Sequence[str], seeds: int, threads: int, series: Series
) -> list[Said]:
    """Fit every method to the first rows and score the whole series."""
    import torch

    torch.set_num_threads(threads)
    frame = _frame(root, series.name)
    said = []
    for seed in range(seeds):
        began = time.monotonic()
        scores, rest = _program(frame, series.train_rows, seed)
        given = lowest_where_unknown(scores["score"].to_numpy())
        views = {
            "given": given,
            "smoothed": centred(given, rest),
            "causal": causal_score(scores),
        }
        alarm = scores["alarm"].to_numpy()
        said.append(Said(series.name, PROGRAM, seed, views, alarm, time.monotonic() - began))
    for peer in peers:
        for seed in range(seeds if peer in RANDOM else 1):
            began = time.monotonic()
            found = PEERS[peer](frame.to_numpy(dtype=np.float64), series.train_rows, seed)
            seconds = time.monotonic() - began
            said.append(Said(series.name, peer, seed, peer_views(found), None, seconds))
    return said


def causal_score(scores: pd.DataFrame) -> Floats:
    """Give the program's causal score as it comes, (T,): it needs no more smoothing."""
    return lowest_where_unknown(scores["causal_score"].to_numpy())


def rows_left(window: int) -> int:
    """Rows over which the program's score may still be smoothed: it comes smoothed already.

    Two boxes of a and b rows, one after the other, are a filter of a + b − 1.
    """
    return MOST_ROWS - smoothed_rows(window) + 1


def peer_views(found: PeerScore) -> dict[str, Floats]:
    """Smooth a peer's score as the program's."""
    return {
        "given": found.centred,
        "smoothed": centred(found.centred),
        "causal": trailing(found.causal),
    }


def lowest_where_unknown(score: Floats) -> Floats:
    """Give rows that could not be scored the lowest score of those that could."""
    known = np.isfinite(score)
    return np.where(known, score, score[known].min() if known.any() else 0.0)


def judge(root: Path, series: Series, said: Said) -> list[Judged]:
    """Read the labels of a series that was scored; the program brings its control with it."""
    label = pd.read_parquet(root / f"{series.name}.parquet", columns=["label"])["label"] > 0
    found = [_judged(series, said, label.to_numpy())]
    if said.method == PROGRAM:
        found.append(_judged(series, control(said), label.to_numpy()))
    return found


def control(said: Said) -> Said:
    """Forget all of a method's scores but where each is highest."""
    views = {view: argmax_only(score) for view, score in said.views.items()}
    return Said(said.series, CONTROL, said.seed, views, None, 0.0)


def _judged(series: Series, said: Said, label: Bools) -> Judged:
    causal = said.views["causal"]
    alarm = causal > causal[: series.train_rows].max()
    return Judged(
        series=series.name,
        family=series.family,
        method=said.method,
        seed=said.seed,
        views={
            view: series_figures(score, label, series.window) for view, score in said.views.items()
        },
        limit=alarm_figures(alarm, label),
        own=None if said.alarm is None else alarm_figures(said.alarm, label),
        seconds=said.seconds,
    )


def _frame(root: Path, name: str) -> pd.DataFrame:
    """Read the tags of a series, not its labels, on a time axis that is made up."""
    import pyarrow.parquet as pq

    path = root / f"{name}.parquet"
    tags = [column for column in pq.read_schema(path).names if column != "label"]
    frame = pd.read_parquet(path, columns=tags)
    times = pd.date_range("2026-01-01", periods=len(frame), freq=PERIOD, tz="UTC", name="time")
    return frame.set_axis(times, axis=0)


def _program(frame: pd.DataFrame, train_rows: int, seed: int) -> tuple[pd.DataFrame, int]:
    """(T,) rows with score and alarm of the program as it comes, and the rows left to smooth."""
    from sensor_ad.detector import Detector

    detector = Detector({"seed": seed}).fit(frame.iloc[:train_rows])
    scores = detector.score(frame)
    period_s = pd.Timedelta(PERIOD).total_seconds()
    rest = rows_left(detector.fitted.scorer.window)
    return at_rows(scores, pd.DatetimeIndex(frame.index), period_s), rest


def run(root: Path, arguments: argparse.Namespace) -> list[Judged]:
    """Score, then judge; print the table as it grows."""
    table = read_table(root, arguments.only)
    peers = chosen_peers(arguments.peers)
    began = time.monotonic()
    judged: list[Judged] = []
    work = partial(score_series, root, peers, arguments.seeds, arguments.threads)
    print_head()
    for series, said in zip(table, results(work, table, arguments.processes), strict=True):
        found = [judgement for one in said for judgement in judge(root, series, one)]
        print_series(series, found)
        judged += found
    print_tables(table, judged)
    print(
        f"\n{time.monotonic() - began:.0f} s in all ({arguments.processes} processes of "
        f"{arguments.threads} threads)."
    )
    return judged


def chosen_peers(words: str) -> list[str]:
    """Read `--peers`: all, none, or words with commas."""
    if words in ("all", "none"):
        return list(PEERS) if words == "all" else []
    unknown = [word for word in words.split(",") if word not in PEERS]
    if unknown:
        sys.exit(f"no peer {unknown[0]!r}; there are {', '.join(PEERS)}, all and none.")
    return words.split(",")


def real_data(folder: str) -> Path:
    """Find a folder of SENSOR_AD_REAL_DATA; ends with a sentence if it is not there."""
    root = os.environ.get("SENSOR_AD_REAL_DATA")
    if not root or not (Path(root) / folder).is_dir():
        sys.exit(
            f"SENSOR_AD_REAL_DATA does not name a folder that holds {folder}/; "
            "benchmarks/README.md says where the data comes from."
        )
    return Path(root) / folder


def to_json(judged: Sequence[Judged]) -> list[dict[str, Any]]:
    """Give all figures as a table for a file."""
    return [asdict(one) for one in judged]


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tsbad", description=__doc__)
    parser.add_argument("--only", help="series or families with commas, such as 002,SMD")
    parser.add_argument("--json", type=Path, help="write all figures into this file")
    parser.add_argument(
        "--peers", default="all", help=f"all, none, or with commas: {', '.join(PEERS)}"
    )
    parser.add_argument("--seeds", type=int, default=1, help="of the program and random peers")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    arguments = parser.parse_args()
    judged = run(real_data("tsbad_m"), arguments)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(to_json(judged), indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
