"""Texts of digital tags in, their states in a lasting order out: state number k is worth k."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sensor_ad.exports.vocabulary import folded, meaning
from sensor_ad.records import Quality

MOST_STATES = 32
"""Different texts of a digital tag."""
CELLS_PER_STATE = 4
"""Cells that each state of a digital tag has, on average, at least: comments are no states."""
_ORDERS = """
off on|closed open|close open|false true|f t|inactive active|stopped running|stop run|stop start
no yes|n y|low high|normal alarm|ok alarm|manual auto|man auto|local remote|disabled enabled
idle busy|down up|reset set|healthy fault|aus ein|zu auf|nein ja|hand automatik|hand auto
falsch wahr|steht läuft|arrêt marche|fermé ouvert|non oui|faux vrai|cerrado abierto
apagado encendido|parado marcha|no si|no sí|chiuso aperto|spento acceso|uit aan|dicht open|nee ja
closed opening open closing|off standby on|low medium high|low normal high
stopped starting running stopping
"""
ORDERS = [tuple(order.split()) for order in _ORDERS.replace("\n", "|").split("|") if order]
"""States in the order of their numbers: what is off, closed or normal comes first."""


def order_states(texts: Iterable[str]) -> tuple[str, ...]:
    """Order the states of a tag: by their meaning where it is known, else by the alphabet.

    Of known ones all are given, seen or not: the next export may have the others.

    Examples
    --------
    >>> order_states(["Open", "Closed"]), order_states(["heat", "cool"])
    (('Closed', 'Open'), ('cool', 'heat'))
    """
    states = sorted({folded(text): text for text in texts}.values(), key=folded)
    words = {folded(state) for state in states}
    order = next((order for order in ORDERS if words <= {*order}), None)
    if order is None:
        return tuple(states)
    spelled = {folded(state): state for state in states}
    return tuple(spelled.get(word, word) for word in order)


def state_numbers(states: Iterable[str]) -> dict[str, int]:
    """Folded state -> its number."""
    return {folded(state): number for number, state in enumerate(states)}


def states_of(counts: Mapping[str, int], extra: Mapping[str, Quality]) -> tuple[str, ...]:
    """Return the states of a tag with these texts, () when they are no states of a digital tag.

    Parameters
    ----------
    counts
        Text -> cells, of all that are no numbers.
    extra
        Texts that the config says are bad or no data.
    """
    states = {text: n for text, n in counts.items() if meaning(text, extra) is None}
    words = {folded(text) for text in states}
    known = bool(words) and any(words <= {*order} for order in ORDERS)
    few = 2 <= len(words) <= MOST_STATES
    often = sum(states.values()) >= CELLS_PER_STATE * len(words)
    return order_states(states) if known or (few and often) else ()
