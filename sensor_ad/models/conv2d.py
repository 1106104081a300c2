"""The 2-D convolutional autoencoder: images in, images out; and windows made into images.

`ImageAutoencoder` knows nothing of sensors: any images will do. `Conv2dAutoencoder` shows it each
window as an image of tags × time, or as the spectrogram or scalogram of vibration tags.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from sensor_ad.errors import UsageError
from sensor_ad.models.network import Output, WindowNetwork, masked_loss
from sensor_ad.models.pictures import (
    COLUMNS,
    PICTURES,
    SHORTEST_PICTURED,
    Picture,
    along_rows,
    column_errors,
)

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
IMAGES = ("tags", *PICTURES)
MOST_VALUES = 1 << 23
"""Values that a layer holds for the rows of a tile, at most."""


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

    ``image = "spectrogram"`` or ``"scalogram"``: for machines whose signature is in their
    frequencies. The image shows the logarithm (base 10) of the power of one tag, or of all tags as
    channels beside one another, by frequency in 16 columns, one every L / 16 rows; as many channels
    tell what share of each pixel was observed. A spectrogram has L / 8 frequencies, evenly spaced
    from 0 to just below half the sampling rate, each looked at in frames of L / 4 rows. A
    scalogram has four scales of a Morlet wavelet an octave, for periods from L / 4 down to 2 rows:
    the slower a wave, the longer it is looked at, and the finer the frequencies. `Spectrogram` and
    `Scalogram` say more. The network reconstructs the picture and has no opinion of the readings
    themselves (none of them is judged). Its evidence, ``spectrogram`` or ``scalogram``, is the mean
    squared error of the columns around a row, in squared decades of power, interpolated between
    columns. A pixel that was not wholly observed does not count, nor one of a scalogram that lies
    too near an edge of the window (in its cone of influence); where none counts, the evidence is 0.

    Centred: the window that answers for a row holds about as much before it as after it. It goes
    through windows, as the edges of an image are part of it, and a picture's columns are laid out
    from its beginning; what is said of a row depends on the whole of its window.

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
        ``tags``, ``spectrogram`` or ``scalogram``.
    tag
        Column of the tag whose picture is shown, from 0; -1 for all tags.

    Raises
    ------
    UsageError
        There is no such image or tag, or the window is too short for such a picture.
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
        """The tags whose pictures are shown."""
        tags = len(range(channels)[self.shown])
        self.picture = None if image == "tags" else PICTURES[image](window)
        maps = width or MAPS
        if self.picture is None:
            height, columns, pictures = channels, window, 1
        else:
            height, columns, pictures = self.picture.height, COLUMNS, tags
        pixels = height * columns / window
        self.width = math.ceil(max(2 * pictures * pixels, maps * pixels / 4))
        layers = max(1, _halvings(height), _halvings(columns))
        self.images = ImageAutoencoder(
            height, columns, 2 * pictures, (maps,) * layers, latent or LATENTS, pictures
        )

    def forward_window(self, values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor | Output:
        """Reconstruct windows or their pictures.

        Parameters
        ----------
        values, mask
            (N, C, L) scaled readings, anything where the mask is 0.

        Returns
        -------
        (N, C, L) scaled reconstruction, of hidden cells too; or the readings as they are, with
        the evidence, and (N, K, H, 16) the pictures of K tags as they should be aside.
        """
        readings = values * mask
        if self.picture is None:
            result: torch.Tensor = self.images(torch.stack([readings, mask], dim=1))
            return result[:, 0]
        picture = self.drawn(readings, mask)
        share = picture.share.expand_as(picture.power)
        told = self.images(torch.cat([picture.power, share], dim=1))
        evidence = along_rows(column_errors(told, picture), self.span)
        return Output(readings, {self.image: evidence}, {self.image: told})

    @property
    def most_rows(self) -> int:
        """Fewer with many tags or channels, so that a tile's images stay within a gigabyte."""
        return min(super().most_rows, 1 << int(math.log2(MOST_VALUES / self.width)))

    def loss(
        self, output: Output, values: torch.Tensor, mask: torch.Tensor, epoch: int
    ) -> torch.Tensor:
        """Compare readings with readings, or pictures with pictures of the truth."""
        if self.picture is None:
            return super().loss(output, values, mask, epoch)
        picture = self.drawn(values * mask, mask)
        power, counted = picture.power, picture.counted.expand_as(picture.power)
        return masked_loss(output.aside[self.image].to(power.dtype), power, counted)

    def judged(self, mask: torch.Tensor) -> torch.Tensor | None:
        """(N, C, T) 0 everywhere for pictures of power: the readings are given back as they are."""
        return super().judged(mask) if self.picture is None else torch.zeros_like(mask)

    def vectors(self, outputs: Any) -> torch.Tensor:
        """(N * W, D) channels × heights of an image's features, the mean over time."""
        if not isinstance(outputs, torch.Tensor) or outputs.ndim != 4:
            return super().vectors(outputs)
        return outputs.mean(dim=3).flatten(1)

    def drawn(self, readings: torch.Tensor, mask: torch.Tensor) -> Picture:
        """Draw the spectrograms or scalograms of the tags shown.

        Parameters
        ----------
        readings, mask
            (N, C, L) scaled readings, 0 where the mask is 0.
        """
        assert self.picture is not None
        picture: Picture = self.picture(readings[:, self.shown], mask[:, self.shown])
        return picture


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
            'or set image = "spectrogram" or "scalogram".'
        )
    if image in PICTURES and window < SHORTEST_PICTURED:
        raise UsageError(
            f"the window has {window} rows, a {image} needs at least {SHORTEST_PICTURED}; "
            "set a longer prepare.window (and train on a longer history, if it was shortened)."
        )


def _halvings(side: int) -> int:
    """How often a side is halved until it is short enough."""
    return max(0, math.ceil(math.log2(max(side, 1) / SMALLEST_SIDE)))


def _transposed(inputs: int, outputs: int, stride: tuple[int, int]) -> nn.ConvTranspose2d:
    kernel = UP_KERNELS[stride[0]], UP_KERNELS[stride[1]]
    return nn.ConvTranspose2d(inputs, outputs, kernel, stride, padding=1)
