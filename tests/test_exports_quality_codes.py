"""Quality codes: every system's codes, whole columns, and whose codes a column holds."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensor_ad.errors import UsageError
from sensor_ad.exports import ReadSettings, open_export
from sensor_ad.exports.imports import Imports
from sensor_ad.exports.quality_codes import (
    MAX_CODES,
    SYSTEMS,
    CodeEvidence,
    UndecidedCodesError,
    decode,
    system_by_name,
)
from sensor_ad.records import Quality

GOOD, UNCERTAIN, SUBSTITUTED, BAD, NO_DATA = Quality
UNKNOWN = None

KNOWN = {
    "opc da": {
        GOOD: [192, "192", "192.0", 193, 194, 195, 196, 0x01C0, 0xFFC3, -64],
        SUBSTITUTED: [216, 217, 218, 219, 0x12D8],
        UNCERTAIN: [64, 65, 68, 80, 84, 88, 91, 78, 0xC040],
        BAD: [0, 1, 2, 3, 4, 8, 12, 16, 20, 24, 28, 32, 0xC000],
        UNKNOWN: [128, 191, 65536, -40000, "Good", 192.5, "0xC0"],
    },
    "opc ua": {
        GOOD: [0, "0", "0x0", "0x00000000", "00000000", "Good", "good", "GOOD", "GoodClamped"],
        SUBSTITUTED: [
            "GoodLocalOverride",
            "Good_LocalOverride",
            0x00960000,
            "0x00960000",
            "UncertainSubstituteValue",
            0x40910000,
            "0x40910400",
            "40910000",
        ],
        UNCERTAIN: ["Uncertain", "UncertainLastUsableValue", "0x40900000", 0x40900000, "40900000"],
        NO_DATA: ["GoodNoData", "BadNoData", "Bad_NoData", "0x809B0000", "809b0000", 10813440],
        BAD: ["Bad", "BadNotConnected", "Bad_Timeout", 0x80000000, -2147483648, "80310000"],
        UNKNOWN: [192, 1, "Goodness me", "Error_IO", "Fine", 0xC0000000, 2**32, "0x1C0000000"],
    },
    "ip.21": {
        GOOD: [0, 4, "0", "Good"],
        UNCERTAIN: [1, 5, "Suspect"],
        BAD: [2, 6, 2.0, "Bad"],
        UNKNOWN: [3, 7, -1, 192, 0.5, "Initial"],
    },
    "pi": {
        GOOD: [True, "TRUE", "IsGood", "Good", "Annotated", "IsGood, Annotated", 1],
        UNCERTAIN: ["Questionable", "IsGood;Questionable", "questionable|annotated"],
        SUBSTITUTED: ["Substituted", "Questionable, Substituted"],
        BAD: [False, "False", "Bad", "Bad, Questionable", 0],
        UNKNOWN: ["Pt Created", "Questionable, odd", 192],
    },
    "pi questionable": {GOOD: [False, "false", 0], UNCERTAIN: [True, 1], UNKNOWN: ["Good", 2]},
    "pi substituted": {GOOD: [False, "0"], SUBSTITUTED: ["True", 1], UNKNOWN: ["yes"]},
    "pi annotated": {GOOD: [False, True, "0", 1], UNKNOWN: ["a note"]},
    "aveva": {GOOD: [0, 133], UNCERTAIN: [16], BAD: [1], UNKNOWN: [192, 2, -1, "Good"]},
    "aveva detail": {
        GOOD: [192, 44, 150, 151, 202, 212, 248, 252, 16, 448, "192"],
        BAD: [0, 2, 10, 17, 20, 24, 33, 64, 249, 256, 505],
        NO_DATA: [1, 257, 65536],
        UNKNOWN: [78, 704, 5184, -1, "Good", 65537],
    },
    "wincc": {GOOD: [1, "1", 1.0], BAD: [0, 2, -1, 192], UNKNOWN: ["Good", 1.5]},
    "ignition": {
        GOOD: [192, 200, 203, "Good", "Good_Unspecified", "Good_Backfill"],
        UNCERTAIN: [64, 1073742081, "Uncertain_LastKnownValue", "Uncertain"],
        BAD: [0, 410, -2147483132, 0x80000204, -1073741056, "Bad_Stale", "Error_TypeConversion"],
        UNKNOWN: [1, 2, 256, 0x80000000, 0x40010100, "Stale"],
    },
    "ge": {
        GOOD: ["Good", 100, "100", "100.0", "100%"],
        UNCERTAIN: [50, 99.9, "0.1", "12%", "Uncertain", 1],
        BAD: ["Bad", "Unknown", 0, "0%"],
        UNKNOWN: [101, -1, "Fair", "%"],
    },
}
CASES = [
    (system, code, quality)
    for system, known in KNOWN.items()
    for quality, codes in known.items()
    for code in codes
]


def evidence(*cells):
    found = CodeEvidence()
    found.add(pa.array(cells))
    return found


def refusal(column, *cells):
    with pytest.raises(UndecidedCodesError) as caught:
        evidence(*cells).decide(column)
    assert caught.value.reason == str(caught.value)
    return caught.value


@pytest.mark.parametrize(("system", "code", "quality"), CASES)
def test_decode_known_codes(system, code, quality):
    got, unknown = decode(pa.array([code]), system)
    assert (got.dtype, unknown.dtype) == (np.uint8, bool)
    assert (got.tolist(), unknown.tolist()) == (
        [BAD if quality is UNKNOWN else quality],
        [quality is UNKNOWN],
    )


def test_every_system_has_its_table():
    assert list(SYSTEMS) == list(KNOWN)


def test_decode_all_opc_da_bytes():
    """The twin spells the byte as text: two digits of quality, four of status, two of limits."""
    quality, unknown = decode(pa.array(range(256), pa.uint8()), "opc da")
    for byte in range(256):
        bits = f"{byte:08b}"
        meant = {"00": BAD, "01": UNCERTAIN, "10": BAD, "11": GOOD}[bits[:2]]
        if bits[:6] == "110110":
            meant = SUBSTITUTED
        assert (quality[byte], unknown[byte]) == (meant, bits[:2] == "10"), byte


SUBCODES = st.integers(0, 0xFFF).filter(lambda code: code not in (0x096, 0x0A5, 0x091, 0x09B))


@given(st.integers(0, 3), SUBCODES, st.integers(0, 1023), st.integers(0, 3))
def test_decode_opc_ua_severities(severity, subcode, info, changed):
    """Neither the subcode, nor the info bits, nor the two change bits alter the severity."""
    status = severity << 30 | subcode << 16 | changed << 14 | 1 << 10 | info
    signed = status - (1 << 32 if status >> 31 else 0)
    texts = [f"0x{status:08X}", str(status) if status > 99_999_999 else f"0x{status:x}"]
    quality, unknown = decode(pa.array([*texts, str(signed) if signed < 0 else texts[0]]), "opc ua")
    meant = [GOOD, UNCERTAIN, BAD, BAD][severity]
    assert quality.tolist() == [meant] * 3
    assert unknown.tolist() == [severity == 3] * 3


@given(st.integers(0, 999), st.sampled_from(["0000", "0400", "0401", "0500", "0785"]))
def test_decode_opc_ua_eight_digits_never_good_when_bad(subcode, info):
    """Eight digits that are a bad code in hexadecimal are never read as a good decimal."""
    quality, _ = decode(pa.array([f"8{subcode:03d}{info}"]), "opc ua")
    assert quality.tolist() == [BAD]


@pytest.mark.parametrize("system", SYSTEMS)
def test_decode_empty_cells(system):
    meant = GOOD if system.startswith("pi") else UNCERTAIN
    for cells in (
        pa.array(["", None, "  "]),
        pa.array([None, float("nan"), None], pa.float64()),
        pa.nulls(3),
        pa.array([None] * 3, pa.bool_()),
    ):
        quality, unknown = decode(cells, system)
        assert quality.tolist() == [meant] * 3
        assert not unknown.any()


@pytest.mark.parametrize(
    "cells",
    [
        pa.array(["192", None, "28", "192", "9999999"]),
        pa.array(["192", None, "28", "192", "9999999"], pa.large_string()),
        pa.array([192, None, 28, 192, 9999999], pa.int32()),
        pa.array([192.0, float("nan"), 28.0, 192.0, 9999999.0]),
        pa.array(["192", None, "28", " 192", "9999999"]).dictionary_encode(),
        pa.chunked_array([["192", ""], ["28", "192"], [], ["9999999"]], pa.string()),
    ],
)
def test_decode_types_alike(cells):
    quality, unknown = decode(cells, "opc da")
    assert quality.tolist() == [GOOD, UNCERTAIN, BAD, GOOD, BAD]
    assert unknown.tolist() == [False, False, False, False, True]


def test_decode_nothing():
    quality, unknown = decode(pa.chunked_array([], pa.string()), "ge")
    assert (len(quality), quality.dtype, len(unknown)) == (0, np.uint8, 0)


def test_system_by_name_refuses_unknown():
    assert system_by_name("wincc") is SYSTEMS["wincc"]
    with pytest.raises(UsageError) as caught:
        decode(pa.array([1]), "OPC-DA")
    assert str(caught.value) == (
        "data.quality_codes = 'OPC-DA' is not known, expected one of opc da, opc ua, ip.21, pi, "
        "pi questionable, pi substituted, pi annotated, aveva, aveva detail, wincc, ignition, ge; "
        "the nearest is 'opc da': correct it."
    )


@pytest.mark.parametrize(
    ("column", "cells", "system"),
    [
        ("Validity", [0, 1], "wincc"),
        ("FT101 Validity", ["1", "0", "2"], "wincc"),
        ("OPCQuality", [192, 0, 78], "opc da"),
        ("opc_quality", [1, 0], "opc da"),
        ("DataQuality", [0, 37, 100], "ge"),
        ("QualityDetail", [192, 0, 1], "aveva detail"),
        ("Status Code", [0], "opc ua"),
        ("IP_TREND_QLEVEL", [0, 1], "ip.21"),
        ("IsGood", [True, False], "pi"),
        ("Questionable", [True, False, None], "pi questionable"),
        ("Substituted", [0, 1], "pi substituted"),
        ("Annotated", ["False", "True"], "pi annotated"),
        ("dataintegrity", [192, 0], "ignition"),
        # The name is wrong, the codes tell.
        ("Validity", ["Good", "Suspect"], "ip.21"),
        ("Quality", [192], "opc da"),
        ("Quality", [192, 0], "opc da"),
        ("Quality", [192, 28, 216], "opc da"),
        ("Quality", [192, 249, 252], "aveva detail"),
        ("Quality", [0, 0x80000000], "opc ua"),
        ("Quality", ["Good", "Bad"], "opc ua"),
        ("Quality", ["Good", "Bad", None], "opc ua"),
        ("Quality", ["Good", "Error_IO"], "ignition"),
        ("Quality", ["Good", "Unknown"], "ge"),
        ("Quality", [0, 100], "ge"),
        ("Quality", [0, 133], "aveva"),
        ("Flags", ["IsGood", "Questionable", ""], "pi"),
    ],
)
def test_decide(column, cells, system):
    assert evidence(*cells).decide(column) == system


def test_decide_alike_systems_need_no_decision():
    """Whichever of the systems that fit is returned, the column is read the same."""
    cells = ["Good", "Bad", "Good"]
    read = {name: decode(pa.array(cells), name)[0].tolist() for name in ("opc ua", "ip.21", "ge")}
    assert len(set(map(tuple, read.values()))) == 1
    assert evidence(*cells).decide("Quality") in read


def test_decide_refuses_two_readings():
    error = refusal("Quality", 1, 0)
    assert error.reason == (
        "in the column 'Quality' '1' is good as wincc, uncertain as ip.21, bad as opc da or aveva, "
        "no data as aveva detail, and neither the other codes nor the column's name tell, expected "
        "codes that can be read in one way: say whose they are by data.quality_codes = "
        '"opc da", "ip.21", "aveva", "aveva detail" or "wincc"'
    )
    assert error.readings == ("opc da", "ip.21", "aveva", "aveva detail", "wincc")


def test_decide_refuses_truth_values_without_a_name():
    assert refusal("Quality", False, True).reason.startswith(
        "in the column 'Quality' 'False' is good as pi questionable or pi substituted or pi "
        "annotated, bad as pi, and neither"
    )


def test_decide_refuses_empty_column():
    error = refusal("Quality", None, None)
    assert error.reason.startswith("in the column 'Quality' an empty cell is good as pi or ")
    assert error.readings == tuple(SYSTEMS)


def test_decide_refuses_strange_code():
    error = refusal("Quality", 192, 28, 216, 5184)
    assert error.reason == (
        "the column 'Quality' holds '5184', which is no usual quality code of opc da, the system "
        "that most of its codes fit, expected the codes of one system: say which by "
        'data.quality_codes = "opc da", then codes unknown to it are bad'
    )
    assert error.readings == ()
    assert "holds 'perhaps', which is no quality code of ip.21," in (
        refusal("Quality", "Good", "Suspect", "perhaps").reason
    )


def test_decide_refuses_no_codes():
    assert refusal("Quality", "perhaps").reason == (
        "the column 'Quality' holds 'perhaps', which is a usual quality code of none of opc da, "
        "opc ua, ip.21, pi, pi questionable, pi substituted, pi annotated, aveva, aveva detail, "
        "wincc, ignition, ge, expected quality codes: name the column of the codes by "
        "data.quality_column, or their system by data.quality_codes"
    )


def test_decide_refuses_values():
    assert refusal("Quality", *range(MAX_CODES + 1)).reason == (
        "the column 'Quality' has more than 4,096 different cells, expected quality codes: name "
        "the column of the codes by data.quality_column"
    )
    assert evidence(*([1] * (MAX_CODES + 1))).decide("Validity") == "wincc"


def test_merge_decides_over_all_files():
    first, second = evidence(0, 1), evidence(28, None)
    with pytest.raises(UndecidedCodesError):
        first.decide("Quality")
    for one, two in ((first, second), (second, first)):
        both = CodeEvidence()
        both.merge(one)
        both.merge(two)
        assert both.decide("Quality") == "opc da"
        assert both.empty
    many = evidence(*range(MAX_CODES + 1))
    first.merge(many)
    assert first.many


@pytest.mark.parametrize("block_bytes", [1, 100, 300, 8 << 20])
@pytest.mark.parametrize(
    ("strange", "note"),
    [
        ({3: "x"}, "quality code 'x' (1) is none of ip.21 (first: plant.csv, line 5): "),
        (
            {k: "zyxwvuz"[k % 7] for k in range(4, 20)},
            "quality codes 'v' (3), 'u' (3), 'z' (4), 'y' (2), 'x' (2) and others (2) are none of "
            "ip.21 (first: plant.csv, line 6): ",
        ),
    ],
)
def test_unknown_codes_are_noted_alike_in_any_blocks(tmp_path, block_bytes, strange, note):
    rows = [f"FT1,2026-01-01 00:00:{k:02},{k},{strange.get(k, 'Good')}" for k in range(30)]
    path = tmp_path / "plant.csv"
    path.write_text("\n".join(["tag,time,value,Quality", *rows, ""]))
    said = ReadSettings(quality_codes="ip.21", block_bytes=block_bytes)

    export = open_export([path], said, imports=Imports(tmp_path))
    chunks = list(export.chunks())

    values = np.concatenate([chunk.values[:, 0] for chunk in chunks])
    assert np.flatnonzero(np.isnan(values)).tolist() == [*strange]
    assert [said for said in export.account().notes if "code" in said] == [note + "taken as bad"]
