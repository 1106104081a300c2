"""The loop: it learns, resumes bit for bit, recovers from NaN, stops early, hides as it says."""

import itertools
import json
import shutil

import numpy as np
import pytest
import torch

from sensor_ad import training
from sensor_ad.config import TrainingSettings
from sensor_ad.errors import ModelError
from sensor_ad.models import ConvAutoencoder, masked_loss
from sensor_ad.models.network import CROP_WINDOWS, HUBER_DELTA
from sensor_ad.models.vae import VariationalAutoencoder
from sensor_ad.training import (
    LOWEST_RATE,
    NAN_RETRIES,
    make_series,
    train_network,
)

CPU = torch.device("cpu")
WINDOW, STRIDE = 16, 2
T = 1000
TIME = np.arange(T)
SINE = np.stack([np.sin(TIME / 9), np.cos(TIME / 9)], axis=1).astype(np.float32)
SETTINGS = TrainingSettings(max_epochs=6, batch=64)
NAN = float("nan")


@pytest.fixture(scope="module", autouse=True)
def small():
    """Keep epochs small, and to one thread: there is nothing to share among more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "FEWEST_SAMPLES", 64)
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Give the folder of a finished training, to be copied."""
    folder = tmp_path_factory.mktemp("checkpoint")
    run(folder)
    return folder


def new_network(seed=0):
    torch.manual_seed(seed)
    return ConvAutoencoder(2, WINDOW)


def series(first=0, last=T):
    visible = (first <= TIME) & (last > TIME)
    return make_series(SINE, np.ones_like(SINE), visible, new_network(), CPU)


def run(folder=None, settings=SETTINGS, network=None, **more):
    """Train on the first part of a sine, and check on the rest."""
    network = network or new_network()
    return network, train_network(
        network, series(0, 750), series(782, T), settings, 0, folder, **more
    )


def assert_equal_weights(one, other):
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


def test_loss_falls_on_a_sine():
    nothing = {"hide_cells": 0, "hide_stretches": 0, "hide_tags": 0}
    settings = TrainingSettings(max_epochs=30, batch=16, learning_rate=0.01, **nothing)
    network, trained = run(settings=settings)
    losses = [entry["validate_loss"] for entry in trained.history]
    assert min(losses) < losses[0] / 3
    assert_equal_weights(dict(network.state_dict()), trained.weights)


def test_history_tells_each_epoch():
    heard = []
    _, trained = run(on_epoch=heard.append)
    assert list(trained.history) == heard
    assert [entry["epoch"] for entry in heard] == [1, 2, 3, 4, 5, 6]
    rates = [entry["learning_rate"] for entry in heard]
    assert rates[0] == pytest.approx(SETTINGS.learning_rate / 2)
    assert max(rates) <= SETTINGS.learning_rate
    assert SETTINGS.learning_rate * LOWEST_RATE <= rates[-1] < rates[-2]


def test_same_seed_same_weights():
    assert_equal_weights(run()[1].weights, run()[1].weights)


@pytest.mark.parametrize("interrupted_at", [1, 3, 6])
def test_resumed_training_gives_the_same_weights(tmp_path, interrupted_at):
    def interrupt(entry):
        if entry["epoch"] == interrupted_at:
            raise KeyboardInterrupt

    _, whole = run()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "c", on_epoch=interrupt)

    network, resumed = run(tmp_path / "c", network=new_network(seed=99))

    assert_equal_weights(resumed.weights, whole.weights)
    assert_equal_weights(dict(network.state_dict()), whole.weights)
    assert resumed.history == whole.history
    assert resumed.best_epoch == whole.best_epoch


def test_resumed_training_draws_the_same_noise_in_the_network(tmp_path):
    """A network may draw numbers of its own, from torch's one generator."""

    def network(seed):
        torch.manual_seed(seed)
        return VariationalAutoencoder(2, WINDOW, width=8)

    def interrupt(entry):
        if entry["epoch"] == 2:
            raise KeyboardInterrupt

    settings = TrainingSettings(max_epochs=4, batch=64)
    _, whole = run(settings=settings, network=network(0))
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "c", settings, network(0), on_epoch=interrupt)
    torch.manual_seed(12345)

    _, resumed = run(tmp_path / "c", settings, network(99))

    assert_equal_weights(resumed.weights, whole.weights)
    assert resumed.history == whole.history


def test_interrupted_in_the_first_epoch_starts_from_the_same_weights(tmp_path, monkeypatch):
    _, whole = run()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training, "_train_batch", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        run(tmp_path / "c")

    _, resumed = run(tmp_path / "c", network=new_network(seed=99))

    assert_equal_weights(resumed.weights, whole.weights)


def test_finished_training_is_not_repeated(checkpoint):
    heard = []
    _, again = run(checkpoint, network=new_network(seed=99), on_epoch=heard.append)
    assert heard == []
    assert len(again.history) == 6


