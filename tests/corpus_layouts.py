"""The layouts L1-L10 of plant exports."""

from corpus import SHARED, TAGS, VALUES, ZONE, Case, Kept, Plain, at, one, table, wide

LONG = [(at(k), tag, row[c]) for k, row in enumerate(VALUES) for c, tag in enumerate(TAGS)]
BY_NAME = ("PI102.PV", "TI101.PV")
SWAPPED = [(time, b, a) for time, a, b in table()]
"""Rows with the tags in the order of the alphabet, as imports have them."""


def lines(*rows, end="\n"):
    return end.join(rows) + end


def long_kept(rows=SWAPPED, tags=BY_NAME, **more):
    more = {"notes": (ZONE, SHARED), "kept": 12, **more}
    return Kept(rows, tags, **more)


FACTORYTALK = lines(
    "TagId,TagName,Timestamp,DataSource,Value,Quality",
    *(
        f"{1 + TAGS.index(tag)},{tag},{time},HIST01,{value},{64 if value == -2.5 else 192}"
        for time, tag, value in LONG
    ),
)
WINCC_NAMES = '"VarName";"TimeString";"VarValue";"Validity";"Time_ms"'


def serial(time):
    """Excel's day number times a million, as WinCC writes it."""
    from datetime import datetime

    days = (datetime.fromisoformat(time) - datetime(1899, 12, 30)).total_seconds() / 86_400
    return f"{days * 1e6:.6f}".replace(".", ",")


def wincc(first, last):
    """Rows of a WinCC log, from one time to another."""
    for time, tag, value in LONG[2 * first : 2 * last]:
        day, clock = time.split()
        stamp = ".".join(reversed(day.split("-"))) + " " + clock
        number = str(value).replace(".", ",")
        yield f'"{tag}";"{stamp}";{number};{0 if value == 2.0 else 1};{serial(time)}'


MARKS = [
    f'"$RT_OFF$";"05.03.2025 06:02:30";0;2;{serial(at(2.5))}',
    f'"$RT_DIS$";"05.03.2025 06:02:31";0;2;{serial(at(2.5))}',
]
WINCC_ROWS = [(t, None if b == 2.0 else b, a) for t, b, a in SWAPPED]
IGNITION = [1741154400000 + 60_000 * k for k in range(6)]
"""2025-03-05 06:00:00 UTC and on, milliseconds since 1970."""
PATHS = ("[default]Folder/PT 1", "[default]Folder/TT 1")
EXCEPTIONS = (
    (0, "Open"),
    (1, "Closed"),
    (2, "I/O Timeout"),
    (4, "Closed"),
    (6, "Open"),
    (7, "Closed"),
)
"""Minutes after the start, and what a valve said a quarter of a minute later."""
PAIRED = [
    f"{at(k)},{a},{at(2 * k) if k < 3 else ''},{VALUES[k][1] if k < 3 else ''}"
    for k, (a, _) in enumerate(VALUES)
]

