"""Cost of reading hidden layers by `tap`, over the plain forward pass, beside torch.fx.

Everything is run on the same input in a random order, and the median of the ratios to the plain
pass of the same round is taken, in processor time of one thread: so other work on the machine
hardly counts. The graph of torch.fx returns a layer's own tensor, `tap` a copy: where a layer
behind it works in place, as rectifiers often do, the tensor no longer holds what the layer put out.
How many layers torch.fx gives wrong is told.
"""

from __future__ import annotations

import argparse
import copy
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import fx, nn

from sensor_ad.features import tap
from sensor_ad.models import ConvAutoencoder

MOST_COST = 0.02
CHANNELS, WINDOW, ROWS = 16, 64, 65_536


@dataclass(frozen=True)
class Case:
    """What is run, and what is read."""

    name: str
    network: nn.Module
    inputs: tuple[torch.Tensor, ...]
    layers: tuple[str, ...]
    judged: bool
    """Whether what was asked for is asked of it; else it shows what costs more."""


def cases(rows: int) -> list[Case]:
    """Make the default network on a tile and on windows, and cases that cost more.

    A pass costs about 0.1 ms whatever it does, and each layer the copy of what it puts out.
    """
    network = ConvAutoencoder(CHANNELS, WINDOW)
    tile = torch.randn(1, CHANNELS, rows)
    many, few = (torch.randn(count, CHANNELS, WINDOW) for count in (512, 128))
    on_tile, on_many, on_few = ((x, torch.ones_like(x)) for x in (tile, many, few))
    blocks = ("encoder.0.0", "encoder.1.0", "encoder.2.0", "bottleneck", "widen.0", "decoder.0.0")
    flat = nn.Sequential(nn.Linear(1024, 512), nn.ReLU(), nn.Linear(512, 64), nn.ReLU())
    return [
        Case(f"bottleneck, a tile of {rows} rows", network, on_tile, ("bottleneck",), True),
        Case("bottleneck, 512 windows", network, on_many, ("bottleneck",), True),
        Case("bottleneck, 128 windows", network, on_few, ("bottleneck",), False),
        Case("six layers, 512 windows", network, on_many, blocks, False),
        Case("two linear layers, 512 windows", flat, (many.flatten(1),), ("0", "2"), False),
    ]


def graph_of(network: nn.Module, layers: Sequence[str]) -> fx.GraphModule:
    """Trace a network so that it returns its result and what these layers put out."""
    graph = fx.symbolic_trace(network).graph
    found = {node.target: node for node in graph.nodes if node.op == "call_module"}
    (result,) = (node for node in graph.nodes if node.op == "output")
    result.args = ((result.args[0], {name: found[name] for name in layers}),)
    return fx.GraphModule(network, graph)


def seconds(jobs: Sequence[Callable[[], Any]], repeats: int) -> list[list[float]]:
    """Run jobs in rounds of random order; returns each one's seconds, round by round."""
    taken: list[list[float]] = [[0.0] * repeats for _ in jobs]
    for number in range(repeats):
        for place in random.sample(range(len(jobs)), len(jobs)):
            began = time.process_time()
            jobs[place]()
            taken[place][number] = time.process_time() - began
    return taken


def compare(case: Case, repeats: int) -> float:
    """Time one case and print it; returns the median cost of the tap."""
    network = case.network.eval()
    plain = torch.inference_mode()(copy.deepcopy(network))  # no hook is on the copies
    graph = torch.inference_mode()(graph_of(copy.deepcopy(network), case.layers))
    with tap(network, case.layers) as tapped:
        jobs = [partial(job, *case.inputs) for job in (plain, tapped, graph)]
        expected, (result, outputs), (traced, values) = (job() for job in jobs)
        assert torch.equal(result, expected)
        assert torch.equal(traced, expected)
        wrong = sum(not torch.equal(outputs[layer], values[layer]) for layer in case.layers)
        seconds(jobs, max(3, repeats // 10))  # warm up
        base, *others = seconds(jobs, repeats)
    by_tap, by_fx = ([own / first for own, first in zip(s, base, strict=True)] for s in others)
    cost = statistics.median(by_tap) - 1
    low, _, high = statistics.quantiles(by_tap, n=4)
    print(
        f"{case.name}: plain {1e3 * statistics.median(base):.2f} ms, tap {100 * cost:+.2f} % "
        f"(middle half of {repeats} rounds {100 * (low - 1):+.2f} to {100 * (high - 1):+.2f} %), "
        f"torch.fx {100 * (statistics.median(by_fx) - 1):+.2f} % ({wrong} of {len(case.layers)} "
        "layers wrong)"
    )
    return cost


def main() -> None:
    """Compare all cases, and print PASS or FAIL."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.features", description=__doc__)
    parser.add_argument("--repeats", type=int, default=201)
    parser.add_argument("--rows", type=int, default=ROWS, help="of a tile, as in scoring")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    random.seed(0)
    costs = {case: compare(case, arguments.repeats) for case in cases(arguments.rows)}
    cost = max(own for case, own in costs.items() if case.judged)
    fine = cost <= MOST_COST
    print(
        f"{'PASS' if fine else 'FAIL'}  tap on a bottleneck {100 * cost:+.2f} %, asked for: ≤ 2 %"
    )
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()
