"""Windows as pictures of power: known signals, a slow twin, holes and edges."""

import doctest
import math
from itertools import pairwise

import naive
import pytest
import torch

from sensor_ad.models import pictures
from sensor_ad.models.pictures import (
    PICTURES,
    QUIET,
    Picture,
    Scalogram,
    Spectrogram,
    along_rows,
    column_errors,
    scalogram_periods,
)

SCALE_OF_PERIOD = (6 + math.sqrt(2 + 6**2)) / (4 * math.pi)
"""Torrence and Compo 1998, table 1: the Morlet wavelet's scale for a wave's period."""


def drawn(kind, values, mask=None):
    """Draw windows in double precision."""
    mask = torch.ones_like(values) if mask is None else mask
    return kind(values.shape[2]).double()(values * mask, mask)


def sine(period, window, amplitude=1.0, phase=0.7):
    rows = torch.arange(window, dtype=torch.double)
    return amplitude * torch.sin(2 * math.pi * rows / period + phase)[None, None]


def test_examples_of_the_docstrings():
    result = doctest.testmod(pictures)
    assert result.attempted > 0
    assert result.failed == 0


# --- both ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", PICTURES.values())
@pytest.mark.parametrize("window", [32, 64, 256])
def test_pictures_have_sixteen_columns(kind, window):
    values, mask = torch.randn(2, 3, window), torch.ones(2, 3, window)
    module = kind(window)
    picture = module(values, mask)
    assert picture.power.shape == (2, 3, module.height, 16)
    assert picture.share.expand_as(picture.power).dtype == torch.float32
    torch.testing.assert_close(picture.share, torch.ones_like(picture.share))
    assert not list(module.parameters())
    assert not module.state_dict()


@pytest.mark.parametrize("kind", PICTURES.values())
def test_noise_of_normal_spread_has_no_power_to_speak_of(kind):
    torch.manual_seed(0)
    picture = drawn(kind, torch.randn(2000, 1, 64, dtype=torch.double))
    inside = 10 ** picture.power[:, 0, 2:, 6:11]
    assert inside.mean(dim=(0, 2)).tolist() == pytest.approx([1] * inside.shape[1], rel=0.07)


@pytest.mark.parametrize("kind", PICTURES.values())
def test_twice_the_amplitude_is_four_times_the_power(kind):
    torch.manual_seed(0)
    values = 100 * torch.randn(2, 2, 64, dtype=torch.double)
    once, twice = drawn(kind, values).power, drawn(kind, 2 * values).power
    more = torch.full_like(once, math.log10(4))
    torch.testing.assert_close(twice - once, more, atol=1e-3, rtol=0)


@pytest.mark.parametrize("kind", PICTURES.values())
def test_silence_is_quiet(kind):
    picture = drawn(kind, torch.zeros(1, 1, 64, dtype=torch.double))
    torch.testing.assert_close(picture.power, torch.full_like(picture.power, math.log10(QUIET)))


@pytest.mark.parametrize("kind", PICTURES.values())
def test_mixed_precision_draws_the_same(kind):
    """A loud wave, rounded to 8 bits, would drown a quiet one."""
    torch.manual_seed(0)
    values = (sine(8, 64, 10) + sine(3, 64, 0.01)).float()
    module, mask = kind(64), (torch.rand(1, 1, 64) > 0.05).float()
    plain = module(values * mask, mask)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = module(values * mask, mask)
    for name in ("power", "share", "counted"):
        assert torch.equal(getattr(mixed, name), getattr(plain, name)), name


# --- spectrograms -------------------------------------------------------------------------------


def test_spectrogram_of_a_sine_is_known():
    """A wave of amplitude A in a Hann window: |A · sum(w) / 2|² at its frequency, half aside."""
    picture = drawn(Spectrogram, sine(16 / 5, 64, 3, phase=0))
    assert picture.power.shape == (1, 1, 8, 16)
    assert picture.share.shape == (1, 1, 1, 16)
    torch.testing.assert_close(picture.share, torch.ones_like(picture.share))
    peak = (3 * 8 / 2) ** 2 / 6  # the window's 16 weights add up to 8, their squares to 6
    expected = torch.zeros(8, dtype=torch.double)
    expected[5], expected[4], expected[6] = peak, peak / 4, peak / 4
    for frame in range(2, 14):  # those beside are mirrored at the edges
        found = 10 ** picture.power[0, 0, :, frame] - QUIET
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


