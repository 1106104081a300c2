"""The first bytes of a text in, its encoding out; a text of two encodings is refused.

Where nobody said the encoding, a text is UTF-8 or, as its first line beyond ASCII shows,
Windows-1252. Lines with control characters are damaged and bear no witness.
"""

from __future__ import annotations

import codecs

import numpy as np

from sensor_ad.errors import DataError
from sensor_ad.records import Bools, Ints

UTF8 = ("utf-8", "utf-8-sig")
ONE_BYTE = (
    "cp1252", "latin-1", "iso-8859-15", "cp1250", "cp1251", "cp1253", "cp1254", "cp850", "cp437",
)  # fmt: skip
BYTEWISE = (*UTF8, *ONE_BYTE)
"""Line ends and separators are the bytes that they are in ASCII."""
ENCODINGS = (*BYTEWISE, "utf-16", "utf-16-le", "utf-16-be", "shift_jis", "gb18030", "euc_kr")
"""What `data.encoding` may say."""

FALLBACK = "cp1252"
FALLBACK_NOTE = (
    "text that is not UTF-8: read as Windows-1252; set data.encoding if letters such as ° are wrong"
)

_CONTROL = np.zeros(256, dtype=bool)
_CONTROL[[*range(9), *range(11, 32), 127]] = True  # a tab or a line feed is no damage


def find_encoding(head: bytes) -> str:
    """Return the encoding of a text that begins with `head`.

    It is utf-8, utf-8-sig, utf-16 or cp1252: utf-16 when a byte-order mark says so, cp1252 when
    the first line that is not ASCII is no UTF-8.
    """
    if head.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    sound = _without_damage(head.replace(b"\r", b"\n"))
    line = _first_line_beyond_ascii(sound)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(line)  # it may be cut off
    except UnicodeDecodeError:
        return FALLBACK
    return "utf-8"


class EncodingCheck:
    """Turns the lines of one file into UTF-8, and remembers what they bear witness of."""

    def __init__(self, name: str, encoding: str, said: bool):
        self.name, self.encoding, self.said = name, encoding, said
        self.utf8_line = 1 if encoding == "utf-8-sig" else 0
        """The first line that is UTF-8 and not ASCII; 0: none so far."""
        self.fallback_line = 0
        """The first line that is not UTF-8."""

    def utf8(self, body: bytes, line: int) -> bytes:
        """Return whole lines, of which `line` is the first one's number, as UTF-8.

        Plain bytes pass untouched, for decoding costs more than parsing. UTF-8 that is damaged
        comes back as it is.
        """
        if self.encoding not in BYTEWISE or body.isascii():
            return body
        if not self.said:
            self._hear(body, line)
        if self.encoding in UTF8:
            return body
        return body.decode(self.encoding, "replace").encode()

    def _hear(self, body: bytes, line: int) -> None:
        if self.encoding in UTF8:
            if self.utf8_line and _is_utf8(body):
                return  # the usual case, a few times faster
            sound = _without_damage(body)
            bad = _first_not_utf8(sound)
            first = _line_at(sound, _first_beyond_ascii(sound), line)
            if bad is None:
                self.utf8_line = self.utf8_line or first
                return
            bad_line = _line_at(sound, bad, line)
            if self.utf8_line or first != bad_line:
                raise self._mixed(self.utf8_line or first, bad_line)
            self.encoding = FALLBACK
        if self.encoding == FALLBACK:
            self._hear_fallback(_without_damage(body), line)

    def _hear_fallback(self, sound: bytes, line: int) -> None:
        """Look for a line that is UTF-8 among lines of Windows-1252."""
        if not self.fallback_line and not sound.isascii():
            self.fallback_line = _line_at(sound, _first_beyond_ascii(sound), line)
        signs = np.frombuffer(sound, dtype=np.uint8)
        leads = np.flatnonzero((signs[:-1] >= 0xC2) & (signs[1:] >= 0x80) & (signs[1:] <= 0xBF))
        after = -1
        for place in map(int, leads):
            if place < after:
                continue
            start = sound.rfind(b"\n", 0, place) + 1
            after = sound.find(b"\n", place) % (len(sound) + 1)
            if _is_utf8(sound[start:after]):
                raise self._mixed(_line_at(sound, place, line), self.fallback_line)

    def _mixed(self, utf8_line: int, other_line: int) -> DataError:
        return DataError(
            f"{self.name}: line {utf8_line} is UTF-8, line {other_line} is not, expected one "
            'encoding: export the file again, or say which by data.encoding = "utf-8" or '
            f'"{FALLBACK}".'
        )


def is_control(signs: Ints) -> Bools:
    """Say which bytes are control characters, tabs and line feeds aside; a carriage return is one.

    Parameters
    ----------
    signs
        (bytes,) uint8.
    """
    flags: Bools = _CONTROL[signs]
    return flags


def _without_damage(text: bytes) -> bytes:
    """Return a text of the same length, with a mark for what is not ASCII in damaged lines."""
    signs = np.frombuffer(text, dtype=np.uint8)
    places = np.flatnonzero(is_control(signs))
    if len(places) == 0:
        return text
    ends = np.append(np.flatnonzero(signs == ord("\n")), len(signs))
    beyond = np.flatnonzero(signs >= 0x80)
    damaged = np.unique(np.searchsorted(ends, places))
    beyond = beyond[np.isin(np.searchsorted(ends, beyond), damaged)]
    mended = signs.copy()
    mended[beyond] = ord("?")
    return mended.tobytes()


def _is_utf8(text: bytes) -> bool:
    return _first_not_utf8(text) is None


def _first_not_utf8(text: bytes) -> int | None:
    try:
        text.decode()
    except UnicodeDecodeError as fault:
        return fault.start
    return None


def _first_beyond_ascii(text: bytes) -> int:
    signs = np.frombuffer(text, dtype=np.uint8)
    return int(np.argmax(signs >= 0x80)) if len(signs) else 0


def _first_line_beyond_ascii(text: bytes) -> bytes:
    if text.isascii():
        return b""
    place = _first_beyond_ascii(text)
    start, end = text.rfind(b"\n", 0, place) + 1, text.find(b"\n", place)
    return text[start:] if end < 0 else text[start : end + 1]


def _line_at(text: bytes, place: int, first_line: int) -> int:
    return first_line + text.count(b"\n", 0, place)
