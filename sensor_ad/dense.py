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
from sensor_ad.models import Network, as_output
from sensor_ad.prepare import CLIP, FARTHEST, Preparation
from sensor_ad.records import Floats

SHORT_SHARE = 8
LONG_WINDOWS = (1, 4)
RESIDUAL_SCALES = ("spike", "row", "eighth of a window", "window", "four windows")
"""A residual is looked at on so many scales of time: how far one row stands out from both its
neighbours, row by row, and as means over an eighth of a window, a window and four windows (slow
drifts show where starts and stops have averaged out)."""
SPIKE, ROW = 0, 1
LEVEL_WINDOWS = (2, 4)
"""Levels are means over so many windows: faults that last show in them, noise does not; slow ones
show in the longer."""
SPREAD_WINDOWS = 1
"""How much a tag moves is taken over so many windows, about its own mean over an eighth of one:
noise and fast swings, whatever its level."""
LEAST_SPREAD = 0.1
"""Scaled units: whatever moves less, hardly moves."""
LEAST_HALF = 0.25
"""Observed share of a half window from which its mean counts."""
THERE = 0.5
"""Observed share of a window from which a tag is there."""
LEAST_WEIGHT = 0.05
"""Observed share below which a smoothed value is taken as 0 (nothing known)."""


@dataclass(frozen=True)
class Dense:
    """What the pass gives for one tile with its halo, on the device; J = P / align pooled steps."""

    expected: torch.Tensor
    """(C, P) scaled reconstruction."""
    brief: torch.Tensor
    """(3, C, P) absolute scaled residual on the scales of time up to an eighth of a window."""
    lasting: torch.Tensor
    """(2, C, J) absolute scaled residual over one and over four windows, at pooled steps."""
    mask: torch.Tensor
    """(C, P) 1 where observed, and the network's expectation counts."""
    rows: dict[str, torch.Tensor]
    """Name -> (P,) evidence of the network's own."""
    observed: torch.Tensor
    """(P,) share of the cells observed in the window around each row, and open to judgement."""
    latents: torch.Tensor
    """(J, 2D) float64 mean and spread of the latents pooled over a window."""
    level: torch.Tensor
    """(3, J, C) mean of the scaled readings over two and over four windows, and the logarithm of
    their variance about a moving mean, over one (0 where next to nothing moves)."""
    seen: torch.Tensor
    """(3, J, C) share of these windows that was observed."""
    cover: torch.Tensor
    """(J,) share of the window that was observed of the tags that were there, if most were."""
    x: torch.Tensor
    """(C, P) scaled readings, 0 where there is none."""
    given: torch.Tensor
    """(C, P) 1 where there is one."""
    weight: torch.Tensor
    """(J,) share of the cells of that window that were observed and that latents tell of."""

    def residuals(self) -> torch.Tensor:
        """(5, C, P) absolute scaled residual on each scale of time; 0 where unobserved."""
        step = self.brief.shape[2] // self.lasting.shape[2]
        return torch.cat([self.brief, _to_rows(self.lasting, step) * self.mask])

    def spikes(self, scale: torch.Tensor) -> torch.Tensor:
        """(P,) the highest spike of any tag, over the most that is normal for it (5, C)."""
        return (self.brief[SPIKE] / scale[SPIKE][:, None]).amax(dim=0)

    def contributions(self, scale: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Relate residuals to the most that is normal.

        Parameters
        ----------
        scale
            (5, C) the most that is normal for each tag on each scale of time.

        Returns
        -------
        (C, P) the highest of all scales of time, and of those up to a window.
        """
        step = self.brief.shape[2] // self.lasting.shape[2]
        count = len(self.brief)
        lasting = (self.lasting / scale[count:, :, None]).amax(dim=0)
        window = self.lasting[0] / scale[count][:, None]
        highest, prompt = _to_rows(torch.stack([lasting, window]), step).mul_(self.mask)
        for part, most in zip(self.brief, scale, strict=False):
            torch.maximum(prompt, part / most[:, None], out=prompt)
        return torch.maximum(highest, prompt, out=highest), prompt


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
    assert isinstance(network, Network)
    x, mask = network_inputs(preparation, values, layout, device, FARTHEST)
    step, rows = layout.align, len(values)
    result, hooked = outputs(x.clamp(-CLIP, CLIP), mask)
    with torch.inference_mode():
        output = as_output(result)
        latents = network.steps(hooked[network.bottleneck_name], 1)
        latents = latents[..., : rows * latents.shape[2] // x.shape[2]]
        x, mask = x[..., :rows], mask[..., :rows]
        expected = output.expected[..., :rows]
        opinion = network.judged(mask)
        judged = mask if opinion is None else opinion
        residual = (x - expected).mul_(judged)
        steps, seen = _step_means(residual, step), _step_means(judged, step)
        cells = seen if opinion is None else _step_means(mask, step)
        # Scaled values are 0 where unobserved.
        means_of_steps = _step_means(x, step)
        lengths = [windows * window for windows in (*LEVEL_WINDOWS, SPREAD_WINDOWS)]
        observed = [_around(cells, rows, step) for rows in lengths]
        moved = _step_means(_squared_deviations(x, mask, window), step)
        level = [
            weighted(_around(part, rows, step), known)
            for part, rows, known in zip(
                (means_of_steps, means_of_steps, moved), lengths, observed, strict=True
            )
        ]
        level[-1] = torch.log1p(level[-1] / LEAST_SPREAD**2)
        informed = network.informed(mask)
        shown = mask if informed is None else mask * informed
        # A forecaster cannot judge a row without its history; others can, with half a window less.
        told = shown if network.causal else mask
        share = _around(_step_means(told.mean(dim=1, keepdim=True), step), window, step)[:, 0]
        weight = _around(_step_means(shown.mean(dim=1, keepdim=True), step), window, step)[:, 0]
        lasting = [_lasting(steps, seen, windows * window // 2 // step) for windows in LONG_WINDOWS]
        return Dense(
            expected=expected[0],
            brief=_brief(residual, judged, window)[:, 0],
            lasting=torch.stack(lasting)[:, 0],
            mask=judged[0],
            rows={name: part[0, :rows] for name, part in output.rows.items()},
            observed=_to_rows(share[:, None], step)[0, 0],
            latents=pool(latents, shown, window, step)[0].T,
            level=torch.cat(level).transpose(1, 2),
            seen=torch.cat(observed).transpose(1, 2),
            cover=_cover(_around(cells, window, step))[0],
            x=x[0],
            given=mask[0],
            weight=weight[0],
        )


def network_inputs(
    preparation: Preparation,
    values: Floats,
    layout: Layout,
    device: torch.device,
    most: float = CLIP,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale a tile (P, C), and lengthen it to a whole one with its halo.

    Always the same length: libraries choose how to add up by the shape, and the last digit of a
    row's result would depend on how long its export is.

    Returns
    -------
    (1, C, P') scaled readings and their mask on the device, P' ≥ P; nothing is observed beyond P.
    """
    fill = max(layout.tile + 2 * layout.halo - len(values), 0)
    x, mask = preparation.scaled(values, most)
    scaled, observed = (
        F.pad(torch.from_numpy(part).to(device).T[None], (0, fill)).contiguous()
        for part in (x, mask)
    )
    return scaled, observed


def _brief(residual: torch.Tensor, mask: torch.Tensor, window: int) -> torch.Tensor:
    """(3, N, C, P) absolute residual as a spike, of the row, and over an eighth of a window."""
    short = short_rows(window)
    mean = weighted(means(residual, short), means(mask, short))
    return torch.stack([_spikes(residual, mask), residual.abs(), mean.abs_().mul_(mask)])


def short_rows(window: int) -> int:
    """Rows of a mean over an eighth of a window."""
    return max(3, window // SHORT_SHARE + 1)


def _squared_deviations(x: torch.Tensor, mask: torch.Tensor, window: int) -> torch.Tensor:
    """(N, C, P) squared deviation of the readings from their moving mean, 0 where unobserved."""
    size = short_rows(window)
    mean = weighted(means(x, size), means(mask, size))
    return mean.sub_(x).square_().mul_(mask)


def means(values: torch.Tensor, size: int) -> torch.Tensor:
    """(N, C, P) means over the `size` rows around each row, 0 beyond the ends.

    Sums of 1, 2, 4 … rows are made by doubling, and those that `size` consists of are added: a few
    additions a row where a moving box needs `size`, always in the same order.
    """
    P = values.shape[2]
    sums = F.pad(values, (size // 2, size - 1 - size // 2))
    total, taken, length = torch.zeros_like(values), 0, 1
    while length <= size:
        if size & length:
            total += sums[..., taken : taken + P]
            taken += length
        sums = sums[..., :-length] + sums[..., length:]
        length *= 2
    return total.div_(size)


def _spikes(residual: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """How far a row stands out from the row before and the row after, on the same side of both."""
    rise = residual.diff(dim=2).mul_(mask[..., 1:]).mul_(mask[..., :-1])
    spikes = torch.zeros_like(residual)
    spikes[..., 1:-1] = _smaller(rise[..., :-1], -rise[..., 1:])
    return spikes


def _lasting(steps: torch.Tensor, seen: torch.Tensor, count: int) -> torch.Tensor:
    """(N, C, J) what half a window before and half a window after a step have in common.

    A mean over both would show a fault long before it begins; the smaller of the two does not.
    Where only one half was observed (the end of an export), its mean counts, shrunk by the root of
    the observed share, as means over fewer rows scatter more.

    Parameters
    ----------
    steps, seen
        (N, C, J + 1) means of the residual and of the mask, as `_step_means` gives them.
    count
        Steps in half a window.
    """
    total, share = (_halves(values, count) for values in (steps, seen))
    mean = [part / known.clamp(min=LEAST_HALF) for part, known in zip(total, share, strict=True)]
    before, after = (known >= LEAST_HALF for known in share)
    one = torch.where(before, total[0], total[1]).abs()
    known = torch.where(before, share[0], share[1])
    single = one / (2 * known.clamp(min=LEAST_HALF)).sqrt() * (before | after)
    return torch.where(before & after, _smaller(mean[0], mean[1]), single)


def _halves(steps: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, C, J) means of the `count` steps before and after the middle of each step."""
    J = steps.shape[2] - 1
    means = F.avg_pool1d(F.pad(steps, (count - 1, count - 1)), count, stride=1)
    return means[..., :J], means[..., count : count + J]


def _smaller(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Give the smaller amount where both have the same sign, else 0."""
    return torch.minimum(one, other).relu_() + torch.maximum(one, other).neg_().relu_()


def _cover(share: torch.Tensor) -> torch.Tensor:
    """(N, J) share of a window that was observed of the tags that were there; 0 if most were not.

    A tag that is missing for long (a masked sensor) leaves the others to be compared; rows that
    are missing for all tags do not.

    Parameters
    ----------
    share
        (N, C, J) of each tag.
    """
    there = (share >= THERE).to(share.dtype)
    count = there.sum(dim=1)
    cover = (share * there).sum(dim=1) / count.clamp(min=1.0)
    return torch.where(2 * count >= share.shape[1], cover, 0.0)


def _step_means(values: torch.Tensor, step: int) -> torch.Tensor:
    """(N, C, J + 1) means over stretches of `step` rows that end in the middle of each step.

    Everything that is pooled over more rows is made of these, which are fewer.
    """
    padded = F.pad(values, (step // 2, step - step // 2))
    return padded.reshape(*padded.shape[:2], -1, step).mean(dim=3)


def _around(steps: torch.Tensor, window: int, step: int) -> torch.Tensor:
    """(N, C, J) means over the window around each step, of what `_step_means` gives."""
    J, count = steps.shape[2] - 1, window // step
    before = count // 2 - 1
    means = F.avg_pool1d(F.pad(steps, (max(before, 0), count // 2)), count, stride=1)
    return means[..., :J]


def pool(latents: torch.Tensor, mask: torch.Tensor, window: int, step: int) -> torch.Tensor:
    """(N, 2D, J) mean and standard deviation of the latents in the window around each step.

    In float64: the root of a small variance, a difference of two squares, would turn the rounding
    of float32, which depends on where a tile was cut, into a thousand times as much.
    """
    latents, stride = latents.double(), mask.shape[2] // latents.shape[2]
    weight = F.avg_pool1d(mask.mean(dim=1, keepdim=True), stride).double()
    size, every = max(window // stride, 1), step // stride
    total = _box(weight, size, every)
    mean = weighted(_box(latents * weight, size, every), total)
    square = weighted(_box(latents.square() * weight, size, every), total)
    spread = (square - mean.square()).clamp(min=0.0).sqrt()
    return torch.cat([mean, spread], dim=1)


def _box(values: torch.Tensor, size: int, step: int) -> torch.Tensor:
    """(N, C, T / step) means over `size` values around each stretch of `step` values."""
    extra = size - step
    padded = F.pad(values, (extra // 2, extra - extra // 2))
    return F.avg_pool1d(padded, size, stride=step)


def weighted(total: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
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
