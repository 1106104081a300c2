"""The 2-D convolutional autoencoder: images in, images out; and windows made into images.

`ImageAutoencoder` knows nothing of sensors: any images will do. `Conv2dAutoencoder` shows it each
window as an image of tags × time, or as the spectrogram of vibration tags.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from sensor_ad.errors import UsageError
from sensor_ad.models.network import Output, WindowNetwork, masked_loss

SMALLEST_SIDE = 4
"""A side of the image is halved until it is no longer than this."""
KERNEL = 3
"""With a padding of 1, a side of n pixels is halved to n / 2, rounded up: no pixel is left over."""
UP_KERNELS = {2: 4, 1: 3}
"""Of the transposed layers, by the axis's stride: twice the stride, so that each pixel is made of
equally many; with a padding of 1, a side is exactly doubled, or kept."""
SLOPE = 0.1
"""Of the leaky rectifiers, below 0; no unit can die in a small network."""
MAPS = 16
"""Channels of the hidden layers, unless given."""
LATENTS = 8
"""Channels of the bottleneck, unless given: an image of 28 × 28 becomes 8 × 4 × 4 numbers."""
IMAGES = ("tags", "spectrogram")
FRAMES = 16
"""Frames of a window's spectrogram: one every L / 16 rows …"""
FRAME_HOPS = 4
"""… each L / 4 rows long."""
SHORTEST_SPECTROGRAM = 32
"""Rows of a window that gives frames of 8 rows, and so 4 frequencies: fewer tell nothing."""
MOST_VALUES = 1 << 23
"""Values that a layer holds for the rows of a tile, at most."""
QUIET = 1e-4
"""Power that is added to each: below a hundredth of a tag's normal spread, all is silence."""
WHOLE = 0.999
"""Share of a frame's weight that must be observed for the frame to count."""


