"""A column of quality codes in, numbers or texts as a historian writes them; qualities out.

A column is read through its distinct codes, of which there are few. Which system wrote it is
decided over all of them, by their looks and the column's name; what does not decide is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sensor_ad.errors import UsageError
from sensor_ad.exports.quality_systems import SYSTEMS, Code, System, code_of
from sensor_ad.exports.tally import quoted
from sensor_ad.records import Bools, Ints, Quality

MAX_CODES = 4096
"""Distinct codes that are kept to decide; a column with more holds something else."""

HEADERS = {
    "opcquality": "opc da",
    "statuscode": "opc ua",
    "iptrendqlevel": "ip.21",
    "iptrendqstatus": "ip.21",
    "isgood": "pi",
    "questionable": "pi questionable",
    "substituted": "pi substituted",
    "annotated": "pi annotated",
    "qualitydetail": "aveva detail",
    "validity": "wincc",
    "dataintegrity": "ignition",
    "dataquality": "ge",
}
"""How a column's name ends, in lower case and without signs -> whose codes it holds."""


def decode(cells: pa.Array | pa.ChunkedArray, system: str) -> tuple[Ints, Bools]:
    """Read a column of quality codes.

    An empty cell (null, NaN, blank) is good in the systems that write flags only when there is
    something to say (PI), else uncertain: a code belongs beside each value, and is missing.

    Parameters
    ----------
    cells
        (T,) strings, numbers or booleans.
    system
        One of `SYSTEMS`.

    Returns
    -------
    tuple
        (T,) uint8 `Quality`, and (T,) whether the code is unknown to the system; these are bad.

    Raises
    ------
    UsageError
        When there is no system of that name.
    """
    how = system_by_name(system)
    at, codes = _distinct(cells)
    found = [how.empty if code is None else how.read(code) for code in codes]
    quality = np.array([Quality.BAD if q is None else q for q in found], np.uint8)
    unknown = np.array([q is None for q in found], bool)
    return quality[at], unknown[at]


def system_by_name(name: str) -> System:
    """Return the system that a configuration names.

    Raises
    ------
    UsageError
        When there is none of that name.
    """
    if name not in SYSTEMS:
        near = get_close_matches(name.lower(), SYSTEMS, 1, 0.0)[0]
        raise UsageError(
            f"data.quality_codes = {quoted(name)} is not known, expected one of "
            f"{', '.join(SYSTEMS)}; the nearest is {near!r}: correct it."
        )
    return SYSTEMS[name]


class UndecidedCodesError(Exception):
    """The codes of a column fit several systems, which read them differently, or fit none."""

    def __init__(self, reason: str, readings: tuple[str, ...] = ()):
        super().__init__(reason)
        self.reason = reason
        self.readings = readings
        """Names of the systems that fit; empty when none does."""


