"""The one pass: a tile of readings comes in, residuals, pooled latents and levels go out.

The network runs once over the whole tile; its bottleneck is read by a hook in the same pass.
Pooling and smoothing are convolutions with a box, weighted by what was observed, so that a tile's
core does not depend on where the tile was cut.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from sensor_ad.features import LayerOutputs
from sensor_ad.grid import Layout
from sensor_ad.models import ConvAutoencoder
from sensor_ad.prepare import Preparation
from sensor_ad.records import Floats

SHORT_SHARE = 8
LONG_WINDOWS = (1, 4)
RESIDUAL_SCALES = ("spike", "row", "eighth of a window", "window", "four windows")
"""A residual is looked at on so many scales of time: how far one row stands out from both its
neighbours, row by row, and as means over an eighth of a window, a window and four windows (slow
drifts show where starts and stops have averaged out)."""
SPIKE, ROW = 0, 1
LEAST_HALF = 0.25
"""Observed share of a half window from which its mean counts."""
LEAST_WEIGHT = 0.05
"""Observed share below which a smoothed value is taken as 0 (nothing known)."""


@dataclass(frozen=True)
class Dense:
    """What the pass gives for one tile with its halo, on the device; J = P / align pooled steps."""

    expected: torch.Tensor
    """(C, P) scaled reconstruction."""
    residuals: torch.Tensor
    """(5, C, P) absolute scaled residual on each scale of time."""
    observed: torch.Tensor
    """(P,) share of the cells observed in the window around each row."""
    latents: torch.Tensor
    """(J, 2D) float64 mean and spread of the latents pooled over a window."""
    level: torch.Tensor
    """(J, C) mean of the scaled readings over a window."""
    weight: torch.Tensor
    """(J,) share of the cells observed in that window."""


def run_tile(
    outputs: LayerOutputs,
    preparation: Preparation,
    values: Floats,
    window: int,
    layout: Layout,
    device: torch.device,
) -> Dense:
    """Run the network over one tile.

    Parameters
    ----------
    outputs
        The network with a hook on its bottleneck, within its with-block.
    preparation
        Scaling.
    values
        (P, C) plant units, NaN where unobserved; P a multiple of ``layout.align``.
    window
        L, rows.
    """
    network = outputs.network
    assert isinstance(network, ConvAutoencoder)
    x_rows, mask_rows = preparation.scaled(values)
    x = torch.from_numpy(x_rows).to(device).T[None].contiguous()
    mask = torch.from_numpy(mask_rows).to(device).T[None].contiguous()
    expected, hooked = outputs(x, mask)
    with torch.inference_mode():
        latents = hooked[network.bottleneck_name]
        residual = (x - expected) * mask
        step = layout.align
        seen = _box(mask, window, step)
        weight = seen.mean(dim=1)
        return Dense(
            expected=expected[0],
            residuals=_residuals(residual, mask, window, step)[:, 0],
            observed=_to_rows(weight[:, None], step)[0, 0],
            latents=_pool(latents, mask, window, step, network.stride)[0].T,
            level=_weighted(_box(x * mask, window, step), seen)[0].T,
            weight=weight[0],
        )


def _residuals(residual: torch.Tensor, mask: torch.Tensor, window: int, step: int) -> torch.Tensor:
    """(5, N, C, P) absolute residual on each scale of time; 0 where unobserved."""
    short = max(3, window // SHORT_SHARE + 1)
    around = (short, 1, short // 2)
    brief = _weighted(F.avg_pool1d(residual, *around), F.avg_pool1d(mask, *around))
    parts = [_spikes(residual, mask), residual.abs(), brief.abs() * mask]
    for windows in LONG_WINDOWS:
        lasting = _lasting(residual, mask, windows * window // 2, step)
        parts.append(_to_rows(lasting, step) * mask)
    return torch.stack(parts)


def _spikes(residual: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """How far a row stands out from the row before and the row after, on the same side of both."""
    rise = F.pad(residual.diff(dim=2) * mask[..., 1:] * mask[..., :-1], (1, 1))
    before, after = rise[..., :-1], -rise[..., 1:]
    return _smaller(before, after) * mask


def _lasting(residual: torch.Tensor, mask: torch.Tensor, half: int, step: int) -> torch.Tensor:
    """(N, C, J) what the `half` rows before and the `half` rows after a step have in common.

    A mean over both would show a fault long before it begins; the smaller of the two does not.
    Where only one half was observed (the end of an export), its mean counts, shrunk by the root of
    the observed share, as means over fewer rows scatter more.
    """
    total, seen = (_halves(values, half, step) for values in (residual, mask))
    mean = [part / share.clamp(min=LEAST_HALF) for part, share in zip(total, seen, strict=True)]
    known = [share >= LEAST_HALF for share in seen]
    one = torch.where(known[0], total[0], total[1]).abs()
    share = torch.where(known[0], seen[0], seen[1])
    single = one / (2 * share.clamp(min=LEAST_HALF)).sqrt() * (known[0] | known[1])
    return torch.where(known[0] & known[1], _smaller(mean[0], mean[1]), single)


def _halves(values: torch.Tensor, half: int, step: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, C, J) means of the `half` rows (whole steps) before and after each step's middle."""
    J, count, middle = values.shape[2] // step, half // step, step // 2
    padded = F.pad(values, (half - middle, half + middle))
    # Pooled to steps first: one pooling for both halves instead of one for each row.
    means = F.avg_pool1d(F.avg_pool1d(padded, step, stride=step), count, stride=1)
    return means[..., :J], means[..., count : count + J]


def _smaller(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Give the smaller amount where both have the same sign, else 0."""
    same = (one * other) > 0
    return torch.minimum(one.abs(), other.abs()) * same


def _pool(
    latents: torch.Tensor, mask: torch.Tensor, window: int, step: int, stride: int
) -> torch.Tensor:
    """(N, 2D, J) mean and standard deviation of the latents in the window around each step.

    In float64: the root of a small variance, a difference of two squares, would turn the rounding of
    float32, which depends on where a tile was cut, into a thousand times as much.
    """
    latents = latents.double()
    weight = F.avg_pool1d(mask.mean(dim=1, keepdim=True), stride).double()
    size, every = max(window // stride, 1), step // stride
    total = _box(weight, size, every)
    mean = _weighted(_box(latents * weight, size, every), total)
    square = _weighted(_box(latents.square() * weight, size, every), total)
    spread = (square - mean.square()).clamp(min=0.0).sqrt()
    return torch.cat([mean, spread], dim=1)


def _box(values: torch.Tensor, size: int, step: int) -> torch.Tensor:
    """(N, C, T / step) means over `size` values around each stretch of `step` values."""
    extra = size - step
    padded = F.pad(values, (extra // 2, extra - extra // 2))
    return F.avg_pool1d(padded, size, stride=step)


def _weighted(total: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Divide by the observed share; 0 where next to nothing was observed."""
    return torch.where(weight >= LEAST_WEIGHT, total / weight.clamp(min=LEAST_WEIGHT), 0.0)


def _to_rows(steps: torch.Tensor, step: int) -> torch.Tensor:
    """Interpolate (N, C, J) linearly between the centres of steps to (N, C, J * step) rows."""
    return F.interpolate(steps, scale_factor=float(step), mode="linear", align_corners=False)


def steps_to_rows(steps: Floats, step: int) -> Floats:
    """Interpolate (J, E) linearly between the centres of the steps to (J * step, E) rows."""
    tensor = torch.from_numpy(steps.T[None].copy())
    rows: Floats = _to_rows(tensor, step)[0].T.numpy()
    return rows
