"""The variational autoencoder: readings and mask in, what is expected and how surprising it is out.

Built like the convolutional autoencoder, but a latent step is a Gaussian, not a point, and the
decoder says of every cell what it expects and how far that may be off. So a reading that is noisy
by nature surprises less than one that never moves.
"""

from __future__ import annotations

import math

import torch

from sensor_ad.errors import UsageError
from sensor_ad.models.conv import StridedNetwork
from sensor_ad.models.network import Output

EVIDENCE = "reconstruction_probability"
LOWEST, HIGHEST = -6.0, 3.0
"""Bounds of all log-variances, so that a tag that stood still in training cannot make a hair's
breadth look infinitely unlikely: standard deviations from 0.05 to 4.5, scaled units."""
SEED = 0
"""Of the draws that scoring takes from the latents."""


class VariationalAutoencoder(StridedNetwork):
    """1-D fully convolutional variational autoencoder; centred and dense, reach as of `conv`.

    Kingma and Welling, "Auto-encoding variational Bayes" (2014). The loss is, per observed
    cell, the Gaussian negative log-likelihood of what was observed and the weighted divergence of
    the latents from a standard normal. Expected is what is decoded from the mean
    of the latents. Evidence of its own is the reconstruction probability of An and Cho,
    "Variational autoencoder based anomaly detection using reconstruction probability" (2015), with
    its sign turned: minus the log-likelihood of a row's observed cells, averaged over draws from
    the latents and over tags.

    Parameters
    ----------
    channels, window
        C and L, as of `StridedNetwork`.
    latent
        D, channels of the bottleneck; as many as tags when None (2 to 32), as the divergence makes
        those idle that are not needed.
    width
        Channels of the hidden layers; four times the tags when None (64 to 128, a power of two). A
        narrow network of this kind gives whole tags up.
    kl_weight
        Of the divergence in the loss; 1 is the evidence lower bound, less reconstructs better.
    warm_up
        Epochs in which that weight grows to its full size, so that latents are not given up before
        they are of use.
    draws
        K, draws from the latents in scoring; even, as they come in pairs of opposite sign. They
        are made once and are the same at every latent step, so that a score does not depend on
        where a stretch was cut.

    Raises
    ------
    UsageError
        An option is out of its range.
    """

    bottleneck_name = "mean"

    def __init__(
        self,
        channels: int,
        window: int,
        latent: int | None = None,
        width: int | None = None,
        kl_weight: float = 0.1,
        warm_up: int = 10,
        draws: int = 4,
    ) -> None:
        latent = latent or min(32, max(2, channels))
        width = width or min(128, max(64, 1 << math.ceil(math.log2(4 * channels))))
        super().__init__(channels, window, latent, width)
        _check_options(kl_weight, warm_up, draws)
        self.kl_weight, self.warm_up = kl_weight, warm_up
        self.encoder = self._encoder()
        self.mean = self._latents()
        self.log_variance = self._latents()
        self.widen = self._widen()
        self.decoder = self._decoder()
        self.output = self._output(2 * channels)
        half = torch.randn((draws // 2, self.latent), generator=torch.Generator().manual_seed(SEED))
        self.noise: torch.Tensor
        self.register_buffer("noise", torch.cat([half, -half]))

    def forward(self, values: torch.Tensor, mask: torch.Tensor) -> Output:
        """Reconstruct: in training from one draw of the latents, else from their mean.

        Parameters
        ----------
        values
            (N, C, T) scaled readings, anything where the mask is 0; T a multiple of `stride`.
        mask
            (N, C, T) 1 where observed, 0 where not.

        Returns
        -------
        Expected cells; out of training also each row's `reconstruction_probability` (N, T), natural
        logarithm with its sign turned, 0 where nothing was observed.
        """
        shown = values * mask
        hidden = self.encoder(torch.cat([shown, mask], dim=1))
        mean, log_variance = self.mean(hidden), _bounded(self.log_variance(hidden))
        deviation = (log_variance / 2).exp()
        rows = {}
        if self.training:
            expected, spread = self._decode(mean + deviation * torch.randn_like(mean))
        else:
            expected, spread = self._decode(mean)
            rows[EVIDENCE] = self._surprise(shown, mask, mean, deviation)
        aside = {"mean": mean, "log_variance": log_variance, "spread": spread}
        return Output(expected, rows, aside)

    def loss(
        self, output: Output, values: torch.Tensor, mask: torch.Tensor, epoch: int
    ) -> torch.Tensor:
        """Give likelihood and weighted divergence per observed cell, as in `Network.loss`."""
        mean, log_variance, spread = (
            output.aside[name].float() for name in ("mean", "log_variance", "spread")
        )
        unlikely = _unlikelihood(values, output.expected.float(), spread) * mask
        # Kingma and Welling (2014), appendix B.
        divergence = (mean.square() + log_variance.exp() - 1 - log_variance) / 2
        weight = self.kl_weight * min(1.0, (epoch + 1) / (self.warm_up + 1))
        return (unlikely.sum() + weight * divergence.sum()) / mask.sum().clamp(min=1.0)

    def _decode(self, latents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(N, D, S) to the mean and the log-variance of each cell, (N, C, T)."""
        expected, spread = self.output(self.decoder(self.widen(latents))).chunk(2, dim=1)
        return expected, _bounded(spread)

    def _surprise(
        self,
        shown: torch.Tensor,
        mask: torch.Tensor,
        mean: torch.Tensor,
        deviation: torch.Tensor,
    ) -> torch.Tensor:
        """(N, T) minus the log-likelihood, averaged over draws and over the tags observed."""
        total = torch.zeros_like(shown[:, 0])
        for noise in self.noise:  # one after the other, so that memory does not grow with K
            cells = _unlikelihood(shown, *self._decode(mean + deviation * noise[:, None]))
            total = total + (cells * mask).sum(dim=1)
        return total / (len(self.noise) * mask.sum(dim=1).clamp(min=1.0))


def _bounded(raw: torch.Tensor) -> torch.Tensor:
    """Bring a log-variance smoothly between its bounds."""
    return LOWEST + (HIGHEST - LOWEST) * torch.sigmoid(raw)


def _unlikelihood(
    values: torch.Tensor, mean: torch.Tensor, log_variance: torch.Tensor
) -> torch.Tensor:
    """Minus the natural logarithm of the Gaussian density at each cell."""
    squared = (values - mean).square() * (-log_variance).exp()
    return (squared + log_variance + math.log(2 * math.pi)) / 2


def _check_options(kl_weight: float, warm_up: int, draws: int) -> None:
    weighs = isinstance(kl_weight, int | float) and 0 <= kl_weight < math.inf
    warms = isinstance(warm_up, int) and warm_up >= 0
    pairs = isinstance(draws, int) and draws >= 2 and draws % 2 == 0
    for name, value, fits, wanted in (
        ("kl_weight", kl_weight, weighs, "a number from 0 on"),
        ("warm_up", warm_up, warms, "a whole number of epochs from 0 on"),
        ("draws", draws, pairs, "an even number from 2 on"),
    ):
        if not fits or isinstance(value, bool):
            raise UsageError(
                f"model.options: {name} is {value!r}, {wanted} was expected; correct it or leave "
                "it out."
            )
