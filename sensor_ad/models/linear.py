"""The linear autoencoder: windows laid out as one long vector, a few directions, and back.

It learns the plane in which normal windows lie; what a window has outside of it is the residual.
"""

from __future__ import annotations

import torch
from torch import nn

from sensor_ad.errors import UsageError
from sensor_ad.models.network import WindowNetwork

FEWEST_LATENTS, MOST_LATENTS = 8, 32
"""A direction for each tag's level would do for tags that move apart from one another, and tags
that move together leave room for slopes and waves; within these numbers, so that detectors need
not learn a distance in too many dimensions."""


class LinearAutoencoder(WindowNetwork):
    """Linear autoencoder on flattened windows.

    With squared errors its best weights span the first principal components of the windows
    (Bourlard and Kamp 1988, "Auto-association by multilayer perceptrons and singular value
    decomposition"; Baldi and Hornik 1989); here the loss is Huber's, so that bursts turn the plane
    less, and hidden cells are learnt to be filled in.

    Centred: the window that answers for a row holds about as much before it as after it. Every
    weight belongs to one place in the window, so that the network knows no other length and goes
    through windows; each reconstructed row depends on the whole of its window.

    Hidden layers: ``encoder`` (windows, D); ``rectifier`` (windows, D), the same when not `relu`.

    Parameters
    ----------
    channels
        C, number of tags.
    window
        L, rows.
    latent
        D, number of directions; as many as tags when None (8 to 32).
    width
        Must be None: there is no layer but the bottleneck.
    relu
        Whether the bottleneck is rectified, so that latents are parts that add up.

    Raises
    ------
    UsageError
        `width` was given, or `relu` is neither true nor false.
    """

    def __init__(
        self,
        channels: int,
        window: int,
        latent: int | None = None,
        width: int | None = None,
        relu: bool = False,
    ) -> None:
        if width is not None:
            raise UsageError(
                f"model.width is {width}, but the linear network has no layer besides its "
                "bottleneck; remove model.width, or set model.latent."
            )
        if not isinstance(relu, bool):
            raise UsageError(f"model.options: relu is {relu!r}, expected true or false; set one.")
        super().__init__(channels, window)
        self.width = 2 * channels
        self.latent = latent or min(MOST_LATENTS, max(FEWEST_LATENTS, channels))
        self.encoder = nn.Linear(2 * channels * window, self.latent)
        self.rectifier = nn.ReLU() if relu else nn.Identity()
        self.decoder = nn.Linear(self.latent, channels * window)
        self.bottleneck_name = "rectifier" if relu else "encoder"

    def forward_window(self, values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Reconstruct windows.

        Parameters
        ----------
        values, mask
            (N, C, L) scaled readings, anything where the mask is 0.

        Returns
        -------
        (N, C, L) scaled reconstruction, of hidden cells too.
        """
        vectors = torch.cat([values * mask, mask], dim=1).flatten(1)
        result: torch.Tensor = self.decoder(self.rectifier(self.encoder(vectors)))
        return result.view_as(values)
