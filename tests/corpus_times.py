"""Bad inputs 51-63: times."""

from datetime import UTC, datetime

from corpus import (
    TAGS,
    VALUES,
    ZONE,
    Asked,
    Case,
    Kept,
    Refused,
    at,
    one,
    table,
    wide,
)
from corpus_layouts import lines

DAYS = [(f"2025-03-0{k + 1} 00:00:00", *row) for k, row in enumerate(VALUES)]
BERLIN = "times carry no zone: read as Europe/Berlin, as data.timezone says"


def refused(name, content, sentence, **more):
    return one(name, content, Refused(f"plant.csv{sentence}"), **more)


def stamped(stamps, values=None, name="Time"):
    """Write a table of one tag with the times given."""
    values = values or [20.5 + k for k in range(len(stamps))]
    return lines(f"{name},TI101.PV", *(f"{t},{v}" for t, v in zip(stamps, values, strict=True)))


def kept(rows, notes=(ZONE,), **more):
    return Kept(rows, TAGS[:1], notes, **more)


def epoch(time):
    return datetime.fromisoformat(time).replace(tzinfo=UTC).timestamp()


FOLD = [f"26.10.2025 {h}:{m:02d}:00" for h in ("01", "02", "02", "03") for m in (0, 20, 40)]
FOLD_UTC = [
    *(f"2025-10-25 {23}:{m:02d}:00" for m in (0, 20, 40)),
    *(f"2025-10-26 0{h}:{m:02d}:00" for h in (0, 1, 2) for m in (0, 20, 40)),
]
LONG_ROWS = [(at(k), 20 + k / 8) for k in range(1_100)]
MANY = [(at(k), 20 + k / 8) for k in range(200)]

