"""What pandas makes of files of the corpus by default, and that it is another thing than ours.

For each of these files `test_exports_corpus.py` asserts the whole outcome here.
"""

import warnings

import corpus
import numpy as np
import pandas as pd
import pytest
from corpus import Kept

CASES = {case.name: case for case in corpus.cases()}

SILENT = [
    ("29 semicolons and decimal commas", (6, 1), "one column; the rest became the index"),
    ("L4 WinCC data log", (14, 1), "one column; the rest became the index"),
    ("L2 long, a unit beside each value", (12, 1), "one column of texts"),
    ("31 commas, and decimal commas without quotes", (6, 3), "digits behind the comma as values"),
    ("32 points between thousands", (6, 1), "one column; the rest became the index"),
    ("32 no-break blanks between thousands", (6, 1), "one column; the rest became the index"),
    ("32 apostrophes between thousands", (6, 1), "one column; the rest became the index"),
    ("33 1.234 and nothing else that tells", (6, 1), "one column of texts"),
    ("34 sep=", (7, 1), "the header as a row"),
    ("L7 preamble, sep= and trailer", (11, 1), "the header as a row"),
    ("35 a report with names and values above the header", (9, 2), "the header as a row"),
    ("35 a line of as many texts right above the header", (7, 3), "the header as a row"),
    ("36 a row of units", (7, 3), "units as a row, numbers as texts"),
    ("37 rows of units and descriptions", (8, 3), "units as a row, numbers as texts"),
    ("L5 archive of a recorder that was restarted", (7, 1), "one column of texts"),
    ("38 a separator at the end of each line", (6, 4), "a column more"),
    ("39 EOF at the end", (7, 3), "a row more"),
    ("39 a total at the end", (7, 3), "sums as a row"),
    ("44 the header again between the rows", (7, 3), "the header as a row, numbers as texts"),
    ("45 columns in another order from the middle on", (7, 3), "columns that change their tags"),
    ("21 cut off in the middle of a row", (6, 3), "a value cut short, or missing"),
    ("42 a name twice", (6, 3), "a name made up"),
    ("13 a log-in page", (1, 1), "a web page as a table"),
    ("14 an error in XML", (1, 1), "XML as a table"),
    ("14 an error in JSON", (0, 1), "JSON as a table"),
    ("9 many NUL bytes", (6, 1), "what stands before the first NUL"),
    ("2 header only", (0, 2), "no rows"),
    ("64 error texts of historians", (15, 2), "numbers as texts"),
    ("68 a number of 400 digits", (4, 2), "an infinite number"),
]
"""Case -> rows and columns of pandas, and what is wrong with them."""
ERRORS = [
    ("1 empty file", pd.errors.EmptyDataError),
    ("3 only blank lines", pd.errors.EmptyDataError),
    ("35 lines above the header", pd.errors.ParserError),
    ("40 a ragged row among few", pd.errors.ParserError),
    ("40 a ragged row in a thousand", pd.errors.ParserError),
    ("41 a quote that is not closed", pd.errors.ParserError),
    ("45 other columns from the middle on", pd.errors.ParserError),
    ("5 UTF-16 little-endian with mark and tabs", UnicodeDecodeError),
    ("6 UTF-16 big-endian without a mark", UnicodeDecodeError),
    ("7 Windows-1252 with a degree sign", UnicodeDecodeError),
    ("11 a gzip named .csv", UnicodeDecodeError),
    ("12 a zip with two CSV", UnicodeDecodeError),
    ("15 a PNG", UnicodeDecodeError),
    ("L2 long, FactoryTalk in UTF-16", UnicodeDecodeError),
]


def frame(name, folder):
    """Read a case of one file as pandas does by default."""
    (path,) = corpus.write(CASES[name], folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pd.read_csv(path)


@pytest.mark.parametrize(("name", "shape", "what"), SILENT, ids=[row[0] for row in SILENT])
def test_read_silently_wrong(name, shape, what, tmp_path):
    found = frame(name, tmp_path)

    assert found.shape == shape, what
    outcome = CASES[name].outcome
    if isinstance(outcome, Kept):  # what we keep is another table
        values = np.array([row[1:] for row in outcome.rows], float)
        numbers = found.select_dtypes("number").to_numpy()
        assert values.shape != numbers.shape or not np.array_equal(values, numbers, True)


@pytest.mark.parametrize(("name", "error"), ERRORS, ids=[row[0] for row in ERRORS])
def test_not_read(name, error, tmp_path):
    with pytest.raises(error):
        frame(name, tmp_path)


def test_comma_decimals_become_an_index(tmp_path):
    found = frame("29 semicolons and decimal commas", tmp_path)

    assert found.index[0] == ("2025-03-05 06:00:00;20", "5;1")
    assert found.iloc[0, 0] == 25  # of 1,25


def test_infinite_numbers(tmp_path):
    path = tmp_path / "plant.csv"
    path.write_text("a\n4e492493924924\n1e400\n")

    assert np.isinf(pd.read_csv(path)["a"]).all()


def test_days_and_months_are_guessed():
    told = pd.to_datetime(pd.Series(["01.02.2026", "03.02.2026"]))

    assert [(time.day, time.month) for time in told] == [(2, 1), (2, 3)]


def test_times_are_microseconds():
    told = pd.to_datetime(pd.Series(["2026-01-01 00:00:00"]))

    assert told.dtype == "datetime64[us]"
    assert told.astype("int64").tolist() == [1_767_225_600_000_000]
