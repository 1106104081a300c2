"""The recurrent autoencoder: one LSTM reads a window, another one retells it from its last state.

Two LSTMs and a linear layer; the hidden states of the first are the features.
"""

from __future__ import annotations

import difflib
import math
from typing import Any

import torch
from torch import nn

from sensor_ad.errors import UsageError
from sensor_ad.models.network import WindowNetwork

FEWEST_LATENTS, MOST_LATENTS = 32, 64
"""One state has to hold a whole window, but detectors must still learn a distance between states;
a power of two within these numbers, at least two for each tag."""
FORGET_BIAS = 1.0
"""Of the forget gates at the start: a cell that begins by forgetting half of itself at each row
never learns what happened long ago (Jozefowicz et al. 2015)."""
MOST_VALUES = 1 << 23
"""Values that a layer holds for the rows of a tile, at most."""
HIDDEN = ("last", "mean", "all")


class LSTMAutoencoder(WindowNetwork):
    """LSTM sequence-to-sequence autoencoder.

    The encoder reads the window row by row, readings and mask; the decoder starts from its last
    hidden state and tells the window backwards, as the newest rows are the easiest to recall
    (Srivastava et al. 2015, "Unsupervised learning of video representations using LSTMs"; Malhotra
    et al. 2016, "LSTM-based encoder-decoder for multi-sensor anomaly detection"). Two things are
    unlike Malhotra's: the decoder is never told true rows, as it could copy an anomaly from one row
    to the next; it is shown the encoder's hidden state once more at each step, which it then need
    not remember. All that it knows comes through the D numbers of that state.

    Centred: a row is reconstructed from what its window holds before and after it, although a
    hidden state knows only what came before. Retelling starts where the window ends, so that the
    network goes through windows; each reconstructed row depends on the whole of its window.

    Hidden layers: ``encoder`` and ``decoder`` (output, (h, c)), output (windows, L, D) and
    (windows, L, width), the decoder's from the newest row to the oldest; ``output``
    (windows, L, C); ``start`` (windows, 2 · width), the decoder's first state.

    Parameters
    ----------
    channels
        C, number of tags.
    window
        L, rows.
    latent
        D, size of the encoder's state; about twice the tags when None (32 to 64, a power of two).
    width
        Size of the decoder's state; D when None.
    hidden
        Which states become latents: the ``last`` of each window, their ``mean`` over the window, or
        ``all``: one for each row, from the window in whose core the row lies.

    Raises
    ------
    UsageError
        There is no such choice of states.
    """

    bottleneck_name = "encoder"

    def __init__(
        self,
        channels: int,
        window: int,
        latent: int | None = None,
        width: int | None = None,
        hidden: str = "last",
    ) -> None:
        if hidden not in HIDDEN:
            near = difflib.get_close_matches(str(hidden), HIDDEN, 1, 0.4)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise UsageError(
                f"model.options: hidden is {hidden!r}, expected one of {', '.join(HIDDEN)}{hint}"
            )
        super().__init__(channels, window)
        doubled = 1 << math.ceil(math.log2(2 * channels))
        self.latent = latent or min(MOST_LATENTS, max(FEWEST_LATENTS, doubled))
        self.hidden = hidden
        cells = width or self.latent
        # Each of an LSTM's cells has three gates and what is put into it.
        self.width = 4 * max(self.latent, cells)
        self.encoder = _lstm(2 * channels, self.latent)
        self.start = nn.Linear(self.latent, 2 * cells)
        self.decoder = _lstm(self.latent, cells)
        self.output = nn.Linear(cells, channels)

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
        states, _ = self.encoder(torch.cat([values * mask, mask], dim=1).transpose(1, 2))
        hidden, cells = self.start(states[:, -1]).chunk(2, dim=1)
        begin = hidden.tanh()[None].contiguous(), cells[None].contiguous()
        told, _ = self.decoder(states[:, -1:].expand(-1, self.span, -1), begin)
        result: torch.Tensor = self.output(told.flip(1)).transpose(1, 2)
        return result

    @property
    def most_rows(self) -> int:
        """Fewer with large states, so that a tile's windows stay within a gigabyte."""
        return min(super().most_rows, 1 << int(math.log2(MOST_VALUES / self.width)))

    def steps(self, outputs: Any, count: int) -> torch.Tensor:
        """Turn hidden states into (N, D, S) latents of S windows, or of S = T rows if all count."""
        states = _states(outputs)
        if self.hidden != "all" or states is None:
            return super().steps(outputs, count)
        if self.bottleneck_name == "decoder":
            states = states.flip(1)  # it tells the last row first
        # As many windows as samples: they were given as windows, without any rows around a core.
        if len(states) > count:
            states = states[:, self.lead : self.lead + self.stride]
        return states.reshape(count, -1, states.shape[2]).transpose(1, 2)

    def vectors(self, outputs: Any) -> torch.Tensor:
        """(N * W, D) the last state of each window, or their mean."""
        states = _states(outputs)
        if states is None:
            return super().vectors(outputs)
        return states.mean(dim=1) if self.hidden == "mean" else states[:, -1]


def _states(outputs: Any) -> torch.Tensor | None:
    """(N * W, L, D) of an LSTM's (output, (h, c)) or of `output`; None of one vector a window."""
    states = outputs[0] if isinstance(outputs, tuple) else outputs
    return states if isinstance(states, torch.Tensor) and states.ndim == 3 else None


def _lstm(inputs: int, cells: int) -> nn.LSTM:
    """Make an LSTM whose cells begin by keeping what they hold."""
    lstm = nn.LSTM(inputs, cells, batch_first=True)
    forget = slice(cells, 2 * cells)  # the gates are stacked: input, forget, cell, output
    with torch.no_grad():
        lstm.get_parameter("bias_ih_l0")[forget] = FORGET_BIAS
        lstm.get_parameter("bias_hh_l0")[forget] = 0.0  # it is added to the other
    return lstm
