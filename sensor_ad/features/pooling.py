"""Pooling: what a layer put out for a batch comes in, one array row for each sample goes out."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from sensor_ad.errors import UsageError
from sensor_ad.features.outputs import Picked

Pool = Literal["none", "flatten", "last", "mean", "max", "mean_spread"]
POOLS: tuple[Pool, ...] = ("none", "flatten", "last", "mean", "max", "mean_spread")
FRESH: tuple[Pool, ...] = ("mean", "max", "mean_spread")
"""These give memory of their own; the others may give the layer's."""
TIME_LAST = (
    *(nn.Conv1d, nn.ConvTranspose1d, nn.BatchNorm1d, nn.InstanceNorm1d, nn.Upsample),
    *(nn.MaxPool1d, nn.AvgPool1d, nn.LPPool1d, nn.AdaptiveAvgPool1d, nn.AdaptiveMaxPool1d),
)
"""Layers whose three-dimensional output is (samples, channels, time)."""
BATCH_FIRST = (
    *(nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer),
    *(nn.TransformerEncoder, nn.TransformerDecoder, nn.Transformer),
)
"""Layers whose output is (samples, time, features), or (time, samples, features) by `batch_first`
of the attention within them."""
KEEP_SHAPE = (nn.Identity, nn.LayerNorm, nn.GroupNorm, nn.modules.dropout._DropoutNd)


def axes(
    name: str, names: dict[str, nn.Module], picked: Picked, stated: int | None
) -> tuple[int, int | None]:
    """Tell which axis of an output is samples, and which is time.

    Parameters
    ----------
    name, names
        The layer, and all modules of its network, itself under "": a rectifier within a Sequential
        has the axes of the layer before it.
    picked
        Its output.
    stated
        What the user says of time; where time is the first axis, samples are the second one.

    Returns
    -------
    Number of the axis of samples, and of the axis of time where that is known.

    Raises
    ------
    UsageError
        The output has no such axis.
    """
    ndim = picked.tensor.ndim
    if stated is not None:
        if not -ndim <= stated < ndim:
            raise UsageError(
                f"time_axis is {stated}, but the layer {name!r} gives {_shape(picked)}; an axis "
                f"from 0 to {ndim - 1} was expected."
            )
        time = stated % ndim
        return (0 if time else 1), time
    module = _telling(name, names)
    if isinstance(module, nn.RNNBase) and picked.path[0] == 1:
        # States are (layers, samples, hidden); one of their layers is (samples, hidden).
        steps = len(picked.path) - (1 if isinstance(module, nn.LSTM) else 0)
        return (1 if steps == 1 else 0), None
    if ndim != 3 or picked.path not in ((), (0,)):
        return 0, None
    if isinstance(module, TIME_LAST):
        return 0, 2
    first = _batch_first(module)
    if first is None:
        return 0, (1 if picked.lengths is not None else None)
    return (0, 1) if first else (1, 0)


def pooled(
    name: str, kind: str, picked: Picked, axis: tuple[int, int | None], how: Pool
) -> torch.Tensor:
    """Pool one output over time.

    Parameters
    ----------
    name, kind
        The layer and its class, for messages.
    picked
        Its output; steps beyond `lengths` do not count in any pooling over time.
    axis
        Of samples and of time, as `axes` gives them.
    how
        ``none`` only puts samples first; ``flatten`` joins all other axes; ``last``, ``mean`` and
        ``max`` take time away; ``mean_spread`` joins mean and standard deviation (of N values, not
        N − 1) along the first axis of features.

    Returns
    -------
    (N, …) features.

    Raises
    ------
    UsageError
        Which axis is time is not known, or there is none.
    """
    samples, time = axis
    values = picked.tensor
    if values.ndim < 1 or values.ndim <= samples:
        raise UsageError(
            f"the layer {name!r} gives {_shape(picked)}, which has no axis of samples; name "
            "another layer."
        )
    if how in ("none", "flatten"):
        values = values.movedim(samples, 0)
        return values.flatten(1) if how == "flatten" and values.ndim > 1 else values
    if time is None:
        raise UsageError(_no_time(name, kind, picked, samples, how))
    if not values.is_floating_point():
        values = values.float()
    L, lengths = values.shape[time], picked.lengths
    if L and (lengths is None or bool((lengths == L).all())):
        return _over_all(values, time, how)
    if lengths is None:
        lengths = torch.zeros(values.shape[samples], dtype=torch.long)
    return _over_some(values.movedim((samples, time), (0, 1)), lengths, how)


