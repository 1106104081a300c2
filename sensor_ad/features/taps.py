"""Hooks: a network and names of its layers come in, what those layers put out goes out.

Written for any `torch.nn.Module`. The hooks exist within one with-block; whatever happens there,
none is left behind, and the network is in the mode (training or evaluation) in which it was found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from contextvars import ContextVar
from operator import attrgetter
from threading import get_ident
from types import TracebackType
from typing import Any, Literal

import torch
from torch import nn

from sensor_ad.errors import UsageError
from sensor_ad.features.modes import evaluating, uncompiled
from sensor_ad.features.names import chosen_layers, names_of, network_of
from sensor_ad.features.outputs import Choice, is_plain, mapped, path_of, pick

Call = Literal["error", "first", "last", "all"]
CALLS: tuple[Call, ...] = ("error", "first", "last", "all")
NOT_SET = "the hooks are not set; call the outputs within their with-block."
_TRAINING = attrgetter("training")
_INFERENCE: Callable[[bool], AbstractContextManager[None]] = getattr(
    torch._C, "_InferenceMode", torch.inference_mode
)
"""What `torch.inference_mode` enters itself: its Python around that takes as long as a small copy,
and each kept output needs it once."""
Keep = Callable[[str, nn.Module, Any, dict[str, Any]], Any]
"""(name, layer, output, the call's named arguments) -> what is kept of the output; called while the
pass goes on."""


class LayerOutputs:
    """Forward hooks on named layers, for the length of a with-block; `tap` makes one.

    Parameters
    ----------
    network
        Any module; through torch.compile and DataParallel the hooks reach the network itself,
        which runs uncompiled and on one device within the block.
    layers
        Dotted names, as in ``network.named_modules()``, or patterns.
    output
        Which part of an output is kept, for all layers or for each by name; () keeps all of it.
    call
        What becomes of a layer that runs several times in one pass.
    keep
        Instead of `output`: says what is kept of an output. It must not keep the output's own
        memory, which layers behind may overwrite.

    Raises
    ------
    UsageError
        A layer does not exist (those that do are named), did not run in a forward pass, or ran
        several times.

    Examples
    --------
    >>> network = nn.Sequential(nn.Linear(2, 1, bias=False), nn.ReLU())
    >>> _ = nn.init.constant_(network[0].weight, -1.0)
    >>> with LayerOutputs(network, ["0"]) as outputs:
    ...     result, features = outputs(torch.tensor([[1.0, 2.0]]))
    >>> float(result), float(features["0"])
    (0.0, -3.0)
    """

    def __init__(
        self,
        network: nn.Module,
        layers: str | Sequence[str],
        *,
        output: Choice | Mapping[str, Choice] = (),
        call: Call = "error",
        keep: Keep | None = None,
    ) -> None:
        if call not in CALLS:
            raise UsageError(f"call is {call!r}, expected one of {', '.join(CALLS)}.")
        self._modules = chosen_layers(network, layers)
        self.layers = tuple(self._modules)
        self.network = network_of(network)
        self.call = call
        choices = choices_of(output, self.layers)
        self._keeps = {
            name: keep or _copier(module, choices[name]) for name, module in self._modules.items()
        }
        self._all = tuple(self.network.modules())
        self._block: ExitStack | None = None
        self._thread = 0
        self._around: Pass | None = None
        self._own = Pass(self)

    def __enter__(self) -> LayerOutputs:
        if self._block is not None:
            raise UsageError("this block is entered already; make another tap for another block.")
        self._thread, self._around = get_ident(), _PASS.get()
        with ExitStack() as block:
            block.enter_context(uncompiled())
            block.enter_context(evaluating(self.network))
            for name, module in self._modules.items():
                hook = module.register_forward_hook(self._hook(name), with_kwargs=True)
                block.callback(hook.remove)
            block.callback(self.network.register_forward_pre_hook(self._begin).remove)
            self._block = block.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        block, self._block, self._own = self._block, None, Pass(self)
        if block is not None:
            block.close()

    def __call__(self, *inputs: Any, **named: Any) -> tuple[Any, dict[str, Any]]:
        """Run one forward pass in evaluation and inference mode, in any thread.

        Returns
        -------
        The network's result, and layer name -> what that layer put out in this very pass.
        """
        result, heard = self.listen(*inputs, **named)
        return result, heard.told()

    def listen(self, *inputs: Any, **named: Any) -> tuple[Any, Pass]:
        """Run one forward pass as a call does, but judge nothing of what ran."""
        if self._block is None:
            raise UsageError(NOT_SET)
        if any(map(_TRAINING, self._all)):
            for module in self._all:
                module.training = False
        heard = Pass(self)
        token = _PASS.set(heard)
        try:
            with _INFERENCE(True):
                return self.network(*inputs, **named), heard
        finally:
            _PASS.reset(token)

    @property
    def outputs(self) -> dict[str, Any]:
        """Layer name -> what it put out in the last pass that this thread ran in the block.

        For networks that other code runs (a trainer, say). A pass begins when the network itself
        is called.
        """
        if self._block is None:
            raise UsageError(NOT_SET)
        return self._own.told()

    def _hook(self, name: str) -> Callable[[nn.Module, Any, dict[str, Any], Any], None]:
        """Make the hook of one layer: all that does not change from call to call is known to it."""
        keep, last, every = self._keeps[name], self.call == "last", self.call == "all"

        def hear(module: nn.Module, inputs: Any, named: dict[str, Any], output: Any) -> None:
            heard = _PASS.get()
            if heard is None or heard.tap is not self:
                if not self._is_own(heard):
                    return
                heard = self._own
            count = heard.calls[name] = heard.calls[name] + 1
            if every:
                heard.kept.setdefault(name, []).append(keep(name, module, output, named))
            elif count == 1 or last:
                heard.kept[name] = keep(name, module, output, named)
            elif self.call == "error":
                heard.kept.pop(name, None)  # nobody will see it

        return hear

    def _begin(self, network: nn.Module, inputs: Any) -> None:
        current = _PASS.get()
        if (current is None or current.tap is not self) and self._is_own(current):
            self._own = Pass(self)

    def _is_own(self, current: Pass | None) -> bool:
        """Whether what runs is run by others in the block: not for another tap, nor elsewhere."""
        return current is self._around and get_ident() == self._thread


class Pass:
    """What the layers put out in one forward pass."""

    __slots__ = ("calls", "kept", "tap")

    def __init__(self, tap: LayerOutputs) -> None:
        self.tap = tap
        self.calls = dict.fromkeys(tap.layers, 0)
        """Layer name -> how often it ran."""
        self.kept: dict[str, Any] = {}
        """Layer name -> what is kept of its output."""

    def told(self) -> dict[str, Any]:
        """Give layer name -> what is kept, in the order in which layers were asked for."""
        if set(self.calls.values()) != {1}:
            self._refuse()
        kept = self.kept
        return {name: kept[name] for name in self.calls}

    def _refuse(self) -> None:
        """Refuse layers that did not run, or ran several times where that is an error."""
        missing = [repr(name) for name, count in self.calls.items() if not count]
        if missing:
            one = len(missing) == 1
            raise UsageError(
                f"the layer{'' if one else 's'} {', '.join(missing)} did not run in the forward "
                f"pass; name {'one that does' if one else 'ones that do'}."
            )
        for name, count in self.calls.items():
            if self.tap.call == "error" and count > 1:
                raise UsageError(_several(self.tap.network, name, count))


_PASS: ContextVar[Pass | None] = ContextVar("pass", default=None)
"""The pass that a tap is running in this thread (or task): hooks of other taps leave it alone."""


def tap(
    model: nn.Module,
    layers: str | Sequence[str],
    *,
    output: Choice | Mapping[str, Choice] = None,
    call: Call = "error",
) -> LayerOutputs:
    """Read hidden layers in the forward pass, for the length of a with-block.

    Within the block the network is in evaluation mode, and each module's own mode is restored
    after it. Calling the tap runs one pass in inference mode, from any thread. Or run the model
    yourself, or have it run, in the thread that entered the block, and read `outputs` then.

    Tensors are copies of their own, cut from the gradients: later layers may overwrite the
    original, and torch keeps no account of that which could be relied on. Where only part of an
    output is needed, `LayerOutputs` with `keep`, or `features` with `pool`, does without the copy.

    Parameters
    ----------
    model
        Any network. What `torch.compile` compiled runs uncompiled within the block (in all
        threads), because compiled code passes over hooks that were set after it was compiled;
        of (Distributed)DataParallel the network within is run, on the device where it lies.
        TorchScript is refused: hooks are not called there.
    layers
        A dotted name, several, or patterns such as ``"encoder.*"`` (``*`` stands for dots too).
    output
        Which part of an output that is not a tensor: an index, a key, an attribute or a path such
        as ``"1.0"`` or ``("states", 0)``; a dict gives a choice for each layer. None takes the
        output sequence of LSTM, GRU and RNN, the attended values of MultiheadAttention, and pads
        packed sequences; () takes the whole output as it is.
    call
        What becomes of a layer that runs several times in one pass: ``"error"``, the ``"first"``
        or ``"last"`` output, or a list of ``"all"`` of them.

    Returns
    -------
    A block whose call gives ``(result, {layer name: output})``.

    Raises
    ------
    UsageError
        A layer does not exist, did not run, ran several times, or gave no tensor.

    Examples
    --------
    >>> network = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    >>> with tap(network, ["0", "1"]) as tapped:
    ...     result, outputs = tapped(torch.ones(3, 2))
    >>> outputs["1"].shape
    torch.Size([3, 2])
    """
    return LayerOutputs(model, layers, output=output, call=call)


def choices_of(output: Choice | Mapping[str, Choice], layers: Sequence[str]) -> dict[str, Choice]:
    """Give each layer its own choice of an output; refuse choices for layers not asked for."""
    if not isinstance(output, Mapping):
        return dict.fromkeys(layers, output)
    for name in output:
        if name not in layers:
            raise UsageError(
                f"output names the layer {name!r}, which is not among the layers asked for: "
                f"{', '.join(layers)}."
            )
    return {name: output.get(name) for name in layers}


def _copier(module: nn.Module, choice: Choice) -> Keep:
    """Give what copies a layer's output, or the part of it that was chosen."""
    straight = choice != () and not path_of(module, choice)

    def keep(name: str, module: nn.Module, output: Any, named: dict[str, Any]) -> Any:
        if straight and type(output) is torch.Tensor and is_plain(output):
            return _copy(output)  # the usual case, without what the others need
        part = output if choice == () else pick(name, module, output, choice).tensor
        return _copy(part) if isinstance(part, torch.Tensor) else mapped(part, _copy)

    return keep


def _copy(tensor: torch.Tensor) -> torch.Tensor:
    """Copy without the gradients, to an ordinary tensor: a classifier may be trained on it."""
    if tensor.requires_grad:
        tensor = tensor.detach()
    if not torch.is_inference_mode_enabled():
        return tensor.clone()
    with _INFERENCE(False):
        return tensor.clone()


def _several(network: nn.Module, name: str, count: int) -> str:
    known = names_of(network)
    own = known.get(name)
    others = [other for other, module in known.items() if module is own and other != name]
    also = f" (it is also {', '.join(map(repr, others))})" if own and others else ""
    return (
        f"the layer {name!r}{also} ran {count} times in one forward pass; say which call counts: "
        "call='first', 'last' or 'all'."
    )
