"""Bytes of an export in, the same bytes hurt out: as disks, programs and people hurt files."""

from __future__ import annotations

import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Callable

from export_seeds import Seed, seeds
from numpy.random import Generator

Mutation = Callable[[bytes, Generator], bytes]

_NUMBERS = """
1e400|-1e400|1e-400|4e492493924924|inf|-inf|NaN|nan(0x1)|1.#INF|-1.#IND|1,5|1.5|1.234|1,234|1.234,5
1,234.5|1'234.5|0x1F|1_000|1e|1e+|+|-|.|,|00012|-0|+5|1e5|1E5|1d5|5-|(5)|5%|5°C|9007199254740993
99999999999999999999999999|0.1000000000000000055511151231257827|½|٣|１２|true|TRUE|Bad|#REF!|[-11059]
Off|=1+1|'x|1e300|1e301|1\u00a0234|1\u202f234,5|−5|\ufeff1|1 234|12 345,6
"""
NUMBERS = _NUMBERS.strip().replace("\n", "|").split("|")
_TIMES = """
2026-02-30 00:00:00|0000-00-00 00:00:00|9999-12-31 23:59:59|1899-12-30 00:00|24:00:00
2026-01-13 24:00:00|2026-01-13 23:59:60|2026-01-13 25:00|2026-13-01|13.01.2026|01/02/26
2026-01-13T22:58:00Z|2026-01-13 22:58:00+25:00|2026-01-13 22:58:00.1234567890123|0|-1|1e10
1768345080|1768345080000|46035.95|99999999999999999999|13-Jan-26|13 janv. 2026|now|NaT
2026-01-13 10:58 PM|2026-01-13 22:58 PM|2025-03-30 02:30:00|2025-10-26 02:30:00
2262-04-12 00:00:00|1677-09-20 00:00:00|292277-01-01 00:00:00|-2026-01-13 00:00:00
2026-01-13 22:58:00,5|２０２６-01-13|2026-01-13\u00a022:58:00|2099-01-01 00:00:00
"""
TIMES = _TIMES.strip().replace("\n", "|").split("|")
SHEET = ["s", "n", "b", "e", "d", "str", "inlineStr", "A1", "D4", "XFE9", "A0", "-1", "99", ""]
"""Types, places and styles of a workbook's cells."""
BROKEN = (
    b"\xff",
    b"\xc3",
    b"\xe2\x82",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\x80",
    b"\xfc",
    b"\x81",
    b"\x00",
    b"\x00\x00",
    b"\xff\xfe",
    b"\xfe\xff",
    b"\xef\xbb\xbf",
    b"\x1a",
    b"\x1b[31m",
    b"\x85",
    b"\xe2\x80\xa8",
    b"\x0b",
    b"\x0c",
    b"\xc2\xa0",
)
SIGNS = b",;\t|\"'\r\n .:-/=#[]()\0"
MOST_LINES = 400
MOST_REPEATED = 100
"""Bytes of a cell that is made long: it may be long already."""


def mutate(data: bytes, seed: Seed, random: Generator) -> bytes:
    """Hurt a file in one to four places."""
    inner = random.random() < 0.7
    if seed.packed and inner:
        return gzip.compress(_some(gzip.decompress(data), random), mtime=0)
    if seed.zipped and inner:
        return _in_archive(data, random)
    if seed.encoding == "utf-16" and inner:
        text = data.decode("utf-16").encode()
        return _some(text, random).decode("utf-8", "replace").encode("utf-16")
    if seed.binary or (seed.packed and not inner):
        return _some(data, random, BYTES)
    return _some(data, random)


