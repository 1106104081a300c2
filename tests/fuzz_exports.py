"""Seeds in, mutated export files read, defects out: a crash, a hang, an account that is wrong.

Run by hand for as many files as there is time for::

    python tests/fuzz_exports.py 200000 --jobs 2

Case `k` of a seed is the same on every machine: ``--case K`` shows one again, together with the
``--only`` it was met with.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from export_mutations import mutate
from export_seeds import Seed, seeds

from sensor_ad.errors import DataError, ResourceError, UsageError
from sensor_ad.exports import ReadSettings, open_export
from sensor_ad.exports.blocks import quality_of
from sensor_ad.exports.imports import Imports
from sensor_ad.exports.order import OutOfOrderError
from sensor_ad.records import Quality

REFUSALS = (DataError, UsageError, ResourceError)
MOST_S = 2.0
"""Processor time that one small file may take."""
HANG_S = 60
"""Wall time after which a file is given up; the machine may be busy."""
MOST_MIB = 400
"""Memory that one small file may take beyond what others took."""
MEMORY = 6 << 30
"""Address space of a process: a file that asks for more is a bomb."""
TWICE = 0.1
"""Share of files that are read again in other blocks."""
CONFLICTS, BLOCKS = ("refuse", "last", "mean"), (16, 64, 300, 8 << 20)
MOST_BLOCKS = 60
"""Of a file: thousands of tiny ones take seconds, and no plant has them."""


Part = tuple[range, int, str, tuple[str, ...]]
"""Numbers of cases, seed, folder for files, names of the exports to begin with (none: all)."""


class HangError(Exception):
    """A file took longer than `HANG_S`."""


@dataclass
class Result:
    """What became of some cases."""

    files: int = 0
    kept: int = 0
    """Files that were read to the end."""
    refused: int = 0
    slowest_s: float = 0.0
    slowest: int = -1
    defects: dict[str, list[int]] = field(default_factory=dict)
    """What went wrong, in a line -> cases."""
    refusals: Counter[str] = field(default_factory=Counter)
    """Kind of refusal -> files."""

    def add(self, other: Result) -> None:
        """Take what another part gave."""
        self.files += other.files
        self.kept += other.kept
        self.refused += other.refused
        if other.slowest_s > self.slowest_s:
            self.slowest_s, self.slowest = other.slowest_s, other.slowest
        for defect, cases in other.defects.items():
            self.defects.setdefault(defect, []).extend(cases)
        self.refusals.update(other.refusals)


@dataclass(frozen=True)
class Case:
    """One mutated export, and how it is read."""

    seed: Seed
    files: dict[str, bytes]
    settings: ReadSettings
    keep: bool
    twice: bool


def make_case(number: int, seed: int = 0, only: tuple[str, ...] = ()) -> Case:
    """Return case `number`: always the same; `only` of exports of these names."""
    random = np.random.default_rng([seed, number])
    some = [one for one in seeds() if not only or one.name in only]
    chosen = some[number % len(some)]
    files = dict(chosen.files)
    victim = sorted(files)[int(random.integers(len(files)))]
    files[victim] = mutate(files[victim], chosen, random)
    said = dict(chosen.settings)
    if random.random() < 0.3:
        least = max(map(len, files.values())) // MOST_BLOCKS
        said["block_bytes"] = max(int(random.choice(BLOCKS)), least)
    if random.random() < 0.2:
        said["duplicates"] = str(random.choice(CONFLICTS))
    if random.random() < 0.1:
        said["lookback_rows"] = int(random.integers(0, 5))
    if random.random() < 0.1 and not chosen.settings:
        said["timezone"] = "Europe/Berlin"
    keep = bool(random.random() < 0.1)
    return Case(chosen, files, ReadSettings(**said), keep, bool(random.random() < TWICE))


def read(folder: Path, settings: ReadSettings, keep: bool):
    """Read an export to its end; returns times, values, qualities, tags, account."""
    paths = sorted(folder.iterdir())
    with tempfile.TemporaryDirectory() as workspace:
        imports = Imports(Path(workspace))
        export = open_export(paths, settings, imports=imports, keep=keep)
        chunks = list(export.chunks())
        account = export.account()
    times = [chunk.time_us for chunk in chunks]
    values = [chunk.values for chunk in chunks]
    told = [quality_of(chunk.values, chunk.quality) for chunk in chunks]
    if not chunks:
        C = len(export.tags)
        return np.empty(0, np.int64), np.empty((0, C)), np.empty((0, C)), export.tags, account, keep
    joined = np.concatenate(times), np.concatenate(values), np.concatenate(told)
    return *joined, export.tags, account, type(export).__name__ == "ImportedExport"


def check(case: Case, folder: Path) -> str:
    """Read a case; returns "" when it was kept, else what it was refused for.

    Raises
    ------
    AssertionError
        What was read contradicts itself.
    """
    for name, data in case.files.items():
        (folder / name).write_bytes(data)
    try:
        found = read(folder, case.settings, case.keep)
    except REFUSALS as fault:
        said = str(fault)
        if case.twice:
            _check_refused_again(case, folder, said)
        return type(fault).__name__ + ": " + said
    time_us, values, quality, tags, account, imported = found
    dropped = sum(account.dropped.values())
    assert account.rows_in == account.kept + dropped, f"unbalanced: {account}"
    assert min([account.kept, *account.dropped.values()]) >= 0, f"negative: {account}"
    assert values.shape == quality.shape == (len(time_us), len(tags)), "shapes differ"
    assert imported or account.kept == len(time_us), f"{len(time_us)} rows out: {account}"
    assert (np.diff(time_us) > 0).all(), "times do not rise"
    assert not np.isinf(values).any(), "an infinite value"
    assert (np.isnan(values) == (quality >= Quality.BAD)).all(), "value and quality differ"
    if case.twice:
        try:
            again = read(folder, _other_blocks(case.settings), case.keep)
        except OutOfOrderError:
            return ""  # rows in any order go through the disk only when none was handed out before
        for one, other in zip(found[:3], again[:3], strict=True):
            np.testing.assert_array_equal(one, other, "other blocks give other readings")
        assert (tags, account) == again[3:5], f"other blocks: {account}, {again[4]}"
    return ""


def _check_refused_again(case: Case, folder: Path, said: str) -> None:
    try:
        read(folder, _other_blocks(case.settings), case.keep)
    except REFUSALS:
        return  # which of several faults is met first may depend on the blocks
    if "rows behind rows of a later time" in said:
        return  # as above
    raise AssertionError(f"refused in one size of blocks, read in another: {said}")


def _other_blocks(settings: ReadSettings) -> ReadSettings:
    said = {name: getattr(settings, name) for name in settings.__dataclass_fields__}
    said["block_bytes"] = 8 << 20 if settings.block_bytes < 8 << 20 else 500
    return ReadSettings(**said)


def run_case(
    number: int, seed: int, folder: Path, result: Result, only: tuple[str, ...] = ()
) -> None:
    """Read one case, and note what became of it."""
    case = make_case(number, seed, only)
    place = Path(tempfile.mkdtemp(dir=folder))
    began, held = time.process_time(), _peak_mib()
    try:
        refusal = check(case, place)
        result.kept += not refusal
        result.refused += bool(refusal)
        if refusal:
            result.refusals[case.seed.name] += 1
    except HangError:
        result.defects.setdefault(f"hang beyond {HANG_S} s", []).append(number)
    except Exception as fault:  # noqa: BLE001 (whatever is no refusal is what we look for)
        result.defects.setdefault(_where(fault), []).append(number)
    took = time.process_time() - began
    if took > result.slowest_s:
        result.slowest_s, result.slowest = took, number
    if _peak_mib() - held > MOST_MIB:
        result.defects.setdefault(f"more than {MOST_MIB} MiB", []).append(number)
    if took > MOST_S:
        result.defects.setdefault(f"more than {MOST_S:g} s", []).append(number)
    result.files += 1
    shutil.rmtree(place, ignore_errors=True)


def _peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def _where(fault: BaseException) -> str:
    frames = traceback.extract_tb(fault.__traceback__)
    ours = [f for f in frames if "sensor_ad/exports" in f.filename] or frames
    at = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}"
    said = str(fault).strip().splitlines()
    first = said[0][:90] if said else ""
    first = first[:24] if isinstance(fault, AssertionError) else first  # numbers differ by case
    return f"{type(fault).__name__} at {at}: {first}"


def run_cases(numbers: range, seed: int, folder: Path, until: float | None = None) -> Result:
    """Read cases until they or the time (`time.monotonic`) come to an end."""
    result = Result()
    for number in numbers:
        if until is not None and time.monotonic() > until:
            break
        run_case(number, seed, folder, result)
    return result


def _guarded(folder: Path) -> None:
    """Prepare a process of its own: limits on time and memory, a traceback when it dies."""

    def late(*_: object) -> None:
        raise HangError

    faulthandler.enable()
    pa.set_cpu_count(1)  # waking threads takes longer than reading such files
    warnings.simplefilter("error")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    signal.signal(signal.SIGALRM, late)
    tempfile.tempdir = str(folder)


def _part(arguments: Part) -> Result:
    numbers, seed, folder, only = arguments
    result = Result()
    now = Path(folder) / f"now-{os.getpid()}"
    for number in numbers:
        now.write_text(str(number))
        signal.alarm(HANG_S)
        run_case(number, seed, Path(folder), result, only)
        signal.alarm(0)
    return result


def _parts(said: argparse.Namespace, folder: str) -> Iterator[Part]:
    step, end = 200, said.start + said.count
    for first in range(said.start, end, step):
        yield range(first, min(first + step, end)), said.seed, folder, tuple(said.only)


def main() -> int:
    """Read many cases in processes of their own, with a line of progress."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=20_000, help="files")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0, help="number of the first case")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--case", type=int, help="read this one alone, with its traceback")
    parser.add_argument("--save", type=Path, help="with --case: leave its files in this folder")
    names = [one.name for one in seeds()]
    parser.add_argument(
        "--only", nargs="+", default=[], choices=names, help="exports to begin with"
    )
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm"), help="for files")
    arguments = parser.parse_args()
    base = arguments.folder if arguments.folder.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=base) as folder:
        if arguments.case is not None:
            return _show(arguments, Path(folder))
        return _run(arguments, folder)


