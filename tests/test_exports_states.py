"""States of digital tags: which texts are some, and which number each of them has for good."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensor_ad.exports.states import (
    CELLS_PER_STATE,
    MOST_STATES,
    ORDERS,
    order_states,
    state_numbers,
    states_of,
)
from sensor_ad.exports.vocabulary import folded, meaning
from sensor_ad.records import Quality


@pytest.mark.parametrize("order", ORDERS, ids=" ".join)
def test_known_orders(order):
    """Whichever of them are seen, in whatever spelling, each has its number."""
    assert len({*order}) == len(order) and all(word == folded(word) for word in order)
    assert not any(meaning(word) for word in order)
    assert order_states(reversed(order)) == order
    assert order_states(word.upper() for word in order) == tuple(map(str.upper, order))
    assert states_of({order[-1]: 1, order[0]: 1}, {}) in ORDERS


@pytest.mark.parametrize("word", sorted({word for order in ORDERS for word in order}))
def test_a_single_known_state_has_the_same_number_as_beside_others(word):
    first = next(order for order in ORDERS if word in order)

    assert order_states([word]) == first
    assert state_numbers(order_states([word]))[word] == first.index(word)


@pytest.mark.parametrize(
    ("texts", "states"),
    [
        (["Open", "Closed"], ("Closed", "Open")),
        (["OPEN"], ("closed", "OPEN")),
        (["Ein", "Aus"], ("Aus", "Ein")),
        (["heat", "cool"], ("cool", "heat")),
        (["Run", "Trip", "Stop"], ("Run", "Stop", "Trip")),
        (["open", "Open ", "shut"], ("Open ", "shut")),
        ([], ORDERS[0]),
    ],
)
def test_order(texts, states):
    assert order_states(texts) == states


def test_numbers():
    assert state_numbers(("Closed", "Open  wide")) == {"closed": 0, "open wide": 1}


@pytest.mark.parametrize(
    ("counts", "states"),
    [
        ({"Open": 1}, ("closed", "Open")),
        ({"Open": 1, "Bad": 9, "No Data": 2}, ("closed", "Open")),
        ({"Bad": 100}, ()),
        ({}, ()),
        ({"heat": 1, "cool": 1}, ()),
        ({"heat": 4, "cool": 4}, ("cool", "heat")),
        ({"heat": 7, "cool": 1}, ("cool", "heat")),
        ({"heat": 3, "cool": 4}, ()),
        ({"heat": 50}, ()),
        ({f"s{k:02d}": 4 for k in range(32)}, tuple(f"s{k:02d}" for k in range(32))),
        ({f"s{k:02d}": 4 for k in range(33)}, ()),
        ({"pump was oiled": 1, "valve replaced": 1, "nothing": 1}, ()),
    ],
)
def test_texts_of_a_digital_tag(counts, states):
    assert states_of(counts, {}) == states


def test_texts_of_the_config_are_no_states():
    extra = {"wartung": Quality.BAD}

    assert states_of({"heat": 5, "cool": 5, "Wartung": 90}, extra) == ("cool", "heat")
    assert states_of({"heat": 5, "Wartung": 90}, extra) == ()


WORDS = st.text("abcXYZ ", min_size=1, max_size=5).filter(str.strip)


@given(st.dictionaries(WORDS, st.integers(1, 20), max_size=40), st.randoms())
def test_the_order_of_the_cells_has_no_say(counts, rng):
    shuffled = list(counts.items())
    random.Random(rng.random()).shuffle(shuffled)

    states = states_of(counts, {})
    again = states_of(dict(shuffled), {})

    assert [*map(folded, again)] == [*map(folded, states)]
    numbers = state_numbers(states)
    assert sorted(numbers.values()) == list(range(len(states))) or not states
    if states:
        assert {folded(text) for text in counts if meaning(text) is None} <= {*numbers}
        assert len(states) <= MOST_STATES
    elif 2 <= len({folded(text) for text in counts}) <= MOST_STATES:
        assert sum(counts.values()) < CELLS_PER_STATE * len(counts)