CASES = [
    one(
        "51 day and month that cannot be told apart",
        stamped([f"0{d}/03/2025 06:00:00" for d in (1, 4, 6, 9)]),
        Asked(
            "plant.csv: column 'Time': '01/03/2025 06:00:00' is 1 March 2025 as dd/mm/yyyy, "
            "3 January 2025 as mm/dd/yyyy, and nothing else in the column tells, expected times "
            "that can be read in one way: say which by data.time_format = "
            '"dd/mm/yyyy" or "mm/dd/yyyy".',
            {"time_format": "dd/mm/yyyy"},
            kept([(f"2025-03-0{d} 06:00:00", 20.5 + k) for k, d in enumerate((1, 4, 6, 9))]),
        ),
    ),
    one(
        "51 day and month, told by one day above 12",
        stamped([f"{d:02d}/03/2025 06:00:00" for d in (11, 12, 13)]),
        kept([(f"2025-03-{d} 06:00:00", 20.5 + k) for k, d in enumerate((11, 12, 13))]),
    ),
    refused(
        "52 two formats in one column",
        stamped(["2025-03-05 06:00:00", "05.03.2025 06:01:00"] * 5),
        ": column 'Time': 5 of 10 times are written otherwise than most: '2025-03-05 06:00:00' as "
        "ISO 8601, '05.03.2025 06:01:00' as dd.mm.yyyy, expected one format: export the column in "
        "one format.",
    ),
    one(
        "53 no zone",
        wide(),
        Kept(
            [(t.replace(" 06:", " 05:"), a, b) for t, a, b in table()],
            notes=(BERLIN,),
        ),
        settings={"timezone": "Europe/Berlin"},
    ),
    one(
        "54 the hour that comes twice in autumn, in order",
        stamped(FOLD),
        kept(
            [(t, 20.5 + k) for k, t in enumerate(FOLD_UTC)],
            (BERLIN,),
        ),
        settings={"timezone": "Europe/Berlin"},
    ),
    refused(
        "54 the hour that comes twice in autumn, out of order",
        stamped([*FOLD[:3], FOLD[5], FOLD[3], FOLD[8], FOLD[4], FOLD[6], FOLD[7], *FOLD[9:]]),
        ", line 7: the clock of Europe/Berlin goes back from 2025-10-26 03:00 to 2025-10-26 "
        "02:00, so "
        "that 2025-10-26 02:40:00 comes twice, and the rows are out of order there or leave out "
        "much of it, expected both passes of that hour in order: export in UTC or with the offset "
        "from UTC in every time, or, if the plant's clock stays on standard time all year, set "
        'data.clock = "standard time".',
        settings={"timezone": "Europe/Berlin"},
    ),
    one(
        "55 a time that spring left out",
        stamped([f"2025-03-30 0{h}:30:00" for h in (1, 2, 3)]),
        Asked(
            "plant.csv, line 3: the clock of Europe/Berlin goes forward from 2025-03-30 02:00 to "
            "2025-03-30 03:00, so that 2025-03-30 02:30:00 does not exist, expected times that the "
            "clock shows: export in UTC or with the offset from UTC in every time, or, if the "
            'plant\'s clock stays on standard time all year, set data.clock = "standard time".',
            {"timezone": "Europe/Berlin", "clock": "standard time"},
            kept([(f"2025-03-30 0{h}:30:00", 20.5 + h) for h in (0, 1, 2)], (BERLIN,)),
        ),
        settings={"timezone": "Europe/Berlin"},
    ),
    one(
        "56 rows twice with the same values",
        wide([table()[0], *table()]),
        Kept(table(), dropped={"identical duplicate": 1}, plain=None),
    ),
    *(
        one(
            f"56 one time with two values, {policy}",
            stamped([at(0), at(1), at(1), at(2)], [20, 21, 22, 23]),
            Asked(
                "two rows at 2025-03-05 06:01:00 UTC differ: tag 'TI101.PV' is 21 and 22, "
                "expected one "
                "row for each time: export again, or say by data.duplicates whether the last or "
                "the mean counts.",
                {"duplicates": policy},
                kept(
                    [(at(0), 20), (at(1), value), (at(2), 23)],
                    dropped={"other values at the same time": 1},
                    plain=None,
                ),
            ),
        )
        for policy, value in (("last", 22), ("mean", 21.5))
    ),
    one(
        "57 rows out of order",
        wide([table()[k] for k in (0, 2, 1, 3, 5, 4)]),
        Kept(table(), sorted=2),
    ),
    one("58 the newest row first", wide(table()[::-1]), Kept(table(), sorted=5)),
    *(
        one(
            f"59 a time in the year {year}",
            stamped(
                [f"{year}-01-01 00:00:00" if k == 150 else t for k, (t, _) in enumerate(MANY)],
                [v for _, v in MANY],
            ),
            kept(
                [row for k, row in enumerate(MANY) if k != 150],
                (
                    ZONE,
                    f"1 line dropped as {reason} (first: plant.csv, line 152)",
                ),
                dropped={reason: 1},
                plain=None,
            ),
        )
        for year, reason in (
            ("1899", "year before 1980 or after 2100"),
            ("1970", "year before 1980 or after 2100"),
            ("2099", "more than a day in the future"),
        )
    ),
    refused(
        "59 many times in the year 1970",
        stamped([at(0), at(1), "1970-01-01 00:00:00", at(3)]),
        ", line 4: the time 1970-01-01 00:00:00 UTC, expected times from 1980 to today: correct "
        "the "
        "clock, or data.time_format.",
    ),
    *(
        one(
            f"60 {name}",
            stamped([write(epoch(at(k))) for k in range(6)], name="timestamp"),
            kept([(at(k), 20.5 + k) for k in range(6)], notes),
        )
        for name, write, notes in (
            ("seconds since 1970", lambda s: f"{s:.0f}", ()),
            ("milliseconds since 1970", lambda s: f"{s * 1e3:.0f}", ()),
            ("microseconds since 1970", lambda s: f"{s * 1e6:.0f}", ()),
            ("Excel's day numbers", lambda s: f"{s / 86_400 + 25_569:.9f}", (ZONE,)),
            ("FILETIME", lambda s: f"{(int(s) + 11_644_473_600) * 10**7}", ()),
        )
    ),
    one(
        "60 English months and AM or PM",
        stamped([f"05-Mar-25 {h}:00:00 {half}" for h, half in ((11, "AM"), (12, "PM"), (1, "PM"))]),
        kept([(f"2025-03-05 {h}:00:00", 20.5 + k) for k, h in enumerate((11, 12, 13))]),
    ),
    one(
        "61 midnight as 24:00 and a leap second",
        stamped(
            [
                "2025-03-05 23:59:59",
                "2025-03-05 24:00:00",
                "2025-03-06 23:59:60",
                "2025-03-07 00:00:01",
            ]
        ),
        kept(
            [
                ("2025-03-05 23:59:59", 20.5),
                ("2025-03-06 00:00:00", 21.5),
                ("2025-03-07 00:00:00", 22.5),
                ("2025-03-07 00:00:01", 23.5),
            ]
        ),
    ),
    one(
        "61 31 February in a thousand rows",
        stamped(
            ["2025-02-31 00:00:00" if k == 700 else t for k, (t, _) in enumerate(LONG_ROWS)],
            [v for _, v in LONG_ROWS],
        ),
        kept(
            [row for k, row in enumerate(LONG_ROWS) if k != 700],
            (ZONE, "1 line dropped as time that cannot be read (first: plant.csv, line 702)"),
            dropped={"time that cannot be read": 1},
            plain=None,
        ),
    ),
    refused(
        "61 31 February",
        stamped([*(f"2025-02-{d} 00:00:00" for d in (26, 27, 28)), "2025-02-31 00:00:00"]),
        ", line 5: '2025-02-31 00:00:00' cannot be read as a time, expected ISO 8601 as in the "
        "first rows, such as 2026-01-31 23:59:00: mend or remove this row.",
    ),
    one(
        "62 milliseconds of jitter",
        stamped([at(k, 1.003) for k in range(6)]),
        kept([(at(k, 1.003), 20.5 + k) for k in range(6)]),
    ),
    Case(
        "63 two exports that overlap and agree",
        {"a.csv": wide(table()[:4]), "b.csv": wide(table()[2:])},
        Kept(table(), dropped={"identical duplicate": 2}, sorted=1, plain=None),
    ),
    Case(
        "63 two exports that overlap and differ",
        {"a.csv": wide(table()[:4]), "b.csv": wide([(at(3), 22.25, 9.0), *table()[4:]])},
        Asked(
            "two rows at 2025-03-05 06:03:00 UTC differ: tag 'PI102.PV' is 2 and 9, expected one "
            "row "
            "for each time: export again, or say by data.duplicates whether the last or the mean "
            "counts.",
            {"duplicates": "last"},
            Kept(
                [*table()[:3], (at(3), 22.25, 9.0), *table()[4:]],
                dropped={"other values at the same time": 1},
                plain=None,
            ),
        ),
    ),
]
