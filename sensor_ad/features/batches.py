"""Batches: data of any kind come in, batches as the network takes them go out, on its device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import isnan
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence
from torch.utils.data import DataLoader

from sensor_ad.errors import DataError, UsageError
from sensor_ad.features.outputs import mapped, structure

Inputs = Callable[[Any], Any]
"""Batch -> what the network is called with: a tuple of arguments, or the only one."""
NUMBERS = "fiub"
"""Kinds of numpy's dtypes that a network can take."""


@dataclass(frozen=True)
class Batch:
    """What the network is called with, still where it was read."""

    arguments: tuple[Any, ...]
    samples: tuple[int, ...]
    """How many samples it may hold: one number where that is certain."""


@dataclass(frozen=True)
class Batches:
    """Data as batches."""

    each: Iterator[Batch]
    total: int | None
    """N, all samples, where that is known before."""
    times: Any = None
    """(N,) times that the data themselves have: the index of a frame."""


def batches_of(data: Any, size: int, inputs: Inputs | None) -> Batches:
    """Cut data into batches, or take the batches that they are.

    Parameters
    ----------
    data
        (N, …) array or tensor, DataFrame of N rows, DataLoader, or any iterable of batches.
    size
        Samples in a batch, where this function cuts.
    inputs
        Batch -> arguments of the network.

    Raises
    ------
    UsageError, DataError
        These are no data, there are none, or no numbers.
    """
    if not isinstance(size, int) or size < 1:
        raise UsageError(f"batch is {size!r}, expected a number of samples, 1 or more.")
    if hasattr(data, "iloc"):
        index = getattr(data, "index", None)
        dated = getattr(getattr(index, "dtype", None), "kind", "") == "M"
        rows = _cut(data.iloc, len(data), size, inputs)
        return Batches(rows, _filled(len(data), data), index if dated else None)
    if isinstance(data, np.ndarray | torch.Tensor):
        if not data.ndim:
            raise UsageError("the data are one number; an array of samples was expected.")
        return Batches(_cut(data, len(data), size, inputs), _filled(len(data), data))
    if isinstance(data, str | bytes | Mapping) or not isinstance(data, Iterable):
        hint = "; a dict is one batch: put it into a list" if isinstance(data, Mapping) else ""
        raise UsageError(
            f"the data are a {type(data).__name__}; an array, a tensor, a DataFrame, a DataLoader "
            f"or another iterable of batches was expected{hint}."
        )
    total = _samples_of(data) if isinstance(data, DataLoader) else None
    return Batches(_taken(data, inputs), total)


