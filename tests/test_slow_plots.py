"""The picture of slow change: the most changed tags, whatever they are called, of any run."""

import io
from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest
from fake_run import HOSTILE_TAGS, TAGS, make_slow
from PIL import Image

from sensor_ad import slow_plots
from sensor_ad.plots import DPI
from sensor_ad.slow_change import judge_slow_change
from sensor_ad.slow_plots import shown, slow_png

ZONE = ZoneInfo("Europe/Berlin")


def size_of(png):
    """Give width and height of a picture, pixels."""
    return Image.open(io.BytesIO(png)).size


def colours(png):
    """Give the colours of a picture."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    return {colour for _, colour in image.getcolors(1 << 24)}


def test_most_changed_tags_are_shown():
    change = make_slow(TAGS)
    assert [one.tag for one in shown(change)] == ["vibration_de", "bearing_temp", "flow"]


def test_calm_run_shows_two_tags_and_a_wild_one_no_more_than_four():
    change = make_slow(TAGS)
    calm = replace(change, tags=change.having("as in training"))
    assert len(shown(calm)) == slow_plots.LEAST_PANELS
    wild = replace(change, tags=change.having("drift") * 9)
    assert len(shown(wild)) == slow_plots.MOST_PANELS


def test_nothing_is_shown_of_which_nothing_can_be_told():
    slots = make_slow(TAGS).slots
    assert shown(judge_slow_change(slots, None, TAGS, ())) == ()
    assert shown(make_slow(TAGS, days=2)) == ()


def test_set_points_are_not_shown():
    change = make_slow(TAGS)
    only = replace(change, tags=tuple(one for one in change.tags if one.tag == "valve_open"))
    assert shown(only) == ()


@pytest.mark.parametrize("count", [1, 4])
def test_height_follows_the_tags(count):
    change = make_slow(TAGS)
    png = slow_png(change, change.tags[:count], ZONE)
    one = slow_plots.TITLE_IN + slow_plots.LEVEL_IN + slow_plots.BETWEEN_IN + slow_plots.STRAYED_IN
    height = slow_plots.TOP_IN + count * one + slow_plots.BOTTOM_IN
    assert size_of(png) == (8 * DPI, pytest.approx(height * DPI, abs=2))


def test_drift_is_shaded():
    change = make_slow(TAGS)
    drifting, calm = (slow_png(change, [change.tags[k]], ZONE) for k in (0, 3))
    shade = (251, 235, 204)  # orange, one fifth on white
    near = [
        any(max(abs(a - b) for a, b in zip(shade, seen, strict=True)) < 6 for seen in colours(png))
        for png in (drifting, calm)
    ]
    assert near == [True, False]


def test_hostile_names_and_hardly_any_slots():
    change = make_slow(HOSTILE_TAGS)
    assert len(slow_png(change, shown(change), ZONE)) > 2_000
    names = ("start_us", "reading", "expected")
    few = replace(change.slots, **{name: getattr(change.slots, name)[:1] for name in names})
    change = replace(change, slots=few, strayed=change.strayed[:1])
    assert len(slow_png(change, change.tags[:1], ZONE)) > 2_000


def test_begin_of_the_export_is_marked():
    change = make_slow(TAGS)
    later = replace(change, since_us=int(change.slots.start_us[300]))
    assert slow_png(later, change.tags[:1], ZONE) != slow_png(change, change.tags[:1], ZONE)
