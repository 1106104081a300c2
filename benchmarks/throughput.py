"""`sensor-ad score` from end to end, beside a bare read of the files and other ways of scoring.

Exports are made in a temporary folder, a model is trained on a short one (not timed), and each
figure comes from a process of its own, so that its peak memory is its own. Start-up is everything
before the first byte is read: Python, imports, config, model.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.children import Child, run_module

TRAINING_ROWS = 60_000
TINY_ROWS = 3600
"""An hour of data: what a run takes at least."""
MEMORY_ROWS = 1_000_000
"""For the one pass in memory."""
LONG_RUN = 6_000_000
"""Longer files are timed once."""
MOST_OF_READ, AIM_OF_READ = 2.0, 1.5
MOST_MIB = 1.5 * 1024
SAME_MEMORY = 0.15
"""Peaks of all lengths count as equal within this share."""
LEAST_OVER_AUTOENCODER = 100.0

CONFIG = """\
asset = "throughput"
workspace = "workspace"
reports = "reports"

[data]
train = ["training.parquet"]

[training]
max_epochs = 10    # how good the weights are does not change how fast they are
"""


@dataclass(frozen=True)
class FileResult:
    """What one export took."""

    rows: int
    kind: str
    """csv or parquet."""
    read_s: tuple[float, ...]
    """Bare read by pandas, the call alone."""
    read_cpu_s: float
    """Processor time of that call, the median."""
    read_mib: float
    wall_s: tuple[float, ...]
    start_s: tuple[float, ...]
    """Wall time before the reading begins."""
    stages: dict[str, float]
    """Seconds of the stages in the last run."""
    cpu_s: float
    """Processor time of the whole process, start-up included, the median."""
    peak_mib: float
    events: int

    @property
    def work_s(self) -> tuple[float, ...]:
        """Wall time without start-up."""
        return tuple(wall - start for wall, start in zip(self.wall_s, self.start_s, strict=True))

    @property
    def of_read(self) -> float:
        """Work as a multiple of the bare read, median over median."""
        return statistics.median(self.work_s) / statistics.median(self.read_s)


def make_exports(folder: Path, rows: Sequence[int], kinds: Sequence[str]) -> list[Path]:
    """Write what is not there yet; returns the exports to be timed."""
    paths = [folder / f"{count}.{kind}" for kind in kinds for count in rows]
    others = {"training.parquet": TRAINING_ROWS, "memory.parquet": MEMORY_ROWS}
    others |= {f"tiny.{kind}": TINY_ROWS for kind in kinds}
    wanted = {path: int(path.stem) for path in paths}
    wanted |= {folder / name: count for name, count in others.items()}
    for path, count in wanted.items():
        if not path.exists():
            faults = [] if path.stem not in ("training", "memory") else ["--no-faults"]
            run_module("benchmarks.plant_files", path, count, *faults)
    return paths


def train(folder: Path) -> Path:
    """Train a model on the short export; returns its bundle."""
    config = folder / "config.toml"
    config.write_text(CONFIG, encoding="utf-8")
    child = run_module("sensor_ad.cli", "train", config, "--json", "--quiet")
    return Path(child.said["folder"])


def score(folder: Path, path: Path) -> tuple[Child, float]:
    """Score one export; returns what it took, and the seconds before its reading began."""
    config = folder / "config.toml"
    child = run_module("sensor_ad.cli", "score", config, path, "--no-context", "--json", "--quiet")
    stages = child.said["seconds"]
    return child, child.seconds - stages["reading and scoring"] - stages["report"]


def time_file(folder: Path, path: Path, repeats: int) -> FileResult:
    """Read and score one export in turn, so that both see the machine in the same state."""
    rows = int(path.stem)
    reads, runs = [], []
    for _ in range(1 if rows > LONG_RUN else repeats):
        reads.append(run_module("benchmarks.bare_read", path))
        runs.append(score(folder, path))
    return FileResult(
        rows=rows,
        kind=path.suffix[1:],
        read_s=tuple(child.said["seconds"] for child in reads),
        read_cpu_s=statistics.median(child.said["cpu_s"] for child in reads),
        read_mib=max(child.peak_mib for child in reads),
        wall_s=tuple(child.seconds for child, _ in runs),
        start_s=tuple(start for _, start in runs),
        stages=runs[-1][0].said["seconds"],
        cpu_s=statistics.median(child.cpu_s for child, _ in runs),
        peak_mib=max(child.peak_mib for child, _ in runs),
        events=len(runs[-1][0].said["events"]),
    )


def print_file(result: FileResult) -> None:
    """Print one line of the table of files."""
    work, read = statistics.median(result.work_s), statistics.median(result.read_s)
    stages = ", ".join(f"{name} {value:.1f}" for name, value in result.stages.items())
    print(
        f"{result.rows:>10}  {result.kind:<8}"
        f"{_spread(result.read_s):>18}{result.read_cpu_s:>7.1f}{result.read_mib:>7.0f}"
        f"{_spread(result.start_s):>18}{_spread(result.work_s):>18}"
        f"{result.cpu_s:>7.1f}{result.peak_mib:>7.0f}"
        f"{result.rows / work / 1e6:>9.2f}{result.rows / read / 1e6:>9.2f}{result.of_read:>7.2f}"
        f"  {stages}; {result.events} events",
        flush=True,
    )


def time_files(folder: Path, paths: Sequence[Path], repeats: int) -> list[FileResult]:
    """Time and print all files."""
    for path in sorted(folder.glob("tiny.*")):
        tiny = [score(folder, path) for _ in range(repeats)]
        walls, starts = zip(*((child.seconds, start) for child, start in tiny), strict=True)
        print(
            f"An hour ({TINY_ROWS} rows, {path.suffix[1:]}): {_spread(walls)} s from end to end, "
            f"{_spread(starts)} s of it start-up"
        )
    print(
        f"\n{'rows':>10}  {'file':<8}{'pandas reads s':>18}{'CPU s':>7}{'MiB':>7}"
        f"{'start-up s':>18}{'score without s':>18}{'CPU s':>7}{'MiB':>7}"
        f"{'M rows/s':>9}{'read':>9}{'ratio':>7}  stages, s"
    )
    results = []
    for path in paths:
        results.append(time_file(folder, path, repeats))
        print_file(results[-1])
    return results


def time_windows(bundle: Path, export: Path, repeats: int) -> list[dict[str, Any]]:
    """Time and print the one pass beside windows and PyOD."""
    rates: list[dict[str, Any]] = run_module(
        "benchmarks.window_rates", bundle, export, "--repeats", repeats
    ).said
    print(f"\n{'scoring in memory':<34}{'rows':>10}{'s':>18}{'rows/s':>12}{'one pass is':>13}")
    for rate in rates:
        times = f"{rates[0]['rows_per_s'] / rate['rows_per_s']:.1f} ×"
        print(
            f"{rate['name']:<34}{rate['rows']:>10}{_spread(rate['seconds']):>18}"
            f"{rate['rows_per_s']:>12.0f}{times:>13}  {rate['remark']}"
        )
    return rates


def check_files(results: Sequence[FileResult]) -> None:
    """Print whether the files keep what is asked for."""
    for result in results:
        if result.kind == "csv":
            note = f"{result.of_read:.2f} (aim {AIM_OF_READ})"
            verdict(
                f"{result.rows} rows of CSV: {note}", result.of_read <= MOST_OF_READ, "≤ 2 × read"
            )
    peaks = [result.peak_mib for result in results]
    verdict(f"peak memory {max(peaks):.0f} MiB", max(peaks) <= MOST_MIB, "≤ 1.5 GiB")
    for kind in sorted({result.kind for result in results}):
        same = [result.peak_mib for result in results if result.kind == kind]
        text = " and ".join(f"{peak:.0f}" for peak in same)
        if len(same) > 1:
            equal = max(same) <= (1 + SAME_MEMORY) * min(same)
            verdict(f"peak memory of {kind}: {text} MiB", equal, "equal within 15 %")


def check_windows(rates: Sequence[dict[str, Any]]) -> None:
    """Print whether the one pass is as much faster as asked for."""
    by_name = {rate["name"]: rate["rows_per_s"] for rate in rates}
    peer = next(value for name, value in by_name.items() if "AutoEncoder" in name)
    times = rates[0]["rows_per_s"] / peer
    verdict(
        f"one pass {times:.0f} times PyOD's AutoEncoder", times >= LEAST_OVER_AUTOENCODER, "≥ 100"
    )


def verdict(found: str, fine: bool, wanted: str) -> None:
    """Print PASS or FAIL."""
    print(f"{'PASS' if fine else 'FAIL'}  {found}, asked for: {wanted}")


def _spread(seconds: Sequence[float]) -> str:
    """Median, with lowest and highest when there are several."""
    middle = f"{statistics.median(seconds):.2f}"
    return middle if len(seconds) == 1 else f"{middle} ({min(seconds):.2f}–{max(seconds):.2f})"


def run(folder: Path, arguments: argparse.Namespace) -> None:
    """Make the exports, time everything, print the verdicts."""
    rows = [int(text) for text in arguments.rows.split(",")]
    paths = make_exports(folder, rows, arguments.formats.split(","))
    bundle = train(folder)
    results, rates = [], []
    if arguments.only != "windows":
        results = time_files(folder, paths, arguments.repeats)
    if arguments.only != "files":
        rates = time_windows(bundle, folder / "memory.parquet", arguments.repeats)
    print()
    if results:
        check_files(results)
    if rates:
        check_windows(rates)
    if arguments.json is not None:
        table = {"files": [asdict(result) for result in results], "windows": rates}
        arguments.json.write_text(json.dumps(table, indent=2), encoding="utf-8")


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput", description=__doc__)
    parser.add_argument("--rows", default="3000000,12000000", help="lengths, with commas")
    parser.add_argument("--formats", default="csv,parquet", help="csv, parquet or both")
    parser.add_argument("--repeats", type=int, default=3, help="files beyond 6 M rows: once")
    parser.add_argument("--only", choices=["files", "windows"], help="one half of the benchmark")
    parser.add_argument("--folder", type=Path, help="where the exports go; used again if there")
    parser.add_argument("--keep", action="store_true", help="leave the temporary folder")
    parser.add_argument("--json", type=Path, help="write all figures into this file")
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="sensor_ad-throughput-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        run(folder, arguments)
    finally:
        if arguments.folder is None and not arguments.keep:
            shutil.rmtree(folder)
    if arguments.keep:
        print(f"The exports are in {folder}.")


if __name__ == "__main__":
    main()
