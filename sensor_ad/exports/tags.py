"""Columns of wide tables in, which of them are tags out, and the states of digital ones."""

from __future__ import annotations

from collections.abc import Sequence

from sensor_ad.errors import DataError
from sensor_ad.exports.columns import NAMED
from sensor_ad.exports.layouts import Layout
from sensor_ad.exports.settings import ReadSettings
from sensor_ad.exports.sources import Source
from sensor_ad.exports.survey import find_states
from sensor_ad.exports.tables import Table
from sensor_ad.exports.tally import Tally, quoted
from sensor_ad.exports.times import sounds_like_time
from sensor_ad.exports.vocabulary import extra_words

TRUTHS = ("false", "true")


def find_tags(
    sources: Sequence[Source], layout: Layout, settings: ReadSettings, tally: Tally
) -> dict[str, tuple[str, ...]]:
    """Return the tags of wide tables in file order, each with its states; none for numbers.

    A column without a number is a digital tag when its texts are few and come again and again,
    else it is left out with a note.
    """
    hidden = {*layout.columns, *settings.label_columns, *settings.ignore_columns}
    tags: dict[str, tuple[str, ...]] = {}
    _check_units(sources)
    typed = not any(isinstance(source, Table) for source in sources)  # times for certain
    texts = []
    for name in sources[0].columns:
        seen = [source.columns[name] for source in sources if name in source.columns]
        if name in hidden:
            continue
        if seen[0].unnamed and not name.startswith(NAMED):
            tally.note(f"{name} is an index that nobody named: left out")
            continue
        times = all(column.times or column.clock for column in seen)
        if times and (typed or sounds_like_time(name)):
            tally.note(f"column {quoted(name)} holds times, but is not the time: left out")
            continue
        if seen[0].unnamed:
            tally.note(f"a column without a name in the header is called {name}")
        numbers, truths = sum(c.numbers for c in seen), sum(c.truths for c in seen)
        tags[name] = settings.states.get(name, ())
        if name in settings.states or numbers or not (truths or any(c.texts for c in seen)):
            continue
        if truths and not any(column.texts for column in seen):
            tags[name] = TRUTHS
        else:
            texts.append(name)
    extra = extra_words(settings.texts)
    found = find_states(sources, texts, extra, settings.block_bytes) if texts else {}
    left_out = []
    for name, states in found.items():
        if states is None:
            left_out.append(name)
            del tags[name]
        elif states:
            tags[name] = states
            told = ", ".join(f"{quoted(state)} = {k}" for k, state in enumerate(states))
            tally.note(f"tag {name}: digital, {told}")
    if left_out:
        tally.note(
            f"{len(left_out)} column{'s' * (len(left_out) > 1)} without numbers left out: "
            f"{', '.join(map(quoted, left_out))}"
        )
    return tags


def _check_units(sources: Sequence[Source]) -> None:
    """Refuse files that give a tag in different units."""
    known: dict[str, tuple[str, str]] = {}
    for source in sources:
        if not isinstance(source, Table):
            continue
        for name, unit in source.dialect.units.items():
            other, file = known.setdefault(name, (unit, source.path.name))
            if other != unit:
                raise DataError(
                    f"{source.path.name}: column {quoted(name)} is in {quoted(unit)}, expected "
                    f"{quoted(other)} as in {file}: export it in one unit, or as two tags."
                )
