"""Time order, duplicates, several files: against a slow, obvious twin."""

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sensor_ad.errors import DataError
from sensor_ad.exports import ReadSettings, open_export, order
from sensor_ad.exports.blocks import Block
from sensor_ad.exports.order import OutOfOrderError, Sorter

NAN = float("nan")
START_US = 1_767_225_600_000_000  # 2026-01-01 00:00:00 UTC
T, C = 3, 2


def stamp(second):
    return f"2026-01-01 {second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"


def table(rows, names=("a", "b")):
    """Return a CSV of rows (second, a, b); NaN becomes an empty cell."""
    lines = [
        ",".join([stamp(second), *("" if cell != cell else repr(cell) for cell in cells)])
        for second, *cells in rows
    ]
    return "\n".join([",".join(["time", *names]), *lines, ""])


def read(paths, **kwargs):
    export = open_export([Path(path) for path in paths], ReadSettings(**kwargs))
    chunks = list(export.chunks())
    seconds = np.concatenate([chunk.time_us for chunk in chunks]) - START_US
    return seconds // 1_000_000, np.concatenate([chunk.values for chunk in chunks]), export


def naive_stream(rows, lookback, policy):
    """Sort and merge one row after the other; None where it is refused."""
    for p, (second, *_) in enumerate(rows):
        if any(rows[j][0] > second for j in range(max(p - lookback, 0))):
            return None
    late = sum(any(earlier > row[0] for earlier, *_ in rows[:p]) for p, row in enumerate(rows))
    groups = defaultdict(list)
    for second, *cells in sorted(rows, key=lambda row: row[0]):
        groups[second].append(cells)
    out, reasons = [], defaultdict(int)
    for second, group in groups.items():
        merged, reason = [], "identical duplicate"
        for column in zip(*group, strict=True):
            given = [cell for cell in column if cell == cell]
            if len(set(given)) > 1:
                reason = "other values at the same time"
                if policy == "refuse":
                    return None
            elif given and len(given) < len(column) and reason == "identical duplicate":
                reason = "merged with a row of the same time"
            mean = sum(given) / len(given) if given else NAN
            merged.append({"last": given[-1] if given else NAN}.get(policy, mean))
        if len(group) > 1:
            reasons[reason] += len(group) - 1
        out.append((second, *merged))
    return out, late, dict(reasons)


VALUES = st.sampled_from([0.0, 1.0, 2.5, NAN])
ROWS = st.lists(st.tuples(st.integers(0, 25), VALUES, VALUES), min_size=1, max_size=40)