def _in_archive(data: bytes, random: Generator) -> bytes:
    """Hurt a part of an archive, mostly the largest: a workbook's sheet."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    names = [name for name in parts if "sheet1" in name or "sharedStrings" in name]
    chosen = names if random.random() < 0.7 else [*parts]
    name = chosen[int(random.integers(len(chosen)))]
    parts[name] = _some(parts[name], random, CELLS if random.random() < 0.6 else ())
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for part, content in parts.items():
            archive.writestr(zipfile.ZipInfo(part), content, zipfile.ZIP_DEFLATED)
    return file.getvalue()


def _some(data: bytes, random: Generator, kinds: tuple[Mutation, ...] = ()) -> bytes:
    for _ in range(int(random.choice([1, 1, 1, 2, 3, 4]))):
        chosen = kinds or ALL
        data = chosen[int(random.integers(len(chosen)))](data, random)
    return data


def _place(data: bytes, random: Generator) -> int:
    return int(random.integers(len(data) + 1))


def flip_bit(data: bytes, random: Generator) -> bytes:
    if not data:
        return data
    k = int(random.integers(len(data)))
    return data[:k] + bytes([data[k] ^ (1 << int(random.integers(8)))]) + data[k + 1 :]


def flip_bytes(data: bytes, random: Generator) -> bytes:
    changed = bytearray(data)
    for _ in range(int(random.integers(1, 9)) if data else 0):
        changed[int(random.integers(len(changed)))] = int(random.integers(256))
    return bytes(changed)


def insert_bytes(data: bytes, random: Generator) -> bytes:
    k = _place(data, random)
    return data[:k] + random.bytes(int(random.integers(1, 20))) + data[k:]


def delete_bytes(data: bytes, random: Generator) -> bytes:
    k = _place(data, random)
    return data[:k] + data[k + int(random.choice([1, 1, 2, 5, 20, 100])) :]


def truncate(data: bytes, random: Generator) -> bytes:
    return data[: _place(data, random)]


def behead(data: bytes, random: Generator) -> bytes:
    return data[int(random.integers(min(len(data), 80) + 1)) :]


def repeat_bytes(data: bytes, random: Generator) -> bytes:
    k, n = _place(data, random), int(random.integers(1, 60))
    return data[: k + n] + data[k : k + n] * int(random.integers(1, 6)) + data[k + n :]


def insert_sign(data: bytes, random: Generator) -> bytes:
    k = _place(data, random)
    return data[:k] + bytes([SIGNS[int(random.integers(len(SIGNS)))]]) + data[k:]


def break_encoding(data: bytes, random: Generator) -> bytes:
    k = _place(data, random)
    return data[:k] + BROKEN[int(random.integers(len(BROKEN)))] + data[k:]


def append_other(data: bytes, random: Generator) -> bytes:
    other = seeds()[int(random.integers(len(seeds())))]
    more = next(iter(other.files.values()))
    return data + more if random.random() < 0.5 else data[: _place(data, random)] + more


def _lines(change: Callable[[list[bytes], Generator], None]) -> Mutation:
    def mutation(data: bytes, random: Generator) -> bytes:
        lines = data.splitlines(keepends=True)[:MOST_LINES]
        if lines:
            change(lines, random)
        return b"".join(lines)

    return mutation


def _swap(lines: list[bytes], random: Generator) -> None:
    a, b = (int(k) for k in random.integers(len(lines), size=2))
    lines[a], lines[b] = lines[b], lines[a]


def _duplicate(lines: list[bytes], random: Generator) -> None:
    a, b = (int(k) for k in random.integers(len(lines), size=2))
    lines[b:b] = [lines[a]] * int(random.choice([1, 1, 2, 10]))


def _drop(lines: list[bytes], random: Generator) -> None:
    k = int(random.integers(len(lines)))
    del lines[k : k + int(random.choice([1, 1, 2, 8]))]


def _blank(lines: list[bytes], random: Generator) -> None:
    lines.insert(int(random.integers(len(lines))), bytes(random.choice([b"\n", b"  \n", b",,,\n"])))


def _reverse(lines: list[bytes], random: Generator) -> None:
    lines[1:] = lines[:0:-1]


def _shuffle(lines: list[bytes], random: Generator) -> None:
    rest = lines[1:]
    random.shuffle(rest)  # type: ignore[arg-type]
    lines[1:] = rest


def _many(lines: list[bytes], random: Generator) -> None:
    lines[1:] = lines[1:] * 6


def _fields(change: Callable[[list[bytes], int, Generator], None]) -> Mutation:
    def mutation(data: bytes, random: Generator) -> bytes:
        lines = data.split(b"\n")[:MOST_LINES]
        k = int(random.integers(len(lines)))
        sign = max((b",", b";", b"\t", b"|"), key=lines[k].count)
        cells = lines[k].split(sign)
        change(cells, int(random.integers(len(cells))), random)
        lines[k] = sign.join(cells)
        return b"\n".join(lines)

    return mutation


def _text(random: Generator, texts: list[str]) -> bytes:
    return texts[int(random.integers(len(texts)))].encode()


def _no_field(cells: list[bytes], k: int, random: Generator) -> None:
    del cells[k]


def _two_fields(cells: list[bytes], k: int, random: Generator) -> None:
    cells.insert(k, cells[k])


def _no_cell(cells: list[bytes], k: int, random: Generator) -> None:
    cells[k] = b""


def _number(cells: list[bytes], k: int, random: Generator) -> None:
    cells[k] = _text(random, NUMBERS)


def _time(cells: list[bytes], k: int, random: Generator) -> None:
    cells[k if random.random() < 0.3 else 0] = _text(random, TIMES)


def _quote(cells: list[bytes], k: int, random: Generator) -> None:
    cells[k] = [b'"' + cells[k] + b'"', b'"' + cells[k], b'"""' + cells[k] + b'"', b'"a\nb"'][
        int(random.integers(4))
    ]


