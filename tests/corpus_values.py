"""Bad inputs 64-72: values and names."""

from corpus import TAGS, ZONE, Asked, Kept, Refused, at, one, table, wide
from corpus_layouts import lines


def column(cells, name="TI101.PV"):
    """Write a table of one tag."""
    return lines(f"Time,{name}", *(f"{at(k)},{cell}" for k, cell in enumerate(cells)))


def kept(values, tags=TAGS[:1], **more):
    return Kept([(at(k), value) for k, value in enumerate(values)], tags, **more)


def not_numbers(count, first, line, tag="TI101.PV"):
    cells = "1 cell is not a number" if count == 1 else f"{count} cells are not numbers"
    return f"tag {tag}: {cells} (first: {first!r} in plant.csv, line {line}): treated as missing"


TOKENS = [
    "Bad",
    "I/O Timeout",
    "Scan Off",
    "[-11059] No Good Data For Calculation",
    "[-11057] Not Enough Values For Calculation",
    "No events found.",
    "Pt Created",
    "Intf Shut",
    "Arc Off-line",
    "#VALUE!",
    "#NV",
    "1.#INF",
    "Value_Fault",
]
TOKEN_QUALITY = "GBBNNBNNNNBNBBG"
HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "=cmd|' /C calc'!A0",
    "../../etc/passwd",
    "CON",
    "\u202etag",
    "pump \U0001f525",
    "a%00b",
    "'); DROP TABLE tags;--",
    "[default]Folder/Tag",
    "-1+1",
    "@SUM(1)",
    "HM1_MBDATA_stat….statusHMI.Volume",
)

CASES = [
    one(
        "64 error texts of historians",
        column([20.5, *TOKENS, 21.5]),
        kept(
            [20.5, *[None] * len(TOKENS), 21.5],
            quality={"TI101.PV": TOKEN_QUALITY},
            notes=(ZONE, not_numbers(13, "Bad", 3)),
        ),
    ),
    one(
        "65 a few texts that nobody knows",
        column([20.5, "gone fishing", 21.5, "gone fishing", "??", 22.5]),
        kept(
            [20.5, None, 21.5, None, None, 22.5],
            quality={"TI101.PV": "GBGBBG"},
            notes=(
                ZONE,
                not_numbers(3, "gone fishing", 3),
                "tag TI101.PV: unknown texts 'gone fishing' (2), '??' (1): say by data.texts what "
                "is meant",
            ),
        ),
    ),
    one(
        "65 many texts that nobody knows",
        column([20.5, *"uvwxyz", 21.5]),
        Asked(
            "plant.csv: tag 'TI101.PV' holds more than 5 texts that are neither numbers nor known "
            "error texts ('u', 'v', 'w', 'x', 'y' …), expected at most so many: if it is a digital "
            "tag, say its states by states under [tags]; if they are errors, by data.texts; or "
            'leave the tag out (role = "ignore").',
            {"texts": dict.fromkeys("uvwxyz", "bad")},
            kept(
                [20.5, *[None] * 6, 21.5],
                quality={"TI101.PV": "GBBBBBBG"},
                notes=(ZONE, not_numbers(6, "u", 3)),
            ),
        ),
    ),
    one(
        "65 a digital tag",
        column(["Open", "Closed", "Open", "Open", "Closed", "I/O Timeout"], "XV1"),
        kept(
            [1, 0, 1, 1, 0, None],
            ("XV1",),
            states={"XV1": ("Closed", "Open")},
            quality={"XV1": "GGGGGB"},
            notes=(
                "tag XV1: digital, 'Closed' = 0, 'Open' = 1",
                ZONE,
                not_numbers(1, "I/O Timeout", 7, "XV1"),
            ),
            plain=None,
        ),
    ),
    one(
        "66 infinite and absurd numbers",
        column([20.5, "1.#INF", "-1.#IND", "1e400", "4e492493924924", "inf", "-Infinity", 21.5]),
        kept(
            [20.5, *[None] * 6, 21.5],
            quality={"TI101.PV": "GBBBBBBG"},
            notes=(
                ZONE,
                not_numbers(2, "1.#INF", 3),
                "tag TI101.PV: 4 cells are beyond ±1e300 (first: inf in plant.csv, line 5): "
                "treated as missing",
            ),
            plain=None,
        ),
    ),
    one(
        "67 marks in the place of values",
        column([20.5, -9999, 0, 0, 0, 32767, 21.5]),
        kept([20.5, -9999, 0, 0, 0, 32767, 21.5]),
    ),
    one(
        "68 a number of 400 digits",
        column([20.5, "9" * 400, 21.5, "9" * 30]),
        kept(
            [20.5, None, 21.5, 1e30],
            quality={"TI101.PV": "GBGG"},
            notes=(
                ZONE,
                "tag TI101.PV: 1 cell is beyond ±1e300 (first: inf in plant.csv, line 3): treated "
                "as missing",
            ),
            plain=None,
        ),
    ),
    one("69 a tag that never changes", column([20.5] * 8), kept([20.5] * 8)),
    one(
        "70 a tag without a value",
        wide([(t, a, None) for t, a, _ in table()]),
        Kept([(t, a, None) for t, a, _ in table()], quality={"PI102.PV": "NNNNNN"}),
    ),
    one(
        "71 a step from one unit to another",
        column([20.5, 21.0, 69.8, 70.7]),
        kept([20.5, 21.0, 69.8, 70.7]),
    ),
    *(
        one(
            f"72 a tag called {name.encode('ascii', 'backslashreplace').decode()}",
            column([20.5, 21.5], f'"{name}"'),
            kept([20.5, 21.5], (name,), units={}),
        )
        for name in HOSTILE
    ),
    one(
        "72 a tag with a name of 10,000 letters",
        column([20.5, 21.5], "x" * 10_000),
        kept([20.5, 21.5], ("x" * 10_000,)),
    ),
    one(
        "72 a line break in a name",
        column([20.5, 21.5], '"TI101\nPV"'),
        Refused(
            "plant.csv, line 1: a quote is opened and not closed in the header, expected the "
            "header in one line: export without line breaks in names."
        ),
    ),
]