@settings(max_examples=150, deadline=None)
@given(
    rows=ROWS,
    nearly_sorted=st.booleans(),
    lookback=st.integers(0, 40),
    policy=st.sampled_from(["refuse", "last", "mean"]),
    block_bytes=st.integers(16, 600),
)
def test_stream_is_that_of_the_naive_twin(
    tmp_path_factory, rows, nearly_sorted, lookback, policy, block_bytes
):
    if nearly_sorted:
        rows = sorted(rows, key=lambda row: row[0] // 4)
    rows = [(0, 1.0, 1.0), *rows]  # so that both columns show numbers
    path = tmp_path_factory.mktemp("order") / "plant.csv"
    path.write_text(table(rows))
    expected = naive_stream(rows, lookback, policy)
    kwargs = {"lookback_rows": lookback, "duplicates": policy, "block_bytes": block_bytes}
    if expected is None:  # beyond the look-back: through the disk, unless rows were handed out
        expected = naive_stream(rows, len(rows), policy)
        if expected is None:
            with pytest.raises(DataError):
                read([path], **kwargs)
            return
        try:
            read([path], **kwargs)
        except OutOfOrderError:
            assert block_bytes < path.stat().st_size
            return
    out, late, reasons = expected

    seconds, values, export = read([path], **kwargs)

    np.testing.assert_array_equal(seconds, [second for second, *_ in out])
    np.testing.assert_array_equal(values, [cells for _, *cells in out])
    account = export.account()
    assert (account.sorted, account.dropped, account.kept) == (late, reasons, len(out))
    assert account.rows_in == len(rows) == account.kept + sum(account.dropped.values())


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 60), VALUES, VALUES), min_size=3, max_size=40),
    cuts=st.tuples(st.integers(0, 40), st.integers(0, 40)),
)
def test_file_split_changes_nothing(tmp_path_factory, rows, cuts):
    """Whatever the files are called: they come in the order of their first times."""
    rows = sorted(rows, key=lambda row: row[0])
    rows = [(second, 1.0 if k == 0 else a, b) for k, (second, a, b) in enumerate(rows)]
    folder = tmp_path_factory.mktemp("split")
    (folder / "whole.csv").write_text(table(rows))
    low, high = sorted(min(cut, len(rows)) for cut in cuts)
    parts = [part for part in (rows[:low], rows[low:high], rows[high:]) if part]
    assume(len({part[0][0] for part in parts}) == len(parts))  # else the names decide
    for k, part in enumerate(parts):
        (folder / f"part{9 - k}.csv").write_text(table(part))

    whole = read([folder / "whole.csv"], duplicates="mean")
    split = read(sorted(folder.glob("part*.csv")), duplicates="mean")

    np.testing.assert_array_equal(split[0], whole[0])
    np.testing.assert_array_equal(split[1], whole[1])
    assert split[2].account() == whole[2].account()
    assert split[2].tags == whole[2].tags


def block(seconds):
    time_us = np.array(seconds, dtype=np.int64)
    rows = np.arange(1, len(seconds) + 1)
    return Block("plant.csv", time_us, time_us[:, None].astype(float), rows, 0)


def test_rows_are_handed_out_before_the_end():
    sorter = Sorter(lookback=10)
    given = [
        len(time_us)
        for k in range(10)
        for time_us, *_ in sorter.push(block(range(5 * k, 5 * k + 5)))
    ]

    assert sum(given) == 50 - 11
    assert sum(len(time_us) for time_us, *_ in sorter.rest()) == 11


def test_rows_in_order_are_not_copied():
    sorter, sent = Sorter(lookback=0), block(range(5))

    ((time_us, values, quality),) = sorter.push(sent)

    assert np.shares_memory(time_us, sent.time_us) and np.shares_memory(values, sent.values)
    assert quality is None


def test_chunks_are_bounded_and_keep_equal_times_together(monkeypatch):
    monkeypatch.setattr(order, "MOST_ROWS_PER_CHUNK", 4)
    sorter = Sorter(lookback=100)
    assert list(sorter.push(block([0, 1, 2, 3, 3, 3, 4, 5, 6, 7, 8]))) == []

    assert [time_us.tolist() for time_us, *_ in sorter.rest()] == [
        [0, 1, 2, 3, 3, 3],
        [4, 5, 6, 7],
        [8],
    ]


def test_rows_beyond_the_lookback_are_refused_once_rows_were_handed_out(tmp_path):
    path = tmp_path / "plant.csv"
    path.write_text(table([(k, 1.0, 1.0) for k in [*range(20, 60), 3]]))

    with pytest.raises(DataError) as fault:
        read([path], lookback_rows=19, block_bytes=16)
    assert str(fault.value) == (
        "plant.csv, row 41: its time 2026-01-01 00:00:03 UTC lies more than 19 rows behind rows of "
        "a later time (up to 2026-01-01 00:00:59 UTC), expected rows in time order within that "
        "look-back: import it before (sensor-ad import), sort it by time, or raise "
        "data.lookback_rows."
    )
    for kwargs in ({"lookback_rows": 40, "block_bytes": 16}, {"lookback_rows": 19}):
        seconds, _, export = read([path], **kwargs)
        np.testing.assert_array_equal(seconds, [3, *range(20, 60)])
        assert export.account().sorted == 1


