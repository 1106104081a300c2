"""Rows per second of the one pass, and of what else could be done with the same rows.

A fitted model and an export come in. The one pass runs over tiles in memory; on a slice the same
network runs on stride-1 windows, and PyOD's detectors on the same windows laid flat. Only scoring
is timed. What would take too long is measured on fewer rows, and says so.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from sensor_ad.bundle import load_bundle
from sensor_ad.features import LayerOutputs
from sensor_ad.grid import Rows, tiles
from sensor_ad.records import Floats
from sensor_ad.scoring import Scorer, dense_pass

WINDOWS_A_BATCH = 512
FIT_WINDOWS = 2000
"""PyOD's detectors are fitted to so many windows."""
TRIAL_WINDOWS = 500
"""Tell how long the rest would take."""
MOST_SECONDS = 30.0
"""For one measurement; with more to do, fewer windows are scored."""
BLOCK = 5000
"""Windows laid flat at a time, so that memory stays bounded."""


@dataclass(frozen=True)
class Rate:
    """How fast one way of scoring is."""

    name: str
    rows: int
    """Scored in each repetition."""
    seconds: list[float]
    remark: str = ""

    @property
    def rows_per_s(self) -> float:
        """Median rate."""
        return self.rows / statistics.median(self.seconds)


def pass_rates(scorer: Scorer, values: Floats, repeats: int) -> list[Rate]:
    """Time the network alone, the whole pass, and all scoring, over tiles in memory."""
    T = len(values)
    rows = Rows(np.arange(T), values, np.ones(T, dtype=bool))
    held = list(tiles([rows], scorer.layout))
    inputs = [_tensors(scorer, tile.values) for tile in held]
    parts = (scorer.network, scorer.preparation, scorer.layout, scorer.window)
    jobs: dict[str, Callable[[], Any]] = {
        "one pass (network, hook)": lambda: _network_alone(scorer, inputs),
        "one pass, scaled and pooled": lambda: _drain(dense_pass(held, *parts)),
        "all scoring in memory": lambda: _drain(scorer.score(held)),
    }
    return [Rate(name, T, _times(job, repeats)) for name, job in jobs.items()]


def window_rate(scorer: Scorer, values: Floats, repeats: int) -> Rate:
    """Time the same network on every window of L rows, copied batch by batch."""
    x, mask = (part[0] for part in _tensors(scorer, values))
    count = x.shape[1] - scorer.window + 1

    def job() -> None:
        with torch.inference_mode():
            for start in range(0, count, WINDOWS_A_BATCH):
                stop = min(start + WINDOWS_A_BATCH, count) + scorer.window - 1
                parts = (part[:, start:stop].unfold(1, scorer.window, 1) for part in (x, mask))
                scorer.network(*(part.transpose(0, 1).contiguous() for part in parts))

    return Rate("same network, stride-1 windows", count, _times(job, repeats))


def pyod_rate(name: str, scorer: Scorer, values: Floats, repeats: int) -> Rate:
    """Time a detector of PyOD on the same windows, each laid flat to L * C numbers."""
    x = scorer.preparation.scaled(values)[0]
    windows = np.lib.stride_tricks.sliding_window_view(x, scorer.window, axis=0)
    every = max(1, len(windows) // FIT_WINDOWS)
    detector = _pyod(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        detector.fit(_flat(windows[::every][:FIT_WINDOWS]))
        trial = _times(lambda: detector.decision_function(_flat(windows[:TRIAL_WINDOWS])), 2)[-1]
        feasible = int(MOST_SECONDS / trial * TRIAL_WINDOWS)
        rows = min(len(windows), max(feasible, TRIAL_WINDOWS))

        def job() -> None:
            for start in range(0, rows, BLOCK):
                detector.decision_function(_flat(windows[start : min(start + BLOCK, rows)]))

        seconds = _times(job, repeats)
    remark = "" if rows == len(windows) else f"rate from {rows} of {len(windows)} windows"
    return Rate(f"PyOD {name}, stride-1 windows", rows, seconds, remark)


def _pyod(name: str) -> Any:
    make = getattr(importlib.import_module(f"pyod.models.{_module(name)}"), name)
    if name == "AutoEncoder":
        return make(epoch_num=1, device="cpu", verbose=0, random_state=0)
    return make(random_state=0) if name == "IForest" else make()


def _module(name: str) -> str:
    return {"AutoEncoder": "auto_encoder"}.get(name, name.lower())


def _flat(windows: Floats) -> Floats:
    return np.ascontiguousarray(windows).reshape(len(windows), -1)


def _tensors(scorer: Scorer, values: Floats) -> tuple[torch.Tensor, torch.Tensor]:
    """(1, C, T) scaled values and mask."""
    x, mask = scorer.preparation.scaled(values)
    return tuple(torch.from_numpy(part).T[None].contiguous() for part in (x, mask))  # type: ignore[return-value]


def _network_alone(scorer: Scorer, inputs: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
    with LayerOutputs(scorer.network, [scorer.network.bottleneck_name]) as outputs:
        for pair in inputs:
            outputs(*pair)


def _drain(items: Iterator[Any]) -> None:
    for _ in items:
        pass


def _times(job: Callable[[], Any], repeats: int) -> list[float]:
    seconds = []
    for _ in range(repeats):
        began = time.monotonic()
        job()
        seconds.append(time.monotonic() - began)
    return seconds


def main() -> None:
    """Print the rates as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.window_rates", description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("export", type=Path)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    scorer = load_bundle(arguments.bundle, torch.device("cpu")).fitted.scorer
    values = pd.read_parquet(arguments.export).drop(columns="time").to_numpy()
    part = values[: arguments.rows]
    rates = [
        *pass_rates(scorer, values, arguments.repeats),
        window_rate(scorer, part, arguments.repeats),
        *(pyod_rate(n, scorer, part, arguments.repeats) for n in ("AutoEncoder", "KNN", "IForest")),
    ]
    print(json.dumps([asdict(rate) | {"rows_per_s": rate.rows_per_s} for rate in rates]))


if __name__ == "__main__":
    main()
