"""The plant's clock: against zoneinfo, asked row by row."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensor_ad.errors import UsageError
from sensor_ad.exports.clocks import Clock, changes_around
from sensor_ad.exports.time_cells import BadTimeError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca"]
SETTLES = (
    "export in UTC or with the offset from UTC in every time, or, if the plant's clock stays on "
    'standard time all year, set data.clock = "standard time"'
)


def us(text):
    return (datetime.fromisoformat(text).replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)


def naive_local(utc_us, zone):
    """Return what the clock on the wall shows, row by row."""
    shown = []
    for at in utc_us:
        local = (EPOCH + timedelta(microseconds=int(at))).astimezone(ZoneInfo(zone))
        shown.append((local.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1))
    return np.array(shown, np.int64)


def naive_utc(local_us, zone):
    """Return UTC row by row; None where the clock shows a time twice or never."""
    found = []
    for at in local_us:
        local = (EPOCH + timedelta(microseconds=int(at))).replace(tzinfo=ZoneInfo(zone))
        both = {local.replace(fold=fold).utcoffset() for fold in (0, 1)}
        if len(both) > 1:
            found.append(None)
        else:
            found.append((local.astimezone(UTC) - EPOCH) // timedelta(microseconds=1))
    return found


def read(local_us, clock, block=None):
    """Return the UTC of a file's rows, read in blocks."""
    block = block or len(local_us)
    parts = [clock.to_utc(local_us[k : k + block]) for k in range(0, len(local_us), block)]
    clock.finish()
    return np.concatenate(parts)


def autumn(zone):
    """Return when the clock goes back in 2026, in UTC, and by how much."""
    changes = changes_around(zone, False, np.array([us("2026-07-01")]))
    turns = np.diff(changes.offset_us)
    this_year = (changes.utc_us >= us("2026-01-01")) & (changes.utc_us < us("2027-01-01"))
    k = int(np.flatnonzero((turns < 0) & this_year)[0])
    return int(changes.utc_us[k]), -int(turns[k])


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("years", [(1990, 2000), (2024, 2028)])
def test_clear_times_are_those_of_zoneinfo(zone, years):
    """Every hour and 7 minutes of ten years that the clock shows once."""
    local = np.arange(us(f"{years[0]}-01-01"), us(f"{years[1]}-01-01"), HOUR + 7 * MINUTE)
    expected = naive_utc(local, zone)
    clear = np.array([at is not None for at in expected])
    assert (~clear).sum() < 60
    got = Clock(zone).to_utc(local[clear])
    assert got.tolist() == [at for at in expected if at is not None]


@settings(max_examples=100)
@given(
    st.sampled_from([*ZONES, "America/Havana", "Asia/Tehran", "Pacific/Apia", "Asia/Kathmandu"]),
    st.lists(st.integers(us("1900-01-02"), us("2099-12-31")), min_size=1, max_size=20),
)
def test_any_single_time_is_as_in_zoneinfo_or_refused(zone, times):
    for at, expected in zip(times, naive_utc(times, zone), strict=True):
        clock = Clock(zone)
        try:
            got = read(np.array([at]), clock).tolist()
        except BadTimeError:
            got = [None]
        assert got == [expected]
    clear = [at for at, exact in zip(times, naive_utc(times, zone), strict=True) if exact]
    if clear:  # stray years together in one block
        assert read(np.array(clear), Clock(zone)).tolist() == naive_utc(clear, zone)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("step", [MINUTE, 7 * MINUTE, 15 * MINUTE, 20 * MINUTE, 30 * MINUTE])
