"""Each file of the corpus comes out as it was written down, whole; a second reader agrees."""

import csv
from collections import Counter
from datetime import UTC, datetime

import corpus
import numpy as np
import pyarrow.parquet as pq
import pytest
from corpus import Asked, Case, Kept, Plain, Refused

from sensor_ad.errors import DataError
from sensor_ad.exports import ReadSettings, open_export
from sensor_ad.exports.blocks import quality_of
from sensor_ad.exports.imports import Imports

CASES = corpus.cases()
LETTERS = "GUSBN"
"""Of `records.Quality`, by its numbers."""


def marked(cases):
    """Return the cases as parameters."""
    return [pytest.param(case, id=case.name) for case in cases]


def read(paths, settings, block_bytes, **more):
    """Return what an export gave: the export, times, values, qualities."""
    export = open_export(paths, ReadSettings(**settings, block_bytes=block_bytes), **more)
    chunks = list(export.chunks())
    C = len(export.tags)
    time_us = np.concatenate([np.empty(0, np.int64), *(c.time_us for c in chunks)])
    values = np.concatenate([np.empty((0, C)), *(c.values for c in chunks)])
    kinds = [quality_of(c.values, c.quality) for c in chunks]
    return export, time_us, values, np.concatenate([np.empty((0, C), np.uint8), *kinds])


def check(kept, export, time_us, values, quality):
    """Compare all that came out with all that was expected."""
    assert tuple(export.tags) == kept.tags
    expected_us = [us(row[0]) for row in kept.rows]
    assert time_us.tolist() == expected_us
    expected = np.array([[np.nan if v is None else v for v in row[1:]] for row in kept.rows], float)
    np.testing.assert_allclose(values, expected.reshape(values.shape), rtol=1e-12)
    assert (np.isnan(values) == (quality >= 3)).all()  # a bad value is never a number
    for tag, letters in kept.quality.items():
        found = "".join(LETTERS[code] for code in quality[:, kept.tags.index(tag)])
        assert (tag, found) == (tag, letters)
    account = export.account()
    assert account.notes == kept.notes
    assert account.dropped == dict(kept.dropped)
    assert account.sorted == kept.sorted
    assert account.kept == (len(kept.rows) if kept.kept is None else kept.kept)
    assert account.rows_in == account.kept + sum(account.dropped.values())
    assert dict(export.units) == dict(kept.units)
    assert {tag: tuple(s) for tag, s in export.states.items()} == dict(kept.states)


def us(text):
    time = datetime.fromisoformat(text).replace(tzinfo=UTC)
    return round(time.timestamp() * 1e6)


def refusal(paths, settings, block_bytes):
    with pytest.raises(DataError) as fault:
        read(paths, settings, block_bytes)
    return str(fault.value)


@pytest.mark.parametrize("block_bytes", [64, 8 << 20])
@pytest.mark.parametrize("case", marked(CASES))
def test_outcome(case: Case, block_bytes, tmp_path):
    if case.big and block_bytes < 1 << 20:
        pytest.skip("too big for tiny blocks")
    paths = corpus.write(case, tmp_path)
    settings, outcome = dict(case.settings), case.outcome
    if isinstance(outcome, Refused | Asked):
        assert refusal(paths, settings, block_bytes) == outcome.message
    if isinstance(outcome, Asked):
        settings, outcome = {**settings, **outcome.settings}, outcome.then
    if isinstance(outcome, Kept):
        check(outcome, *read(paths, settings, block_bytes))


def kept_of(case):
    """Return what a case keeps, and the settings for it."""
    if isinstance(case.outcome, Asked):
        return case.outcome.then, {**case.settings, **case.outcome.settings}
    return case.outcome, dict(case.settings)


READ = [case for case in CASES if isinstance(kept_of(case)[0], Kept)]


@pytest.mark.parametrize("case", marked(READ))
def test_canonical_file_by_arrow(case: Case, tmp_path):
    """The canonical file, as Arrow reads it, holds the expected table."""
    kept, settings = kept_of(case)
    imports = Imports(tmp_path / "imports")
    paths = corpus.write(case, tmp_path / "files")

    export = open_export(paths, ReadSettings(**settings), imports=imports, keep=True)

    assert dict(export.units) == dict(kept.units)
    (file,) = (tmp_path / "imports").glob("*.parquet")
    table = pq.read_table(file)
    assert table.num_rows == len(kept.rows)
    for place, tag in enumerate(export.tags):
        column = [None if v is None or np.isnan(v) else v for v in table[tag].to_pylist()]
        assert column == pytest.approx([row[1 + kept.tags.index(tag)] for row in kept.rows]), place


def plain_values(path, plain: Plain, tags):
    """Read a text as simply as can be: tag -> how often each number stands there."""
    with path.open(encoding=plain.encoding, newline="") as file:
        rows = [row for row in csv.reader(file, delimiter=plain.separator) if any(row)]
    names = [name.strip() for name in rows[plain.skip]]
    found = {tag: Counter() for tag in tags}
    for row in rows[plain.skip + 1 :]:
        cells = dict(zip(names, row, strict=False))
        if plain.tag is not None:
            cells = {cells.get(plain.tag, "").strip(): cells.get(plain.value, "")}
        for tag in tags:
            text = cells.get(tag, "").strip()
            if plain.thousands:
                text = text.replace(plain.thousands, "")
            try:
                found[tag][float(text.replace(plain.decimal, "."))] += 1
            except ValueError:
                continue
    return found


@pytest.mark.parametrize("case", marked([c for c in READ if kept_of(c)[0].plain is not None]))
def test_second_reader(case: Case, tmp_path):
    """A simple reader of the text finds the same numbers of each tag, as often."""
    kept, settings = kept_of(case)
    paths = corpus.write(case, tmp_path)
    export, _, values, _ = read(paths, settings, 8 << 20)
    expected = {tag: Counter() for tag in export.tags}
    for path in paths:
        for tag, counts in plain_values(path, kept.plain, export.tags).items():
            expected[tag].update(counts)

    for k, tag in enumerate(export.tags):
        column = values[:, k]
        assert Counter(column[np.isfinite(column)].tolist()) == expected[tag]


def test_every_case_has_a_name_of_its_own():
    assert [name for name, n in Counter(case.name for case in CASES).items() if n > 1] == []


def test_every_layout_and_bad_input_is_there():
    """Two take megabytes: 23 is in test_exports_parquet.py, 28 in test_exports_excel.py."""
    known = {case.name.split()[0] for case in CASES}
    other = {"L9": "26", "46": "L3", "47": "L4", "28": "26", "23": "22"}  # under another number

    wanted = [*(f"L{k}" for k in range(1, 11)), *map(str, range(1, 73))]
    assert [name for name in wanted if other.get(name, name) not in known] == []