def _long_cell(cells: list[bytes], k: int, random: Generator) -> None:
    cells[k] = cells[k][:MOST_REPEATED] * int(random.choice([10, 1_000, 20_000]))


def other_number(data: bytes, random: Generator) -> bytes:
    """Put a hostile number in the place of one."""
    found = list(re.finditer(rb"\d{1,9}[.,]\d{1,9}", data))
    if not found:
        return data
    match = found[int(random.integers(len(found)))]
    return data[: match.start()] + _text(random, NUMBERS) + data[match.end() :]


def other_cell(data: bytes, random: Generator) -> bytes:
    """Put a hostile number, time or type into the place of what a sheet's cell holds."""
    found = list(re.finditer(rb"(?<=<v>)[^<]*|(?<=<t>)[^<]*|(?<= [rst]=\")[^\"]*", data))
    if not found:
        return data
    match = found[int(random.integers(len(found)))]
    text = _text(random, [NUMBERS, TIMES, SHEET][int(random.integers(3))])
    return data[: match.start()] + text + data[match.end() :]


def other_signs(data: bytes, random: Generator) -> bytes:
    """Write all of one sign as another."""
    one, other = (bytes([SIGNS[int(k)]]) for k in random.integers(len(SIGNS), size=2))
    return data.replace(one, other)


def other_column(data: bytes, random: Generator) -> bytes:
    """Replace a whole column by hostile numbers or times, or by nothing."""
    lines = data.split(b"\n")[:MOST_LINES]
    sign = max((b",", b";", b"\t", b"|"), key=data.count)
    k = int(random.integers(lines[0].count(sign) + 1))
    texts = [NUMBERS, TIMES, ["", "x"], [_text(random, NUMBERS).decode()], ["On", "Off"]]
    chosen = texts[int(random.integers(len(texts)))]
    for n, line in enumerate(lines[1:], 1):
        cells = line.split(sign)
        if k < len(cells):
            cells[k] = _text(random, chosen)
            lines[n] = sign.join(cells)
    return b"\n".join(lines)


def other_ends(data: bytes, random: Generator) -> bytes:
    return data.replace(
        b"\n", [b"\r\n", b"\r", b"\n\n", b"\r\r\n", b"\n\r"][int(random.integers(5))]
    )


def recode(data: bytes, random: Generator) -> bytes:
    coding = ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig", "cp1252", "utf-32", "cp037"][
        int(random.integers(7))
    ]
    return data.decode("utf-8", "replace").encode(coding, "replace")


def pack(data: bytes, random: Generator) -> bytes:
    return gzip.compress(data, mtime=0) if random.random() < 0.7 else zlib.compress(data)


BYTES: tuple[Mutation, ...] = (
    flip_bit,
    flip_bit,
    flip_bytes,
    insert_bytes,
    delete_bytes,
    truncate,
    behead,
    repeat_bytes,
)
CELLS: tuple[Mutation, ...] = (other_cell, other_cell, other_cell, repeat_bytes, delete_bytes)
"""Ways to hurt a workbook's sheet."""
ALL: tuple[Mutation, ...] = (
    *BYTES,
    insert_sign,
    insert_sign,
    break_encoding,
    append_other,
    *map(_lines, (_swap, _duplicate, _drop, _blank, _reverse, _shuffle, _many)),
    *map(
        _fields,
        (_no_field, _two_fields, _no_cell, _number, _number, _time, _time, _quote, _long_cell),
    ),
    other_number,
    other_number,
    other_signs,
    other_column,
    other_column,
    other_ends,
    recode,
    pack,
)
"""Ways to hurt a file; those that hurt little come more than once."""