@pytest.mark.parametrize("block", [None, 1, 13])
@pytest.mark.parametrize("falls", [False, True])
def test_steady_file_through_the_autumn_night(zone, step, block, falls):
    change, _ = autumn(zone)
    utc = np.arange(change - 4 * HOUR, change + 4 * HOUR, step)
    utc = utc[:: -1 if falls else 1]
    assert read(naive_local(utc, zone), Clock(zone), block).tolist() == utc.tolist()


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("step", [HOUR, 45 * MINUTE, 2 * HOUR, 3 * HOUR])
@pytest.mark.parametrize("first", range(0, 180, 15))
def test_coarse_steady_file_is_decided_by_its_step(zone, step, first):
    """No time steps back, but only one reading goes on with the step of the rows around."""
    change, _ = autumn(zone)
    utc = np.arange(change - 12 * HOUR + first * MINUTE, change + 12 * HOUR, step)
    for block in (None, 1, 3):
        assert read(naive_local(utc, zone), Clock(zone), block).tolist() == utc.tolist()


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(ZONES),
    st.lists(st.integers(1, 5_000), min_size=3, max_size=200),
    st.integers(0, 4 * 3_600),
    st.integers(1, 30),
    st.booleans(),
    st.integers(1, 2),
)
def test_irregular_file_is_never_wrong_and_does_not_depend_on_blocks(
    zone, gaps_s, before_s, block, falls, tags
):
    """Rows in order at any distance, one tag after the other: exactly right, or refused."""
    change, _ = autumn(zone)
    utc = change - before_s * SECOND + np.cumsum(gaps_s) * SECOND
    utc = np.tile(utc[:: -1 if falls else 1], tags)
    local = naive_local(utc, zone)
    results = []
    for size in (None, block):
        try:
            results.append(read(local, Clock(zone), size).tolist())
        except BadTimeError as refused:
            results.append(refused.reason)
    assert results[0] == results[1]
    assert results[0] == utc.tolist() or isinstance(results[0], str)