CASES = [
    one("L1 wide", wide(), Kept(table())),
    one(
        "L1 wide, error texts of PI DataLink",
        wide(
            table(
                [
                    (20.5, "[-11059] No Good Data For Calculation"),
                    ("I/O Timeout", 1.5),
                    (21.5, 1.75),
                    *VALUES[3:],
                ]
            )
        ),
        Kept(
            table([(20.5, None), (None, 1.5), (21.5, 1.75), *VALUES[3:]]),
            quality={"TI101.PV": "GBGGGG", "PI102.PV": "NGGGGG"},
            notes=(
                ZONE,
                "tag TI101.PV: 1 cell is not a number (first: 'I/O Timeout' in plant.csv, line 3): "
                "treated as missing",
                "tag PI102.PV: 1 cell is not a number (first: '[-11059] No Good Data For "
                "Calculation' in plant.csv, line 2): treated as missing",
            ),
        ),
    ),
    Case(
        "L1 wide, two files in the wrong order",
        {
            "b.csv": wide([(at(k + 6), *row) for k, row in enumerate(VALUES)]),
            "a.csv": wide(),
        },
        Kept([*table(), *((at(k + 6), *row) for k, row in enumerate(VALUES))]),
    ),
    one(
        "L2 long, FactoryTalk in UTF-16",
        FACTORYTALK.encode("utf-16"),
        long_kept(
            quality={"TI101.PV": "GGGGGG", "PI102.PV": "GGGGGU"},
            plain=Plain(encoding="utf-16", tag="TagName", value="Value"),
        ),
    ),
    one(
        "L2 long, FactoryTalk with a numeric TagName and one tag only",
        lines(
            "TagId,TagName,Timestamp,DataSource,Value,Quality",
            *(f"7,5RT101 pv,{time},H,{a},192" for time, a, _ in table()),
        ),
        Kept(
            [(time, a) for time, a, _ in table()],
            ("5RT101 pv",),
            (ZONE, SHARED),
            plain=Plain(tag="TagName", value="Value"),
        ),
    ),
    one(
        "L2 long, Ignition tall with epoch milliseconds",
        lines(
            "path,timestamp,value,quality",
            *(
                f"{path},{IGNITION[k]},{row[1 - c]},{'Bad_Stale' if row[1 - c] == 2.0 else 'Good'}"
                for k, row in enumerate(VALUES)
                for c, path in enumerate(PATHS)
            ),
        ),
        long_kept(
            [(t, None if b == 2.0 else b, a) for t, b, a in SWAPPED],
            PATHS,
            notes=(SHARED,),
            quality={PATHS[0]: "GGGBGG", PATHS[1]: "GGGGGG"},
            plain=None,
        ),
    ),
    one(
        "L2 long, GE with quality in percent",
        lines(
            "Tagname,TimeStamp,Value,DataQuality",
            *(f"{tag},{time},{value},{0 if value == 21.5 else 100}" for time, tag, value in LONG),
        ),
        long_kept(
            [(t, b, None if a == 21.5 else a) for t, b, a in SWAPPED],
            quality={"TI101.PV": "GGBGGG"},
            plain=None,
        ),
    ),
    one(
        "L2 long, a unit beside each value",
        lines(
            "Timestamp;Point;Unit;Value",
            *(
                f"{time};{tag};{'°C' if tag[0] == 'T' else 'bar'};{value}"
                for time, tag, value in LONG
            ),
        ),
        long_kept(
            units={"TI101.PV": "°C", "PI102.PV": "bar"},
            plain=Plain(separator=";", tag="Point", value="Value"),
        ),
    ),
    one(
        "L2 long, bad without a value lasts until the next event",
        lines(
            "Tagname,TimeStamp,Value,DataQuality",
            *(
                f"{tag},{time},{'' if value == 1.5 else value},{'Bad' if value == 1.5 else 'Good'}"
                for time, tag, value in LONG
                if tag[0] == "T" or value in (1.25, 1.5, -2.5)
            ),
        ),
        Kept(
            [(at(k), {0: 1.25, 5: -2.5}.get(k), a) for k, (a, _) in enumerate(VALUES)],
            BY_NAME,
            (ZONE, SHARED),
            kept=9,
            quality={"PI102.PV": "GBNNNG", "TI101.PV": "GGGGGG"},
            plain=None,
        ),
    ),
    one(
        "L2 long, tags reported by exception",
        lines(
            "Tag,Time,Value",
            *(f"TI101.PV,{at(k)},{20 + k / 2}" for k in (0, 2, 3, 5, 6, 8)),
            *(f"XV1,{at(k + 0.25)},{state}" for k, state in EXCEPTIONS),
        ),
        Kept(
            [
                (at(k), 20 + k / 2, state)
                for k, state in enumerate((None, 1, 0, None, None, 0, 0, 1, 0))
            ],
            ("TI101.PV", "XV1"),
            (
                ZONE,
                "the tags have times of their own: brought to one row each 60 s (as "
                "prepare.period_s says); no rows where no tag has an event for more than 360 s",
                "tag 'TI101.PV': lines between the points (no states were found) over at most "
                "360 s (three times the 99 % quantile of its gaps, at least five periods)",
                "tag 'XV1': stepped, the last state is held (as said) until the next event (too "
                "few gaps to learn a limit from)",
                "tag XV1: digital, 'Closed' = 0, 'Open' = 1",
                "tag XV1: 1 cell is not a number (first: 'I/O Timeout' in plant.csv, line 10): "
                "treated as missing",
            ),
            quality={"TI101.PV": "GGGGGGGGG", "XV1": "NGGBBGGGG"},
            kept=12,
            states={"XV1": ("Closed", "Open")},
            plain=None,
        ),
        settings={"grid_s": 60.0},
    ),
    one(
        "L3 paired columns of different lengths",
        lines("TI101 time,TI101.PV,PI102 time,PI102.PV", *PAIRED),
        Kept(
            [
                (at(k), VALUES[k // 2][1] if k in (0, 2, 4) else None, a)
                for k, (a, _) in enumerate(VALUES)
            ],
            BY_NAME,
            (ZONE, SHARED),
            kept=9,
            plain=None,
        ),
    ),
    one(
        "L3 paired columns, one without events",
        lines(
            "TI101 time,TI101.PV,PI102 time,PI102.PV",
            f"{at(0)},20.5,No events found.,",
            *(f"{at(k)},{row[0]},," for k, row in enumerate(VALUES) if k),
        ),
        Kept(
            [(time, None, a) for time, a, _ in table()],
            BY_NAME,
            (
                ZONE,
                SHARED,
                "1 line dropped as row of a tag without events (first: plant.csv, line 2)",
            ),
            dropped={"row of a tag without events": 1},
            quality={"PI102.PV": "NNNNNN", "TI101.PV": "GGGGGG"},
            plain=None,
        ),
    ),
    one(
        "L4 WinCC data log",
        lines(WINCC_NAMES, *wincc(0, 3), *MARKS, *wincc(3, 6), end="\r\n"),
        long_kept(
            WINCC_ROWS,
            quality={"PI102.PV": "GGGBGG", "TI101.PV": "GGGGGG"},
            dropped={"marker row of the recorder": 2},
            notes=(
                ZONE,
                SHARED,
                "2 lines dropped as marker row of the recorder (first: plant.csv, line 8)",
            ),
            plain=None,
        ),
    ),
    Case(
        "L4 WinCC data logs that overlap",
        {
            "log0.csv": lines(WINCC_NAMES, *wincc(0, 4)),
            "log1.csv": lines(WINCC_NAMES, *wincc(2, 6)),
        },
        long_kept(
            WINCC_ROWS,
            dropped={"identical duplicate": 4},
            sorted=2,
            plain=None,
        ),
    ),
    one(
        "L4 WinCC data log with commas",
        lines(
            WINCC_NAMES.replace(";", ","),
            *(f'"{tag}","{time}",{value},1,"{serial(time)}"' for time, tag, value in LONG),
        ),
        long_kept(plain=Plain(tag="VarName", value="VarValue")),
    ),
    one(
        "L5 units and descriptions below the names",
        wide().replace("\n", "\n,°C,bar\n,Temperature of the feed,Pressure behind the pump\n", 1),
        Kept(table(), units={"TI101.PV": "°C", "PI102.PV": "bar"}),
    ),
    one(
        "L5 archive of a recorder that was restarted",
        lines(
            "Time;TI101.PV;PI102.PV;",
            ";feed temperature;pump pressure;",
            *(f"{time};{a};{b};" for time, a, b in table()[:3]),
            "",
            *(f"{time};{a};{b};" for time, a, b in table()[3:]),
        ),
        Kept(table(), plain=Plain(separator=";")),
    ),
    one(
        "L6 GE with sections",
        lines(
            "* exported 2025-03-06",
            "[Tags]",
            "Tagname,EngineeringUnits",
            "TI101.PV,°C",
            "PI102.PV,bar",
            "[Data]",
            "Tagname,TimeStamp,Value,DataQuality",
            *(f"{tag},{time},{value},100" for time, tag, value in LONG),
        ),
        long_kept(units={"TI101.PV": "°C", "PI102.PV": "bar"}, plain=None),
    ),
    one(
        "L6 InfluxDB, annotated",
        lines(
            "#datatype,string,long,dateTime:RFC3339,double,string",
            "#group,false,false,false,false,true",
            "#default,_result,,,,",
            ",result,table,_time,_value,_field",
            *(
                f",,{TAGS.index(tag)},{time.replace(' ', 'T')}Z,{value},{tag}"
                for time, tag, value in LONG
            ),
        ),
        long_kept(notes=(SHARED,), plain=None),
    ),
    one(
        "L7 preamble, sep= and trailer",
        lines(
            "sep=;",
            "Report: Daily trend",
            "Server;HIST01",
            "Period;2025-03-05 00:00:00;2025-03-06 00:00:00",
            "",
            *wide(separator=";").splitlines(),
            "EOF",
        ),
        Kept(
            table(),
            dropped={"line below the table": 1},
            notes=(ZONE, "1 line dropped as line below the table (first: plant.csv, line 13)"),
            plain=Plain(separator=";", skip=4),
        ),
    ),
    one(
        "L8 Citect, seconds and milliseconds",
        lines(
            "Time,Milliseconds,TI101.PV,PI102.PV",
            *(f"{at(k // 2, 1)},{500 * (k % 2)},{a},{b}" for k, (a, b) in enumerate(VALUES)),
        ),
        Kept([(at(k, 0.5), a, b) for k, (a, b) in enumerate(VALUES)]),
    ),
    one(
        "L8 FactoryTalk, local time and bias",
        lines(
            "TagName,Timestamp,Time Bias,Value",
            *(f"{tag},{time},-60,{value}" for time, tag, value in LONG),
        ),
        long_kept(
            [(time.replace(" 06:", " 05:"), b, a) for time, b, a in SWAPPED],
            notes=(SHARED,),
            plain=Plain(tag="TagName", value="Value"),
        ),
    ),
    one(
        "L8 date and time of day",
        lines(
            "Datum;Uhrzeit;TI101.PV;PI102.PV",
            *(f"05.03.2025;{time[11:]};{a};{b}" for time, a, b in table()),
            "13.03.2025;06:00:00;20;1",
        ),
        Kept([*table(), ("2025-03-13 06:00:00", 20, 1)], plain=Plain(separator=";")),
    ),
    Case(
        "L2 one file a variable (Azure)",
        {
            f"{tag}.csv": lines("Timestamp,Value", *(f"{t},{v}" for t, g, v in LONG if g == tag))
            for tag in TAGS
        },
        long_kept(plain=None),
    ),
    Case(
        "L1 one file a component, each with tags of its own (AWS Lookout)",
        {
            f"pump{k}.csv": lines(
                f"Timestamp,{tag},{tag}.SP", *(f"{t},{v},{v}" for t, g, v in LONG if g == tag)
            )
            for k, tag in enumerate(TAGS)
        },
        Kept(
            [(t, b, b, a, a) for t, a, b in table()],
            ("PI102.PV", "PI102.PV.SP", "TI101.PV", "TI101.PV.SP"),
            notes=(ZONE, SHARED),
            kept=24,
            plain=None,
        ),
    ),
]
