"""Wide tables of different tags in, their values as events out: a file for each part of a plant.

AWS Lookout for Equipment asked for such exports: one table for each component, with sensors of its
own. Files whose tags are the same are parts of one history; files that share no tag are joined by
their times.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from sensor_ad.errors import DataError
from sensor_ad.exports.blocks import Block, Events, Plan, quality_of
from sensor_ad.exports.event_files import TagFacts
from sensor_ad.exports.event_rows import Reading
from sensor_ad.exports.layouts import Layout
from sensor_ad.exports.settings import ReadSettings
from sensor_ad.exports.sources import Source, column_blocks, signs_of
from sensor_ad.exports.tags import find_tags
from sensor_ad.exports.tally import Tally
from sensor_ad.exports.wide import WideReader
from sensor_ad.records import Ints, Quality


def share_no_tag(sources: Sequence[Source], layout: Layout, settings: ReadSettings) -> bool:
    """Say whether files have nothing but the time in common, or all of their columns."""
    if not all({*layout.columns} <= {*source.columns} for source in sources):
        return False
    hidden = {*layout.columns, *settings.label_columns, *settings.ignore_columns}
    kinds = {frozenset(set(source.columns) - hidden) for source in sources}
    names = [name for kind in kinds for name in kind]
    return len(kinds) > 1 and len(names) == len({*names})


class JoinedFiles:
    """The files of an export, each a wide table of some of its tags."""

    def __init__(
        self, sources: Sequence[Source], layout: Layout, plan: Plan, settings: ReadSettings
    ) -> None:
        self.sources, self.layout, self.plan, self.settings = sources, layout, plan, settings
        self.facts: dict[str, TagFacts] = {}
        self._plans: list[Plan] = []
        """For each file, with its tags."""

    def survey(self) -> tuple[Reading, dict[str, tuple[str, ...]]]:
        """Find the tags of all files; returns how they are numbered, and states of digital ones."""
        groups: dict[frozenset[str], list[Source]] = {}
        for source in self.sources:
            groups.setdefault(frozenset(source.columns), []).append(source)
        found = {
            names: find_tags(sources, self.layout, self.settings, Tally())
            for names, sources in groups.items()
        }
        tags = {tag: states for some in found.values() for tag, states in some.items()}
        self._plans = [
            replace(self.plan, tags=found[frozenset(source.columns)]) for source in self.sources
        ]
        digital = {tag: states for tag, states in tags.items() if states}
        numbers = {tag: number for number, tag in enumerate(sorted(tags))}
        return Reading(self.layout, self.plan, None, numbers, {}), digital

    def events(self, reading: Reading, tally: Tally) -> Iterator[Events]:
        """Yield each value as an event; empty cells are none."""
        if self.plan.time is None:
            raise DataError(
                f"{self.sources[0].path.name}: files of different tags without times, expected a "
                "time column in each: export it too."
            )
        for source, plan in zip(self.sources, self._plans, strict=True):
            if not plan.tags:
                continue
            rows, before = Tally(), tally.dropped.total()
            reader = WideReader(source.path.name, signs_of(source), plan, 0, tally)
            codes = np.array([reading.tags[tag] for tag in plan.tags], np.int32)
            size = plan.block_bytes
            parts = column_blocks(source, plan.wanted(), plan.stamp, size, rows)
            for block in reader.blocks(parts):
                events = _events(block, codes)
                tally.rows_in += len(events.tag)
                yield events
            tally.rows_in += rows.dropped.total() + tally.dropped.total() - before
            tally.take(rows)


def _events(block: Block, codes: Ints) -> Events:
    quality = quality_of(block.values, block.quality)
    rows, places = np.nonzero(quality != Quality.NO_DATA)
    return Events(
        block.file,
        block.time_us[rows],
        codes[places],
        block.values[rows, places],
        quality[rows, places],
        block.rows[rows],
        block.bytes_read,
    )
