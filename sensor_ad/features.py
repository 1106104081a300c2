"""Hooks: a network and names of its layers come in, what those layers put out goes out.

Written for any `torch.nn.Module`. The hooks exist within one with-block; whatever happens there,
none is left behind, and the network is in the mode (training or evaluation) in which it was found.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import torch
from torch import nn

from sensor_ad.errors import UsageError


class LayerOutputs:
    """Forward hooks on named layers, for the length of a with-block.

    Parameters
    ----------
    network
        Any module.
    layers
        Dotted names, as in ``network.named_modules()``.

    Raises
    ------
    UsageError
        A layer does not exist (those that do are named), or did not run in a forward pass.

    Examples
    --------
    >>> network = nn.Sequential(nn.Linear(2, 1, bias=False), nn.ReLU())
    >>> _ = nn.init.constant_(network[0].weight, -1.0)
    >>> with LayerOutputs(network, ["0"]) as outputs:
    ...     result, features = outputs(torch.tensor([[1.0, 2.0]]))
    >>> float(result), float(features["0"])
    (0.0, -3.0)
    """

    def __init__(self, network: nn.Module, layers: Sequence[str]) -> None:
        self.network = network
        self.layers = tuple(layers)
        modules = dict(network.named_modules())
        for name in self.layers:
            if name not in modules or not name:
                raise UsageError(_no_such_layer(name, [known for known in modules if known]))
        self._modules = {name: modules[name] for name in self.layers}
        self._handles: list[torch.utils.hooks.RemovableHandle] = []
        self._seen: dict[str, Any] = {}
        self._modes: dict[nn.Module, bool] = {}

    def __enter__(self) -> LayerOutputs:
        self._modes = {module: module.training for module in self.network.modules()}
        try:
            for name, module in self._modules.items():
                self._handles.append(module.register_forward_hook(self._hook(name)))
            self.network.eval()
        except BaseException:
            self._restore()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()

    def __call__(self, *inputs: Any) -> tuple[Any, dict[str, Any]]:
        """Run one forward pass, without gradients.

        Returns
        -------
        The network's result, and layer name -> that layer's output in this very
        pass (the last one, if the layer ran several times).
        """
        if not self._handles:
            raise UsageError("the hooks are not set; call the outputs within their with-block.")
        self._seen = {}
        with torch.inference_mode():
            result = self.network(*inputs)
        seen, self._seen = self._seen, {}
        missing = [name for name in self.layers if name not in seen]
        if missing:
            raise UsageError(
                f"the layer {missing[0]!r} did not run in the forward pass; name one that does."
            )
        return result, seen

    def _hook(self, name: str) -> Any:
        def keep(module: nn.Module, inputs: Any, output: Any) -> None:
            self._seen[name] = _detached(output)

        return keep

    def _restore(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self._seen = {}
        for module, training in self._modes.items():
            module.training = training


def _detached(output: Any) -> Any:
    """Cut tensors from the graph, wherever they lie in tuples, lists and dicts."""
    if isinstance(output, torch.Tensor):
        return output.detach()
    if isinstance(output, dict):
        return {key: _detached(value) for key, value in output.items()}
    if isinstance(output, list | tuple):
        return tuple(_detached(value) for value in output)
    return output


def _no_such_layer(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, 1, 0.4)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return f"the network has no layer {name!r}; it has {', '.join(known)}{hint}"
