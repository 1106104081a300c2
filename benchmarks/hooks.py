"""Cost of reading latents by a hook, over a network that returns them itself, in the same pass.

Both are run in turn on the same tile, which goes first changes every time, and the median of the
pairs' ratios is taken, in processor time of one thread: so other work on the machine hardly counts.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from benchmarks.features import keep_memory
from sensor_ad.features import LayerOutputs
from sensor_ad.models import ConvAutoencoder

MOST_COST = 0.02
CHANNELS, WINDOW, ROWS = 16, 64, 65_536


def direct(
    network: ConvAutoencoder, values: torch.Tensor, mask: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Reconstruct, and return the latents beside it: what `forward` does, without a hook."""
    with torch.inference_mode():
        latents = network.bottleneck(network.encoder(torch.cat([values * mask, mask], dim=1)))
        return network.output(network.decoder(network.widen(latents))), latents


def ratios(
    first: Callable[[], Any], second: Callable[[], Any], repeats: int
) -> tuple[list[float], list[float]]:
    """Run two jobs in turn; returns second over first of each pair, and the first's seconds."""
    found, seconds = [], []
    for number in range(repeats):
        pair = (first, second) if number % 2 == 0 else (second, first)
        times = {job: _seconds(job) for job in pair}
        found.append(times[second] / times[first])
        seconds.append(times[first])
    return found, seconds


def _seconds(job: Callable[[], Any]) -> float:
    began = time.process_time()
    job()
    return time.process_time() - began


def compare(rows: int, repeats: int) -> float:
    """Time one size of tile and print the result; returns the median cost of the hook."""
    torch.manual_seed(0)
    network = ConvAutoencoder(CHANNELS, WINDOW).eval()
    values = torch.randn(1, CHANNELS, rows)
    mask = torch.ones_like(values)
    plain = partial(direct, copy.deepcopy(network), values, mask)  # the hook is not on the copy
    with LayerOutputs(network, [network.bottleneck_name]) as outputs:
        with_hook = partial(outputs, values, mask)
        (result, hooked), (expected, latents) = with_hook(), plain()
        assert torch.equal(result, expected)
        assert torch.equal(hooked[network.bottleneck_name], latents)
        ratios(plain, with_hook, max(3, repeats // 10))  # warm up
        found, seconds = ratios(plain, with_hook, repeats)
    cost = statistics.median(found) - 1
    low, _, high = statistics.quantiles(found, n=4)
    print(
        f"{rows} rows: direct {1e3 * statistics.median(seconds):.2f} ms, hook {100 * cost:+.2f} % "
        f"(middle half of {repeats} pairs {100 * (low - 1):+.2f} to {100 * (high - 1):+.2f} %)"
    )
    return cost


def main() -> None:
    """Compare on the tile that scoring uses, and print PASS or FAIL."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hooks", description=__doc__)
    parser.add_argument("--repeats", type=int, default=201)
    parser.add_argument("--rows", type=int, default=ROWS, help="of a tile, as in scoring")
    arguments = parser.parse_args()
    keep_memory()
    torch.set_num_threads(1)
    cost = compare(arguments.rows, arguments.repeats)
    fine = cost <= MOST_COST
    print(f"{'PASS' if fine else 'FAIL'}  hook {100 * cost:+.2f} %, asked for: ≤ 2 %")
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()