@pytest.mark.parametrize(("lookback", "block_bytes"), [(10, 8 << 20), (49, 16), (49, 8 << 20)])
def test_file_that_runs_backwards_is_read(tmp_path, lookback, block_bytes):
    path = tmp_path / "plant.csv"
    path.write_text(table([(k, 1.0 * k, 1.0) for k in range(50, 0, -1)]))

    seconds, values, export = read([path], lookback_rows=lookback, block_bytes=block_bytes)

    np.testing.assert_array_equal(seconds, np.arange(1, 51))
    np.testing.assert_array_equal(values[:, 0], np.arange(1, 51))
    assert export.account().sorted == 49


def test_file_that_runs_backwards_is_refused_once_rows_were_handed_out(tmp_path):
    path = tmp_path / "plant.csv"
    path.write_text(table([(k, 1.0, 1.0) for k in range(50, 0, -1)]))

    with pytest.raises(DataError) as fault:
        read([path], lookback_rows=10, block_bytes=16)
    assert str(fault.value) == (
        "plant.csv, row 12: its time 2026-01-01 00:00:39 UTC lies more than 10 rows behind rows of "
        "a later time (up to 2026-01-01 00:00:50 UTC), expected rows in time order within that "
        "look-back: import it before (sensor-ad import), sort it by time, or raise "
        "data.lookback_rows."
    )


def test_very_many_rows_of_one_time_are_refused(monkeypatch):
    monkeypatch.setattr(order, "MOST_ROWS_AT_ONE_TIME", 30)
    sorter = Sorter(lookback=10)
    list(sorter.push(block([0, *[1] * 40])))

    with pytest.raises(DataError) as fault:
        list(sorter.push(block([1])))
    assert str(fault.value) == (
        "plant.csv: more than 30 rows have the same time 1970-01-01 00:00:00.000001 UTC, expected "
        "a time for each row: export the times with seconds, or name the right column by "
        "data.time_column."
    )


def test_rows_in_conflict_are_refused_or_settled(tmp_path):
    path = tmp_path / "plant.csv"
    path.write_text(table([(0, 1.0, 2.0), (1, 1.0, 2.0), (1, 1.0, 3.0), (1, NAN, NAN)]))

    with pytest.raises(DataError) as fault:
        read([path])
    assert str(fault.value) == (
        "two rows at 2026-01-01 00:00:01 UTC differ: tag 'b' is 2 and 3, expected one row for each "
        "time: export again, or say by data.duplicates whether the last or the mean counts."
    )
    for policy, value in (("last", 3.0), ("mean", 2.5)):
        _, values, export = read([path], duplicates=policy)
        np.testing.assert_array_equal(values, [[1, 2], [1, value]])
        assert export.account().dropped == {"other values at the same time": 2}


def test_overlapping_files_are_merged(tmp_path):
    (tmp_path / "a.csv").write_text(table([(k, 1.0 * k, NAN) for k in range(10, 30)]))
    (tmp_path / "b.csv").write_text(table([(k, 1.0 * k, 5.0) for k in range(20)]))

    seconds, values, export = read([tmp_path / "a.csv", tmp_path / "b.csv"])

    np.testing.assert_array_equal(seconds, np.arange(30))
    np.testing.assert_array_equal(values[:, 0], np.arange(30))
    np.testing.assert_array_equal(values[:, 1], [5.0] * 20 + [NAN] * 10)
    account = export.account()
    assert account.dropped == {"merged with a row of the same time": 10}
    assert (account.rows_in, account.kept, account.sorted) == (40, 30, 9)


def test_columns_in_another_order_are_the_same_columns(tmp_path):
    (tmp_path / "a.csv").write_text(table([(0, 1.0, 2.0)]))
    (tmp_path / "b.csv").write_text(table([(1, 2.0, 1.0)], names=("b", "a")))

    _, values, export = read([tmp_path])

    assert export.tags == ("a", "b")
    np.testing.assert_array_equal(values, [[1, 2], [1, 2]])


