"""How a file writes its numbers: found over all cells, refused where two ways are left."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensor_ad.exports.numbers import (
    THOUSANDS,
    MixedNumbersError,
    NumberEvidence,
    Signs,
    UndecidedNumbersError,
)

ALL = [Signs(d, t) for d in ".," for t in THOUSANDS if d != t]


def decide(*cells):
    evidence = NumberEvidence()
    for k, cell in enumerate(cells):
        evidence.add([cell], f", line {k + 1}")
    return evidence.decide()


@pytest.mark.parametrize(
    ("cells", "signs"),
    [
        ((), Signs()),
        (("1", "-22", "333", "0", "+000", ""), Signs()),
        (("4444",), Signs()),
        (("1.5",), Signs(".")),
        (("1,5",), Signs(",")),
        (("-0,25", "3"), Signs(",")),
        (("1.2345",), Signs(".")),
        (("0.125",), Signs(".")),
        (("0,125",), Signs(",")),
        (("1.234", "0.5"), Signs(".")),
        (("1,234", "0,5"), Signs(",")),
        (("1234.567",), Signs(".")),
        (("1,5e3",), Signs(",")),
        ((".5",), Signs(".")),
        (("1.234,5",), Signs(",", ".")),
        (("1,234.5",), Signs(".", ",")),
        (("1.234.567",), Signs(",", ".")),
        (("1,234,567",), Signs(".", ",")),
        (("1'234.5",), Signs(".", "'")),
        (("1\u2019234,5",), Signs(",", "\u2019")),
        (("1 234,5",), Signs(",", " ")),
        (("1\u00a0234.5",), Signs(".", "\u00a0")),
        (("1\u202f234 567",), None),
        (("1.234", "1.234,5"), Signs(",", ".")),
        (("Bad", "No Data", "#N/A", "1,5", "2026-01-01", "x1.5"), Signs(",")),
    ],
)
def test_signs_are_found(cells, signs):
    if signs is None:  # two kinds of blanks in one number: no number at all
        signs = Signs()
    assert decide(*cells) == signs
    assert decide(*reversed(cells)) == signs


@pytest.mark.parametrize(
    ("cells", "example", "ways"),
    [
        (("1.234",), "1.234", {Signs("."), Signs(",", ".")}),
        (("12", "1,234", "987"), "1,234", {Signs(","), Signs(".", ",")}),
        (("-12.345", "99.999"), "-12.345", {Signs("."), Signs(",", ".")}),
    ],
)
def test_two_readings_are_refused_with_both(cells, example, ways):
    with pytest.raises(UndecidedNumbersError) as fault:
        decide(*cells)

    assert (fault.value.example, fault.value.where) == (
        example,
        f", line {cells.index(example) + 1}",
    )
    assert {*fault.value.readings} == ways
    one, other = (float(signs.plain(example)) for signs in fault.value.readings)
    assert one != other


@pytest.mark.parametrize("cells", [("1.5", "2,5"), ("1.5", "7", "0,25"), ("1.234,5", "1,234.5")])
def test_two_ways_in_one_file_are_told(cells):
    with pytest.raises(MixedNumbersError) as fault:
        decide(*cells)

    assert fault.value.one == (cells[0], ", line 1")
    assert fault.value.other == (cells[-1], f", line {len(cells)}")


def test_a_number_against_what_was_said():
    evidence = NumberEvidence(left=[signs for signs in ALL if signs.decimal == ","])
    evidence.add(["1.5"], " in a.csv")

    with pytest.raises(MixedNumbersError) as fault:
        evidence.decide()
    assert fault.value.one == fault.value.other == ("1.5", " in a.csv")


def test_files_are_merged_by_adding():
    evidence = NumberEvidence()
    evidence.add(["1.234"], " in a.csv")
    with pytest.raises(UndecidedNumbersError):
        evidence.decide()
    evidence.add(["0.5"], " in b.csv")
    assert evidence.decide() == Signs(".")


@pytest.mark.parametrize(
    ("signs", "told"),
    [
        (Signs(), "a decimal point"),
        (Signs(","), "a decimal comma"),
        (Signs(",", "."), "a decimal comma and '.' between thousands"),
        (Signs(".", " "), "a decimal point and a blank between thousands"),
        (Signs(".", "\u202f"), "a decimal point and a narrow no-break blank between thousands"),
        (Signs(".", "'"), 'a decimal point and "\'" between thousands'),
    ],
)
def test_signs_in_words(signs, told):
    assert signs.told() == told


def written(number, signs):
    """Write a number with two decimals by hand."""
    whole, _, decimals = f"{number:.2f}".partition(".")
    sign, whole = ("-", whole[1:]) if whole.startswith("-") else ("", whole)
    groups = []
    while len(whole) > 3:
        whole, groups = whole[:-3], [whole[-3:], *groups]
    return sign + signs.thousands.join([whole, *groups]) + signs.decimal + decimals


@given(st.integers(-(10**11), 10**11), st.sampled_from(ALL))
def test_what_is_written_is_read(hundredths, signs):
    cell = written(hundredths / 100, signs)

    assert signs.pattern.fullmatch(cell)
    assert float(signs.plain(cell)) == float(f"{hundredths / 100:.2f}")
    found = decide(cell)
    assert float(found.plain(cell)) == float(signs.plain(cell))


@given(st.text("0123456789.,' +-eE\u00a0\u2019", max_size=12), st.sampled_from(ALL))
def test_what_fits_is_a_number(cell, signs):
    """Whatever fits the pattern reads as a number, and thousands stand in groups of three."""
    if signs.pattern.fullmatch(cell):
        number = float(signs.plain(cell))
        assert not math.isnan(number)
        whole = cell.lstrip("+-").partition("e")[0].partition("E")[0].partition(signs.decimal)[0]
        groups = whole.split(signs.thousands) if signs.thousands else [whole]
        assert all(len(group) == 3 for group in groups[1:])
        assert len(groups) == 1 or not whole.startswith("0")


@given(st.lists(st.text("012.,'e ", max_size=8), max_size=8))
def test_order_of_the_cells_has_no_say(cells):
    def outcome(some):
        try:
            return decide(*some)
        except (UndecidedNumbersError, MixedNumbersError) as fault:
            return type(fault)

    assert outcome(cells) == outcome(cells[::-1])
