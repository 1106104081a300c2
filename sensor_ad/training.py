"""The training loop: a packed series and a network come in, weights and a history go out.

The series lies on the device and windows are gathered from it by index. What an epoch draws depends
on the seed and the epoch's number alone, so a resumed training gives the weights of an
uninterrupted one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from sensor_ad.config import TrainingSettings
from sensor_ad.durable import replacing, write_json
from sensor_ad.errors import ModelError
from sensor_ad.models import Network, as_output
from sensor_ad.records import Bools, Floats

MIN_OBSERVED = 0.25
"""Share of a sample's rows that must be observed for it to be drawn."""
DRAWS_PER_ROW = 2.0
"""Rows that an epoch draws for each row of the series …"""
FEWEST_SAMPLES, MOST_SAMPLES = 256, 8192
"""… within these numbers of samples."""
WARM_UP_EPOCHS = 2
LOWEST_RATE = 0.05
"""The cosine schedule ends at this share of the highest rate."""
MIN_GAIN = 1e-3
"""Relative fall of the validation loss that counts as a gain."""
NAN_RETRIES = 3


@dataclass(frozen=True)
class Series:
    """The packed axis on the device, with what may be seen of it."""

    values: torch.Tensor
    """(P, C) float32 scaled."""
    mask: torch.Tensor
    """(P, C) float32, 1 where observed and of the part."""
    starts: torch.Tensor
    """(K,) int64 places at which a sample may start."""
    crop: int
    """Rows of a sample."""

    def samples(self, starts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Gather (N, C, crop) values and mask at (N,) places."""
        rows = starts[:, None] + torch.arange(self.crop, device=starts.device)
        return self.values[rows].transpose(1, 2), self.mask[rows].transpose(1, 2)


@dataclass(frozen=True)
class Progress:
    """What happened so far; with the tensors beside it, a checkpoint."""

    epoch: int = 0
    """Epochs done."""
    best_epoch: int = 0
    best_loss: float = math.inf
    rate_share: float = 1.0
    """Halved each time the loss was not a number."""
    retries: int = 0
    finished: bool = False
    history: tuple[dict[str, float], ...] = field(default=())


@dataclass(frozen=True)
class Trained:
    """Weights and how they came about."""

    weights: dict[str, torch.Tensor]
    best_epoch: int
    history: tuple[dict[str, float], ...]


def make_series(
    x: Floats, mask: Floats, visible: Bools, network: Network, device: torch.device
) -> Series:
    """Put one part of a packed series on the device.

    Parameters
    ----------
    x, mask
        (P, C) scaled values and their mask.
    visible
        (P,) rows that belong to the part.
    network
        Says how long a sample is.
    """
    stride = network.stride
    crop = network.sample_rows
    if network.dense:
        crop = max(stride, min(crop, len(x) // stride * stride))
    shown = mask * visible[:, None]
    count = np.concatenate([[0], np.cumsum(shown.any(axis=1))])
    seen = count[crop:] - count[:-crop]
    starts = np.flatnonzero(seen >= MIN_OBSERVED * crop)
    if not len(starts):
        raise ModelError(
            f"no stretch of {crop} rows has enough readings to train on; check the export for gaps "
            "(sensor-ad inspect), or take a shorter prepare.window."
        )
    return Series(
        torch.from_numpy(x).to(device),
        torch.from_numpy(shown.astype(np.float32)).to(device),
        torch.from_numpy(starts).to(device),
        crop,
    )


def train_network(
    network: Network,
    train: Series,
    validate: Series | None,
    settings: TrainingSettings,
    seed: int,
    checkpoint: Path | None = None,
    epochs: int | None = None,
    on_epoch: Callable[[dict[str, float]], None] | None = None,
) -> Trained:
    """Train until the validation loss has not fallen for `patience` epochs.

    Parameters
    ----------
    network
        Its own `loss` is what falls; left with the best weights.
    train, validate
        What to learn from, and what decides the early stop; without `validate` all `epochs` are
        run.
    seed
        Of the samples drawn and the cells hidden.
    checkpoint
        Folder that holds the state after each epoch; found there, training goes on from it.
    epochs
        Instead of the settings' `max_epochs`.
    on_epoch
        Called with the newest entry of the history.

    Raises
    ------
    ModelError
        The loss was not a number although the rate had been halved three times.
    """
    total = epochs or settings.max_epochs
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    state = Progress()
    best = _copy(network)
    if checkpoint is not None and (checkpoint / "progress.json").is_file():
        state, best = _load(checkpoint, network, optimiser)
    elif checkpoint is not None:
        _save(checkpoint, network, optimiser, best, state)
    good = _copy(network), _optimiser_copy(optimiser)
    while state.epoch < total and not state.finished:
        rate = settings.learning_rate * state.rate_share * _schedule(state.epoch, total)
        loss = _train_epoch(network, optimiser, train, settings, rate, seed, state.epoch)
        check = loss if validate is None else _validation_loss(network, validate, settings, seed)
        if not (math.isfinite(loss) and math.isfinite(check)):
            state = _after_nan(state)
            network.load_state_dict(good[0])
            optimiser.load_state_dict(good[1])
            continue
        state = _after_epoch(state, loss, check, rate, settings, last=validate is None)
        if state.best_epoch == state.epoch:
            best = _copy(network)
        good = _copy(network), _optimiser_copy(optimiser)
        if checkpoint is not None:
            _save(checkpoint, network, optimiser, best, state)
        if on_epoch is not None:
            on_epoch(state.history[-1])
    network.load_state_dict(best)
    return Trained(best, state.best_epoch, state.history)


def _train_epoch(
    network: Network,
    optimiser: torch.optim.Optimizer,
    train: Series,
    settings: TrainingSettings,
    rate: float,
    seed: int,
    epoch: int,
) -> float:
    """One pass over freshly drawn samples; the mean loss."""
    random = _generator(seed, epoch)
    torch.manual_seed(random.initial_seed())  # of networks that draw numbers themselves
    count = int(DRAWS_PER_ROW * len(train.values) / train.crop)
    count = min(max(count, FEWEST_SAMPLES), MOST_SAMPLES)
    picks = torch.randint(len(train.starts), (count,), generator=random)
    for group in optimiser.param_groups:
        group["lr"] = rate
    network.train()
    losses = [
        _train_batch(
            network,
            optimiser,
            train,
            train.starts[part.to(train.starts.device)],
            settings,
            random,
            epoch,
        )
        for part in torch.split(picks, settings.batch)
    ]
    return float(torch.stack(losses).mean())


def _train_batch(
    network: Network,
    optimiser: torch.optim.Optimizer,
    train: Series,
    starts: torch.Tensor,
    settings: TrainingSettings,
    random: torch.Generator,
    epoch: int,
) -> torch.Tensor:
    values, mask = train.samples(starts)
    shown = mask * _hide(mask.shape, settings, random).to(mask.device)
    # Mixed precision on CUDA: bfloat16 has the range of float32, so no loss scaling is needed.
    with torch.autocast(values.device.type, torch.bfloat16, enabled=values.is_cuda):
        output = as_output(network(values * shown, shown))
    loss = network.loss(output, values, mask, epoch)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), settings.clip_norm)
    optimiser.step()
    return loss.detach()


def _hide(
    shape: Sequence[int], settings: TrainingSettings, random: torch.Generator
) -> torch.Tensor:
    """(N, C, T) 0 where cells, stretches and whole tags are hidden from the network, else 1."""
    N, C, T = shape
    shown = torch.rand((N, C, T), generator=random) >= settings.hide_cells
    shown &= torch.rand((N, C, 1), generator=random) >= settings.hide_tags
    begin = torch.randint(T, (N, C, 1), generator=random)
    length = torch.randint(1, max(T // 2, 2), (N, C, 1), generator=random)
    chosen = torch.rand((N, C, 1), generator=random) < settings.hide_stretches
    row = torch.arange(T)
    shown &= ~(chosen & (row >= begin) & (row < begin + length))
    return shown.float()


@torch.no_grad()
def _validation_loss(
    network: Network, validate: Series, settings: TrainingSettings, seed: int
) -> float:
    """Loss on evenly spread samples, the same cells hidden each time."""
    network.eval()
    random = _generator(seed, -1)
    count = min(
        len(validate.starts), MOST_SAMPLES // 8, max(16, 4 * len(validate.values) // validate.crop)
    )
    picks = torch.linspace(0, len(validate.starts) - 1, count).long()
    losses = []
    for part in torch.split(picks, settings.batch):
        values, mask = validate.samples(validate.starts[part.to(validate.starts.device)])
        shown = mask * _hide(mask.shape, settings, random).to(mask.device)
        output = as_output(network(values * shown, shown))
        losses.append(network.loss(output, values, mask, settings.max_epochs) * len(part))
    return float(torch.stack(losses).sum()) / count


def _generator(seed: int, epoch: int) -> torch.Generator:
    """Give each epoch a stream of its own, so that resuming needs no saved random state."""
    mixed = np.random.SeedSequence([seed, epoch + 1]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(mixed) >> 1)


def _schedule(epoch: int, total: int) -> float:
    """Share of the highest rate: a short warm-up, then half a cosine."""
    warm = min(1.0, (epoch + 1) / WARM_UP_EPOCHS)
    fall = 0.5 * (1 + math.cos(math.pi * epoch / max(total, 1)))
    return warm * (LOWEST_RATE + (1 - LOWEST_RATE) * fall)


def _after_epoch(
    state: Progress, loss: float, check: float, rate: float, settings: TrainingSettings, last: bool
) -> Progress:
    """Note an epoch; with `last`, the newest weights count as the best."""
    epoch = state.epoch + 1
    gain = last or check < state.best_loss * (1 - MIN_GAIN)
    entry = {"epoch": epoch, "train_loss": loss, "validate_loss": check, "learning_rate": rate}
    return Progress(
        epoch=epoch,
        best_epoch=epoch if gain else state.best_epoch,
        best_loss=check if gain else state.best_loss,
        rate_share=state.rate_share,
        retries=state.retries,
        finished=not gain and epoch - state.best_epoch >= settings.patience,
        history=(*state.history, entry),
    )


def _after_nan(state: Progress) -> Progress:
    if state.retries >= NAN_RETRIES:
        raise ModelError(
            f"the training loss was not a number in epoch {state.epoch + 1}, although the "
            f"learning rate "
            f"was halved {NAN_RETRIES} times; look for extreme values (sensor-ad inspect), or "
            f"set a "
            "lower training.learning_rate."
        )
    values = {**asdict(state), "history": state.history}
    return Progress(**{**values, "retries": state.retries + 1, "rate_share": state.rate_share / 2})


def _copy(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def _optimiser_copy(optimiser: torch.optim.Optimizer) -> dict[str, object]:
    state = optimiser.state_dict()
    moments = {
        number: {name: value.clone() for name, value in entry.items()}
        for number, entry in state["state"].items()
    }
    return {**state, "state": moments}


def _save(
    folder: Path,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    best: dict[str, torch.Tensor],
    state: Progress,
) -> None:
    """Write a checkpoint: tensors first, then the small file that names them."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in best.items()}
    for number, entry in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{number}.{name}": value for name, value in entry.items()}
    name = f"epoch-{state.epoch}.safetensors"
    with replacing(folder / name) as temporary:
        save_file(
            {key: value.detach().cpu().contiguous() for key, value in tensors.items()}, temporary
        )
    best_loss = state.best_loss if math.isfinite(state.best_loss) else None
    write_json(folder / "progress.json", {**asdict(state), "best_loss": best_loss, "tensors": name})
    for old in folder.glob("epoch-*.safetensors"):
        if old.name != name:
            old.unlink()


def _load(
    folder: Path, network: nn.Module, optimiser: torch.optim.Optimizer
) -> tuple[Progress, dict[str, torch.Tensor]]:
    try:
        table = json.loads((folder / "progress.json").read_text(encoding="utf-8"))
        tensors = load_file(folder / table.pop("tensors"))
        if table["best_loss"] is None:
            table["best_loss"] = math.inf
        state = Progress(**{**table, "history": tuple(table["history"])})
        network.load_state_dict(_under("network.", tensors))
        best = _under("best.", tensors)
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for key, value in _under("optimiser.", tensors).items():
            number, name = key.split(".", 1)
            moments.setdefault(int(number), {})[name] = value
        optimiser.load_state_dict({**optimiser.state_dict(), "state": moments})
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise ModelError(
            f"the checkpoint in {folder} is damaged ({type(error).__name__}); remove that "
            f"folder and "
            "train again."
        ) from error
    return state, best


def _under(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {
        key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)
    }