class ImageAutoencoder(nn.Module):
    """2-D fully convolutional autoencoder of images of any size.

    Strided convolutions lead down to a few channels, transposed ones back (Masci et al. 2011,
    "Stacked convolutional auto-encoders for hierarchical feature extraction"). There is nothing
    that normalises over a batch, so that an image's result does not depend on those beside it.

    Hidden layers: ``encoder`` (N, D, H / 2ᵃ, W / 2ᵇ), rounded up, the bottleneck features; a and b
    are how often height and width are halved. ``encoder.0``, ``encoder.1`` … are the hidden layers
    before it.

    Parameters
    ----------
    height, width_px
        Typical size H × W, pixels; the depth follows from it: a side is halved until it is 4 pixels
        at most. Images of other sizes may be given, too.
    image_channels
        Channels of the images (grey 1, colours 3).
    channels
        Channels of the hidden layers, one number for each layer; 16 in as many layers as the sides
        need when None. With fewer layers the bottleneck stays larger.
    latent
        D, channels of the bottleneck.
    output_channels
        Channels of what comes out; those of the images when None.

    Raises
    ------
    UsageError
        There is no hidden layer, or a number of channels below 1.

    Examples
    --------
    >>> network = ImageAutoencoder(28, 28)
    >>> images = torch.rand(5, 1, 28, 28)
    >>> tuple(network(images).shape), tuple(network.encoder(images).shape)
    ((5, 1, 28, 28), (5, 8, 4, 4))
    """

    def __init__(
        self,
        height: int,
        width_px: int,
        image_channels: int = 1,
        channels: Sequence[int] | None = None,
        latent: int = LATENTS,
        output_channels: int | None = None,
    ) -> None:
        super().__init__()
        halvings = _halvings(height), _halvings(width_px)
        hidden = tuple(channels) if channels is not None else (MAPS,) * max(1, *halvings)
        if not hidden or min(image_channels, latent, *hidden) < 1:
            raise UsageError(
                f"the image autoencoder was given image_channels {image_channels}, channels "
                f"{hidden} and latent {latent}; expected one hidden layer or more, and numbers "
                "above 0."
            )
        strides = [(1 + (k < halvings[0]), 1 + (k < halvings[1])) for k in range(len(hidden))]
        self.image_channels = image_channels
        sizes = (image_channels, *hidden)
        down: list[nn.Module] = [
            nn.Sequential(
                nn.Conv2d(sizes[k], sizes[k + 1], KERNEL, stride, padding=1), nn.LeakyReLU(SLOPE)
            )
            for k, stride in enumerate(strides)
        ]
        self.encoder = nn.Sequential(*down, nn.Conv2d(sizes[-1], latent, KERNEL, padding="same"))
        widen = nn.Conv2d(latent, sizes[-1], KERNEL, padding="same")
        up: list[nn.Module] = [nn.Sequential(widen, nn.LeakyReLU(SLOPE))]
        for k in range(len(hidden) - 1, 0, -1):
            layer = _transposed(sizes[k + 1], sizes[k], strides[k])
            up.append(nn.Sequential(layer, nn.LeakyReLU(SLOPE)))
        self.decoder = nn.Sequential(
            *up, _transposed(sizes[1], output_channels or image_channels, strides[0])
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Reconstruct images.

        Parameters
        ----------
        images
            (N, image_channels, H, W).

        Returns
        -------
        (N, output_channels, H, W).

        Raises
        ------
        UsageError
            The shape is another one.
        """
        if images.ndim != 4 or images.shape[1] != self.image_channels:
            raise UsageError(
                f"the images have the shape {tuple(images.shape)}, (images, "
                f"{self.image_channels}, height, width) was expected; reshape them."
            )
        result: torch.Tensor = self.decoder(self.encoder(images))
        # Sides that were rounded up on the way down come back too long.
        return result[..., : images.shape[2], : images.shape[3]]


class Conv2dAutoencoder(WindowNetwork):
    """2-D convolutional autoencoder on windows as images, time from left to right.

    ``image = "tags"``: the image's rows are the tags in the order of the config, its pixels their
    readings; a second channel tells which of them were observed. Neighbours in the image are looked
    at together, so tags that belong together should stand together.

    ``image = "spectrogram"``: for machines whose signature is in their frequencies. The image shows
    the logarithm (base 10) of the power of one tag, or of all tags as channels beside one another,
    in frames of L / 4 rows with a Hann window, one every L / 16 rows, over L / 8 frequencies from 0
    to just below half the sampling rate; as many channels tell what share of each frame was
    observed. The network reconstructs the spectrogram and has no opinion of the readings themselves
    (none of them is judged). Its evidence ``spectrogram`` is the mean squared error of the frame
    around a row, in squared decades of power, interpolated between frames; a frame that was not
    wholly observed counts as 0.

    Centred: the window that answers for a row holds about as much before it as after it. It goes
    through windows, as the edges of an image are part of it, and a spectrogram's frames are laid
    out from its beginning; what is said of a row depends on the whole of its window.

    Hidden layers: ``images.encoder`` (windows, D, height, time), both 4 at most, and any layer
    within it; latents are its channels × heights, the mean over time.

    Parameters
    ----------
    channels
        C, number of tags.
    window
        L, rows; a power of two.
    latent
        D, channels of the bottleneck; 8 when None.
    width
        Channels of the hidden layers; 16 when None.
    image
        ``tags`` or ``spectrogram``.
    tag
        Column of the tag whose spectrogram is shown, from 0; -1 for all tags.

    Raises
    ------
    UsageError
        There is no such image or tag, or the window is too short for a spectrogram.
    """

    bottleneck_name = "images.encoder"

    def __init__(
        self,
        channels: int,
        window: int,
        latent: int | None = None,
        width: int | None = None,
        image: str = "tags",
        tag: int = -1,
    ) -> None:
        _check(channels, window, image, tag)
        super().__init__(channels, window)
        self.image = image
        self.shown = slice(None) if tag < 0 else slice(tag, tag + 1)
        """The tags whose spectrograms are shown."""
        tags = len(range(channels)[self.shown])
        self.hop = window // FRAMES
        maps = width or MAPS
        if image == "tags":
            height, columns, pictures = channels, window, 1
        else:
            height, columns, pictures = self.hop * FRAME_HOPS // 2, FRAMES, tags
        pixels = height * columns / window
        self.width = math.ceil(max(2 * pictures * pixels, maps * pixels / 4))
        layers = max(1, _halvings(height), _halvings(columns))
        self.images = ImageAutoencoder(
            height, columns, 2 * pictures, (maps,) * layers, latent or LATENTS, pictures
        )
        hann = torch.hann_window(self.hop * FRAME_HOPS)
        self.register_buffer("hann", hann, persistent=False)

    def forward_window(self, values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor | Output:
        """Reconstruct windows or their spectrograms.

        Parameters
        ----------
        values, mask
            (N, C, L) scaled readings, anything where the mask is 0.

        Returns
        -------
        (N, C, L) scaled reconstruction, of hidden cells too; or the readings as they are, with
        the evidence, and (N, K, L / 8, 16) the spectrograms of K tags as they should be aside.
        """
        readings = values * mask
        if self.image == "tags":
            result: torch.Tensor = self.images(torch.stack([readings, mask], dim=1))
            return result[:, 0]
        power, share = self.spectrogram(readings, mask)
        told = self.images(torch.cat([power, share.expand_as(power)], dim=1))
        evidence = self._rows(_frame_errors(told, power, share >= WHOLE))
        return Output(readings, {"spectrogram": evidence}, {"spectrogram": told})

    @property
    def most_rows(self) -> int:
        """Fewer with many tags or channels, so that a tile's images stay within a gigabyte."""
        return min(super().most_rows, 1 << int(math.log2(MOST_VALUES / self.width)))

    def loss(
        self, output: Output, values: torch.Tensor, mask: torch.Tensor, epoch: int
    ) -> torch.Tensor:
        """Compare readings with readings, or spectrograms with spectrograms of the truth."""
        if self.image == "tags":
            return super().loss(output, values, mask, epoch)
        power, share = self.spectrogram(values * mask, mask)
        counted = (share >= WHOLE).to(power.dtype).expand_as(power)
        return masked_loss(output.aside["spectrogram"].to(power.dtype), power, counted)

    def judged(self, mask: torch.Tensor) -> torch.Tensor | None:
        """(N, C, T) 0 everywhere for spectrograms: the readings are given back as they are."""
        return super().judged(mask) if self.image == "tags" else torch.zeros_like(mask)

    def vectors(self, outputs: Any) -> torch.Tensor:
        """(N * W, D) channels × heights of an image's features, the mean over time."""
        if not isinstance(outputs, torch.Tensor) or outputs.ndim != 4:
            return super().vectors(outputs)
        return outputs.mean(dim=3).flatten(1)

    def spectrogram(
        self, readings: torch.Tensor, mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Give the spectrograms of the tags shown.

        Parameters
        ----------
        readings, mask
            (N, C, L) scaled readings, 0 where the mask is 0.

        Returns
        -------
        (N, K, L / 8, 16) log10 of the power, 0 for noise of the tag's normal spread; and
        (N, K, 1, 16) the share of each frame that was observed.
        """
        hann = self.hann
        assert isinstance(hann, torch.Tensor)
        waves = torch.fft.rfft(self._frames(readings) * hann)[..., : len(hann) // 2]
        power = (waves.real.square() + waves.imag.square()) / hann.square().sum()
        share = (self._frames(mask) * hann).sum(dim=3, keepdim=True) / hann.sum()
        return torch.log10(power + QUIET).transpose(2, 3), share.transpose(2, 3)

    def _frames(self, values: torch.Tensor) -> torch.Tensor:
        """(N, C, L) to (N, K, 16, L / 4): frame k around row k · hop, mirrored at the edges."""
        size = self.hop * FRAME_HOPS
        padded = F.pad(values[:, self.shown], (size // 2, size // 2), mode="reflect")
        # The last frame would stand on the row behind the window.
        return padded.unfold(2, size, self.hop)[:, :, :FRAMES]

    def _rows(self, frames: torch.Tensor) -> torch.Tensor:
        """(N, 16) to (N, L), linearly between the rows on which frames stand."""
        ends = torch.cat([frames, frames[:, -1:]], dim=1)[:, None]
        rows = F.interpolate(ends, self.span + 1, mode="linear", align_corners=True)
        return rows[:, 0, : self.span]


def _frame_errors(told: torch.Tensor, power: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
    """(N, 16) mean squared error over tags and frequencies, of tags that were wholly observed."""
    error = (told.to(power.dtype) - power).square().mean(dim=2) * whole[:, :, 0]
    return error.sum(dim=1) / whole[:, :, 0].sum(dim=1).clamp(min=1)


def _check(channels: int, window: int, image: str, tag: int) -> None:
    """Refuse options that mean nothing."""
    if image not in IMAGES:
        near = difflib.get_close_matches(str(image), IMAGES, 1, 0.4)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise UsageError(
            f"model.options: image is {image!r}, expected one of {', '.join(IMAGES)}{hint}"
        )
    if isinstance(tag, bool) or not isinstance(tag, int) or not -1 <= tag < channels:
        raise UsageError(
            f"model.options: tag is {tag!r}, expected the number of a column from 0 to "
            f"{channels - 1}; correct it, or set -1 for all tags."
        )
    if image == "tags" and tag >= 0:
        raise UsageError(
            f"model.options: tag is {tag}, but an image of tags × time shows all tags; remove it, "
            'or set image = "spectrogram".'
        )
    if image == "spectrogram" and window < SHORTEST_SPECTROGRAM:
        raise UsageError(
            f"the window has {window} rows, a spectrogram needs at least {SHORTEST_SPECTROGRAM}; "
            "set a longer prepare.window (and train on a longer history, if it was shortened)."
        )


def _halvings(side: int) -> int:
    """How often a side is halved until it is short enough."""
    return max(0, math.ceil(math.log2(max(side, 1) / SMALLEST_SIDE)))


def _transposed(inputs: int, outputs: int, stride: tuple[int, int]) -> nn.ConvTranspose2d:
    kernel = UP_KERNELS[stride[0]], UP_KERNELS[stride[1]]
    return nn.ConvTranspose2d(inputs, outputs, kernel, stride, padding=1)
