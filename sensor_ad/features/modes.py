"""Modes: for the length of a with-block a network evaluates, and compiled code runs as written.

Several blocks, nested or in several threads, may hold one module at a time: the first one notes
the mode in which it was found, the last one restores it.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import torch
from torch import nn


@dataclass
class _Held:
    module: nn.Module
    training: bool
    """As it was found."""
    blocks: int = 0


_LOCK = threading.Lock()
_HELD: dict[int, _Held] = {}
"""Of modules that a block holds, by identity."""
_EAGER: list[AbstractContextManager[None]] = []
"""The stance that all blocks share, once for each of them; it knows what was before."""


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Put every module into evaluation mode for a block, and restore each one's own mode after it.

    The flag is set, `eval` is not called: exported graphs refuse it, and what a module does beside
    (merge weights, say) could not be undone.
    """
    modules = list(network.modules())
    with _LOCK:
        for module in modules:
            held = _HELD.setdefault(id(module), _Held(module, module.training))
            held.blocks += 1
            if module.training:  # setting an attribute of a module takes long
                module.training = False
    try:
        yield
    finally:
        with _LOCK:
            for module in modules:
                held = _HELD[id(module)]
                held.blocks -= 1
                if not held.blocks:
                    if module.training != held.training:
                        module.training = held.training
                    del _HELD[id(module)]


@contextmanager
def uncompiled() -> Iterator[None]:
    """Run what torch.compile has compiled eagerly for a block, in all threads.

    Hooks that are set after a compilation are silently passed over by the compiled code
    (https://github.com/pytorch/pytorch/issues/117758).
    """
    if "torch._dynamo" not in sys.modules:  # nothing can be compiled; importing it takes seconds
        yield
        return
    with _LOCK:
        _EAGER.append(_EAGER[0] if _EAGER else torch.compiler.set_stance("force_eager"))
    try:
        yield
    finally:
        with _LOCK:
            stance = _EAGER.pop()
            if not _EAGER:
                stance.__exit__(None, None, None)
