"""`device = auto|cpu|cuda|cuda:1`: a word comes in, a torch device goes out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from sensor_ad.errors import ResourceError

WORTH_SHARING = 1_000_000
"""Values in a layer of one training step from which a second CPU thread is worth its waiting: with
fewer, threads wait for one another longer than they work, and on a busy PC many times as long."""


def choose_device(word: str, threads: int) -> tuple[torch.device, tuple[str, ...]]:
    """Choose the device, and set the number of CPU threads.

    Parameters
    ----------
    word
        ``auto`` takes CUDA when there is one.
    threads
        CPU threads for torch; 0 leaves it to torch.

    Raises
    ------
    ResourceError
        A device was asked for by name that is not there.
    """
    if threads:
        torch.set_num_threads(threads)
    if word == "cpu":
        return torch.device("cpu"), ()
    if torch.cuda.is_available():
        device = torch.device("cuda:0" if word in ("auto", "cuda") else word)
        if device.index is not None and device.index < torch.cuda.device_count():
            return device, ()
        raise ResourceError(
            f"device = {word!r} was asked for, this machine has {torch.cuda.device_count()} CUDA "
            'device(s), counted from 0; choose one of them, or device = "auto".'
        )
    if word == "auto":
        return torch.device("cpu"), ()
    raise ResourceError(
        f"device = {word!r} was asked for, but torch {torch.__version__} finds no CUDA device "
        f"here; "
        'install the driver and a CUDA build of torch, or set device = "cpu".'
    )


@contextmanager
def threads_for(values: int, asked: int) -> Iterator[None]:
    """Run a block on one CPU thread when its steps are too small to be shared.

    Parameters
    ----------
    values
        Numbers in one layer of one step.
    asked
        Threads that the config asks for; 0 leaves it to this rule.
    """
    before = torch.get_num_threads()
    if not asked and values < WORTH_SHARING:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def threads_beside_reading(asked: int) -> Iterator[None]:
    """Run a block on all CPU threads but one, which the thread that reads ahead keeps busy.

    Threads of torch wait actively: with one more of them than cores, all slow down many times.

    Parameters
    ----------
    asked
        Threads that the config asks for; 0 leaves it to this rule.
    """
    before = torch.get_num_threads()
    if not asked:
        torch.set_num_threads(max(1, before - 1))
    try:
        yield
    finally:
        torch.set_num_threads(before)
