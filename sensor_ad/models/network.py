"""What training and scoring ask of a network, whatever it is made of.

A network is given scaled readings and their mask, and says what it expects of every cell. Two
kinds differ in how they get through a long stretch: one that is *dense* runs over it as it is, in
one pass; a `WindowNetwork` knows windows of one length only, and is led over the stretch in
strides, each window answering for the rows in its core. Everything behind them sees no difference.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from sensor_ad.errors import UsageError

CROP_WINDOWS = 2
"""A dense network's training sample is so many windows long, so that most of its rows see their
whole surroundings."""
HUBER_DELTA = 2.0
"""Scaled residual beyond which the loss grows linearly."""
LEAST_SEEN = 0.9
"""Share of the rows seen by a latent step that must hold a reading for it to count: where it
reaches beyond the end of a segment, it looks like a state that never was."""
HOLES_PER_WINDOW = 8
"""A hole of up to twice such a part of a window is no end of a segment."""
CORES_PER_WINDOW = 4
"""A window answers for one of so many parts of itself: with more, rows see as much before as after
themselves, and scoring costs as many times the passes."""


@dataclass(frozen=True)
class Output:
    """What a network says of (N, C, T) cells."""

    expected: torch.Tensor
    """(N, C, T) scaled readings as they should be, of hidden cells too."""
    rows: Mapping[str, torch.Tensor] = field(default_factory=dict)
    """Name -> (N, T) evidence of the network's own, higher is more abnormal."""
    aside: Mapping[str, torch.Tensor] = field(default_factory=dict)
    """What the network's loss needs beside; nobody else looks at it."""


