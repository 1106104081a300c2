"""Cost of reading hidden layers by `tap` and `features`, over the plain pass, beside torch.fx.

Everything is run on the same input in a random order, and the median of the ratios to the plain
pass of the same round is taken, in processor time of one thread: so other work on the machine
hardly counts. Two graphs of torch.fx stand beside. One does what `tap` or `features` does, a copy
or the pooling right behind the layer: what that costs is the work, the rest is ours. The other
returns a layer's own tensor: where a layer behind it works in place, as rectifiers often do, the
tensor no longer holds what the layer put out, and how many layers are wrong so is told.
"""

from __future__ import annotations

import argparse
import copy
import ctypes
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import fx, nn

from sensor_ad.features import features, tap
from sensor_ad.models import ConvAutoencoder

MOST_COST = 0.02
CHANNELS, WINDOW, ROWS = 16, 64, 65_536
BATCH, BATCHES = 256, 4
LAYERS = ("encoder.0.0", "encoder.1.0", "encoder.2.0", "bottleneck", "widen.0", "decoder.0.0")
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Options of glibc, in bytes; the second takes 32 MiB at most."""
Batch = tuple[torch.Tensor, ...]
Job = Callable[[], Any]


@dataclass(frozen=True)
class Case:
    """What is run, and what is read."""

    name: str
    network: nn.Module
    batches: list[Batch]
    layers: tuple[str, ...]
    pool: Literal["mean", "mean_spread"] | None = None
    """Pooled by `features`; None: read by `tap`."""
    judged: bool = False
    """Whether what was asked for is asked of it; else it shows what costs more."""
    rounds: int = 1
    """So many times the rounds: short passes scatter more."""


@dataclass(frozen=True)
class Jobs:
    """What is timed of a case."""

    plain: Job
    own: Job
    graph: Job
    """torch.fx that returns the layers' own tensors."""
    same: Job
    """torch.fx that copies or pools."""


def keep_memory() -> None:
    """Have the C library keep the memory that was freed, where it is glibc.

    It gives larger pieces back to the system and gets them anew, page by page. Whether it does
    depends on what lies behind them, by chance, and takes as long as the network does.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    for option, size in ((M_TRIM_THRESHOLD, 1 << 30), (M_MMAP_THRESHOLD, 32 << 20)):
        mallopt(option, size)


def cases(rows: int) -> list[Case]:
    """Make the default network on a tile and on windows, one layer and six; and linear layers.

    A pass costs about 0.07 ms whatever it does, and each layer the copy, or the pooling, of what it
    puts out; `features` looks for NaN in the data besides, and collects.
    """
    network = ConvAutoencoder(CHANNELS, WINDOW)
    tile = torch.randn(1, CHANNELS, rows)
    many, few = (torch.randn(count, CHANNELS, WINDOW) for count in (512, 128))
    stream = [torch.randn(BATCH, CHANNELS, WINDOW) for _ in range(BATCHES)]
    on_tile, on_many, on_few, on_stream = (
        [(x, torch.ones_like(x)) for x in batches] for batches in ([tile], [many], [few], stream)
    )
    flat = nn.Sequential(nn.Linear(1024, 512), nn.ReLU(), nn.Linear(512, 64), nn.ReLU())
    on_flat, one = [(many.flatten(1),)], ("bottleneck",)
    return [
        Case(f"tap, bottleneck, a tile of {rows} rows", network, on_tile, one, judged=True),
        Case("tap, bottleneck, 512 windows", network, on_many, one, judged=True, rounds=2),
        Case("tap, bottleneck, 128 windows", network, on_few, one, rounds=4),
        Case("tap, six layers, 512 windows", network, on_many, LAYERS, rounds=2),
        Case("tap, two linear layers, 512 windows", flat, on_flat, ("0", "2"), rounds=2),
        Case("features, bottleneck, mean", network, on_stream, one, "mean"),
        Case("features, bottleneck, mean_spread", network, on_stream, one, "mean_spread"),
        Case("features, six layers, mean", network, on_stream, LAYERS, "mean"),
        Case("features, six layers, mean_spread", network, on_stream, LAYERS, "mean_spread"),
    ]


def mean(output: torch.Tensor) -> torch.Tensor:
    """(N, C, L) to (N, C)."""
    return output.mean(dim=2)


def mean_spread(output: torch.Tensor) -> torch.Tensor:
    """(N, C, L) to (N, 2C)."""
    middle = output.mean(dim=2, keepdim=True)
    return torch.cat([middle[..., 0], (output - middle).square_().mean(dim=2).sqrt_()], dim=1)


TAKEN = {None: torch.clone, "mean": mean, "mean_spread": mean_spread}
"""What a graph does behind a layer, to give what `tap` or `features` does."""


def graph_of(
    network: nn.Module,
    layers: Sequence[str],
    taken: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> fx.GraphModule:
    """Trace a network so that it returns its result and what is taken of these layers."""
    graph = fx.symbolic_trace(network).graph
    found = {node.target: node for node in graph.nodes if node.op == "call_module"}
    (result,) = (node for node in graph.nodes if node.op == "output")
    given = {name: found[name] for name in layers}
    if taken is not None:
        for name, node in given.items():
            with graph.inserting_after(node):
                given[name] = graph.call_function(taken, (node,))
    result.args = ((result.args[0], given),)
    return fx.GraphModule(network, graph)


def over(call: Callable[..., Any], batches: list[Batch]) -> list[Any]:
    """Run all batches and give their results, as arrays where features are collected."""
    return [call(*batch) for batch in batches]


def jobs_of(case: Case, tapped: Callable[..., Any]) -> Jobs:
    """Make the jobs of a case; none of their networks but the tapped one has a hook."""
    without = torch.inference_mode()
    graphs = (
        without(graph_of(copy.deepcopy(case.network), case.layers, taken))
        for taken in (None, TAKEN[case.pool])
    )
    plain, graph, same = (
        partial(over, call, case.batches)
        for call in (without(copy.deepcopy(case.network)), *graphs)
    )
    if case.pool is None:
        return Jobs(plain, partial(over, tapped, case.batches), graph, same)
    own = partial(
        features, copy.deepcopy(case.network), case.batches, list(case.layers),
        pool=case.pool, inputs=tuple,
    )  # fmt: skip
    return Jobs(plain, own, graph, same)


def check(case: Case, jobs: Jobs) -> int:
    """Make sure that all jobs give the same; returns how many layers' own tensors are wrong."""
    expected, own, graph, same = (job() for job in (jobs.plain, jobs.own, jobs.graph, jobs.same))
    wrong = 0
    for layer in case.layers:
        right = torch.cat([values[layer] for _, values in same])
        if case.pool is None:
            mine = torch.cat([values[layer] for _, values in own])
            assert torch.equal(mine, right)
        else:
            torch.testing.assert_close(torch.from_numpy(own[layer]), right)
        kept = torch.cat([values[layer] for _, values in graph])
        kept = kept if case.pool is None else TAKEN[case.pool](kept)
        wrong += not torch.allclose(kept, right, atol=1e-6)
    results = [graph, same] if case.pool else [graph, same, own]
    for result in results:
        assert all(torch.equal(a, b) for a, (b, _) in zip(expected, result, strict=True))
    return wrong


