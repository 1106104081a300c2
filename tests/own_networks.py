"""Networks as users write them, named by their import path in the tests."""

import torch
from torch import nn

from sensor_ad.models import Network


class Plain(nn.Module):
    """Knows nothing of masks; its bottleneck has a usual name."""

    def __init__(self, channels: int, window: int, size: int = 3) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(channels * window, size))
        self.decoder = nn.Linear(size, channels * window)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.encoder(values)).view_as(values)


class Masked(nn.Module):
    """Takes the mask too, and gives its latents beside the reconstruction."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv1d(2 * channels, 2, 5, padding="same")
        self.widen = nn.Conv1d(2, channels, 5, padding="same")

    def forward(
        self, values: torch.Tensor, mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        latents = self.squeeze(torch.cat([values, mask], dim=1))
        return self.widen(latents), latents


class Dense(Network):
    """A network by our own contract: a dense one."""

    bottleneck_name = "squeeze"

    def __init__(self, channels: int, window: int, latent: int | None = None) -> None:
        super().__init__(channels, window)
        self.squeeze = nn.Conv1d(channels, latent or 2, 3, padding="same")
        self.widen = nn.Conv1d(latent or 2, channels, 3, padding="same")

    @property
    def reach(self) -> int:
        return 2

    def forward(self, values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.widen(self.squeeze(values * mask))


class WrongShape(Plain):
    """Gives something else than a reconstruction."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.encoder(values)


class NoLayer(nn.Module):
    """Has no layer of a usual name."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.only = nn.Conv1d(channels, channels, 1)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.only(values)


def not_a_network(channels: int) -> int:
    return channels
