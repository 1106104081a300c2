"""Bad inputs 29-50: dialects and layouts."""

from corpus import TAGS, VALUES, ZONE, Asked, Case, Kept, Plain, Refused, at, one, table, wide
from corpus_layouts import lines

THOUSANDS = [(1234.5 + k, 1000.25 * k) for k in range(6)]
LONG = [(at(k), (1.5 + k) / 4) for k in range(1_100)]


def refused(name, content, sentence, **more):
    return one(name, content, Refused(f"plant.csv{sentence}"), **more)


def german(number):
    return f"{number:,.2f}".replace(",", "_").replace(".", ",").replace("_", ".")


def dropped(reason, line, count=1):
    return (
        ZONE,
        f"{count} line{'s' * (count > 1)} dropped as {reason} (first: plant.csv, line {line})",
    )


CASES = [
    one(
        "29 semicolons and decimal commas",
        wide(separator=";", decimal=","),
        Kept(table(), plain=Plain(";", decimal=",")),
    ),
    one(
        "30 commas, and decimal commas in quotes",
        lines(
            "Time,TI101.PV,PI102.PV",
            *(f'{t},"{a}","{b}"'.replace(".", ",") for t, a, b in table()),
        ),
        Kept(table(), plain=Plain(decimal=",")),
    ),
    refused(
        "31 commas, and decimal commas without quotes",
        wide(decimal=","),
        ": the header names 3 columns, but most lines hold 5 fields, as if commas stood "
        "within values too (decimal signs, dates such as Sep 05, 2005): export with another "
        "separator, with decimal points, or with quotes around the values.",
    ),
    *(
        one(
            f"32 {name} between thousands",
            lines(
                "Time;TI101.PV;PI102.PV",
                *(
                    f"{at(k)};{german(a).replace('.', sign)};{german(b).replace('.', sign)}"
                    for k, (a, b) in enumerate(THOUSANDS)
                ),
            ),
            Kept(table(THOUSANDS), plain=Plain(";", decimal=",", thousands=sign)),
        )
        for name, sign in (("points", "."), ("no-break blanks", "\u00a0"), ("apostrophes", "'"))
    ),
    one(
        "33 1.234 and nothing else that tells",
        lines("Time;TI101.PV", *(f"{at(k)};{k + 1}.23{k}" for k in range(6))),
        Asked(
            "plant.csv, line 2, column 'TI101.PV': '1.230' is 1.23 with a decimal point, 1230 with "
            "a decimal comma and '.' between thousands, and no other number here tells, expected "
            'numbers that can be read in one way: say by data.decimal = "." or ",".',
            {"decimal": ","},
            Kept(
                [(at(k), (k + 1) * 1000 + 230 + k) for k in range(6)],
                TAGS[:1],
                plain=Plain(";", thousands="."),
            ),
        ),
    ),
    one("34 sep=", "sep=;\n" + wide(separator=";"), Kept(table(), plain=Plain(";", skip=1))),
    one(
        "35 lines above the header",
        "Trend report\nServer: HIST01, Plant 4\n\n" + wide(),
        Kept(table(), plain=Plain(skip=2)),
    ),
    one(
        "35 a report with names and values above the header",
        "Server,HIST01\nFrom,2025-03-05 06:00:00\nTo,2025-03-05 07:00:00\n"
        + lines("Timestamp,TI101.PV", *(f"{t},{a}" for t, a, _ in table())),
        Kept([row[:2] for row in table()], TAGS[:1], plain=Plain(skip=3)),
    ),
    one(
        "35 a line of as many texts right above the header",
        "Server,HIST01,Plant 4\n" + wide(),
        Kept(table(), plain=Plain(skip=1)),
    ),
    one(
        "36 a row of units",
        wide().replace("\n", "\n,°C,bar\n", 1),
        Kept(table(), units={"TI101.PV": "°C", "PI102.PV": "bar"}),
    ),
    one(
        "37 rows of units and descriptions",
        wide().replace("\n", "\n[-],[°C],[bar]\nstamp,feed temperature,pump pressure\n", 1),
        Kept(table(), units={"TI101.PV": "°C", "PI102.PV": "bar"}),
    ),
    one("38 a separator at the end of each line", wide().replace("\n", ",\n"), Kept(table())),
    one(
        "39 EOF at the end",
        wide() + "EOF\n",
        Kept(
            table(), dropped={"line below the table": 1}, notes=dropped("line below the table", 8)
        ),
    ),
    one(
        "39 a total at the end",
        wide() + "Total,131.25,6.25\n",
        Kept(
            table(),
            dropped={"line below the table": 1},
            notes=dropped("line below the table", 8),
            plain=None,
        ),
    ),
    refused(
        "40 a ragged row among few",
        wide().replace(",1.5\n", ",1.5,7\n"),
        ", line 3: 4 fields, expected 3 as in the header (1 of 6 rows are like that): mend these "
        "lines or export again.",
    ),
    one(
        "40 a ragged row in a thousand",
        lines(
            "Time,TI101.PV",
            *(f"{t},{v}{',1' if k == 700 else ''}" for k, (t, v) in enumerate(LONG)),
        ),
        Kept(
            [row for k, row in enumerate(LONG) if k != 700],
            TAGS[:1],
            dropped={"wrong number of fields": 1},
            notes=dropped("wrong number of fields", 702),
            plain=None,
        ),
    ),
    refused(
        "41 a quote that is not closed",
        wide().replace(",1.5\n", ',"1.5\n'),
        ", line 3: a quote is opened and not closed, expected both in one line: remove it, or "
        "export without line breaks in texts.",
    ),
    one(
        "42 a name twice",
        wide(names=("Time", "TI101.PV", "TI101.PV")),
        Asked(
            "plant.csv: the header names 'TI101.PV' more than once, expected each column once: "
            "rename or remove the other, or name all columns by data.names.",
            {"names": ("Time", *TAGS)},
            Kept(table(), plain=None),
        ),
    ),
    one(
        "42 names that differ by case only",
        wide(names=("Time", "TI101.PV", "ti101.pv")),
        Asked(
            "plant.csv: the header names 'TI101.PV' and 'ti101.pv', which differ by case only, "
            "expected names that historians tell apart: rename or remove one, or name all columns "
            "by data.names.",
            {"names": ("Time", *TAGS)},
            Kept(table(), plain=None),
        ),
    ),
    one(
        "43 a column without a name",
        wide(names=("Time", "TI101.PV", "")),
        Kept(
            table(),
            ("TI101.PV", "col_3"),
            ("a column without a name in the header is called col_3", ZONE),
            plain=None,
        ),
    ),
    one(
        "44 the header again between the rows",
        wide(table()[:3]) + wide(table()[3:]),
        Kept(
            table(),
            dropped={"repeated header": 1},
            notes=dropped("repeated header", 5),
        ),
    ),
    one(
        "44 the header again below a row with an empty cell",
        wide([(at(0), None, 1.25)]) + wide(table()[1:]),
        Kept(
            [(at(0), None, 1.25), *table()[1:]],
            dropped={"repeated header": 1},
            notes=dropped("repeated header", 3),
        ),
    ),
    one(
        "35 names and numbers above a table of one tag",
        "Interval;60\nLocation;Plant 4\nServer;HIST01\n"
        + lines("Time;TI101.PV", *(f"{t};{a}" for t, a, _ in table())),
        Kept([row[:2] for row in table()], TAGS[:1], plain=Plain(";", skip=3)),
    ),
    refused(
        "45 other columns from the middle on",
        wide(table()[:3]) + wide([(*row, 7) for row in table()[3:]], ("Time", *TAGS, "FI103")),
        ", line 5: 4 fields, expected 3 as in the lines above: if columns were added or left out "
        "there, make two files of it, or export it again.",
    ),
    refused(
        "45 other columns below a single row",
        wide(table()[:1]) + wide([(*row, 7) for row in table()[1:]], ("Time", *TAGS, "FI103")),
        ", line 3: 4 fields, expected 3 as in the lines above: if columns were added or left out "
        "there, make two files of it, or export it again.",
    ),
    one(
        "35 a report that begins with its date",
        "2025-03-06 07:00:00,Trend\nServer,HIST01\n" + wide(),
        Kept(table(), plain=Plain(skip=2)),
    ),
    refused(
        "45 columns in another order from the middle on",
        wide(table()[:3])
        + wide([(t, b, a) for t, a, b in table()[3:]], ("Time", TAGS[1], TAGS[0])),
        ", line 5: the header comes again with other columns ('PI102.PV', 'TI101.PV'), expected "
        "'TI101.PV', 'PI102.PV' to the end: make two files of it, or export it again.",
    ),
    refused(
        "48 a tag in two units",
        lines(
            "Tag,Time,Value,Unit",
            *(f"TI101.PV,{t},{a},{'°C' if a < 22 else '°F'}" for t, a, _ in table()),
        ),
        ": tag 'TI101.PV' comes in the units '°C' and '°F', expected one unit for each tag: export "
        "it in one unit, or as two tags.",
    ),
    Case(
        "48 a column in another unit in the next file",
        {
            "a.csv": wide(table()[:3]).replace("\n", "\n,°C,bar\n", 1),
            "b.csv": wide(table()[3:]).replace("\n", "\n,°C,kPa\n", 1),
        },
        Refused(
            "b.csv: column 'PI102.PV' is in 'kPa', expected 'bar' as in a.csv: export it in one "
            "unit, or as two tags."
        ),
    ),
    refused(
        "42 tags of a long table that differ by case only",
        lines("Tag,Time,Value", *(f"{tag},{t},{a}" for t, a, _ in table() for tag in ("A", "a"))),
        ": the tags 'A' and 'a' differ by case only, expected names that historians tell apart: "
        "export the tag under one name, or leave one out by data.ignore_columns.",
    ),
    refused(
        "31 a long table with two decimal signs",
        lines(
            "Tag;Time;Value",
            *(f"A;{t};{k},5\nB;{t};{k}.25" for k, (t, _, _) in enumerate(table())),
        ),
        ": numbers are written in two ways ('0,5', line 2, column 'Value'; '0.25', line 3, column "
        "'Value'), expected one decimal sign: say which by data.decimal, or export anew.",
    ),
    one(
        "49 no time column",
        lines("TI101.PV,PI102.PV", *(f"{a},{b}" for a, b in VALUES)),
        Asked(
            "plant.csv: no time column among 'TI101.PV', 'PI102.PV', expected one with times such "
            "as 2026-01-31 23:59:00: export it too, or give data.start and data.period_s.",
            {"start": at(0), "period_s": 60.0},
            Kept(table(), notes=()),
        ),
    ),
    one(
        "50 two columns of times",
        lines(
            "start time,end time,TI101.PV",
            *(f"{at(k)},{at(k + 1)},{a}" for k, (a, _) in enumerate(VALUES)),
        ),
        Asked(
            "plant.csv: 2 columns hold times ('start time', 'end time'), expected one: say which "
            "by data.time_column.",
            {"time_column": "end time"},
            Kept(
                [(at(k + 1), a) for k, (a, _) in enumerate(VALUES)],
                TAGS[:1],
                ("column 'start time' holds times, but is not the time: left out", ZONE),
            ),
        ),
    ),
]
