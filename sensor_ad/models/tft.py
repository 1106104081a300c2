"""The Temporal Fusion Transformer: readings and settings ahead in, quantiles of what follows out.

The network itself is that of PyTorch Forecasting (extra ``tft``), untouched. It is given a history
of L rows and foretells the L / 4 rows behind it, all measured tags at once; set-points, commands
and digital tags are told it in advance.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from sensor_ad.errors import UsageError
from sensor_ad.models.cnn import LEAST_HISTORY, observed_before
from sensor_ad.models.network import Output, WindowNetwork

QUANTILES = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)
MEDIAN = len(QUANTILES) // 2
EVIDENCE = "interval_miss"
NARROWEST = 0.1
"""Least half-width of the widest interval, scaled units: what never moved may move a little."""
POWER = 4.0
"""Tags' misses are joined by their mean of this power: one bad tag among many must show."""
HORIZONS_PER_WINDOW = 4
MOST_VALUES = 1 << 24
"""Values of the widest layer in a pass; some dozen tensors are as large."""


class FusionForecaster(WindowNetwork):
    """Temporal Fusion Transformer; causal, led over a stretch window by window, reach 5/4 L - 1.

    Lim et al., "Temporal Fusion Transformers for interpretable multi-horizon time series
    forecasting" (2021). Row t is foretold from the L rows before its horizon, and from what is set
    up to row t. The loss is the quantile loss. Expected is the median. Evidence of its own is by
    how much the widest interval, from the 2 % to the 98 % quantile, is missed.

    All tags are foretold by one pass, as targets of one series: were each tag a series of its own
    with its number as a category, there would be C times as many windows, and no tag could be told
    from the others.

    Parameters
    ----------
    channels
        C, number of tags.
    window
        L, rows of history.
    latent
        D, size of the LSTM's state and of the attention; 16 when None.
    width
        Values that each input is widened to before inputs are selected; 8 when None.
    known
        (C,) tags that people or logic set: never judged; none when None.
    heads
        Of the attention.
    dropout
        Share of values dropped in training.
    lstm_layers
        Of the LSTM encoder and decoder each.

    Raises
    ------
    UsageError
        PyTorch Forecasting is not installed, no tag is measured, or an option is out of its range.
    """

    bottleneck_name = "tft.lstm_encoder"
    causal = True
    knows_inputs = True

    def __init__(
        self,
        channels: int,
        window: int,
        latent: int | None = None,
        width: int | None = None,
        known: Sequence[bool] | None = None,
        heads: int = 4,
        dropout: float = 0.1,
        lstm_layers: int = 1,
    ) -> None:
        horizon = max(1, window // HORIZONS_PER_WINDOW)
        super().__init__(channels, window, window + horizon, window, horizon)
        told = (False,) * channels if known is None else tuple(known)
        self.known = [tag for tag, is_told in enumerate(told) if is_told]
        """Tags that are told in advance …"""
        self.measured = [tag for tag, is_told in enumerate(told) if not is_told]
        """… and those that are foretold."""
        self.latent = latent or 16
        _check_options(self.latent, heads, dropout, lstm_layers)
        if not self.measured:
            raise UsageError(
                f"the network 'tft' foretells measured tags, but all {channels} tags are "
                "set-points, commands or digital; add a measured tag or take another model.name."
            )
        inputs = ["ahead", *_names(range(channels))]
        self.width = len(inputs) * self.latent
        with warnings.catch_warnings():
            # Lightning would rather not keep modules among the settings that it saves.
            warnings.filterwarnings("ignore", r"Attribute '\w+' is an instance of `nn\.Module`")
            self.tft = _imported()(
                hidden_size=self.latent,
                hidden_continuous_size=width or 8,
                attention_head_size=heads,
                dropout=float(dropout),
                lstm_layers=lstm_layers,
                max_encoder_length=window,
                x_reals=inputs,
                time_varying_reals_encoder=inputs,
                time_varying_reals_decoder=["ahead", *_names(self.known)],
                output_size=len(self.measured) * len(QUANTILES),
                output_transformer=_as_it_is,
                logging_metrics=nn.ModuleList(),
            )
        self._aliases = _aliases(self)
        self.register_state_dict_post_hook(_leave_out_aliases)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_put_in_aliases)  # type: ignore[no-untyped-call]

    @property
    def most_rows(self) -> int:
        """Rows of a tile at most, a power of two: a row is in five windows."""
        values = self.width * self.span // self.stride
        return 1 << int(math.log2(max(MOST_VALUES // values, self.window)))

    def forward_window(self, values: torch.Tensor, mask: torch.Tensor) -> Output:
        """Foretell the horizon of windows.

        Parameters
        ----------
        values, mask
            (N, C, span), as in `Network.forward`.

        Returns
        -------
        Expected cells (the median; history and known tags as they are shown); out of training also
        each row's `interval_miss` (N, span), in half-widths of the interval, 0 within it.
        """
        shown = values * mask
        # Its LSTM runs in mixed precision on some devices only, and gains little by it.
        with torch.autocast(shown.device.type, enabled=False):
            said = self.tft(self._inputs(shown, mask))["prediction"]
        # From here on M measured tags, Q quantiles.
        quantiles = said.reshape(len(said), self.stride, len(self.measured), -1).transpose(1, 2)
        # Quantiles may cross; in order they are never worse (Chernozhukov et al., 2010).
        ordered = quantiles.sort(dim=3).values.to(shown.dtype)
        expected = shown.clone()
        expected[:, self.measured, self.lead :] = ordered[..., MEDIAN]
        rows = {} if self.training else {EVIDENCE: self._miss(ordered, shown, mask)}
        return Output(expected, rows, {"quantiles": quantiles})

    def loss(
        self, output: Output, values: torch.Tensor, mask: torch.Tensor, epoch: int
    ) -> torch.Tensor:
        """Give the quantile loss of the cells judged, as in `Network.loss`.

        Koenker and Bassett, "Regression quantiles" (1978); the mean over the quantiles.
        """
        judged = self._ahead(self.judged(mask))
        above = self._ahead(values)[..., None] - output.aside["quantiles"].float()
        level = above.new_tensor(QUANTILES)
        loss = torch.maximum(level * above, (level - 1) * above).mean(dim=3) * judged
        return loss.sum() / judged.sum().clamp(min=1.0)

    def judged(self, mask: torch.Tensor) -> torch.Tensor:
        """(N, C, T) 1 where a measured tag was observed, and enough of its row's history was."""
        # All rows of a horizon have the history of its first one.
        seen = observed_before(mask[:, self.measured], self.lead, self.hole)
        history = seen[..., :: self.stride]
        counts = (history >= LEAST_HISTORY).repeat_interleave(self.stride, dim=2)
        judged = mask * counts[..., : mask.shape[2]]
        judged[:, self.known] = 0
        if mask.shape[2] == self.span:
            judged[..., : self.lead] = 0  # a window alone foretells its horizon only
        return judged

    def informed(self, mask: torch.Tensor) -> torch.Tensor:
        """(N, 1, T) 1 where enough of the history was observed, as in `Network.informed`."""
        return self.judged(mask).amax(dim=1, keepdim=True)

    def vectors(self, outputs: Any) -> torch.Tensor:
        """(N, D) of what a layer put out for N windows.

        An LSTM's last hidden state; of other layers the mean over the rows.
        """
        if isinstance(outputs, tuple) and len(outputs) == 2 and isinstance(outputs[1], tuple):
            state: torch.Tensor = outputs[1][0][-1]
            return state
        first = outputs[0] if isinstance(outputs, tuple) and outputs else outputs
        if not isinstance(first, torch.Tensor) or first.ndim not in (2, 3):
            raise UsageError(
                f"the layer {self.bottleneck_name!r} gives a {type(first).__name__}, a tensor "
                "(windows, features) or (windows, rows, features) was expected of it; set "
                "model.layer to another layer, such as 'tft.lstm_encoder'."
            )
        return first.mean(dim=1) if first.ndim == 3 else first

    def _inputs(self, shown: torch.Tensor, mask: torch.Tensor) -> dict[str, torch.Tensor]:
        """Batch of N windows as PyTorch Forecasting wants it: time before variables."""
        N, _, span = shown.shape
        ahead = torch.arange(-self.lead, self.stride, device=shown.device) / self.stride
        ahead = ahead.to(shown.dtype)[None, None].expand(N, 1, span)
        reals = torch.cat([ahead, shown, mask], dim=1).transpose(1, 2)
        none = torch.zeros((N, span, 0), dtype=torch.long, device=shown.device)
        parts = {"encoder": slice(0, self.lead), "decoder": slice(self.lead, span)}
        batch = {"target_scale": shown.new_ones(N, 2)}
        for name, rows in parts.items():
            count = rows.stop - rows.start
            batch[f"{name}_cont"], batch[f"{name}_cat"] = reals[:, rows], none[:, rows]
            batch[f"{name}_lengths"] = torch.full((N,), count, device=shown.device)
        return batch

    def _miss(self, ordered: torch.Tensor, shown: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(N, span) by how much the widest interval is missed, tags joined by their power mean."""
        low, high, truth = ordered[..., 0], ordered[..., -1], self._ahead(shown)
        half = ((high - low) / 2).clamp(min=NARROWEST)
        judged = self._ahead(self.judged(mask))
        miss = torch.maximum(low - truth, truth - high).relu() / half * judged
        total = miss.pow(POWER).sum(dim=1) / judged.sum(dim=1).clamp(min=1.0)
        return F.pad(total.pow(1 / POWER), (self.lead, 0))

    def _ahead(self, cells: torch.Tensor) -> torch.Tensor:
        """(N, C, span) to the (N, M, horizon) that are foretold."""
        return cells[:, self.measured, self.lead :]

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        """Move to a device or type; Lightning's own note of it is kept only by its own `to`."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        weight = next(self.tft.parameters())
        self.tft.to(weight.device, weight.dtype)
        return self


def _imported() -> Any:
    try:
        from pytorch_forecasting.models.temporal_fusion_transformer import TemporalFusionTransformer
    except ImportError as error:
        raise UsageError(
            "model.name is 'tft', which needs PyTorch Forecasting, but that is not installed; "
            "install it by: pip install 'sensor-ad[tft]'."
        ) from error
    return TemporalFusionTransformer


def _names(tags: Iterable[int]) -> list[str]:
    """Names of the inputs of tags: their values, then whether they were seen."""
    tags = list(tags)
    return [f"value_{tag}" for tag in tags] + [f"seen_{tag}" for tag in tags]


def _as_it_is(output: dict[str, torch.Tensor]) -> torch.Tensor:
    """Leave the forecast in scaled units, as it was learnt."""
    return output["prediction"]


def _aliases(module: nn.Module) -> dict[str, str]:
    """Further name of a weight that several layers share -> its first name."""
    first = {id(weight): name for name, weight in module.named_parameters()}
    return {
        name: first[id(weight)]
        for name, weight in module.named_parameters(remove_duplicate=False)
        if name != first[id(weight)]
    }


def _leave_out_aliases(module: Any, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Give each weight once: a file of safetensors holds no weight under two names."""
    for alias in module._aliases:
        state.pop(prefix + alias, None)


def _put_in_aliases(module: Any, state: dict[str, Any], prefix: str, *_: Any) -> None:
    for alias, name in module._aliases.items():
        if prefix + name in state:
            state[prefix + alias] = state[prefix + name]


def _check_options(latent: int, heads: int, dropout: float, lstm_layers: int) -> None:
    splits = isinstance(heads, int) and 1 <= heads <= latent
    drops = isinstance(dropout, int | float) and 0 <= dropout < 1
    stacks = isinstance(lstm_layers, int) and lstm_layers >= 1
    for name, value, fits, wanted in (
        ("heads", heads, splits, f"a whole number from 1 to model.latent, {latent},"),
        ("dropout", dropout, drops, "a share from 0 to less than 1"),
        ("lstm_layers", lstm_layers, stacks, "a whole number from 1 on"),
    ):
        if not fits or isinstance(value, bool):
            raise UsageError(
                f"model.options: {name} is {value!r}, {wanted} was expected; correct it or leave "
                "it out."
            )