def _over_all(values: torch.Tensor, time: int, how: Pool) -> torch.Tensor:
    """Pool all steps of (N, …, L, …), or of (L, N, …); in few calls, as this runs in the pass."""
    if how == "last":
        return values.select(time, -1)
    if how == "max":
        return values.amax(dim=time)
    if how == "mean":
        return values.mean(dim=time)
    mean = values.mean(dim=time, keepdim=True)
    # Not torch.var_mean: on a CPU it takes ten times as long.
    spread = (values - mean).square_().mean(dim=time).sqrt_()
    return _side_by_side(mean.squeeze(time), spread)


def _over_some(values: torch.Tensor, lengths: torch.Tensor, how: Pool) -> torch.Tensor:
    """Pool the first steps, so many as `lengths` says, of (N, L, …)."""
    # A sample without any step is padding throughout: zeros.
    lengths = lengths.clamp(min=1)
    steps = lengths.to(values.device).reshape(-1, *[1] * (values.ndim - 1))
    if how == "last":
        return values.take_along_dim(steps - 1, dim=1).squeeze(1)
    place = torch.arange(values.shape[1], device=values.device)
    beyond = place.reshape(1, -1, *[1] * (values.ndim - 2)) >= steps
    if how == "max":
        return values.masked_fill(beyond, -torch.inf).amax(dim=1)
    mean = values.masked_fill(beyond, 0.0).sum(dim=1, keepdim=True) / steps
    if how == "mean":
        return mean.squeeze(1)
    away = (values - mean).masked_fill_(beyond, 0.0)
    spread = (away.square_().sum(dim=1) / steps.squeeze(1)).sqrt_()
    return _side_by_side(mean.squeeze(1), spread)


def _side_by_side(mean: torch.Tensor, spread: torch.Tensor) -> torch.Tensor:
    """(N, …) means and spreads along the first axis of features."""
    both = (mean[:, None], spread[:, None]) if mean.ndim == 1 else (mean, spread)
    return torch.cat(both, dim=1)


def _telling(name: str, names: dict[str, nn.Module]) -> nn.Module:
    """Find the layer that tells the axes: a Sequential's last one, that before a rectifier."""
    module = names[name]
    if isinstance(module, nn.Sequential) and len(module):
        return _telling(f"{name}.{list(module._modules)[-1]}".lstrip("."), names)
    parent, _, own = name.rpartition(".")
    line = names.get(parent)
    if _keeps_shape(module) and isinstance(line, nn.Sequential):
        keys = list(line._modules)
        if keys.index(own):
            return _telling(f"{parent}.{keys[keys.index(own) - 1]}".lstrip("."), names)
    return module


def _keeps_shape(module: nn.Module) -> bool:
    activation = type(module).__module__ == "torch.nn.modules.activation"
    attention = isinstance(module, nn.MultiheadAttention)
    return isinstance(module, KEEP_SHAPE) or (activation and not attention)


def _batch_first(module: nn.Module) -> bool | None:
    if isinstance(module, nn.RNNBase):
        return module.batch_first
    if not isinstance(module, BATCH_FIRST):
        return None
    inner = (part for part in module.modules() if isinstance(part, nn.MultiheadAttention))
    return next((part.batch_first for part in inner), None)


def _no_time(name: str, kind: str, picked: Picked, samples: int, how: Pool) -> str:
    if picked.tensor.ndim < 3 or samples:
        return (
            f"the layer {name!r} gives {_shape(picked)}, which has no axis of time to take {how!r} "
            "over; set pool to 'none' or 'flatten'."
        )
    return (
        f"which axis of the layer {name!r} is time is not known: it is a {kind} and gives "
        f"{_shape(picked)}; state it, such as time_axis=1."
    )


def _shape(picked: Picked) -> str:
    return f"a tensor of shape {tuple(picked.tensor.shape)}"