def test_spectrogram_equals_that_of_torch():
    values, hann = torch.randn(2, 3, 128, dtype=torch.double), torch.hann_window(32).double()
    waves = torch.stft(
        values.flatten(0, 1), 32, 8, window=hann, pad_mode="reflect", return_complex=True
    )
    assert waves.shape == (6, 17, 17)
    expected = (waves.abs().square() / hann.square().sum() + QUIET).log10()
    power = drawn(Spectrogram, values).power
    torch.testing.assert_close(power, expected[:, :16, :16].reshape(2, 3, 16, 16))


# --- scalograms ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("window", "count"), [(32, 8), (64, 12), (256, 20), (4096, 36)])
def test_periods_are_four_an_octave(window, count):
    periods = scalogram_periods(window)
    assert len(periods) == count
    assert periods[0] == window / 4
    assert periods[-1].item() == pytest.approx(2 * 2**0.25)
    assert (periods[:-4] / periods[4:]).tolist() == pytest.approx([2] * (count - 4))


@pytest.mark.parametrize("scale", range(1, 11))
def test_scalogram_of_a_sine_is_known(scale):
    """A²·s·√π/2 at its own scale s, for what the wave differs from the bell's middle a bit less."""
    periods = scalogram_periods(64).tolist()
    power = drawn(Scalogram, sine(periods[scale], 64, 3)).power[0, 0]
    s = periods[scale] * SCALE_OF_PERIOD
    away = 2 * math.pi * SCALE_OF_PERIOD - 6
    expected = 9 * s * math.sqrt(math.pi) / 2 * math.exp(-(away**2))
    for column in (7, 8, 9):
        assert power[:, column].argmax() == scale
        assert power[scale, column].item() == pytest.approx(math.log10(expected + QUIET), abs=0.02)


@pytest.mark.parametrize("window", [32, 64, 128])
def test_ridge_follows_the_period_of_a_sine(window):
    """To an eighth of an octave, slow or fast: the resolution is the same in proportion."""
    periods = scalogram_periods(window)
    for period in torch.linspace(math.log2(3), math.log2(window / 4), 25).exp2().tolist():
        power = drawn(Scalogram, sine(period, window)).power[0, 0, :, 8]
        nearest = (periods.log2() - math.log2(period)).abs()
        assert nearest[power.argmax()] < 1 / 8 + 0.02


def test_ridge_is_as_broad_for_a_slow_wave_as_for_a_fast_one():
    ridges = []
    for octave in (2, 3, 4, 5):
        power = drawn(Scalogram, sine(256 / 2**octave, 1024)).power[0, 0, :, 8]
        ridges.append((power - power[4 * octave])[4 * octave - 2 : 4 * octave + 3])
    assert ridges[0].argmax() == 2
    for ridge in ridges[1:]:
        torch.testing.assert_close(ridge, ridges[0], atol=0.01, rtol=0)


def told_apart(kind, period, other):
    """How far the pictures of two waves in noise lie apart, in spreads of a pixel."""
    torch.manual_seed(0)
    seen = []
    for rows in (period, other):
        values = torch.cat([sine(rows, 256, phase=torch.rand(1).item() * 6.3) for _ in range(200)])
        values = values + 0.1 * torch.randn_like(values)
        seen.append(drawn(kind, values).power[..., 6:11])
    difference = seen[0].mean(dim=0) - seen[1].mean(dim=0)
    spread = (seen[0].var(dim=0) + seen[1].var(dim=0)) / 2
    return (difference.square() / spread).sum().sqrt().item()


def test_scalogram_tells_slow_waves_apart_and_spectrogram_fast_ones():
    """What docs/models.md advises: 6 and 5.2 periods in a window; 85 and 80."""
    assert told_apart(Scalogram, 43, 49) > 3 * told_apart(Spectrogram, 43, 49)
    assert told_apart(Spectrogram, 3, 3.2) > 3 * told_apart(Scalogram, 3, 3.2)


def test_level_is_not_seen():
    """But for 5e-4 of it at the longest period, where the bell is cut off last."""
    level = drawn(Scalogram, torch.full((1, 1, 64), 5.0, dtype=torch.double))
    torch.testing.assert_close(level.power, torch.full_like(level.power, -4.0), atol=0.01, rtol=0)


