"""Scored tiles come in; an even, bounded sample of the machine's states goes out, for maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sensor_ad.records import Floats, Ints, Tag

MOST_STATES = 1_500
"""States kept at most twice over: enough to see groups, few enough for t-SNE."""


@dataclass(frozen=True)
class States:
    """What the network made of a run at times spread evenly over it."""

    time_us: Ints
    """(n,) UTC microseconds."""
    latents: Floats
    """(n, 2D) pooled latents, float32."""
    mode: Floats
    """(n,) reading of the tag that tells the operating mode, NaN where missing."""
    mode_tag: str
    """Its name; empty when no tag tells it."""


class StateSample:
    """Keeps every k-th state; k doubles whenever there are twice as many as wanted."""

    def __init__(self, mode_column: int | None) -> None:
        self._column = mode_column
        self._every, self._passed = 1, 0
        self._held: list[tuple[Ints, Floats, Floats]] = []
        self._count = 0

    def add(self, index: Ints, actual: Floats, steps: Ints, latents: Floats) -> None:
        """Take the states of a tile.

        Parameters
        ----------
        index, actual
            (T,) grid rows and (T, C) readings.
        steps, latents
            (J,) grid rows among them, and (J, 2D) latents.
        """
        chosen = np.flatnonzero((np.arange(len(steps)) + self._passed) % self._every == 0)
        self._passed += len(steps)
        mode = np.full(len(chosen), np.nan)
        if self._column is not None and len(chosen):
            mode = actual[np.searchsorted(index, steps[chosen]), self._column]
        self._held.append((steps[chosen], latents[chosen].astype(np.float32), mode))
        self._count += len(chosen)
        while self._count >= 2 * MOST_STATES:
            self._thin()

    def _thin(self) -> None:
        steps, latents, mode = self._joined()
        self._held = [(steps[::2], latents[::2], mode[::2])]
        self._count, self._every = len(steps[::2]), 2 * self._every

    def _joined(self) -> tuple[Ints, Floats, Floats]:
        if not self._held:
            return np.empty(0, np.int64), np.empty((0, 0), np.float32), np.empty(0)
        steps, latents, mode = (np.concatenate(parts) for parts in zip(*self._held, strict=True))
        return steps, latents, mode

    def states(self) -> tuple[Ints, Floats, Floats]:
        """(n,) grid rows, (n, 2D) latents, (n,) readings of the mode's tag."""
        return self._joined()


def mode_column(tags: Sequence[Tag], kinds: Sequence[str]) -> int | None:
    """Find the tag that tells the operating mode: one of few states, what people set first."""
    few = [k for k, kind in enumerate(kinds) if kind == "few-state"]
    set_by_people = [k for k in few if tags[k].role != "measurement"]
    return next(iter([*set_by_people, *few]), None)
