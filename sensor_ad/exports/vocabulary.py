"""Texts that stand in the place of numbers in, what they mean out.

Gathered from manuals and public cleaning scripts of historians. A text that is not known here is
no number either: it is bad and listed, or a state of a digital tag.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches

from sensor_ad.errors import UsageError
from sensor_ad.records import Quality

_BAD = """
Bad|Bad Input|Bad Data|Bad Quality|Bad Output|Bad Total|Bad Lab Data|I/O Timeout|I/OTimeout
IO Timeout|Scan Timeout|Comm Fail|Communication Failure|Not Connect|Not Connected|Configure
Calc Failed|Calc Overflow|Calc Timeout|Calc Crash|Over Range|Under Range|Over UCL|Under LCL
Sample Bad|Equip Fail|Equipment Fail|Wrong Type|Invalid Data|Invalid Float|Invalid Number|Invalid
Error 12|Trace Bad|Math Error|Coercion Failed|Set to Bad|Out of Service|Doubtful|Substituted
Filtered|Questionable|Access Denied|Access Error|No Access|ActiveBatch
Connection to the server lost.|Resize to show all values|Calculation Failed|Divide By Zero
Point Not Found|Tag not found|Value_Fault|Value_OutOfService|Value_Overridden|Value_Unreliable
Value_CommFailure|Value_Invalid|COMM_FAILURE|Device Failure|Sensor Failure|Last Known
Last Known Value|Uncertain|Bad_Stale|Bad_NotConnected|GATED|Pegged|NEGINF|POSINF|inf|-inf|+inf
infinity|-infinity|+infinity|Overflow|Underflow|OVRNG|UNRNG|BadQuality|BAD VALUE
"""
_NO_DATA = """
No Data|NoData|NODATA|No Lab Data|No_Sample|No Sample|Scan Off|Intf Shut|Interface Shutdown
Shutdown|Snapshot Shutdown|Pt Created|Point Created|Arc Off-line|Archive Offline|ISU Saw No Data
DST Forward|DST Back|No events found.|No Result|MISSING|Missing|Not Available|Unavailable|N.A.|NaN
NA|N/A|#N/A|#NV|null|none|nil|No Value|No Good Data|No Previous|No Next|Inp OutRange|NoMatch
No Match|---|--|-|?|*|***|.|keine Daten|kein Wert|undefined|nan(ind)|-nan|-nan(ind)|+nan
"""
_EXCEL = """
#VALUE!|#VALOR!|#WERT!|#VALEUR!|#VALORE!|#WAARDE!|#NAME?|#NOM?|#NOME?|#REF!|#BEZUG!|#RIF!|#VERW!
#DIV/0!|#NULL!|#NUM!|#ZAHL!|#NOMBRE!|#NUL!|#GETTING_DATA|#SPILL!|#CALC!|#FIELD!|#BLOCKED!
#CONNECT!|#BUSY!|#UNKNOWN!|#ARG!|#ERROR!|#N/D|#N/DISP|######|#####|####|###
"""
WORDS: dict[str, Quality] = {
    " ".join(word.split()).casefold(): quality
    for block, quality in (
        (_BAD, Quality.BAD),
        (_EXCEL, Quality.BAD),
        (_NO_DATA, Quality.NO_DATA),
    )
    for word in block.replace("\n", "|").split("|")
    if word.strip()
}
"""Text, folded -> quality: SYSTEM states of PI, WinCC, Citect, AVEVA, stPro, Desigo, Excel."""

PATTERNS: tuple[tuple[re.Pattern[str], Quality], ...] = tuple(
    (re.compile(pattern), quality)
    for pattern, quality in (
        (r"\[-?\d{4,6}\] no (good )?data.*", Quality.NO_DATA),  # PI DataLink
        (r"\[-?\d{4,6}\].*", Quality.BAD),
        (r"invalid function argument.*", Quality.BAD),
        (r"no data\b.*", Quality.NO_DATA),
        (r"[+-]?\d\.#(inf|ind|qnan|snan|nan|j|io|r)\d*", Quality.BAD),  # Microsoft's C runtime
        (r"value_\w+([,;] ?value_\w+)*", Quality.BAD),  # Desigo CC joins states
        (r"\{.*['\"]issystem['\"]: ?true.*\}", Quality.BAD),  # PI Web API
        (r"(bad|uncertain)[ _:\-].*", Quality.BAD),
        (r"(?s).*[\0-\x1f\x7f].*", Quality.BAD),  # bytes that were never written
    )
)
"""Patterns of folded texts -> quality, tried in order where no word fits."""


def folded(text: str) -> str:
    """Return a text as texts are compared: case and the number of blanks do not matter."""
    return " ".join(text.split()).casefold()


def meaning(text: str, extra: Mapping[str, Quality] | None = None) -> Quality | None:
    """Say what a text in the place of a number means; None: it is not known.

    Parameters
    ----------
    text
        What stands in a cell; it is no number.
    extra
        Folded text -> quality, beside what is known here; it goes first.
    """
    word = folded(text)
    if extra and word in extra:
        return extra[word]
    if word in WORDS:
        return WORDS[word]
    return next((quality for pattern, quality in PATTERNS if pattern.fullmatch(word)), None)


def extra_words(texts: Mapping[str, str]) -> dict[str, Quality]:
    """Check the texts that a config adds.

    Parameters
    ----------
    texts
        Text of a cell -> "bad" or "no data".

    Raises
    ------
    UsageError
        A text is given another meaning.
    """
    words = {"bad": Quality.BAD, "no data": Quality.NO_DATA}
    found = {}
    for text, said in texts.items():
        word = folded(said).replace("_", " ")
        if word not in words:
            near = get_close_matches(word, words, 1, 0.4)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise UsageError(
                f"data.texts says that {text!r} is {said!r}, 'bad' or 'no data' was expected of a "
                f"text that is no number; correct it{hint}"
            )
        found[folded(text)] = words[word]
    return found