def test_scalogram_is_a_sum_over_wavelets():
    torch.manual_seed(0)
    values = torch.randn(1, 2, 32, dtype=torch.double)
    mask = (torch.rand(1, 2, 32) > 0.1).double()
    picture = drawn(Scalogram, values, mask)
    for tag in range(2):
        readings, seen = values[0, tag].tolist(), mask[0, tag].tolist()
        for k, period in enumerate(scalogram_periods(32).tolist()):
            for column in range(16):
                scale, row = period * SCALE_OF_PERIOD, 2 * column
                coefficient, share = naive.wavelet(readings, seen, row, scale)
                power = math.log10(abs(coefficient) ** 2 + 1e-4)
                at = (0, tag, k, column)
                assert picture.power[at].item() == pytest.approx(power, abs=1e-4)
                assert picture.share[at].item() == pytest.approx(share, abs=1e-6)
                far = min(row, 31 - row) >= math.sqrt(2) * scale
                assert picture.counted[at].item() == (far and share >= 0.999)


@pytest.mark.parametrize("window", [32, 64, 256, 4096])
def test_middle_of_a_window_is_clear_of_its_edges(window):
    """The rows for which a window answers lie between columns 6 and 10."""
    clear = Scalogram(window).clear
    assert clear[:, 6:11].all()
    assert not clear[:, 0].any()
    for near, far in pairwise(clear):
        assert (far >= near).all()  # a faster wave is clear wherever a slower one is
    assert clear[-1].sum() > clear[0].sum()


def test_pixels_that_count_are_nearly_those_of_a_longer_window():
    """Beside them, what the mirror shows is as wrong as any noise."""
    torch.manual_seed(0)
    values = torch.randn(1000, 1, 256, dtype=torch.double)
    whole, part = drawn(Scalogram, values), drawn(Scalogram, values[..., 96:160])
    # Rows 96, 112, 128 and 144; the periods from 16 rows down.
    difference = whole.power[:, 0, 8:, 6:10] - part.power[:, 0, :, ::4]
    wrong = difference.square().mean(dim=0).sqrt()
    counted = part.counted[0, 0, :, ::4] > 0
    assert wrong[counted].max() < 0.3
    assert wrong[:, 0].min() > 0.8
    assert not counted[:, 0].any()


def test_hole_takes_more_columns_from_slow_waves():
    mask = torch.ones(1, 1, 128, dtype=torch.double)
    mask[..., 64] = 0
    torch.manual_seed(0)
    picture = drawn(Scalogram, torch.randn(1, 1, 128, dtype=torch.double), mask)
    lost = (picture.share[0, 0] < 0.999).sum(dim=1).tolist()
    assert lost == sorted(lost, reverse=True)
    assert (lost[0], lost[-1]) == (16, 1)
    for k in range(4, 16):  # before, the hole's mirror images have a weight, too
        s = scalogram_periods(128)[k].item() * SCALE_OF_PERIOD
        weights = [math.exp(-((8 * (n - 8) / s) ** 2) / 2) for n in range(16)]
        assert lost[k] == sum(weight > 0.001 * s * math.sqrt(2 * math.pi) for weight in weights)
    assert (picture.counted[0, 0, :, 8] == 0).all()


# --- evidence -----------------------------------------------------------------------------------


def test_error_of_a_column_is_the_mean_over_what_counts():
    torch.manual_seed(0)
    told, power = torch.randn(2, 3, 2, 12, 16, dtype=torch.double)
    counted = (torch.rand(3, 2, 12, 16) > 0.4).double()
    counted[0, :, :, 3] = 0
    counted[1, :, :, 5] = 0
    counted[1, 1, 2:4, 5] = 1
    errors = column_errors(told, Picture(power, counted, counted))
    for n in range(3):
        for column in range(16):
            found = [
                (told[n, k, h, column] - power[n, k, h, column]).item() ** 2
                for k in range(2)
                for h in range(12)
                if counted[n, k, h, column]
            ]
            expected = sum(found) / max(len(found), 6)  # at least half of 12 make a mean
            assert errors[n, column].item() == pytest.approx(expected)
    assert errors[0, 3] == 0
    assert errors[1, 5] > 0


def test_error_is_counted_for_all_frequencies_of_a_frame():
    told, power = torch.randn(2, 1, 3, 8, 16)
    counted = torch.ones(1, 3, 1, 16)
    counted[0, 1, 0, 4] = 0
    errors = column_errors(told, Picture(power, counted, counted))[0]
    squares = (told - power)[0].square()
    torch.testing.assert_close(errors[3], squares[:, :, 3].mean())
    torch.testing.assert_close(errors[4], squares[[0, 2], :, 4].mean())


def test_rows_lie_between_columns():
    columns = torch.arange(16.0)[None].square()
    rows = along_rows(columns, 64)[0]
    assert rows.shape == (64,)
    assert rows[::4].tolist() == columns[0].tolist()
    assert rows[41].item() == pytest.approx(100 + (121 - 100) / 4)
    assert rows[60:].tolist() == [225] * 4
