"""Columns that together name a series in, one tag name for each row out; empty cells filled.

A series of InfluxDB is told by its measurement, its field and its tags. Its name here is
`measurement.field{host=a,region=b}`: tags in the order of their names, those without a value left
out, and no braces where none is left. Where a sign of this form stands within a part, a backslash
precedes it, so that two series never have one name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sensor_ad.records import Ints

MEASUREMENT, FIELD = "_measurement", "_field"
"""Columns of InfluxDB whose values stand before the braces, without their names."""

_IN_MEASUREMENT = re.compile(r"([\\.{])")
_IN_FIELD = re.compile(r"([\\{])")
_IN_TAG = re.compile(r"([\\,={}])")


def compose_tags(table: Any, parts: Sequence[str]) -> Any:
    """Return the name of each row's series.

    Parameters
    ----------
    table
        pyarrow.Table of T rows, the parts as texts (or what can be cast to such).
    parts
        Names of the columns, as `Layout.tag_parts` gives them; their order plays no role.

    Returns
    -------
    (T,) pyarrow.Array of strings.
    """
    if table.num_rows == 0:
        return pa.array([], pa.string())
    ordered = sorted(parts)
    texts, numbers = [], []
    for name in ordered:
        column = pc.fill_null(table[name].cast(pa.string()), "").combine_chunks()
        encoded = column.dictionary_encode()
        texts.append(encoded.dictionary.to_pylist())
        numbers.append(encoded.indices.to_numpy())
    first, of_row = _combinations(numbers, table.num_rows)
    names = [
        series_name({name: texts[k][numbers[k][row]] for k, name in enumerate(ordered)})
        for row in first
    ]
    return pa.array(names, pa.string()).take(pa.array(of_row))


def series_name(values: Mapping[str, str]) -> str:
    """Return the name of one series.

    >>> series_name({"_measurement": "pump", "_field": "flow", "site": "b", "host": "a"})
    'pump.flow{host=a,site=b}'
    """
    measurement = _IN_MEASUREMENT.sub(r"\\\1", values.get(MEASUREMENT, ""))
    field = _IN_FIELD.sub(r"\\\1", values.get(FIELD, ""))
    tags = [
        "=".join(_IN_TAG.sub(r"\\\1", text) for text in (name, value))
        for name, value in sorted(values.items())
        if value and name not in (MEASUREMENT, FIELD)
    ]
    before = ".".join(part for part in (measurement, field) if part)
    return f"{before}{{{','.join(tags)}}}" if tags else before


def fill_defaults(table: Any, defaults: Mapping[str, str]) -> Any:
    """Return a table in which empty cells hold the default of their column.

    Parameters
    ----------
    table
        pyarrow.Table; the columns with defaults must be texts, for a number that is missing can no
        longer be told from an empty cell.
    defaults
        Column -> text; columns that the table lacks are passed over.
    """
    for name, text in defaults.items():
        if name not in table.column_names:
            continue
        cells = pc.fill_null(table[name], "")
        filled = pc.if_else(pc.equal(cells, ""), text, cells)
        table = table.set_column(table.column_names.index(name), name, filled)
    return table


def _combinations(numbers: Sequence[Ints], rows: int) -> tuple[list[int], Ints]:
    """Return a row of each distinct combination, and (T,) which combination each row has."""
    whole = np.zeros(rows, np.int64)
    for part in numbers:
        if part.max() == 0:
            continue  # one value in all rows
        whole = np.unique(whole * (int(part.max()) + 1) + part, return_inverse=True)[1]
    _, first, of_row = np.unique(whole, return_index=True, return_inverse=True)
    return first.tolist(), of_row
