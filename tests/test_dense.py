"""The one pass: the same as plain loops over rows, and the same wherever a tile is cut."""

from dataclasses import fields

import naive
import numpy as np
import pytest
import torch

from sensor_ad.config import make_config
from sensor_ad.dense import (
    LEAST_HALF,
    LEAST_SPREAD,
    LEAST_WEIGHT,
    LEVEL_WINDOWS,
    LONG_WINDOWS,
    RESIDUAL_SCALES,
    ROW,
    SHORT_SHARE,
    SPIKE,
    SPREAD_WINDOWS,
    THERE,
    run_tile,
    short_rows,
    steps_to_rows,
)
from sensor_ad.features import LayerOutputs
from sensor_ad.grid import Grid, Layout, Rows
from sensor_ad.models import ConvAutoencoder
from sensor_ad.models.network import LEAST_SEEN
from sensor_ad.prepare import fit_preparation, make_layout
from sensor_ad.records import Tag

CPU = torch.device("cpu")
GRID = Grid(1_000_000, 0)
RANDOM = np.random.default_rng(8)
C, WINDOW = 2, 16
SIZE = short_rows(WINDOW)


def readings(P, missing=0.15):
    """Make readings in plant units with single and long holes."""
    values = np.stack([50 + 5 * np.sin(np.arange(P) / 7), np.arange(P) % 13.0], axis=1)
    values += RANDOM.normal(0, 0.5, (P, C))
    values[RANDOM.random((P, C)) < missing] = np.nan
    values[P // 2 : P // 2 + 3 * WINDOW] = np.nan
    values[P // 4 : P // 4 + 2 * WINDOW, 1] = np.nan
    return values


def preparation_for(values):
    rows = Rows(np.arange(len(values)), values, np.isfinite(values).any(axis=1))
    tags = tuple(Tag(f"t{c}") for c in range(C))
    return fit_preparation(tags, ("continuous",) * C, rows, GRID, np.ones(C, np.int64), "")


def run(values, preparation, layout, window=WINDOW):
    torch.manual_seed(0)
    network = ConvAutoencoder(C, window)
    with LayerOutputs(network, [network.bottleneck_name]) as outputs:
        return network, run_tile(outputs, preparation, values, window, layout, CPU)


@pytest.fixture(scope="module", params=[WINDOW // 2, 2], ids=["half window", "stride"])
def passed(request):
    """Give a pass over a tile, pooled at half windows or at every latent step, and what it saw."""
    values = readings(160)
    preparation = preparation_for(values)
    layout = Layout(align=request.param, halo=64, max_hole=2, tile=32)
    network, dense = run(values, preparation, layout)
    x, mask = preparation.scaled(values)
    tensors = (torch.from_numpy(array.T.copy())[None] for array in (x, mask))
    with torch.inference_mode():
        expected = network.eval()(*tensors)[0].numpy().T
    residual = np.where(mask > 0, x - expected, 0.0)
    return network, layout, x, mask, residual, expected, dense


def close(found, expected):
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_expected_is_the_networks_output(passed):
    *_, expected, dense = passed
    close(dense.expected.T, expected)


def informed_rows(network, mask):
    """Give (P,) whether the latent step of a row saw enough rows."""
    reach, stride = network.encoder_reach, network.stride
    return np.array([
        naive.seen_share(mask, row // stride * stride - reach, stride + 2 * reach, WINDOW // 8)
        >= LEAST_SEEN
        for row in range(len(mask))
    ])  # fmt: skip


def test_level_and_weight_equal_naive(passed):
    network, layout, x, mask, _, _, dense = passed
    P, J = len(x), len(x) // layout.align
    informed = informed_rows(network, mask)
    assert 0.2 < informed.mean() < 0.9
    assert dense.level.shape == dense.seen.shape == (len(LEVEL_WINDOWS) + 1, J, C)
    for j in range(J):
        rows = naive.window_rows(j, layout.align, WINDOW, P)
        shown = mask[rows] * informed[rows, None]
        close(dense.weight[j], shown.sum() / (WINDOW * C))
        there = [share for share in mask[rows].sum(axis=0) / WINDOW if share >= THERE]
        close(dense.cover[j], np.mean(there) if 2 * len(there) >= C else 0.0)
        for k, windows in enumerate(LEVEL_WINDOWS):
            wide = windows * WINDOW
            around = naive.window_rows(j, layout.align, wide, P)
            for c in range(C):
                mean = naive.weighted_mean(x[around, c], mask[around, c], wide, LEAST_WEIGHT)
                close(dense.level[k, j, c], mean)
                close(dense.seen[k, j, c], mask[around, c].sum() / wide)
        around = naive.window_rows(j, layout.align, SPREAD_WINDOWS * WINDOW, P)
        for c in range(C):
            size = SPREAD_WINDOWS * WINDOW
            moved = [naive.squared_deviation(x[:, c], mask[:, c], row, SIZE) for row in around]
            variance = naive.weighted_mean(moved, mask[around, c], size, LEAST_WEIGHT)
            close(dense.level[-1, j, c], np.log1p(variance / LEAST_SPREAD**2))
            close(dense.seen[-1, j, c], mask[around, c].sum() / size)
    close(dense.x.T, x)
    close(dense.given.T, mask)


def test_observed_share_of_rows_equals_naive(passed):
    _, layout, x, mask, _, _, dense = passed
    windows = [
        naive.window_rows(j, layout.align, WINDOW, len(x)) for j in range(len(x) // layout.align)
    ]
    shares = [float(mask[rows].sum() / (WINDOW * C)) for rows in windows]
    expected = [naive.between_steps(shares, layout.align, row) for row in range(len(x))]
    close(dense.observed, expected)


def test_pooled_latents_equal_naive(passed):
    network, layout, x, mask, _, _, dense = passed
    stride, D = network.stride, network.latent
    tensors = (torch.from_numpy(array.T.copy())[None] for array in (x * mask, mask))
    with torch.inference_mode():
        latents = network.bottleneck(network.encoder(torch.cat(tuple(tensors), dim=1)))[0].numpy()
    shown = mask * informed_rows(network, mask)[:, None]
    weight = [shown[k * stride : (k + 1) * stride].mean() for k in range(latents.shape[1])]
    assert dense.latents.shape == (len(x) // layout.align, 2 * D)
    for j in range(dense.latents.shape[0]):
        size, every = WINDOW // stride, layout.align // stride
        steps = naive.window_rows(j, every, size, len(weight))
        weights = [weight[k] for k in steps]
        for d in range(D):
            mean = naive.weighted_mean(latents[d, steps], weights, size, LEAST_WEIGHT)
            square = naive.weighted_mean(latents[d, steps] ** 2, weights, size, LEAST_WEIGHT)
            close(dense.latents[j, d], mean)
            # The square of a spread is what both add up to: roots of tiny differences scatter.
            close(dense.latents[j, D + d] ** 2, max(square - mean**2, 0))


def test_residuals_of_rows_equal_naive(passed):
    _, _, _, mask, residual, _, dense = passed
    assert len(dense.residuals()) == len(RESIDUAL_SCALES)
    close(dense.residuals()[ROW].T, np.abs(residual))
    for c in range(C):
        expected = [naive.spike(residual[:, c], mask[:, c] > 0, row) for row in range(len(mask))]
        close(dense.residuals()[SPIKE, c], expected)


def test_residuals_of_an_eighth_of_a_window_equal_naive(passed):
    _, _, _, mask, residual, _, dense = passed
    P, size = len(mask), max(3, WINDOW // SHORT_SHARE + 1)
    for c in range(C):
        for row in range(P):
            around = [k for k in range(row - size // 2, row + size // 2 + 1) if 0 <= k < P]
            weights = mask[around, c].tolist()
            mean = naive.weighted_mean(residual[around, c], weights, size, LEAST_WEIGHT)
            close(dense.residuals()[ROW + 1, c, row], abs(mean) * mask[row, c])


@pytest.mark.parametrize("scale", range(len(LONG_WINDOWS)))
def test_lasting_residuals_equal_naive(passed, scale):
    _, layout, _, mask, residual, _, dense = passed
    half, step = LONG_WINDOWS[scale] * WINDOW // 2, layout.align
    for c in range(C):
        steps = [
            naive.lasting(residual[:, c], mask[:, c] > 0, half, middle, LEAST_HALF)
            for middle in range(step // 2, len(mask), step)
        ]
        expected = [naive.between_steps(steps, step, row) for row in range(len(mask))]
        close(dense.residuals()[ROW + 2 + scale, c], np.array(expected) * mask[:, c])


def test_hidden_readings_change_nothing(passed):
    _, layout, x, mask, _, _, dense = passed
    values = readings(160)
    assert (mask == 0).any()
    assert torch.isfinite(dense.residuals()).all()
    for name in ("expected", "level", "latents"):
        assert torch.isfinite(getattr(dense, name)).all()
    nothing = np.full_like(values, np.nan)
    _, empty = run(nothing, preparation_for(values), layout)
    assert (empty.residuals() == 0).all()
    for name in ("level", "latents", "weight", "observed"):
        assert (getattr(empty, name) == 0).all()
    assert len(x) == len(values)


@pytest.mark.parametrize("fine", [False, True])
@pytest.mark.parametrize("window", [8, 16, 64])
def test_core_of_a_tile_knows_no_cut(window, fine):
    torch.manual_seed(0)
    network = ConvAutoencoder(C, window)
    layout = make_layout(make_config({}), window, network, GRID, C, fine)
    size = 2 * layout.halo
    values = readings(size + 6 * layout.halo // layout.align * layout.align)
    preparation = preparation_for(values)
    _, whole = run(values, preparation, layout, window)

    start = 2 * layout.halo
    cut = slice(start - layout.halo, start + size + layout.halo)
    _, part = run(values[cut], preparation, layout, window)

    rows, steps = slice(start, start + size), slice(start // layout.align,
                                                    (start + size) // layout.align)  # fmt: skip
    core = slice(layout.halo, layout.halo + size)
    core_steps = slice(layout.halo // layout.align, (layout.halo + size) // layout.align)
    for field in fields(whole):
        one, other = getattr(whole, field.name), getattr(part, field.name)
        if field.name == "rows":
            assert one == other == {}
            continue
        if field.name in ("level", "seen"):
            one, other = one[:, steps], other[:, core_steps]
        elif field.name in ("latents", "cover", "weight"):
            one, other = one[steps], other[core_steps]
        elif field.name == "lasting":
            one, other = one[..., steps], other[..., core_steps]
        else:
            one, other = one[..., rows], other[..., core]
        torch.testing.assert_close(other, one, atol=1e-5, rtol=1e-5, msg=field.name)


def test_contributions_are_the_highest_over_the_scales_of_time(passed):
    *_, dense = passed
    scale = torch.rand((len(RESIDUAL_SCALES), C)) + 0.5
    expected = (dense.residuals() / scale[:, :, None]).amax(dim=0)
    step = dense.brief.shape[2] // dense.lasting.shape[2]
    found, prompt = dense.contributions(scale)
    short = dense.residuals()[:-1] / scale[:-1, :, None]
    torch.testing.assert_close(prompt, short.amax(dim=0))
    # The two longest scales are joined before they are interpolated, which lies above at most.
    assert (found >= expected - 1e-6).all()
    torch.testing.assert_close(found[:, step // 2 :: step], expected[:, step // 2 :: step],
                               atol=0.2, rtol=0.1)  # fmt: skip


@pytest.mark.parametrize("step", [1, 2, 8])
def test_steps_to_rows_equals_naive(step):
    steps = RANDOM.normal(size=(6, 3)).astype(np.float32)
    rows = steps_to_rows(steps, step)
    assert rows.shape == (6 * step, 3)
    for c in range(3):
        expected = [naive.between_steps(steps[:, c], step, row) for row in range(6 * step)]
        close(rows[:, c], expected)
