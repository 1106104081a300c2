"""Texts of a tag's column in, numbers with their quality out; a text that is no number never is.

Each distinct text of a block is judged once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sensor_ad.exports.cells import ABSURD, NULLS
from sensor_ad.exports.numbers import Signs
from sensor_ad.exports.vocabulary import folded, meaning
from sensor_ad.records import Bools, Floats, Ints, Quality

BLANKS = "\u00a0\u202f\u2009"
"""Blanks that Arrow does not trim."""
_WORDS = re.compile(r"[+-]?(inf(inity)?|nan(\(\w*\))?)", re.IGNORECASE | re.ASCII)
UNKNOWN = 255
"""Stands for the quality of texts that are not known, until somebody decides."""


@dataclass(frozen=True)
class Values:
    """One column of a block, read from its texts."""

    values: Floats
    """(T,) float64; NaN where the quality is bad or no data, but for numbers beyond every plant
    unit: bad ones, left for `blocks.without_absurd` to count."""
    quality: Ints
    """(T,) uint8 `Quality`."""
    errors: dict[str, int]
    """Text that is known to be no number -> cells."""
    unknown: dict[str, tuple[int, int]]
    """Text that nobody knows -> its cells, and the first row; their quality is bad."""
    first_error: int | None
    """First row whose text is no number, known or not."""


@dataclass(frozen=True)
class ValueReader:
    """How the texts of tags are read."""

    signs: Signs = field(default_factory=Signs)
    extra: Mapping[str, Quality] = field(default_factory=dict)
    """Folded text -> quality, beside the vocabulary."""

    def read(self, cells: Any, states: Mapping[str, int] | None = None) -> Values:
        """Read the texts of a column.

        Parameters
        ----------
        cells
            (T,) Arrow array of strings.
        states
            Of a digital tag: folded state -> its number, which may stand in its place.
        """
        if isinstance(cells, pa.ChunkedArray):
            cells = cells.combine_chunks()
        coded = pc.dictionary_encode(pc.fill_null(cells.cast(pa.string()), ""))
        texts = pc.utf8_trim(coded.dictionary, f' \t\r\n"{BLANKS}')
        values, quality, errors, unknown = self._judge(texts, states or {})
        codes = coded.indices.to_numpy(zero_copy_only=False)
        counts = np.bincount(codes, minlength=len(texts))
        bad = np.zeros(len(texts), dtype=bool)
        bad[[*errors, *unknown]] = True
        rows = np.flatnonzero(bad[codes]) if bad.any() else np.empty(0, np.int64)
        names = texts.to_pylist() if bad.any() else []
        return Values(
            values[codes],
            quality[codes],
            {names[k]: int(counts[k]) for k in errors},
            {names[k]: (int(counts[k]), int(np.argmax(codes == k))) for k in unknown},
            int(rows[0]) if len(rows) else None,
        )

    def _judge(
        self, texts: Any, states: Mapping[str, int]
    ) -> tuple[Floats, Ints, list[int], list[int]]:
        """Return values and quality of distinct texts; places of errors and of unknown ones."""
        values = np.full(len(texts), np.nan)
        quality = np.full(len(texts), np.uint8(Quality.NO_DATA))
        empty: Bools = np.asarray(pc.is_in(texts, value_set=pa.array(NULLS)))
        errors: list[int] = []
        unknown: list[int] = []
        if states:
            numbers = np.zeros(len(texts), dtype=bool)
        else:
            numbers, found = self._numbers(texts)
            values[numbers], quality[numbers] = found, Quality.GOOD
            quality[np.abs(values) > ABSURD] = Quality.BAD
        for k in map(int, np.flatnonzero(~numbers & ~empty)):
            text = texts[k].as_py()
            state = states.get(folded(text))
            if state is None and text.isascii() and text.isdigit() and int(text) < len(states):
                state = int(text)
            if state is not None:
                values[k], quality[k] = state, Quality.GOOD
                continue
            if not states and _WORDS.fullmatch(text):  # what Arrow takes for a number as well
                values[k] = float(text.partition("(")[0])
                quality[k] = Quality.NO_DATA if np.isnan(values[k]) else Quality.BAD
                continue
            known = meaning(text, self.extra)
            (unknown if known is None else errors).append(k)
            quality[k] = Quality.BAD if known is None else known
            values[k] = np.nan
        return values, quality, errors, unknown

    def _numbers(self, texts: Any) -> tuple[Bools, Floats]:
        """Return which texts are numbers, and those numbers."""
        signs = self.signs
        fits = pc.match_substring_regex(texts, f"^(?:{signs.pattern.pattern})$")
        plain = texts.filter(fits)
        if signs.thousands:
            plain = pc.replace_substring(plain, signs.thousands, "")
        if signs.decimal != ".":
            plain = pc.replace_substring(plain, signs.decimal, ".")
        numbers = plain.cast(pa.float64()).to_numpy(zero_copy_only=False)
        return np.asarray(fits), numbers