def test_other_columns_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text(table([(0, 1.0, 2.0)], names=("flow", "p")))
    (tmp_path / "b.csv").write_text(table([(1, 1.0, 2.0)], names=("Flow", "p")))

    with pytest.raises(DataError) as fault:
        read([tmp_path])
    assert str(fault.value) == (
        "b.csv: lacks 'flow' and adds 'Flow', expected the columns of a.csv: read these files "
        "apart, or name the columns in data.ignore_columns."
    )
    *_, export = read([tmp_path], ignore_columns=("flow", "Flow"))
    assert export.tags == ("p",)


def test_another_time_format_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text(table([(0, 1.0, 2.0)]))
    (tmp_path / "b.csv").write_text("time,a,b\n01.02.2026 00:00,1,2\n")

    with pytest.raises(DataError) as fault:
        read([tmp_path])
    assert str(fault.value) == (
        "b.csv: column 'time' holds '01.02.2026 00:00', expected ISO 8601 as in a.csv: export "
        "these files in one and the same way."
    )


def test_folder_skips_what_is_no_export(tmp_path):
    (tmp_path / "b.CSV").write_text(table([(1, 1.0, 2.0)]))
    (tmp_path / "a.txt").write_text(table([(0, 1.0, 2.0)]))
    for name in (".hidden.csv", "~$b.csv", "b.csv.part", "README.md"):
        (tmp_path / name).write_text("not read")
    (tmp_path / "older").mkdir()

    seconds, _, export = read([tmp_path])

    np.testing.assert_array_equal(seconds, [0, 1])
    assert export.profile["files"] == [
        {"name": "a.txt", "bytes": 37},
        {"name": "b.CSV", "bytes": 37},
    ]
    assert export.account().notes[0] == (
        f"folder {tmp_path.name}: 4 files skipped (hidden, temporary or of another kind): "
        "'.hidden.csv', 'README.md', 'b.csv.part', '~$b.csv'"
    )


def test_file_without_rows_is_skipped_among_others(tmp_path):
    """A day on which the machine stood still."""
    for name in ("a.csv", "c.csv"):
        (tmp_path / name).write_text("time,a,b\n")
    with pytest.raises(DataError) as fault:
        read([tmp_path])
    assert str(fault.value) == (
        "c.csv: only one line with text, expected a header and rows: export a stretch of time that "
        "has data."
    )
    (tmp_path / "b.csv").write_text(table([(1, 1.0, 2.0)]))

    seconds, _, export = read([tmp_path])

    np.testing.assert_array_equal(seconds, [1])
    assert export.account().notes[:2] == (
        "a.csv: no rows, skipped",
        "c.csv: no rows, skipped",
    )


def test_delta_table_without_a_log_is_refused(tmp_path):
    folder = tmp_path / "delta"
    (folder / "_delta_log").mkdir(parents=True)

    with pytest.raises(DataError) as fault:
        read([folder])
    assert str(fault.value) == (
        "delta: the Delta log holds no version; expected a whole log: copy the table again with "
        "its folder _delta_log."
    )


def test_text_in_one_file_only_is_a_tag(tmp_path):
    """A column is a tag for all files when one of them shows numbers in it."""
    (tmp_path / "a.csv").write_text(f"time,a,b\n{stamp(0)},1,Bad\n")
    (tmp_path / "b.csv").write_text(f"time,a,b\n{stamp(1)},2,7\n")

    _, values, export = read([tmp_path])

    np.testing.assert_array_equal(values, [[1, NAN], [2, 7]])
    assert export.account().notes[1:] == (
        "tag b: 1 cell is not a number (first: 'Bad' in a.csv, line 2): treated as missing",
    )
