"""One quality code in, as a historian writes it; its `Quality` out, by the rules of each system.

A system is a function from a code to a quality, or to None for a code that the system has not.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sensor_ad.records import Quality

GOOD, UNCERTAIN, SUBSTITUTED = Quality.GOOD, Quality.UNCERTAIN, Quality.SUBSTITUTED
BAD, NO_DATA = Quality.BAD, Quality.NO_DATA

NUMBER = re.compile(r"[+-]?\d{1,18}(\.\d{0,18})?")
HEX = re.compile(r"0x([0-9a-f]{1,8})|([0-9a-f]{8})", re.IGNORECASE)
NAME = re.compile(r"(?i:good|bad|uncertain|error)(?:_\w+)?|(?:Good|Bad|Uncertain|Error)[A-Z]\w*")
TRUE, FALSE = ("true", "1"), ("false", "0")

DA_STATUS = 0xFC
"""Of an OPC DA byte QQSSSSLL: quality and substatus, without the two limit bits."""
DA_OVERRIDE = 0xD8
DA_DEFINED = {0, 4, 8, 12, 16, 20, 24, 28, 32, 64, 68, 80, 84, 88, 192, DA_OVERRIDE}
"""Qualities with substatus that the standard names; others are judged by the quality alone."""
UA_RESERVED = 0x3000_3000
"""Bits 28, 29, 12 and 13 of a StatusCode are zero (OPC 10000-4, table of StatusCode bits)."""
UA_SPECIAL = {0x0096: SUBSTITUTED, 0x4091: SUBSTITUTED, 0x00A5: NO_DATA, 0x809B: NO_DATA}
"""Severity and subcode of GoodLocalOverride, UncertainSubstituteValue, GoodNoData, BadNoData."""
SPECIAL_NAMES = {
    "goodlocaloverride": SUBSTITUTED,
    "uncertainsubstitutevalue": SUBSTITUTED,
    "goodnodata": NO_DATA,
    "badnodata": NO_DATA,
}
SEVERITIES: tuple[Quality | None, ...] = (GOOD, UNCERTAIN, BAD, None)
"""By the top two bits."""
FIRST_WORDS = {"good": GOOD, "uncertain": UNCERTAIN, "bad": BAD, "error": BAD}


@dataclass(frozen=True)
class Code:
    """One distinct code."""

    text: str
    """As it stands in the cell, without blanks around it."""
    key: str
    """In lower case, without blanks, `_` and `-`."""
    number: float | None
    """None: it is no decimal number."""

    @property
    def whole(self) -> int | None:
        """The number when it has no fraction."""
        return int(self.number) if self.number is not None and self.number % 1 == 0 else None


@dataclass(frozen=True)
class System:
    """How one system writes qualities."""

    read: Callable[[Code], Quality | None]
    """The quality of a code; None: the system has no such code."""
    empty: Quality = UNCERTAIN
    """Of an empty cell. A system that writes a code beside every value left it out, so nobody
    vouches for the value; one that writes flags writes none for a good value."""
    usual: Callable[[Code], bool] = lambda code: True
    """Whether a code that is read also speaks for the system, where the header does not."""


def code_of(cell: Any) -> Code | None:
    """Return the code of a cell, None of an empty one."""
    if isinstance(cell, float) and cell % 1 == 0:
        cell = int(cell)
    text = "" if cell is None or cell != cell else str(cell).strip()
    if not text:
        return None
    number = float(text) if NUMBER.fullmatch(text) else None
    key = re.sub(r"[\s_-]", "", text.lower())
    if number is not None and number % 1 == 0:
        key = str(int(number))
    return Code(text, key, number)


def _read_name(code: Code) -> Quality | None:
    first = next(word for word in FIRST_WORDS if code.key.startswith(word))
    return SPECIAL_NAMES.get(code.key, FIRST_WORDS[first])


def _read_status(status: int) -> Quality | None:
    """Read 32 bits; None where bits are set that the standard keeps at zero."""
    kind, info = status >> 10 & 3, status & 0x3FF
    if status & UA_RESERVED or kind > 1 or (kind == 0 and info):
        return None
    return UA_SPECIAL.get(status >> 16, SEVERITIES[status >> 30])


def read_opc_da(code: Code) -> Quality | None:
    """Read the low byte QQSSSSLL; the high byte is the vendor's, the limit bits change nothing.

    Quality 11 is good (substatus 0110: overridden by hand), 01 uncertain, 00 bad, 10 is not used.
    Source: OPC Data Access 3.0, 6.8; mapped to StatusCodes in OPC 10000-8, A.3.2.3 and A.4.3.3.
    """
    if code.whole is None or not -0x8000 <= code.whole <= 0xFFFF:
        return None
    if code.whole & DA_STATUS == DA_OVERRIDE:
        return SUBSTITUTED
    return (BAD, UNCERTAIN, None, GOOD)[code.whole >> 6 & 3]


def read_opc_ua(code: Code) -> Quality | None:
    """Read a StatusCode: 32 bits, decimal (also negative) or hexadecimal, or its name.

    The top two bits are the severity. Names are read by their first word, with and without `_`.
    Source: OPC 10000-4, 7.39.1; codes of data values: OPC 10000-8, 6.3, and OPC 10000-11, 6.3.
    """
    if NAME.fullmatch(code.text):
        return None if code.key.startswith("error") else _read_name(code)
    hexed = HEX.fullmatch(code.text)
    readings = {int(hexed[1] or hexed[2], 16)} if hexed else set()
    if code.whole is not None and -0x8000_0000 <= code.whole < 0x1_0000_0000:
        readings.add(code.whole & 0xFFFF_FFFF)
    # Eight digits may be either; mostly one of the two sets bits that must be zero.
    qualities = {q for q in map(_read_status, readings) if q is not None}
    return qualities.pop() if len(qualities) == 1 else None


def read_ip21(code: Code) -> Quality | None:
    """Read a level: 0 good, 1 suspect, 2 bad; 4, 5 and 6 are these with the history modified."""
    if code.whole is not None and code.whole in (0, 1, 2, 4, 5, 6):
        return (GOOD, UNCERTAIN, BAD)[code.whole % 4]
    return {"good": GOOD, "suspect": UNCERTAIN, "bad": BAD}.get(code.key)


def read_pi(code: Code) -> Quality | None:
    """Read flags, several of them parted by signs; a lone truth value is that of IsGood."""
    flags = {"isgood": GOOD, "good": GOOD, "annotated": GOOD, "questionable": UNCERTAIN}
    flags |= {"substituted": SUBSTITUTED, "bad": BAD}
    flags |= dict.fromkeys(TRUE, GOOD) | dict.fromkeys(FALSE, BAD)
    keys = [code.key] if code.number is not None else re.split(r"[,;|+/\s]+", code.text.lower())
    found = [flags[key] for key in keys if key in flags]
    return max(found) if len(found) == len(keys) else None


def read_flag(quality: Quality) -> Callable[[Code], Quality | None]:
    """Return what reads a column of truth values, with the quality that true stands for."""
    meant = dict.fromkeys(TRUE, quality) | dict.fromkeys(FALSE, GOOD)
    return lambda code: meant.get(code.key)


def read_aveva(code: Code) -> Quality | None:
    """Read the Historian's `Quality`: 0 good, 1 bad, 16 doubtful, 133 initial value (good).

    Source: AVEVA Application Server, "Additional quality data saved to the historian".
    """
    return (
        None if code.whole is None else {0: GOOD, 1: BAD, 16: UNCERTAIN, 133: GOOD}.get(code.whole)
    )


def read_aveva_detail(code: Code) -> Quality | None:
    """Read the Historian's `QualityDetail`, whose 0 is bad while `Quality` 0 is good.

    192 is good, and so are 44, 150, 151, 248 and 252 (first values), 16 (out of time sync), 202
    (latest version) and 212 (counter rolled over); 1 is no data, 65536 no value in a cycle; 249
    is no number, the others are faults. 256 more says that the time was overwritten, and changes
    nothing. Codes whose meaning is not published (512 more, 1024 more) are unknown.
    Source: Wonderware Tech Note "Quality Code Descriptions"; AVEVA Historian, "Quality rule".
    """
    if code.whole == 65536:
        return NO_DATA
    if code.whole is None or not 0 <= code.whole < 512:
        return None
    return AVEVA_DETAILS.get(code.whole % 256)


AVEVA_DETAILS = (
    dict.fromkeys((16, 44, 150, 151, 192, 202, 212, 248, 252), GOOD)
    | dict.fromkeys((0, 2, 10, 17, 20, 24, 33, 64, 249), BAD)
    | {1: NO_DATA}
)


def read_wincc(code: Code) -> Quality | None:
    """Read the column `Validity` of a tag log export: 1 is good, every other number bad."""
    if code.whole is None:
        return None
    return GOOD if code.whole == 1 else BAD


def read_ignition(code: Code) -> Quality | None:
    """Read a name by its first word, or a code.

    A code of version 8 carries the severity in its top two bits (3: error), and the table of
    bare codes is OPC's, as version 7 and the history tables write it. So 0 is bad; that version 8
    calls it `Good_Unspecified` would make numbers of the bad values of version 7.
    Source: "Ignition 8 Quality Codes" at docs.chariot.io; Ignition manual, `forceQuality`.
    """
    if NAME.fullmatch(code.text):
        return _read_name(code)
    if code.whole is None or not -0x8000_0000 <= code.whole < 0x1_0000_0000:
        return None
    severity, subcode = code.whole >> 30 & 3, code.whole & 0xFFFF
    if severity:
        known = 256 <= subcode < 1024 and code.whole & 0x3FFF_0000 == 0
        return (UNCERTAIN if severity == 1 else BAD) if known else None
    bare = dict.fromkeys((192, 200, 201, 202, 203), GOOD)
    return (bare | {0: BAD, 64: UNCERTAIN, 410: BAD}).get(code.whole)


def read_ge(code: Code) -> Quality | None:
    """Read `Good`, `Bad`, `Unknown` (nobody vouches for it: bad), or how good in percent.

    100 is good, 0 bad, anything between is uncertain: a part of what was averaged was bad.
    Source: Proficy Historian 9.0, "Supported Quality Values" (good, bad, uncertain, NA as bad).
    """
    share = code.number
    if share is None and NUMBER.fullmatch(code.text[:-1]) and code.text[-1] == "%":
        share = float(code.text[:-1])
    if share is not None and 0 <= share <= 100:
        return BAD if share == 0 else GOOD if share == 100 else UNCERTAIN
    return {"good": GOOD, "uncertain": UNCERTAIN, "bad": BAD, "unknown": BAD}.get(code.key)


def _usual_da(code: Code) -> bool:
    whole = code.whole
    return whole is not None and 0 <= whole < 256 and whole & DA_STATUS in DA_DEFINED


def _no_number(code: Code) -> bool:
    return code.number is None


SYSTEMS: dict[str, System] = {
    "opc da": System(read_opc_da, usual=_usual_da),
    "opc ua": System(read_opc_ua),
    "ip.21": System(read_ip21),
    # Whoever writes Good for good writes no flags: these words alone do not speak for PI.
    "pi": System(read_pi, GOOD, lambda code: _no_number(code) and code.key not in ("good", "bad")),
    "pi questionable": System(read_flag(UNCERTAIN), GOOD, _no_number),
    "pi substituted": System(read_flag(SUBSTITUTED), GOOD, _no_number),
    "pi annotated": System(read_flag(GOOD), GOOD, _no_number),
    "aveva": System(read_aveva),
    "aveva detail": System(read_aveva_detail),
    "wincc": System(read_wincc, usual=lambda code: code.whole in (0, 1)),
    "ignition": System(read_ignition),
    "ge": System(read_ge, usual=lambda code: code.number in (None, 0, 100)),
}
"""Name in `data.quality_codes` -> how the system writes qualities."""