@pytest.mark.parametrize("zone", ZONES)
def test_dense_irregular_file_is_read(zone):
    change, hour = autumn(zone)
    rng = np.random.default_rng(3)
    utc = change - 3 * HOUR + np.cumsum(rng.integers(1, 2 * hour // 10, 200))
    assert utc[-1] > change + 2 * HOUR
    assert read(naive_local(utc, zone), Clock(zone)).tolist() == utc.tolist()


def test_one_tag_after_the_other_passes_the_hour_each_time():
    change, _ = autumn("Europe/Berlin")
    utc = np.tile(np.arange(change - 3 * HOUR, change + 3 * HOUR, MINUTE), 3)
    assert read(naive_local(utc, "Europe/Berlin"), Clock("Europe/Berlin"), 50).tolist() == list(utc)


def test_several_rows_of_one_time_pass_the_hour():
    change, _ = autumn("Europe/Berlin")
    utc = np.repeat(np.arange(change - 3 * HOUR, change + 3 * HOUR, MINUTE), 4)
    assert read(naive_local(utc, "Europe/Berlin"), Clock("Europe/Berlin"), 50).tolist() == list(utc)


TWICE = (
    "the clock of Europe/Berlin goes back from 2026-10-25 03:00 to 2026-10-25 02:00, so that "
    "2026-10-25 02:00:00 comes twice, and {why}, expected both passes of that hour in order: "
    f"{SETTLES}"
)
ONE_PASS = "the rows show one pass"
DISORDER = "the rows are out of order there or leave out much of it"


def night(minutes):
    """Return local times of the night of 25 October 2026, given in minutes."""
    return us("2026-10-25") + np.array(minutes) * MINUTE


FIRST, PASS, LAST = [*range(60, 120)], [*range(120, 180)], [*range(180, 240)]


@pytest.mark.parametrize("block", [None, 7])
@pytest.mark.parametrize(
    ("minutes", "index", "why"),
    [
        (FIRST + PASS + LAST, 120, ONE_PASS),  # a clock that stays on winter time
        (PASS + LAST, 60, ONE_PASS),
        ([*FIRST, 120, 135, 160, *LAST], 63, ONE_PASS),
        ([*FIRST, 120, 175, *LAST], 61, DISORDER),
        (FIRST + PASS * 3 + LAST, 180, DISORDER),
        (FIRST + PASS[:20] + [130] + PASS[20:], 80, DISORDER),  # one late row
        (FIRST + PASS[:45] + [125] + PASS[45:], 106, DISORDER),
        ([*FIRST, *PASS[:40], 65, *PASS[40:], *LAST], 100, ONE_PASS),
    ],
)
def test_repeated_hour_that_rows_do_not_resolve(minutes, index, why, block):
    clock = Clock("Europe/Berlin")
    size = block or len(minutes)
    with pytest.raises(BadTimeError) as refused:
        for start in range(0, len(minutes), size):
            begun = start
            clock.to_utc(night(minutes)[start : start + size])
    assert begun + refused.value.index == index
    assert refused.value.reason == TWICE.format(why=why)


def test_shuffled_hour_is_refused():
    minutes = np.random.default_rng(0).permutation(PASS * 2)
    with pytest.raises(BadTimeError) as refused:
        Clock("Europe/Berlin").to_utc(night([*FIRST, 120, *minutes]))
    assert refused.value.reason == TWICE.format(why=DISORDER)


def test_end_of_file_in_the_repeated_hour():
    """Rows that go on steadily until the file ends are in the first pass; others may be in any."""
    clock = Clock("Europe/Berlin")
    utc = clock.to_utc(night(FIRST + PASS[:30]))
    clock.finish()
    assert (np.diff(utc) == MINUTE).all()
    clock = Clock("Europe/Berlin")
    clock.to_utc(night([120]))
    with pytest.raises(BadTimeError) as refused:
        clock.finish()
    assert refused.value.index == -1
    assert refused.value.reason == TWICE.format(why=ONE_PASS)


@pytest.mark.parametrize("minutes", [[150, 120, 119], [150, 120]])
def test_falling_file_that_begins_in_the_repeated_hour_is_refused(minutes):
    """It looks like a rising one that steps back from the first pass to the second."""
    with pytest.raises(BadTimeError) as refused:
        read(night(minutes), Clock("Europe/Berlin"))
    assert refused.value.reason == TWICE.format(why=ONE_PASS).replace(
        "2026-10-25 02:00:00 comes", "2026-10-25 02:30:00 comes"
    )


@pytest.mark.parametrize("standard_time", [False, True])
def test_spring_gap(standard_time):
    local = us("2026-03-29") + np.arange(90, 240, 30) * MINUTE
    clock = Clock("Europe/Berlin", standard_time)
    if standard_time:
        assert clock.to_utc(local).tolist() == (local - HOUR).tolist()
        return
    with pytest.raises(BadTimeError) as refused:
        clock.to_utc(local)
    assert refused.value.index == 1
    assert refused.value.reason == (
        "the clock of Europe/Berlin goes forward from 2026-03-29 02:00 to 2026-03-29 03:00, so "
        "that 2026-03-29 02:00:00 does not exist, expected times that the clock shows: " + SETTLES
    )


@pytest.mark.parametrize(
    ("zone", "hours"),
    [
        ("Europe/Berlin", 1),
        ("America/New_York", -5),
        ("Australia/Lord_Howe", 10.5),
        ("Africa/Casablanca", 1),
        ("Europe/Dublin", 0),
        ("UTC", 0),
        ("+05:30", 5.5),
        ("UTC-3", -3),
    ],
)
def test_standard_time_all_year(zone, hours):
    local = np.arange(us("2026-01-01"), us("2027-01-01"), HOUR)
    clock = Clock(zone, standard_time=True)
    assert (local - read(local, clock) == hours * HOUR).all()


def test_times_that_no_clock_knows_do_not_matter():
    """Year 1 and year 9999 stand for no time in many systems; such rows are dropped later."""
    local = np.array([us("0001-01-01"), us("2026-07-01"), us("9999-12-31")])
    assert read(local, Clock("Europe/Berlin"))[1] == us("2026-07-01") - 2 * HOUR
    assert Clock("Europe/Berlin").to_utc(local[:0]).tolist() == []


@pytest.mark.parametrize("zone", ["Europe/Berlinn", "", "../etc/passwd", "+25:00", "CE\x00T"])
def test_unknown_zone(zone):
    with pytest.raises(UsageError) as refused:
        Clock(zone)
    assert str(refused.value) == (
        f"timezone is {zone!r}, expected an IANA name such as UTC or Europe/Berlin, or an offset "
        "such as +01:00: correct it."
    )