def moved(arguments: tuple[Any, ...], device: torch.device, dtype: torch.dtype) -> tuple[Any, ...]:
    """Put tensors on the device; real numbers get the network's own type."""

    def to(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(device, dtype if tensor.is_floating_point() else tensor.dtype)

    return tuple(mapped(argument, to) for argument in arguments)


def refuse_nan(arguments: tuple[Any, ...], done: int) -> None:
    """Raise DataError when a tensor holds NaN; `done` samples came before."""

    def check(tensor: torch.Tensor) -> torch.Tensor:
        # A sum is NaN where one value is, or where infinities of both signs are: it is looked at
        # first, because it takes a tenth of the time.
        if not tensor.is_floating_point() or not tensor.ndim or not isnan(tensor.sum().item()):
            return tensor
        if tensor.isnan().any():
            rows = tensor.isnan().reshape(len(tensor), -1).any(dim=1).nonzero().flatten()
            raise DataError(
                f"the data hold NaN in {len(rows)} of the {len(tensor)} samples of a batch, first "
                f"in sample {done + int(rows[0])} (counted from 0); fill or leave out what is "
                "missing before."
            )
        return tensor

    mapped(arguments, check)


def device_of(network: nn.Module, asked: str | torch.device | None) -> torch.device:
    """Tell where the network lies.

    Raises
    ------
    UsageError
        It lies on several devices, or on another one than asked for.
    """
    lying = {tensor.device for tensor in (*network.parameters(), *network.buffers())}
    if len(lying) > 1:
        raise UsageError(
            f"the model lies on {' and '.join(sorted(map(str, lying)))}, one device was expected; "
            "move all of it with model.to(…)."
        )
    wanted = torch.device(asked) if asked is not None else None
    if not lying:
        return wanted or torch.device("cpu")
    (device,) = lying
    same = wanted is None or (wanted.type, wanted.index) in (
        (device.type, device.index),
        (device.type, None),
    )
    if not same:
        raise UsageError(
            f"the model lies on {device}, device={str(wanted)!r} was asked for; move it with "
            f"model.to({str(wanted)!r}), or leave device out."
        )
    return device


def dtype_of(network: nn.Module) -> torch.dtype:
    """Give the type of the network's real numbers, float32 when it has none."""
    kinds = (tensor.dtype for tensor in network.parameters() if tensor.is_floating_point())
    return next(kinds, torch.float32)


def _filled(count: int, data: Any) -> int:
    if not count:
        raise DataError(f"the data hold no samples: their shape is {tuple(data.shape)}.")
    return count


def _cut(rows: Any, count: int, size: int, inputs: Inputs | None) -> Iterator[Batch]:
    for start in range(0, count, size):
        part = _tensor(rows[start : start + size])
        yield Batch(_arguments(part, inputs), (len(part),))


def _taken(data: Iterable[Any], inputs: Inputs | None) -> Iterator[Batch]:
    try:
        for batch in data:
            arguments = _arguments(_tensors(batch), inputs)
            yield Batch(arguments, _counts(arguments))
    except OSError as error:
        raise DataError(
            f"the next batch could not be read ({error}); see to its source."
        ) from error


def _arguments(batch: Any, inputs: Inputs | None) -> tuple[Any, ...]:
    if inputs is not None:
        given = inputs(batch)
        return given if type(given) is tuple else (given,)
    if isinstance(batch, list | tuple) and not isinstance(batch, PackedSequence):
        if not batch:
            raise DataError("a batch is empty; tensors, (x, y) pairs or dicts were expected.")
        batch = batch[0]
    if not isinstance(batch, torch.Tensor | Mapping | PackedSequence):
        raise DataError(
            f"a batch is {structure(batch)}; a tensor, an (x, y) pair or a dict was expected, or "
            "inputs= that makes arguments of it."
        )
    return (batch,)


def _tensors(batch: Any) -> Any:
    """Turn arrays into tensors, wherever they lie."""
    if isinstance(batch, np.ndarray) or hasattr(batch, "iloc"):
        return _tensor(batch)
    if isinstance(batch, dict):
        return {key: _tensors(value) for key, value in batch.items()}
    if type(batch) in (list, tuple):
        return type(batch)(_tensors(value) for value in batch)
    return batch


def _tensor(rows: Any) -> torch.Tensor:
    if isinstance(rows, torch.Tensor):
        return rows
    array = rows.to_numpy() if hasattr(rows, "iloc") else rows
    if array.dtype.kind not in NUMBERS:
        raise DataError(
            f"the data are of the type {array.dtype}, numbers were expected; turn times, words and "
            "missing values into numbers, or leave them out."
        )
    # A copy: torch warns of arrays that cannot be written, such as a memory-mapped file's.
    return torch.from_numpy(np.array(array))


def _counts(arguments: tuple[Any, ...]) -> tuple[int, ...]:
    """Give the sizes of the first tensor's first two axes: which one is samples is not known."""
    for argument in arguments:
        if isinstance(argument, PackedSequence):
            return (int(argument.batch_sizes[0]),)
        for part in argument.values() if isinstance(argument, Mapping) else (argument,):
            if isinstance(part, torch.Tensor) and part.ndim:
                return tuple(part.shape[:2])
    return ()


def _samples_of(loader: DataLoader[Any]) -> int | None:
    """Count the samples of a loader that does not drop any and draws each as its sampler says."""
    plain = type(loader.batch_sampler) is torch.utils.data.BatchSampler and not loader.drop_last
    try:
        return len(loader.sampler) if plain else None  # type: ignore[arg-type]
    except TypeError:
        return None