@dataclass
class CodeEvidence:
    """The distinct codes of a column; one for each file, merged to decide over all."""

    codes: dict[str, Code] = field(default_factory=dict)
    """Text -> the code, in the order in which they were seen."""
    empty: bool = False
    """Whether there are empty cells."""
    many: bool = False
    """Whether there are more codes than are kept."""

    def add(self, cells: pa.Array | pa.ChunkedArray) -> None:
        """Take the next cells, (T,) strings, numbers or booleans."""
        at, codes = _distinct(cells)
        self.empty |= bool((at == len(codes) - 1).any())
        self._keep(codes)

    def merge(self, other: CodeEvidence) -> None:
        """Take what the cells of another file showed."""
        self.empty |= other.empty
        self.many |= other.many
        self._keep(other.codes.values())

    def decide(self, column: str) -> str:
        """Return the name of the system whose codes these are.

        The column's name decides where its system knows all codes. Else the codes must fit one
        system, or several that read all of them alike; then any of these will do.

        Parameters
        ----------
        column
            Name of the column in the header.

        Raises
        ------
        UndecidedCodesError
            When several systems fit and differ, or none fits.
        """
        if self.many:
            raise UndecidedCodesError(
                f"the column {quoted(column)} has more than {MAX_CODES:,} different cells, "
                "expected quality codes: name the column of the codes by data.quality_column"
            )
        codes = list(self.codes.values())
        header = re.sub(r"[\W_]", "", column.lower())
        hinted = next((name for end, name in HEADERS.items() if header.endswith(end)), None)
        if hinted and all(SYSTEMS[hinted].read(code) is not None for code in codes):
            return hinted
        fitting = [name for name in SYSTEMS if all(_speaks(SYSTEMS[name], c) for c in codes)]
        if not fitting:
            raise self._strange(column, codes)
        cells: list[Code | None] = [*codes, *([None] if self.empty else [])]
        for cell in cells:
            if len({_read(SYSTEMS[name], cell) for name in fitting}) > 1:
                raise _undecided(column, cell, fitting)
        return fitting[0]

    def _keep(self, codes: Iterable[Code | None]) -> None:
        for code in codes:
            if code is None or code.text in self.codes:
                continue
            if len(self.codes) == MAX_CODES:
                self.many = True
                return
            self.codes[code.text] = code

    def _strange(self, column: str, codes: list[Code]) -> UndecidedCodesError:
        """Say which code is the first that the system that knows most of them does not know."""

        def count(name: str) -> tuple[int, int]:
            system = SYSTEMS[name]
            read = sum(system.read(code) is not None for code in codes)
            return sum(_speaks(system, code) for code in codes), read

        best = max(SYSTEMS, key=count)
        if count(best)[0] == 0:
            return UndecidedCodesError(
                f"the column {quoted(column)} holds {quoted(codes[0].text)}, which is a usual "
                f"quality code of none of {', '.join(SYSTEMS)}, expected quality codes: name the "
                "column of the codes by data.quality_column, or their system by data.quality_codes"
            )
        strange = next(code for code in codes if not _speaks(SYSTEMS[best], code))
        kind = "no" if SYSTEMS[best].read(strange) is None else "no usual"
        return UndecidedCodesError(
            f"the column {quoted(column)} holds {quoted(strange.text)}, which is {kind} quality "
            f"code of {best}, the system that most of its codes fit, expected the codes of one "
            f'system: say which by data.quality_codes = "{best}", then codes unknown to it are bad'
        )


def _undecided(column: str, cell: Code | None, fitting: list[str]) -> UndecidedCodesError:
    """Show a code that the fitting systems read differently."""
    readings: dict[Quality | None, list[str]] = {}
    for name in fitting:
        readings.setdefault(_read(SYSTEMS[name], cell), []).append(name)
    meant = [
        f"{quality.name.lower().replace('_', ' ')} as {' or '.join(names)}"
        for quality, names in sorted(readings.items(), key=lambda item: item[0] or 0)
        if quality is not None
    ]
    *most, last = (f'"{name}"' for name in fitting)
    return UndecidedCodesError(
        f"in the column {quoted(column)} {quoted(cell.text) if cell else 'an empty cell'} is "
        f"{', '.join(meant)}, and neither the other codes nor the column's name tell, expected "
        "codes that can be read in one way: say whose they are by data.quality_codes = "
        f"{', '.join(most)} or {last}",
        tuple(fitting),
    )


def _read(system: System, cell: Code | None) -> Quality | None:
    return system.empty if cell is None else system.read(cell)


def _speaks(system: System, code: Code) -> bool:
    """Say whether a code may be taken for one of the system."""
    return system.read(code) is not None and system.usual(code)


def _distinct(cells: pa.Array | pa.ChunkedArray) -> tuple[Ints, list[Code | None]]:
    """Return (T,) the place of each cell's code among the distinct ones; the last is the empty."""
    if isinstance(cells, pa.ChunkedArray):
        cells = cells.combine_chunks()
    if not pa.types.is_dictionary(cells.type):
        cells = pc.dictionary_encode(cells)
    codes = list(map(code_of, cells.dictionary.to_pylist()))
    at = np.asarray(pc.fill_null(cells.indices.cast(pa.int64()), len(codes)))
    places = np.array([len(codes) if c is None else i for i, c in enumerate(codes)] + [len(codes)])
    return places[at], [*codes, None]
