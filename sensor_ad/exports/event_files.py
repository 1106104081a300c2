"""Files of single values in, what is in them and their events out: long, paired, a file for a tag.

They are read twice. The first time everything is looked at that only whole files can decide: which
tags there are, which of them are digital and in what states, whose quality codes these are.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from sensor_ad.errors import DataError
from sensor_ad.exports.blocks import Columns, Events, Plan
from sensor_ad.exports.event_rows import MARKER, FileReader, Reading, encoded, event_columns
from sensor_ad.exports.layouts import Layout
from sensor_ad.exports.numbers import Signs
from sensor_ad.exports.quality_codes import CodeEvidence, UndecidedCodesError
from sensor_ad.exports.settings import ReadSettings
from sensor_ad.exports.sources import Source, column_blocks, signs_of
from sensor_ad.exports.states import state_numbers, states_of
from sensor_ad.exports.tally import Tally, quoted
from sensor_ad.exports.values import ValueReader
from sensor_ad.exports.wide import MOST_UNKNOWN
from sensor_ad.records import Ints

MOST_TEXTS = 1_000
"""Different texts of a tag that are counted."""


@dataclass
class TagFacts:
    """What was seen of one tag in all files."""

    numbers: int = 0
    highest: float = 0.0
    texts: Counter[str] = field(default_factory=Counter)
    """Texts that nobody knows -> cells."""
    units: set[str] = field(default_factory=set)


class EventFiles:
    """The files of an export that hold single values."""

    def __init__(
        self, sources: Sequence[Source], layout: Layout, plan: Plan, settings: ReadSettings
    ) -> None:
        self.sources, self.layout, self.plan, self.settings = sources, layout, plan, settings
        self.facts: dict[str, TagFacts] = {}
        self.codes = CodeEvidence()

    def survey(self) -> tuple[Reading, dict[str, tuple[str, ...]]]:
        """Look at all files; returns how they are read, and the states of digital tags.

        Raises
        ------
        DataError
            A tag mixes numbers and many texts, or has two units; or quality codes are in doubt.
        """
        for source in self.sources:
            reader = ValueReader(signs_of(source), self.plan.texts)
            wanted = dict.fromkeys(event_columns(self.layout, time=False), pa.string())
            if not wanted:
                continue
            for part in column_blocks(source, wanted, None, self.settings.block_bytes, Tally()):
                for names, column, quality, unit in self._series(source, part):
                    self._look(reader, names, column, unit)
                    if quality is not None:
                        self.codes.add(quality)
        hidden = {*self.settings.ignore_columns, *self.settings.label_columns}
        shown = [n for n in sorted(self.facts) if n not in hidden and not re.match(MARKER, n)]
        self._check_names(shown)
        tags = {name: k for k, name in enumerate(shown)}
        states = {name: self._states(name) for name in tags}
        digital = {name: some for name, some in states.items() if some}
        numbers = {tags[name]: state_numbers(some) for name, some in digital.items()}
        return Reading(self.layout, self.plan, self._system(), tags, numbers), digital

    def events(self, reading: Reading, tally: Tally) -> Iterator[Events]:
        """Yield the events of all files; counts every row that came in or was dropped."""
        for source in self.sources:
            yield from FileReader(source, reading, self.settings.block_bytes, tally).events()

    def _check_names(self, names: Sequence[str]) -> None:
        """Refuse tags that differ by case only, which some historians do not tell apart."""
        known: dict[str, str] = {}
        for name in names:
            other = known.setdefault(name.casefold(), name)
            if other != name:
                raise DataError(
                    f"{self.sources[0].path.name}: the tags {quoted(other)} and {quoted(name)} "
                    "differ by case only, expected names that historians tell apart: export the "
                    "tag under one name, or leave one out by data.ignore_columns."
                )

    def _series(
        self, source: Source, part: Columns
    ) -> Iterator[tuple[Any, Any, Any | None, Any | None]]:
        """Yield (names of the tags, values, qualities, units) of a block, series by series."""
        layout, table = self.layout, part.table
        if layout.kind == "paired":
            for pair in (*layout.pairs, *layout.silent):
                yield pair.tag, table[pair.value], None, None
            return
        names = table[layout.tag] if layout.tag else source.path.stem
        quality = table[layout.quality] if layout.quality else None
        yield names, table[layout.value], quality, table[layout.unit] if layout.unit else None

    def _look(self, reader: ValueReader, names: Any, column: Any, unit: Any | None) -> None:
        """Note what a block says of its tags."""
        found = reader.read(column)
        if isinstance(names, str):
            codes: Ints = np.zeros(len(column), np.int64)
            tags = [names]
        else:
            codes, tags = encoded(names)
        numbers = np.isfinite(found.values)
        counts = np.bincount(codes[numbers], minlength=len(tags))
        highest = np.zeros(len(tags))
        np.maximum.at(highest, codes[numbers], found.values[numbers])
        for k, tag in enumerate(tags):
            if tag:
                facts = self.facts.setdefault(tag, TagFacts())
                facts.numbers += int(counts[k])
                facts.highest = max(facts.highest, float(highest[k]))
        if found.unknown:
            texts, words = encoded(column)
            strange = np.isin(texts, [k for k, word in enumerate(words) if word in found.unknown])
            self._count(tags, words, codes[strange], texts[strange])
        if unit is not None:
            self._units(tags, codes, unit)

    def _count(self, tags: list[str], words: list[str], codes: Ints, texts: Ints) -> None:
        pairs, counts = np.unique(np.stack([codes, texts]), axis=1, return_counts=True)
        for (tag, text), count in zip(pairs.T, counts, strict=True):
            seen = self.facts[tags[tag]].texts if tags[tag] else Counter()
            if len(seen) < MOST_TEXTS:
                seen[words[text]] += int(count)

    def _units(self, tags: list[str], codes: Ints, unit: Any) -> None:
        kinds, words = encoded(unit)
        for tag, kind in np.unique(np.stack([codes, kinds]), axis=1).T:
            if not tags[tag] or not words[kind]:
                continue
            units = self.facts[tags[tag]].units
            units.add(words[kind])
            if len(units) > 1:
                raise DataError(
                    f"{self.sources[0].path.name}: tag {quoted(tags[tag])} comes in the units "
                    f"{' and '.join(map(quoted, sorted(units)))}, expected one unit for each tag: "
                    "export it in one unit, or as two tags."
                )

    def _states(self, name: str) -> tuple[str, ...]:
        """Return the states of a digital tag; none for a tag of numbers."""
        if name in self.settings.states:
            return self.settings.states[name]
        facts = self.facts[name]
        for text in facts.texts:
            if any(signs.pattern.fullmatch(text) for signs in (Signs(","), Signs("."))):
                raise DataError(
                    f"{self.sources[0].path.name}: tag {quoted(name)} holds {quoted(text)}, "
                    "expected numbers written as the others are: say the right signs by "
                    "data.decimal and data.thousands, or export anew."
                )
        states = states_of(facts.texts, self.plan.texts)
        if states and (not facts.numbers or facts.highest < len(states)):
            return states
        if len(facts.texts) > MOST_UNKNOWN:
            some = ", ".join(quoted(text) for text, _ in facts.texts.most_common(MOST_UNKNOWN))
            raise DataError(
                f"{self.sources[0].path.name}: tag {quoted(name)} holds more than {MOST_UNKNOWN} "
                f"texts that are neither numbers nor known error texts ({some} …), expected at "
                "most so many: if it is a digital tag, say its states by states under [tags]; if "
                'they are errors, by data.texts; or leave the tag out (role = "ignore").'
            )
        return ()

    def _system(self) -> str | None:
        """Say whose quality codes the column holds."""
        if self.layout.quality is None:
            return None
        said = self.settings.quality_codes or self.layout.codes
        if said is not None:
            return said
        try:
            return self.codes.decide(self.layout.quality)
        except UndecidedCodesError as fault:
            raise DataError(f"{self.sources[0].path.name}: {fault.reason}.") from None
