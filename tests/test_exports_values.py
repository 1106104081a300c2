"""Cells of tags: numbers are read, and a text that is none never becomes one."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sensor_ad.exports.blocks import without_absurd
from sensor_ad.exports.cells import ABSURD, NULLS
from sensor_ad.exports.numbers import THOUSANDS, Signs
from sensor_ad.exports.states import state_numbers
from sensor_ad.exports.tally import Tally
from sensor_ad.exports.values import ValueReader
from sensor_ad.exports.vocabulary import WORDS, meaning
from sensor_ad.records import Quality

NAN = float("nan")
GOOD, BAD, NO_DATA = Quality.GOOD, Quality.BAD, Quality.NO_DATA
ALL = [Signs(d, t) for d in ".," for t in THOUSANDS if d != t]
STRIPPED = ' \t\r\n"\u00a0\u202f\u2009'


def read(*cells, signs=Signs(), extra=None, states=()):  # noqa: B008 - it is frozen
    reader = ValueReader(signs, extra or {})
    return reader.read(pa.array(cells, pa.string()), state_numbers(states))


@pytest.mark.parametrize(
    ("cell", "signs", "value"),
    [
        ("1", Signs(), 1.0), ("-0", Signs(), -0.0), ("+4.", Signs(), 4.0), (".5", Signs(), 0.5),
        (" 2.5\u00a0", Signs(), 2.5), ('"3"', Signs(), 3.0), ("1e3", Signs(), 1000.0),
        ("1E-400", Signs(), 0.0), ("007", Signs(), 7.0), ("1,5", Signs(","), 1.5),
        ("1.234,5", Signs(",", "."), 1234.5), ("1 234", Signs(".", " "), 1234.0),
        ("1'234'567.25", Signs(".", "'"), 1234567.25), ("-12", Signs(",", "."), -12.0),
    ],
)  # fmt: skip
def test_numbers(cell, signs, value):
    found = read(cell, signs=signs)

    assert found.values.tobytes() == np.array([value]).tobytes()
    assert found.quality.tolist() == [GOOD]
    assert (found.errors, found.unknown, found.first_error) == ({}, {}, None)


@pytest.mark.parametrize(
    ("cell", "signs"),
    [
        ("1,5", Signs()), ("1.5", Signs(",")), ("1.23", Signs(",", ".")), ("0x1F", Signs()),
        ("1_000", Signs()), ("1 234", Signs()), ("12.34.56", Signs()), ("1e", Signs()),
        ("e5", Signs()), ("--1", Signs()), ("1.5 bar", Signs()), ("\u0661\u0662", Signs()),
        ("\u00bd", Signs()), ("1\u00b2", Signs()), ("true", Signs()), ("2026-01-01", Signs()),
        ("1.2345", Signs(",", ".")), ("01.234", Signs(",", ".")), ("50%", Signs()),
    ],
)  # fmt: skip
def test_texts_nobody_knows(cell, signs):
    found = read("7", cell, cell, signs=signs)

    np.testing.assert_array_equal(found.values, [7, NAN, NAN])
    assert found.quality.tolist() == [GOOD, BAD, BAD]
    assert found.unknown == {cell: (2, 1)}
    assert (found.errors, found.first_error) == ({}, 1)


@pytest.mark.parametrize("cell", ["1e400", "-1e400", "1e301", "-1e301", "9" * 400])
def test_numbers_beyond_every_unit_are_bad(cell):
    found = read("1", cell)

    np.testing.assert_array_equal(found.values, [1, float(cell)])
    assert found.quality.tolist() == [GOOD, BAD]
    assert (found.errors, found.unknown, found.first_error) == ({}, {}, None)
    tally = Tally()
    values = without_absurd(found.values[:, None], ["a"], "plant.csv", "line {}".format, tally)[0]
    np.testing.assert_array_equal(values[:, 0], [1, NAN])
    assert tally.absurd == {"a": 1}


@pytest.mark.parametrize("signs", ALL, ids=Signs.told)
def test_no_word_is_a_number(signs):
    words = [*WORDS, *(word.upper() for word in WORDS)]
    found = read(*words, signs=signs)

    assert not np.isfinite(found.values).any()
    for word, quality in zip(words, found.quality, strict=True):
        assert quality == (NO_DATA if word in NULLS else meaning(word))


def test_nothing_is_no_data():
    found = read(None, "", "  ", *NULLS)

    assert np.isnan(found.values).all()
    assert set(found.quality.tolist()) == {NO_DATA}
    assert (found.errors, found.unknown, found.first_error) == ({}, {}, None)


def test_states():
    found = read("Open", " closed", "1", "0", "2", "Bad", "", "ajar", states=("Closed", "Open"))

    np.testing.assert_array_equal(found.values, [1, 0, 1, 0, NAN, NAN, NAN, NAN])
    assert found.quality.tolist() == [GOOD] * 4 + [BAD, BAD, NO_DATA, BAD]
    assert found.errors == {"Bad": 1}
    assert found.unknown == {"2": (1, 4), "ajar": (1, 7)}
    assert found.first_error == 4


def test_texts_of_the_config():
    found = read("1", "Wartung", "Bad", extra={"wartung": NO_DATA, "bad": NO_DATA})

    np.testing.assert_array_equal(found.values, [1, NAN, NAN])
    assert found.quality.tolist() == [GOOD, NO_DATA, NO_DATA]
    assert found.errors == {"Wartung": 1, "Bad": 1}


CELLS = st.one_of(
    st.text(max_size=8),
    st.text("0123456789.,eE+-' \u00a0xXinfaINFA#", max_size=10),
    st.sampled_from([*WORDS, *NULLS]),
    st.floats().map(repr),
)


@given(st.lists(CELLS, min_size=1, max_size=20), st.sampled_from(ALL))
@example(["1e400", "inf", "nan", "Infinity", "-1e999", "1e308"], Signs())
def test_a_bad_text_never_becomes_a_number(cells, signs):
    """Against Python, cell by cell: a finite value only where the cell is a number as signs say."""
    found = read(*cells, signs=signs)

    for cell, value, quality in zip(cells, found.values, found.quality, strict=True):
        stripped = cell.strip(STRIPPED)
        number = signs.pattern.fullmatch(stripped) is not None
        expected = float(signs.plain(stripped)) if number else NAN
        if abs(expected) <= ABSURD:
            assert (value, quality) == (expected, GOOD)
        else:
            assert not abs(value) <= ABSURD and quality in (BAD, NO_DATA)
    bad = sum(found.errors.values()) + sum(count for count, _ in found.unknown.values())
    assert (found.quality == GOOD).sum() + bad <= len(cells)
    assert np.isfinite(found.values[found.quality == GOOD]).all()


@given(
    st.lists(st.sampled_from(["Open", "closed", "2", "1", "0", "Bad", "", "-1", "1.0", "\u0661"]))
)
def test_states_have_their_numbers_only(cells):
    found = read(*cells, states=("Closed", "Open"))

    numbers = {"Open": 1.0, "closed": 0.0, "1": 1.0, "0": 0.0}
    np.testing.assert_array_equal(found.values, [numbers.get(cell, NAN) for cell in cells])