def test_checkpoint_keeps_one_epoch(checkpoint):
    assert sorted(path.name for path in checkpoint.iterdir()) == [
        "epoch-6.safetensors",
        "progress.json",
    ]


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("epoch-6.safetensors", lambda b: b[: len(b) // 2], "SafetensorError"),
        ("epoch-6.safetensors", lambda b: b"", "SafetensorError"),
        ("epoch-6.safetensors", None, "FileNotFoundError"),
        ("progress.json", lambda b: b[:20], "JSONDecodeError"),
        ("progress.json", lambda b: b"{}", "KeyError"),
        ("progress.json", lambda b: json.dumps({**json.loads(b), "x": 1}).encode(), "TypeError"),
    ],
)
def test_damaged_checkpoint_refused(checkpoint, tmp_path, name, content, kind):
    shutil.copytree(checkpoint, tmp_path, dirs_exist_ok=True)
    path = tmp_path / name
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content(path.read_bytes()))

    with pytest.raises(ModelError) as refused:
        run(tmp_path)

    assert str(refused.value) == (
        f"the checkpoint in {tmp_path} is damaged ({kind}); remove that folder and train again."
    )


def test_checkpoint_of_another_network_refused(checkpoint):
    with pytest.raises(ModelError) as refused:
        run(checkpoint, network=ConvAutoencoder(2, WINDOW, width=8))
    assert str(refused.value) == (
        f"the checkpoint in {checkpoint} is damaged (RuntimeError); remove that folder and train "
        "again."
    )


class Epochs:
    """Replaces the training of an epoch: counts, notes, and turns NaN where told to."""

    def __init__(self, bad_calls):
        self.bad_calls = bad_calls
        self.calls = []

    def __call__(self, network, optimiser, train, settings, rate, seed, epoch):
        weight = network.bottleneck.bias
        self.calls.append((epoch, rate, weight[0].item()))
        with torch.no_grad():
            weight += NAN if len(self.calls) in self.bad_calls else 1
        return NAN if len(self.calls) in self.bad_calls else 1.0


def test_nan_goes_back_to_the_last_good_epoch_with_half_the_rate(monkeypatch):
    epochs = Epochs(bad_calls={2, 3})
    monkeypatch.setattr(training, "_train_epoch", epochs)
    monkeypatch.setattr(
        training, "_validation_loss", lambda network, *_: -network.bottleneck.bias[0].item()
    )
    network = new_network()
    start = network.bottleneck.bias[0].item()

    _, trained = run(network=network, settings=TrainingSettings(max_epochs=3))

    assert [epoch for epoch, _, _ in epochs.calls] == [0, 1, 1, 1, 2]
    weights = [weight - start for _, _, weight in epochs.calls]
    assert weights == pytest.approx([0, 1, 1, 1, 2])
    rates = [rate for _, rate, _ in epochs.calls]
    assert rates[2] == pytest.approx(rates[1] / 2)
    assert rates[3] == pytest.approx(rates[1] / 4)
    assert [entry["epoch"] for entry in trained.history] == [1, 2, 3]
    assert trained.weights["bottleneck.bias"][0].item() == pytest.approx(start + 3)


def test_nan_in_the_validation_loss_counts_too(monkeypatch):
    epochs = Epochs(bad_calls=set())
    monkeypatch.setattr(training, "_train_epoch", epochs)
    losses = iter([1.0, NAN, 0.5])
    monkeypatch.setattr(training, "_validation_loss", lambda *_: next(losses))

    run(settings=TrainingSettings(max_epochs=2))

    assert [epoch for epoch, _, _ in epochs.calls] == [0, 1, 1]
    assert epochs.calls[2][2] == epochs.calls[1][2]


def test_nan_again_and_again_is_refused(monkeypatch):
    epochs = Epochs(bad_calls=set(range(3, 99)))
    monkeypatch.setattr(training, "_train_epoch", epochs)
    with pytest.raises(ModelError) as refused:
        run()
    assert len(epochs.calls) == 2 + 1 + NAN_RETRIES
    assert str(refused.value) == (
        "the training loss was not a number in epoch 3, although the learning rate was halved 3 "
        "times; look for extreme values (sensor-ad inspect), or set a lower training.learning_rate."
    )


def test_nan_by_a_wild_rate_is_refused():
    with pytest.raises(ModelError, match=r"^the training loss was not a number in epoch 1, "):
        run(settings=TrainingSettings(learning_rate=1e35))


