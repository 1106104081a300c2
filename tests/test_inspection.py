"""What is in an export: period, gaps, kinds of tags, quality."""

import pytest

from sensor_ad.config import make_config
from sensor_ad.errors import DataError
from sensor_ad.inspection import LISTED_GAPS, inspect

START_US = 1_767_225_600_000_000  # 2026-01-01 00:00:00 UTC
MINUTE_US = 60_000_000


def write(folder, minutes, name="plant.csv", **columns):
    """Write an export with a row at each of these minutes."""
    lines = [",".join(["time", *columns])]
    for k, minute in enumerate(minutes):
        second = round(minute * 60)
        stamp = f"2026-01-{1 + second // 86400:02d} {second // 3600 % 24:02d}:"
        stamp += f"{second // 60 % 60:02d}:{second % 60:02d}"
        lines.append(",".join([stamp, *(str(values[k]) for values in columns.values())]))
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def silent(what, done, total):
    pass


def look(*paths, **raw):
    return inspect(paths, make_config(raw), silent)


def test_small_export(tmp_path):
    minutes = [*range(100), *range(130, 230), *range(500, 560)]
    T = len(minutes)
    path = write(
        tmp_path,
        minutes,
        flow=[(7 * k) % 101 / 10 for k in range(T)],
        running=[int(k > 50) for k in range(T)],
        hours=[k // 2 for k in range(T)],
        empty=[""] * T,
        fixed=[3] * T,
        bad=["" if k % 2 else 900 if k == 10 else k % 17 for k in range(T)],
    )

    found = look(path, tags={"bad": {"high": 100, "unit": "bar"}})

    assert found.period_s == 60
    assert found.remark == ""
    assert found.first_us == START_US
    assert found.last_us == START_US + 559 * MINUTE_US
    assert found.gap_count == 2
    assert found.gaps == tuple(
        (START_US + a * MINUTE_US, START_US + b * MINUTE_US) for a, b in [(229, 500), (99, 130)]
    )
    assert [tag.name for tag in found.tags] == ["flow", "running", "hours", "empty", "fixed", "bad"]
    kinds = ["continuous", "few-state", "counter", "empty", "constant", "continuous"]
    assert [one.kind for one in found.quality] == kinds
    bad = found.quality[5]
    assert (bad.rows, bad.missing, bad.out_of_range, bad.high) == (T, T // 2, 1, 16)
    assert bad.remarks == (
        "50% of its values are missing",
        "1 value outside its physical range, treated as missing",
    )
    assert found.quality[4].longest_hold == T
    assert found.account.kept == T


def test_ignored_tags_are_left_out(tmp_path):
    path = write(tmp_path, range(5), a=range(5), b=range(5))
    found = look(path, tags={"b": {"role": "ignore"}})
    assert [one.tag for one in found.quality] == ["a"]


def test_longest_gaps_first(tmp_path):
    minutes, minute = [], 0
    for gap in range(3, 3 + 2 * LISTED_GAPS):
        minutes += [minute, minute + 1, minute + 2, minute + 3]
        minute += 3 + gap
    found = look(write(tmp_path, [*minutes, minute], a=range(len(minutes) + 1)))

    assert found.gap_count == 2 * LISTED_GAPS
    lengths = [(stop - start) // MINUTE_US for start, stop in found.gaps]
    assert lengths == list(range(2 + 2 * LISTED_GAPS, 2 + LISTED_GAPS, -1))


def test_several_files_are_one_export(tmp_path):
    one = write(tmp_path, range(20), "a.csv", x=range(20))
    two = write(tmp_path, range(25, 40), "b.csv", x=range(15))
    found = look(two, one)
    assert found.quality[0].rows == 35
    assert found.gaps == ((START_US + 19 * MINUTE_US, START_US + 25 * MINUTE_US),)


def test_irregular_times_are_remarked(tmp_path):
    minutes = [0]
    for _ in range(10):
        minutes += [minutes[-1] + 1, minutes[-1] + 4, minutes[-1] + 11, minutes[-1] + 24]
    found = look(write(tmp_path, minutes, a=range(len(minutes))))

    assert found.period_s is None
    assert (found.gap_count, found.gaps) == (0, ())
    assert found.remark == (
        "the times of the export are irregular (most steps lie between 60 s and 780 s), a steady "
        "sampling period was expected; set prepare.period_s to the period wanted."
    )


@pytest.mark.parametrize("rows", [1, 2])
def test_too_few_rows_for_a_period(tmp_path, rows):
    found = look(write(tmp_path, range(rows), a=range(rows)))
    assert (found.period_s, found.remark, found.gap_count) == (None, "", 0)
    assert found.last_us == START_US + (rows - 1) * MINUTE_US


def test_export_without_rows_refused(tmp_path):
    path = write(tmp_path, [], a=[])
    with pytest.raises(DataError) as refused:
        look(path)
    assert str(refused.value) == (
        "plant.csv: only one line with text, expected a header and rows: export a stretch of time "
        "that has data."
    )