class Network(nn.Module):
    """Base of all networks: a dense one overrides `forward` and `reach`, and says its `stride`.

    Parameters
    ----------
    channels
        C, number of tags.
    window
        L, rows; a power of two.
    """

    bottleneck_name: str = "bottleneck"
    """Dotted name of the layer whose outputs are the latents."""
    dense: ClassVar[bool] = True
    """Whether it runs over stretches of any length in one pass."""
    causal: ClassVar[bool] = False
    """Whether a row is judged by the rows before it alone."""
    knows_inputs: ClassVar[bool] = False
    """Whether its constructor takes `known`, (C,) which tags are set by people or by logic."""

    def __init__(self, channels: int, window: int) -> None:
        super().__init__()
        self.channels, self.window = channels, window
        self.stride = 1
        """Rows per latent step; stretches are multiples of it."""
        self.width = 1
        """Values that a layer holds for each row, at most: what a step costs."""

    @property
    def reach(self) -> int:
        """Rows before or after itself on which what is said of a row depends."""
        raise NotImplementedError

    @property
    def hole(self) -> int:
        """Rows without a reading, at most, that are a hole in a segment and not its end."""
        return 2 * (self.window // HOLES_PER_WINDOW)

    @property
    def sample_rows(self) -> int:
        """Rows of a training sample."""
        return CROP_WINDOWS * self.window

    @property
    def most_rows(self) -> int:
        """Rows of a tile at most, so that memory stays bounded."""
        return 65_536

    @property
    def applied(self) -> str:
        """How it gets through a long stretch, in words, for the record of a run."""
        return "one pass over whole segments"

    def forward(self, values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor | Output:
        """Say what is expected.

        Parameters
        ----------
        values
            (N, C, T) scaled readings, anything where the mask is 0; T a multiple of `stride`.
        mask
            (N, C, T) 1 where observed, 0 where not.

        Returns
        -------
        (N, C, T) scaled readings as they should be, or an `Output` that holds them.
        """
        raise NotImplementedError

    def loss(
        self, output: Output, values: torch.Tensor, mask: torch.Tensor, epoch: int
    ) -> torch.Tensor:
        """Give the loss of a training step.

        Parameters
        ----------
        output
            What `forward` said when some cells were hidden from it.
        values, mask
            (N, C, T) the truth, those cells included, and where there is one.
        epoch
            Epochs done before, for weights that change in the course of training.
        """
        judged = self.judged(mask)
        return masked_loss(output.expected.float(), values, mask if judged is None else judged)

    def judged(self, mask: torch.Tensor) -> torch.Tensor | None:
        """(N, C, T) 1 where an expectation counts, never where the mask is 0; None: wherever it is.

        A forecaster has nothing to say of the first rows of a segment, nor of what it is told.
        """
        return None

    def informed(self, mask: torch.Tensor) -> torch.Tensor | None:
        """(N, 1, T) 1 where enough was seen for latents that say anything; None: everywhere.

        Latents from beyond the end of a segment must not be taken for an odd state of the machine.
        """
        return None

    def take_layer(self, layer: str | None) -> None:
        """Take the outputs of another hidden layer for the latents; None: of the bottleneck.

        Raises
        ------
        UsageError
            There is no such layer.
        """
        name = self.bottleneck_name if layer is None else layer
        names = [known for known, _ in self.named_modules() if known]
        if name not in names:
            near = difflib.get_close_matches(name, names, 1, 0.4)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise UsageError(f"model.layer is {name!r}, expected one of {', '.join(names)}{hint}")
        self.bottleneck_name = name

    def steps(self, outputs: Any, count: int) -> torch.Tensor:
        """Turn what the bottleneck put out in a pass over (N, C, T) into latents.

        Parameters
        ----------
        outputs
            As a hook on `bottleneck_name` saw them.
        count
            N.

        Returns
        -------
        (N, D, S) latents; S divides T.
        """
        if not isinstance(outputs, torch.Tensor) or outputs.ndim != 3:
            raise UsageError(
                f"the layer {self.bottleneck_name!r} gives {_shape_of(outputs)}, a tensor "
                "(samples, channels, steps) was expected of a hidden layer of this network; set "
                "model.layer to another layer."
            )
        return outputs


class WindowNetwork(Network):
    """A network that knows windows of `span` rows only: `forward_window` is what it overrides.

    The window that answers for a row is the one in whose core the row lies: rows `lead` to
    `lead + stride`. An autoencoder's core is in the middle; a forecaster's is behind its history.
    """

    dense = False

    def __init__(
        self,
        channels: int,
        window: int,
        span: int | None = None,
        lead: int | None = None,
        stride: int | None = None,
    ) -> None:
        super().__init__(channels, window)
        self.span = span or window
        self.stride = stride or max(1, window // CORES_PER_WINDOW)
        self.lead = (self.span - self.stride) // 2 if lead is None else lead

    @property
    def reach(self) -> int:
        """Rows before or after itself that the window of a row holds."""
        return max(self.lead + self.stride - 1, self.span - 1 - self.lead)

    @property
    def sample_rows(self) -> int:
        """One window."""
        return self.span

    @property
    def applied(self) -> str:
        """Say how long windows are and how far apart."""
        return f"windows of {self.span} rows, one every {self.stride} rows"

    def forward_window(self, values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor | Output:
        """Say what is expected of windows.

        Parameters
        ----------
        values, mask
            (N, C, span), as in `forward`.
        """
        raise NotImplementedError

    def forward(self, values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor | Output:
        """Say what is expected, of windows as they are, of longer stretches window by window."""
        N, C, T = values.shape
        if self.span == T:
            return self.forward_window(values, mask)
        W, core = T // self.stride, slice(self.lead, self.lead + self.stride)
        output = as_output(self.forward_window(self._windows(values), self._windows(mask)))
        expected = output.expected[..., core].reshape(N, W, C, self.stride)
        rows = {name: part[..., core].reshape(N, T) for name, part in output.rows.items()}
        return Output(expected.transpose(1, 2).reshape(N, C, T), rows)

    def judged(self, mask: torch.Tensor) -> torch.Tensor | None:
        """(N, C, T) 1 where observed, and the window that answers was; None: a window as it is."""
        if mask.shape[2] == self.span:
            return None
        return mask * seen_enough(mask, *self._sight)

    def informed(self, mask: torch.Tensor) -> torch.Tensor | None:
        """(N, 1, T) 1 where the window that answers was observed well enough, in any tag."""
        return seen_enough(mask, *self._sight)

    @property
    def _sight(self) -> tuple[int, int, int, int]:
        """Rows of a window before, in and behind its core, and the hole that may be in it."""
        behind = self.span - self.lead - self.stride
        return self.lead, self.stride, behind, self.hole

    def _windows(self, values: torch.Tensor) -> torch.Tensor:
        """(N, C, T) to (N * W, C, span), nothing observed beyond the ends."""
        N, C, T = values.shape
        padded = F.pad(values, (self.lead, self.span - self.lead - self.stride))
        windows = padded.unfold(2, self.span, self.stride)
        return windows.transpose(1, 2).reshape(N * T // self.stride, C, self.span)

    def steps(self, outputs: Any, count: int) -> torch.Tensor:
        """Turn one vector a window into (N, D, S) latents, S windows."""
        vectors = self.vectors(outputs)
        return vectors.reshape(count, -1, vectors.shape[-1]).transpose(1, 2)

    def vectors(self, outputs: Any) -> torch.Tensor:
        """(N * W, D) one vector for each window, of what the bottleneck put out.

        Unless overridden: the mean over all axes behind the second one.
        """
        if not isinstance(outputs, torch.Tensor) or outputs.ndim < 2:
            raise UsageError(
                f"the layer {self.bottleneck_name!r} gives {_shape_of(outputs)}, a tensor "
                "(windows, features, …) was expected of it; set model.layer to another layer."
            )
        return outputs.flatten(2).mean(dim=2) if outputs.ndim > 2 else outputs


def bridged(mask: torch.Tensor, hole: int) -> torch.Tensor:
    """(N, 1, T) 1 where a row has a reading of any tag, or lies in a hole of at most `hole` rows.

    Rows that an export leaves out here and there are no end of a segment. `hole` is even.
    """
    seen = mask.amax(dim=1, keepdim=True)
    if not hole:
        return seen
    wide = F.max_pool1d(seen, hole + 1, 1, hole // 2)
    return -F.max_pool1d(-wide, hole + 1, 1, hole // 2)


def seen_enough(
    mask: torch.Tensor, before: int, stride: int, behind: int, hole: int = 0
) -> torch.Tensor:
    """Tell where stretches hold enough rows with a reading of any tag for their latents to count.

    Parameters
    ----------
    mask
        (N, C, T) 1 where observed.
    before, stride, behind
        A latent step stands for `stride` rows, and sees so many before and behind them.
    hole
        Holes of up to so many rows count as seen; an even number.

    Returns
    -------
    (N, 1, T) 1 where at least `LEAST_SEEN` of the rows seen hold a reading, else 0.
    """
    seen = F.pad(bridged(mask, hole), (before, behind))
    share = F.avg_pool1d(seen, before + stride + behind, stride)
    return (share >= LEAST_SEEN).to(mask.dtype).repeat_interleave(stride, dim=2)


def as_output(result: torch.Tensor | Output) -> Output:
    """Take a plain tensor for the expectation that it is."""
    return result if isinstance(result, Output) else Output(result)


def masked_loss(output: torch.Tensor, values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Huber loss over what was truly observed, hidden from the network or not."""
    loss = F.huber_loss(output, values, reduction="none", delta=HUBER_DELTA) * mask
    return loss.sum() / mask.sum().clamp(min=1.0)


def _shape_of(outputs: Any) -> str:
    if isinstance(outputs, torch.Tensor):
        return f"a tensor of shape {tuple(outputs.shape)}"
    return f"a {type(outputs).__name__}"