@pytest.mark.parametrize(
    ("losses", "patience", "epochs", "best"),
    [
        ([5, 4, 3, 3, 3, 3], 2, 5, 3),
        ([5, 4, 3, 2.9999, 2.9998, 2.9997], 2, 5, 3),
        ([5, 6, 4, 6, 3, 6], 2, 6, 5),
        ([5, 6, 4, 6, 3, 6], 1, 2, 1),
    ],
)
def test_early_stop_keeps_the_best_weights(monkeypatch, losses, patience, epochs, best):
    monkeypatch.setattr(training, "_train_epoch", Epochs(bad_calls=set()))
    told = iter(losses)
    monkeypatch.setattr(training, "_validation_loss", lambda *_: float(next(told)))
    start = new_network().bottleneck.bias[0].item()

    network, trained = run(settings=TrainingSettings(max_epochs=6, patience=patience))

    assert (len(trained.history), trained.best_epoch) == (epochs, best)
    assert network.bottleneck.bias[0].item() == pytest.approx(start + best)


def test_without_validation_all_epochs_are_run():
    trained = train_network(new_network(), series(), None, SETTINGS, 0, epochs=3)
    assert trained.best_epoch == len(trained.history) == 3
    assert all(entry["validate_loss"] == entry["train_loss"] for entry in trained.history)


def hidden(shape=(400, 6, 64), **shares):
    """Hide by these shares alone; (N, C, T), True where hidden."""
    settings = TrainingSettings(**{"hide_cells": 0, "hide_stretches": 0, "hide_tags": 0, **shares})
    shown = training._hide(shape, settings, torch.Generator().manual_seed(0))
    assert set(shown.unique().tolist()) <= {0.0, 1.0}
    return (shown == 0).numpy()


def test_hiding_nothing():
    assert not hidden().any()


@pytest.mark.parametrize("share", [0.05, 0.3])
def test_hidden_cells_are_single(share):
    cells = hidden(hide_cells=share)
    assert cells.mean() == pytest.approx(share, rel=0.05)
    both = cells[..., 1:] & cells[..., :-1]
    assert both.mean() == pytest.approx(share**2, rel=0.2)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_hidden_tags_are_hidden_whole(share):
    tags = hidden(hide_tags=share)
    assert (tags.all(axis=2) == tags.any(axis=2)).all()
    assert tags[..., 0].mean() == pytest.approx(share, rel=0.2)


def test_hidden_stretches_are_one_piece_of_half_the_sample_at_most():
    stretches = hidden(hide_stretches=0.4)
    assert stretches.any(axis=2).mean() == pytest.approx(0.4, rel=0.15)
    edges = np.diff(stretches.astype(int), axis=2, prepend=0, append=0)
    assert ((edges == 1).sum(axis=2) <= 1).all()
    lengths = stretches.sum(axis=2)
    assert lengths.max() < 32
    assert lengths[lengths > 0].mean() > 8


def test_loss_counts_what_was_observed():
    output, values = torch.tensor([[[0.0, 1.0, 9.0]]]), torch.tensor([[[1.0, 1.0, 0.0]]])
    mask = torch.tensor([[[1.0, 1.0, 0.0]]])
    assert masked_loss(output, values, mask).item() == pytest.approx((0.5 + 0) / 2)
    far = masked_loss(output, values, torch.tensor([[[0.0, 0.0, 1.0]]])).item()
    assert far == pytest.approx(HUBER_DELTA * (9 - HUBER_DELTA / 2))
    assert masked_loss(output, values, torch.zeros(1, 1, 3)).item() == 0


def test_samples_are_stretches_of_the_series():
    made = series()
    starts = torch.tensor([0, 7, T - made.crop])
    values, mask = made.samples(starts)
    assert made.crop == CROP_WINDOWS * WINDOW
    for k, start in enumerate(starts.tolist()):
        np.testing.assert_array_equal(values[k].numpy().T, SINE[start : start + made.crop])
    assert mask.min() == 1


def test_samples_show_their_part_only():
    made = series(100, 200)
    _, mask = made.samples(made.starts)
    for start, shown in zip(made.starts.tolist(), mask[:, 0], strict=True):
        rows = np.arange(start, start + made.crop)
        np.testing.assert_array_equal(shown.numpy() > 0, (rows >= 100) & (rows < 200))
    seen = mask[:, 0].sum(dim=1)
    assert seen.min() >= training.MIN_OBSERVED * made.crop
    pairs = itertools.pairwise(made.starts.tolist())
    assert all(after - before == 1 for before, after in pairs)


def test_series_of_a_short_history_takes_shorter_samples():
    made = make_series(SINE[:21], np.ones((21, 2)), np.ones(21, bool), new_network(), CPU)
    assert made.crop == 20
    assert made.starts.tolist() == [0, 1]


def test_series_without_readings_refused():
    with pytest.raises(ModelError) as refused:
        make_series(SINE, np.zeros_like(SINE), np.ones(T, bool), new_network(), CPU)
    assert str(refused.value) == (
        "no stretch of 32 rows has enough readings to train on; check the export for gaps "
        "(sensor-ad inspect), or take a shorter prepare.window."
    )
