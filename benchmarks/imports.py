"""Reading exports beside pandas: throughput, memory, and an account that adds up.

Three kinds of files of some sizes: wide; wide as plants in Germany write it (semicolons, decimal
commas, dd.mm.yyyy); long (a row for each value), which is imported. Each figure comes from a
process of its own. On a machine that does other work, too, compare processor times: they are those
of all threads.
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

from benchmarks.children import Child, run_module

GIGA = 1_000_000_000
MOST_ROWS = 1_000_000_000
"""More than any size has."""
MOST_OF_READ = 2.0
MOST_MIB = 1.5 * 1024
PANDAS_UP_TO = 2.5 * GIGA
"""pandas holds a file whole: larger ones are read by us alone."""
STYLES = ("wide", "german", "long")


@dataclass(frozen=True)
class FileResult:
    """What one file took."""

    style: str
    size: int
    """Bytes."""
    rows: int
    """Rows of the file, as we counted them."""
    seconds: tuple[float, ...]
    """Wall times of `open_export` with `chunks()`."""
    cpu_s: tuple[float, ...]
    peak_mib: float
    pandas_s: tuple[float, ...]
    """Wall times of `pandas.read_csv`; none where it was not asked."""
    pandas_cpu_s: tuple[float, ...]
    pandas_mib: float
    balanced: bool
    """Whether all rows were kept or counted as dropped, and as many came in as pandas sees."""

    @property
    def of_read(self) -> float | None:
        """Wall time as a multiple of pandas', median over median."""
        return _ratio(self.seconds, self.pandas_s)

    @property
    def of_cpu(self) -> float | None:
        """Processor time as a multiple of pandas'."""
        return _ratio(self.cpu_s, self.pandas_cpu_s)


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> float | None:
    return statistics.median(ours) / statistics.median(theirs) if theirs else None


def make_file(folder: Path, style: str, rows: int, size: int) -> Path:
    """Write a file that is not there yet."""
    name = f"{style}-{rows}.csv" if rows else f"{style}-{size / GIGA:g}GB.csv"
    path = folder / name
    if not path.exists():
        said = ["--style", style, "--no-faults"]
        if rows:
            run_module("benchmarks.plant_files", path, rows, *said)
        else:
            run_module("benchmarks.plant_files", path, MOST_ROWS, *said, "--bytes", size)
    return path


def time_file(path: Path, style: str, repeats: int) -> FileResult:
    """Read a file by both in turn, so that both see the machine in the same state."""
    size = path.stat().st_size
    ours: list[Child] = []
    theirs: list[Child] = []
    for _ in range(repeats):
        if size <= PANDAS_UP_TO:
            theirs.append(run_module("benchmarks.bare_read", path, style))
        ours.append(run_module("benchmarks.read_export", path))
    said = ours[-1].said
    balanced = said["rows_in"] == said["kept"] + said["dropped"]
    if theirs:
        balanced = balanced and said["rows_in"] == theirs[-1].said["rows"]
    return FileResult(
        style=style,
        size=size,
        rows=said["rows_in"],
        seconds=tuple(child.said["seconds"] for child in ours),
        cpu_s=tuple(child.said["cpu_s"] for child in ours),
        peak_mib=max(child.peak_mib for child in ours),
        pandas_s=tuple(child.said["seconds"] for child in theirs),
        pandas_cpu_s=tuple(child.said["cpu_s"] for child in theirs),
        pandas_mib=max((child.peak_mib for child in theirs), default=0.0),
        balanced=balanced,
    )


def print_file(result: FileResult) -> None:
    """Print one line of the table."""
    ours, cpu = statistics.median(result.seconds), statistics.median(result.cpu_s)
    text = (
        f"{result.style:<8}{result.size / 1e6:>8.0f}{result.rows:>12}{ours:>9.2f}{cpu:>8.2f}"
        f"{result.peak_mib:>7.0f}{result.size / ours / 1e6:>8.0f}"
    )
    if result.pandas_s:
        theirs = statistics.median(result.pandas_s), statistics.median(result.pandas_cpu_s)
        text += f"{theirs[0]:>10.2f}{theirs[1]:>8.2f}{result.pandas_mib:>7.0f}"
        text += f"{result.of_read:>8.2f}{result.of_cpu:>8.2f}"
    print(text, flush=True)


def check(results: Sequence[FileResult]) -> None:
    """Print PASS or FAIL for what is asked."""
    for result in results:
        name = f"{result.style}, {result.size / 1e6:.0f} MB"
        if result.of_read is not None and result.style != "long":
            times = f"{result.of_read:.2f} × pandas (processor time {result.of_cpu:.2f} ×)"
            _verdict(f"{name}: {times}", result.of_read <= MOST_OF_READ, "≤ 2 ×")
        peak = f"{name}: peak memory {result.peak_mib:.0f} MiB"
        _verdict(peak, result.peak_mib <= MOST_MIB, "≤ 1.5 GiB")
        _verdict(f"{name}: {result.rows} rows accounted for", result.balanced, "every row")


def _verdict(found: str, fine: bool, wanted: str) -> None:
    print(f"{'PASS' if fine else 'FAIL'}  {found}, asked for: {wanted}")


def run(folder: Path, arguments: argparse.Namespace) -> None:
    """Make the files, time everything, print the verdicts."""
    sizes = [(0, round(float(text) * GIGA)) for text in arguments.sizes.split(",") if text]
    if arguments.rows:
        sizes = [(int(text), 0) for text in arguments.rows.split(",")]
    print(
        f"{'file':<8}{'MB':>8}{'rows':>12}{'ours s':>9}{'CPU s':>8}{'MiB':>7}{'MB/s':>8}"
        f"{'pandas s':>10}{'CPU s':>8}{'MiB':>7}{'ratio':>8}{'of CPU':>8}"
    )
    results = []
    for rows, size in sizes:
        for style in arguments.styles.split(","):
            path = make_file(folder, style, rows, size)
            results.append(time_file(path, style, arguments.repeats))
            print_file(results[-1])
            if arguments.folder is None:
                path.unlink()
    print()
    check(results)
    if arguments.json is not None:
        table = [asdict(result) for result in results]
        arguments.json.write_text(json.dumps(table, indent=2), encoding="utf-8")


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.imports", description=__doc__)
    parser.add_argument("--sizes", default="0.1,1", help="GB, with commas")
    parser.add_argument("--rows", help="in the place of sizes: rows of all tags, with commas")
    parser.add_argument("--styles", default=",".join(STYLES), help="some of these")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the files go; used again if there")
    parser.add_argument("--json", type=Path, help="write all figures into this file")
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="sensor_ad-imports-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        run(folder, arguments)
    finally:
        if arguments.folder is None:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
