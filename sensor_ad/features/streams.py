"""Streams: a network, data of any length and names of layers come in, their features go out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from sensor_ad.errors import DataError, UsageError
from sensor_ad.features.batches import (
    Batch,
    Inputs,
    batches_of,
    device_of,
    dtype_of,
    moved,
    refuse_nan,
)
from sensor_ad.features.files import ArraySink, microseconds, sink_for
from sensor_ad.features.misfit import explaining
from sensor_ad.features.names import chosen_layers, is_pattern, names_of, network_of
from sensor_ad.features.outputs import Choice, pick
from sensor_ad.features.pooling import FRESH, POOLS, Pool, axes, pooled
from sensor_ad.features.taps import Call, Keep, LayerOutputs, choices_of

Dtype = Literal["float32", "float16"]
TORCH_DTYPES: dict[str, torch.dtype] = {"float32": torch.float32, "float16": torch.float16}
Axis = int | Mapping[str, int] | None
Progress = Callable[[int, int | None], None]
"""Called with the samples done and all of them, where that number is known."""


def features(
    model: nn.Module,
    data: Any,
    layers: str | Sequence[str],
    *,
    pool: Pool = "none",
    time_axis: Axis = None,
    output: Choice | Mapping[str, Choice] = None,
    call: Call = "error",
    inputs: Inputs | None = None,
    batch: int = 256,
    device: str | torch.device | None = None,
    dtype: Dtype = "float32",
    out: str | Path | None = None,
    times: Any = None,
    metadata: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Any:
    """Lead data through a network, batch by batch, and collect what hidden layers put out.

    Memory is bounded by a batch and, unless `out` names a file, by the features; nothing stays on
    the device after a batch. Modes, hooks and wrapped models are as `tap` says.

    Parameters
    ----------
    model
        Any network.
    data
        (N, …) array or tensor, DataFrame (N rows), DataLoader, or any iterable of batches: tensors,
        arrays, tuples or lists, dicts. The network is called with the tensor; of a tuple or list,
        such as (x, y), with the first entry; with a dict as its one argument (so PyTorch
        Forecasting's networks take it). Real numbers get the network's own type.
    layers
        A dotted name, several, or patterns such as ``"encoder.*"``.
    pool
        Over the axis of time: ``none`` (samples first, otherwise as it is), ``flatten``, ``last``,
        ``mean``, ``max``, or ``mean_spread`` (mean and standard deviation joined). Padding of
        packed sequences, and of recurrent layers that are called with ``lengths=`` (those of
        PyTorch Forecasting), does not count; any other padding does.
    time_axis
        Which axis of a layer's output is time (for each layer in a dict). Known without it:
        Conv1d and its like (the last), LSTM, GRU, RNN, attention and Transformer layers
        (by `batch_first`), what keeps their shape after them in a Sequential. Where it is 0, axis 1
        is samples.
    output
        Which part of an output that is not a tensor, as in `tap`.
    call
        Which output of a layer that runs several times in one pass; ``all`` gives (N, calls, …).
    inputs
        Batch -> what the network is called with, a tuple for several arguments.
    batch
        Samples in a batch, where `data` have no batches of their own.
    device
        Where the network is expected to be; the data go where it is.
    dtype
        Of the features.
    out
        ``x.npy`` for one layer, or ``x.parquet`` for any number: columns ``layer:0`` … (with
        mean_spread ``layer:mean:0`` …, ``layer:spread:0`` …), or one column of lists ``layer``
        for features of several axes. Written whole or not at all.
    times
        (N,) of the samples, for Parquet's column ``time``: datetimes (UTC where they name no
        zone) or microseconds since 1970 in UTC. Unless given, a DataFrame's index of times.
    metadata
        Key -> word, kept in a Parquet file beside the layers' shapes.
    progress
        Called after each batch with the samples done and N (None where it is not known).

    Returns
    -------
    (N, …) array for one layer by its name, else layer name -> array; memory-mapped, read-only, for
    a .npy file; the path of a Parquet file.

    Raises
    ------
    UsageError
        A layer, choice, axis, device or shape does not fit the network.
    DataError
        There are no samples, NaN among them, or more or fewer than times.
    ResourceError
        The file cannot be written.

    Examples
    --------
    >>> network = nn.Sequential(nn.Conv1d(2, 3, 1), nn.ReLU(), nn.Conv1d(3, 2, 1))
    >>> features(network, np.zeros((10, 2, 50)), "1", pool="mean_spread").shape
    (10, 6)
    """
    _check(pool, dtype)
    network = network_of(model)
    place, kind = device_of(network, device), dtype_of(network)
    path = None if out is None else Path(out)
    stream = batches_of(data, batch, inputs)
    when = times if times is not None or _is_npy(path) else stream.times
    stamps = None if when is None else microseconds(when, stream.total)
    names = tuple(chosen_layers(model, layers))
    keep = _pooling(model, names, pool, time_axis, output, dtype)
    done = 0
    with (
        sink_for(path, names, stream.total, stamps, pool == "mean_spread", metadata or {}) as sink,
        LayerOutputs(model, names, call=call, keep=keep) as outputs,
    ):
        shapes: dict[str, tuple[int, ...]] = {}
        for one in stream.each:
            refuse_nan(one.arguments, done)
            arrays = _one_pass(outputs, one, place, kind)
            _check_shapes(shapes, arrays)
            sink.add(arrays)
            done += len(arrays[names[0]])
            if progress is not None:
                progress(done, stream.total)
        if not done:
            raise DataError("the data hold no batch; an iterator may have been used up before.")
    if path is not None:
        return np.lib.format.open_memmap(path, mode="r") if _is_npy(path) else path
    assert isinstance(sink, ArraySink)
    single = isinstance(layers, str) and (not is_pattern(layers) or layers in names_of(network))
    return sink.arrays[names[0]] if single else sink.arrays


def _check(pool: str, dtype: str) -> None:
    if pool not in POOLS:
        raise UsageError(f"pool is {pool!r}, expected one of {', '.join(POOLS)}.")
    if dtype not in get_args(Dtype):
        raise UsageError(f"dtype is {dtype!r}, expected one of {', '.join(get_args(Dtype))}.")


def _is_npy(path: Path | None) -> bool:
    return path is not None and path.suffix == ".npy"


def _pooling(
    model: nn.Module,
    layers: Sequence[str],
    pool: Pool,
    time_axis: Axis,
    output: Choice | Mapping[str, Choice],
    dtype: str,
) -> Keep:
    """Pool while the pass goes on, so that no whole output needs to be kept."""
    network = network_of(model)
    known = dict(model.named_modules()) | names_of(network) | {"": network}
    choices = choices_of(output, layers)
    told: dict[tuple[Any, ...], tuple[int, int | None]] = {}  # what `axes` told of the same before

    def keep(name: str, module: nn.Module, given: Any, named: dict[str, Any]) -> torch.Tensor:
        picked = pick(name, module, given, choices[name], named)
        kind = (name, picked.tensor.ndim, picked.path, picked.lengths is None)
        axis = told.get(kind)
        if axis is None:
            stated = time_axis.get(name) if isinstance(time_axis, Mapping) else time_axis
            axis = told[kind] = axes(name, known, picked, stated)
        values = pooled(name, type(module).__name__, picked, axis, pool)
        if values.requires_grad:
            values = values.detach()
        return _narrowed(name, values, TORCH_DTYPES[dtype], copy=pool not in FRESH)

    return keep


def _narrowed(name: str, values: torch.Tensor, dtype: torch.dtype, copy: bool) -> torch.Tensor:
    """Give values in the type asked for, in memory that no layer behind can overwrite."""
    most = torch.finfo(dtype).max
    if dtype == torch.float16 and bool((values.abs() > most).any()):
        raise UsageError(
            f"the layer {name!r} gives values beyond {most:g}, the most that float16 can hold; set "
            "dtype to 'float32'."
        )
    return values.to(dtype, copy=copy)


def _one_pass(
    outputs: LayerOutputs, batch: Batch, device: torch.device, dtype: torch.dtype
) -> dict[str, npt.NDArray[Any]]:
    """Run one batch; what it took on the device is free again when this returns."""
    arguments = moved(batch.arguments, device, dtype)
    with explaining(outputs.network, arguments):
        _, kept = outputs(*arguments)
    arrays = {}
    for name, values in kept.items():
        joined = torch.stack(values, dim=1) if isinstance(values, list) else values
        arrays[name] = joined.cpu().numpy()
    _check_counts(arrays, batch.samples)
    return arrays


def _check_counts(arrays: dict[str, npt.NDArray[Any]], samples: tuple[int, ...]) -> None:
    """Refuse a layer that does not give one row for each sample."""
    first = next(iter(arrays.values()))
    for name, array in arrays.items():
        expected = samples or (len(first),)
        if len(array) not in expected or len(array) != len(first):
            raise UsageError(
                f"the layer {name!r} gives {len(array)} rows for {expected[0]} samples, one for "
                "each was expected; state the axis of time (0 where samples are axis 1), or name "
                "another layer."
            )


def _check_shapes(shapes: dict[str, tuple[int, ...]], arrays: dict[str, npt.NDArray[Any]]) -> None:
    """Refuse a batch whose features have another shape than those before."""
    for name, array in arrays.items():
        shape = shapes.setdefault(name, array.shape[1:])
        if shape != array.shape[1:]:
            raise UsageError(
                f"the layer {name!r} gives features of the shape {array.shape[1:]} for this batch, "
                f"{shape} for those before; pool them over time (pool='mean', say), or make all "
                "samples equally long."
            )
