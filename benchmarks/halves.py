"""Rules' results on experiments come in; what a rule chosen on some is worth on others goes out.

Whoever tries several rules on all experiments and reports the best one reports too much. So a rule
is chosen on a random half and judged on the other half, many times over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from sensor_ad.records import Floats

SPLITS = 20

Result = TypeVar("Result")


@dataclass(frozen=True)
class Halves:
    """What rules that were chosen on random halves are worth on the others."""

    other: Floats
    """(S,) figure of the chosen rule on the half that it was not chosen on, split after split."""
    chosen: dict[str, int]
    """Rule -> splits in which it was chosen, most often first."""
    whole: dict[str, float]
    """Rule -> its figure on all experiments."""

    @property
    def statement(self) -> str:
        """Say it in one line."""
        best = max(self.whole, key=lambda rule: self.whole[rule])
        often = ", ".join(f"{rule} ({count})" for rule, count in self.chosen.items())
        return (
            f"{np.mean(self.other):.3f} ± {np.std(self.other, ddof=1):.3f} on the other halves of "
            f"{len(self.other)} splits; on all {self.whole[best]:.3f} by {best}; chosen: {often}"
        )


def chosen_on_halves(
    results: Mapping[str, Sequence[Result]],
    figure: Callable[[Sequence[Result]], float],
    splits: int = SPLITS,
    seed: int = 0,
) -> Halves:
    """Choose among rules on random halves of the experiments and judge on the other halves.

    Parameters
    ----------
    results
        Rule -> its result on each experiment, in the same order for all; at least two experiments.
    figure
        Judges a rule by its results on some experiments; higher is better.
    splits
        Random splits into halves.
    seed
        Of the splits.

    Raises
    ------
    ValueError
        Rules with different numbers of experiments, or fewer than two.
    """
    counts = {len(found) for found in results.values()}
    if len(counts) != 1 or min(counts) < 2:
        raise ValueError(
            f"the rules have results on {sorted(counts)} experiments; expected the same number for "
            "all, two or more."
        )
    E = counts.pop()
    rng = np.random.default_rng(seed)
    other, chosen = [], Counter[str]()
    for _ in range(splits):
        order = rng.permutation(E)
        half, rest = order[: E // 2], order[E // 2 :]
        on_half = {rule: figure([found[k] for k in half]) for rule, found in results.items()}
        best = max(on_half, key=lambda rule: on_half[rule])
        chosen[best] += 1
        other.append(figure([results[best][k] for k in rest]))
    whole = {rule: figure(found) for rule, found in results.items()}
    return Halves(np.array(other), dict(chosen.most_common()), whole)