def _show(arguments: argparse.Namespace, folder: Path) -> int:
    case = make_case(arguments.case, arguments.seed, tuple(arguments.only))
    place = arguments.save or folder
    place.mkdir(parents=True, exist_ok=True)
    sys.stdout.write(f"{case.seed.name}: {case.settings}, keep={case.keep}\n")
    sys.stdout.write((check(case, place) or "kept") + "\n")
    return 0


def _results(pool: ProcessPoolExecutor, parts: Iterator[Part], folder: str) -> Iterator[Result]:
    """Yield results as they come; a process that dies is a defect of the case it was at."""
    try:
        yield from pool.map(_part, parts)
    except BrokenProcessPool:
        cases = [int(path.read_text()) for path in Path(folder).glob("now-*")]
        yield Result(defects={"a process died": cases})


def _run(arguments: argparse.Namespace, folder: str) -> int:
    whole = Result()
    began = time.monotonic()
    parts = _parts(arguments, folder)
    with ProcessPoolExecutor(arguments.jobs, None, _guarded, (Path(folder),)) as pool:
        for result in _results(pool, parts, folder):
            whole.add(result)
            for defect, cases in result.defects.items():
                sys.stderr.write(f"\n{defect}: {cases}\n")
            spent = time.monotonic() - began
            sys.stderr.write(
                f"\r{whole.files} of {arguments.count} files, {spent:.0f} s, {whole.kept} read, "
                f"{whole.refused} refused, {len(whole.defects)} kinds of defect   "
            )
            sys.stderr.flush()
    sys.stderr.write("\n")
    said = {
        "files": whole.files,
        "seconds": round(time.monotonic() - began, 1),
        "read": whole.kept,
        "refused": whole.refused,
        "slowest_cpu_s": round(whole.slowest_s, 3),
        "slowest": whole.slowest,
        "defects": {k: (len(v), sorted(v)[:5]) for k, v in sorted(whole.defects.items())},
    }
    sys.stdout.write(json.dumps(said, indent=2) + "\n")
    return 1 if whole.defects else 0


if __name__ == "__main__":
    sys.exit(main())
