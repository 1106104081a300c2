"""Outputs: whatever a layer put out comes in, the one tensor of it that was meant goes out."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from sensor_ad.errors import UsageError

Choice = str | int | tuple[str | int, ...] | None
"""Which part of an output: None the usual one of its kind of layer, () all of it as it is."""


@dataclasses.dataclass(frozen=True)
class Picked:
    """The part of a layer's output that was meant."""

    tensor: torch.Tensor
    path: tuple[str | int, ...]
    """Where in the output it lay."""
    lengths: torch.Tensor | None = None
    """(N,) steps of each sample, where the output said so; the steps beyond are padding."""


def pick(
    name: str,
    module: nn.Module,
    output: Any,
    choice: Choice,
    named: Mapping[str, Any] | None = None,
) -> Picked:
    """Take the tensor that is meant out of a layer's output.

    Parameters
    ----------
    name, module
        The layer.
    output
        What its forward pass returned.
    choice
        An index, a key, an attribute, or a path of them: ``"1.0"``, ``("states", 0)``. An index
        into a tensor is taken along its first axis. Of LSTM, GRU and RNN also ``"output"``, ``"h"``
        and ``"c"``. None: the output sequence of LSTM, GRU and RNN, the attended values of
        MultiheadAttention, of other layers the output itself.
    named
        Named arguments of that call: the recurrent layers of PyTorch Forecasting are told by
        ``lengths`` where padding begins.

    Raises
    ------
    UsageError
        The layer gave None, has no such part, or that part is no tensor.
    """
    path = path_of(module, choice)
    part = output
    for step in path:
        part = _part(part, step)
        if part is _NOTHING:
            raise UsageError(
                f"the layer {name!r} has no output {choice!r}: it gives {structure(output)}; "
                "choose what is there with output=."
            )
    if isinstance(part, PackedSequence):
        first = module.batch_first if isinstance(module, nn.RNNBase) else True
        padded, lengths = pad_packed_sequence(part, batch_first=first)
        return Picked(padded, path, lengths)
    if isinstance(part, torch.Tensor) and part.is_nested:
        lengths = torch.tensor([len(sample) for sample in part.unbind()])
        return Picked(torch.nested.to_padded_tensor(part, 0.0), path, lengths)
    if isinstance(part, torch.Tensor):
        told = (named or {}).get("lengths")
        sequence = isinstance(module, nn.RNNBase) and path == (0,)
        values = part.dequantize() if part.is_quantized else part
        return Picked(values, path, told if sequence and isinstance(told, torch.Tensor) else None)
    if part is None:
        raise UsageError(
            f"the layer {name!r} gave None, a tensor was expected; name a layer that gives one."
        )
    raise UsageError(
        f"the layer {name!r} gives {structure(output)}, no single tensor; choose a part of it with "
        'output=: an index, a key, an attribute, or a path such as "1.0".'
    )


def is_plain(tensor: torch.Tensor) -> bool:
    """Return whether a tensor is one array of numbers as it is, neither nested nor quantised."""
    return not (tensor.is_nested or tensor.is_quantized)


def structure(output: Any) -> str:
    """Describe an output with the shapes of its tensors.

    Examples
    --------
    >>> structure((torch.zeros(4, 5), {"h": torch.zeros(2), "note": None}))
    '(tensor (4, 5), {h: tensor (2), note: None})'
    """
    if isinstance(output, torch.Tensor):
        sizes = "nested" if output.is_nested else ", ".join(map(str, output.shape))
        return f"tensor ({sizes})"
    if isinstance(output, PackedSequence):
        return f"PackedSequence of {len(output.batch_sizes)} steps, {structure(output.data)}"
    if isinstance(output, Mapping):
        return "{" + ", ".join(f"{key}: {structure(part)}" for key, part in output.items()) + "}"
    if fields := _fields(output):
        inside = ", ".join(f"{key}={structure(getattr(output, key))}" for key in fields)
        return f"{type(output).__name__}({inside})"
    if isinstance(output, list | tuple):
        inside = ", ".join(structure(part) for part in output)
        return f"[{inside}]" if isinstance(output, list) else f"({inside})"
    return "None" if output is None else f"a {type(output).__name__}"


def mapped(output: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """Give the same structure with each of its tensors changed; lists become tuples."""
    if isinstance(output, torch.Tensor):
        return change(output)
    if isinstance(output, PackedSequence):
        return PackedSequence(change(output.data), *output[1:])
    if dataclasses.is_dataclass(output) and not isinstance(output, type):
        names = [field.name for field in dataclasses.fields(output) if field.init]
        return dataclasses.replace(
            output, **{name: mapped(getattr(output, name), change) for name in names}
        )
    if isinstance(output, Mapping):
        return {key: mapped(value, change) for key, value in output.items()}
    if isinstance(output, list | tuple):
        parts = tuple(mapped(value, change) for value in output)
        return type(output)(*parts) if hasattr(output, "_fields") else parts
    return output


_NOTHING = object()


def path_of(module: nn.Module, choice: Choice) -> tuple[str | int, ...]:
    """Give the steps into a layer's output to the part that is chosen; none: the output itself."""
    if choice is None:
        return (0,) if isinstance(module, nn.RNNBase | nn.MultiheadAttention) else ()
    if isinstance(choice, int):
        return (choice,)
    words = choice.split(".") if isinstance(choice, str) else choice
    steps = [
        int(word) if isinstance(word, str) and re.fullmatch(r"-?\d+", word) else word
        for word in words
    ]
    if isinstance(module, nn.RNNBase) and steps and isinstance(steps[0], str):
        state: tuple[str | int, ...] = (1, 0) if isinstance(module, nn.LSTM) else (1,)
        known: dict[str, tuple[str | int, ...]] = {"output": (0,), "h": state, "c": (1, 1)}
        if steps[0] == "c" and not isinstance(module, nn.LSTM):
            del known["c"]
        steps = [*known.get(steps[0], (steps[0],)), *steps[1:]]
    return tuple(steps)


def _part(output: Any, step: str | int) -> Any:
    """Go one step into an output."""
    if isinstance(output, Mapping):
        return output.get(step, output.get(str(step), _NOTHING))
    if isinstance(step, int):
        indexed = isinstance(output, list | tuple | torch.Tensor)
        inside = indexed and not (isinstance(output, torch.Tensor) and not output.ndim)
        return output[step] if inside and -len(output) <= step < len(output) else _NOTHING
    return getattr(output, step) if step in _fields(output) else _NOTHING


def _fields(output: Any) -> tuple[str, ...]:
    """Names of what a named tuple, a dataclass or a plain object holds."""
    if isinstance(output, torch.Tensor | list | str | int | float) or output is None:
        return ()
    if isinstance(output, tuple):
        return tuple(getattr(output, "_fields", ()))
    if dataclasses.is_dataclass(output):
        return tuple(field.name for field in dataclasses.fields(output))
    return tuple(key for key in getattr(output, "__dict__", {}) if not key.startswith("_"))
