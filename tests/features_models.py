"""Networks of known weights for the tests of features."""

from __future__ import annotations

import torch
from torch import nn


def known():
    """Make a network of known weights: x -> (x1 - x2, x1 + x2) -> rectified -> their sum."""
    network = nn.Sequential()
    network.add_module("encoder", nn.Linear(2, 2, bias=False))
    network.add_module("active", nn.ReLU())
    network.add_module("decoder", nn.Linear(2, 1, bias=False))
    with torch.no_grad():
        network.encoder.weight.copy_(torch.tensor([[1.0, -1.0], [1.0, 1.0]]))
        network.decoder.weight.fill_(1.0)
    return network


ROWS = torch.tensor([[1.0, 3.0], [5.0, 2.0]])
ENCODED = [[-2, 4], [3, 7]]
"""What `known` makes of `ROWS` in its first layer."""


class Twice(nn.Module):
    """One layer that runs twice: x + 1, then 2 more."""

    def __init__(self):
        super().__init__()
        self.step = Add(1.0)
        self.spare = nn.Linear(2, 2)

    def forward(self, rows):
        return self.step(self.step(rows))


class Add(nn.Module):
    """x + a number."""

    def __init__(self, number):
        super().__init__()
        self.number = number

    def forward(self, rows):
        return rows + self.number


class Gives(nn.Module):
    """Gives what a function makes of the input."""

    def __init__(self, make):
        super().__init__()
        self.make = make

    def forward(self, rows):
        return self.make(rows)


class Around(nn.Module):
    """A layer that may give anything, with a result that does not depend on it."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, *inputs):
        self.layer(*inputs)
        return torch.zeros(1)


def hooks(network):
    """Count the hooks on a network, of every kind."""
    return sum(
        len(module._forward_hooks) + len(module._forward_pre_hooks) for module in network.modules()
    )