def seconds(jobs: Sequence[Job], repeats: int) -> list[list[float]]:
    """Run jobs in rounds of random order; returns each one's seconds, round by round."""
    taken: list[list[float]] = [[0.0] * repeats for _ in jobs]
    for number in range(repeats):
        for place in random.sample(range(len(jobs)), len(jobs)):
            began = time.process_time()
            jobs[place]()
            taken[place][number] = time.process_time() - began
    return taken


def compare(case: Case, repeats: int) -> float:
    """Time one case and print it; returns the median cost of the program's way."""
    case.network.eval()
    tapped_network = copy.deepcopy(case.network)
    with tap(tapped_network, case.layers) as tapped:
        jobs = jobs_of(case, tapped)
        wrong = check(case, jobs)
        timed = (jobs.plain, jobs.own, jobs.graph, jobs.same)
        seconds(timed, max(3, repeats // 10))  # warm up
        base, *others = seconds(timed, repeats * case.rounds)
    ratios = [[own / first for own, first in zip(s, base, strict=True)] for s in others]
    own, graph, same = (statistics.median(ratio) - 1 for ratio in ratios)
    low, _, high = statistics.quantiles(ratios[0], n=4)
    word = "    " if not case.judged else "PASS" if own <= MOST_COST else "FAIL"
    print(
        f"{word}  {case.name}: plain {1e3 * statistics.median(base):.2f} ms, {100 * own:+.2f} % "
        f"(middle half of {len(base)} rounds {100 * (low - 1):+.2f} to {100 * (high - 1):+.2f} %); "
        f"torch.fx with the same work {100 * same:+.2f} %, without it {100 * graph:+.2f} % "
        f"({wrong} of {len(case.layers)} layers wrong)",
        flush=True,
    )
    return own


def main() -> None:
    """Compare all cases, and print PASS or FAIL for each that is judged."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.features", description=__doc__)
    parser.add_argument("--repeats", type=int, default=201)
    parser.add_argument("--rows", type=int, default=ROWS, help="of a tile, as in scoring")
    arguments = parser.parse_args()
    keep_memory()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    random.seed(0)
    costs = [(case.judged, compare(case, arguments.repeats)) for case in cases(arguments.rows)]
    most = max(cost for judged, cost in costs if judged)
    fine = most <= MOST_COST
    print(
        f"{'PASS' if fine else 'FAIL'}  tap on a bottleneck {100 * most:+.2f} % at most, asked "
        "for: ≤ 2 %"
    )
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()
