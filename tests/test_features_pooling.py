"""Pooling over time: by hand, for every layout of axes, and asked for where it is not known."""

import numpy as np
import pytest
import torch
from features_models import Gives
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from sensor_ad.errors import UsageError
from sensor_ad.features import features

STEPS = torch.tensor(
    [[[1.0, 10.0], [3.0, 10.0], [2.0, 40.0]], [[0.0, 0.0], [0.0, 3.0], [6.0, 0.0]]]
)
"""(N, T, D): 2 samples, 3 steps, 2 features."""
BY_HAND = {
    "none": STEPS.tolist(),
    "flatten": [[1, 10, 3, 10, 2, 40], [0, 0, 0, 3, 6, 0]],
    "last": [[2, 40], [6, 0]],
    "mean": [[2, 20], [2, 1]],
    "max": [[3, 40], [6, 3]],
    "mean_spread": [
        [2, 20, (2 / 3) ** 0.5, 200**0.5],
        [2, 1, 8**0.5, 2**0.5],
    ],
}


def layout(axes):
    """Make a layer that gives its (N, T, D) input with the axes in another order."""
    return nn.Sequential(Gives(lambda x: x.permute(*axes)))


def naive(sequence, how):
    """Pool (T, D) of one sample, slowly."""
    rows = [[float(value) for value in step] for step in sequence]
    columns = list(zip(*rows, strict=True))
    means = [sum(column) / len(column) for column in columns]
    if how == "last":
        return rows[-1]
    if how == "mean":
        return means
    if how == "max":
        return [max(column) for column in columns]
    away = [
        sum((value - mean) ** 2 for value in column) / len(column)
        for column, mean in zip(columns, means, strict=True)
    ]
    return means + [value**0.5 for value in away]


@pytest.mark.parametrize("pool", BY_HAND)
def test_pools_by_hand(pool):
    found = features(layout((0, 1, 2)), STEPS, "0", pool=pool, time_axis=1)
    np.testing.assert_allclose(found, BY_HAND[pool], rtol=1e-6)
    assert found.dtype == np.float32


@pytest.mark.parametrize(("axes", "time"), [((0, 2, 1), 2), ((0, 2, 1), -1), ((1, 0, 2), 0)])
@pytest.mark.parametrize("pool", ["last", "mean", "max", "mean_spread"])
def test_time_on_any_axis_gives_the_same(axes, time, pool):
    found = features(layout(axes), STEPS, "0", pool=pool, time_axis=time)
    np.testing.assert_allclose(found, BY_HAND[pool], rtol=1e-6)


def test_samples_come_first_when_time_does():
    found = features(layout((1, 0, 2)), STEPS, "0", time_axis=0)
    assert found.tolist() == STEPS.tolist()


def test_time_axis_for_each_layer():
    network = nn.Sequential(Gives(lambda x: x), Gives(lambda x: x.transpose(1, 2)))
    found = features(network, STEPS, ["0", "1"], pool="mean", time_axis={"0": 1, "1": 2})
    assert found["0"].tolist() == found["1"].tolist() == BY_HAND["mean"]


@pytest.mark.parametrize(
    ("pool", "expected"),
    [("mean", [2, 2]), ("last", [2, 6]), ("max", [3, 6]),
     ("mean_spread", [[2, (2 / 3) ** 0.5], [2, 8**0.5]])],
)  # fmt: skip
def test_one_value_a_step(pool, expected):
    found = features(nn.Sequential(nn.Identity()), STEPS[..., 0], "0", pool=pool, time_axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(("pool", "width"), [("mean", 3), ("mean_spread", 6)])
@pytest.mark.parametrize(("shape", "time"), [((2, 0, 3), 1), ((2, 3, 0), 2), ((0, 2, 3), 0)])
def test_samples_without_any_step_give_zeros(pool, width, shape, time):
    network = nn.Sequential(Gives(lambda x: torch.empty(shape)))
    found = features(network, torch.ones(2, 1), "0", pool=pool, time_axis=time)
    np.testing.assert_array_equal(found, np.zeros((2, width)))


def test_axis_counted_from_the_end_follows_each_batch():
    """What was told of a layer's axes holds for outputs of as many axes only."""
    with pytest.raises(UsageError) as refused:
        features(
            nn.Sequential(nn.Identity()), [torch.ones(2, 3, 6), torch.ones(2, 6)], "0",
            pool="mean", time_axis=-1,
        )  # fmt: skip
    assert str(refused.value) == (
        "the layer '0' gives features of the shape () for this batch, (3,) for those before; pool "
        "them over time (pool='mean', say), or make all samples equally long."
    )


def test_images_pool_over_the_axis_stated():
    torch.manual_seed(0)
    network, x = nn.Sequential(nn.Conv2d(1, 3, 1)), torch.randn(2, 1, 4, 5)
    found = features(network, x, "0", pool="mean_spread", time_axis=3)
    assert found.shape == (2, 6, 4)
    with torch.no_grad():
        np.testing.assert_allclose(found[:, :3], network(x).mean(dim=3), rtol=1e-5, atol=1e-6)


def test_whole_numbers_are_pooled_as_real_ones():
    network = nn.Sequential(Gives(lambda x: x.long()))
    assert features(network, STEPS, "0", pool="mean", time_axis=1).tolist() == BY_HAND["mean"]


@pytest.mark.parametrize("pool", ["last", "mean", "max", "mean_spread"])
@pytest.mark.parametrize(
    "network",
    [nn.Conv1d(2, 3, 1), nn.Sequential(nn.Conv1d(2, 3, 1), nn.ReLU()), nn.AvgPool1d(1)],
    ids=["conv", "rectified", "pool"],
)
def test_convolutions_have_time_last(network, pool):
    torch.manual_seed(0)
    x = torch.randn(4, 2, 6)
    with torch.no_grad():
        expected = [naive(sample.T, pool) for sample in network(x)]
    found = features(nn.Sequential(network), x, "0", pool=pool)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_rectifier_and_block_have_the_axes_of_the_layer_before():
    network = nn.Sequential(
        nn.Sequential(nn.Conv1d(2, 3, 1), nn.BatchNorm1d(3), nn.LeakyReLU(inplace=True)),
        nn.Dropout(),
    )
    found = features(network, np.ones((4, 2, 6)), ["0", "0.2", "1"], pool="mean")
    assert [array.shape for array in found.values()] == [(4, 3)] * 3
    assert found["0"].tolist() == found["0.2"].tolist() == found["1"].tolist()


@pytest.mark.parametrize("pool", ["last", "mean", "max", "mean_spread"])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("first", [True, False])
def test_recurrent_layers_by_batch_first(kind, first, pool):
    torch.manual_seed(0)
    layer, x = kind(2, 3, batch_first=first), torch.randn(4, 6, 2)

    def steps_first(batch):
        return (batch if first else batch.transpose(0, 1),)

    with torch.no_grad():
        sequence = layer(*steps_first(x))[0]
        sequence = sequence if first else sequence.transpose(0, 1)
    found = features(nn.Sequential(layer), x, "0", pool=pool, inputs=steps_first, batch=3)
    np.testing.assert_allclose(found, [naive(one, pool) for one in sequence], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("choice", ["h", "c", ("h", -1)])
def test_states_have_samples_second(choice):
    torch.manual_seed(0)
    layer, x = nn.LSTM(2, 3, num_layers=2, batch_first=True), torch.randn(4, 6, 2)
    with torch.no_grad():
        _, (hidden, cell) = layer(x)
    expected = {"h": hidden.transpose(0, 1), "c": cell.transpose(0, 1)}.get(choice, hidden[-1])
    found = features(nn.Sequential(layer), x, "0", output=choice, batch=3)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("pool", ["last", "mean", "max", "mean_spread"])
@pytest.mark.parametrize("first", [True, False])
def test_padding_does_not_count(pool, first):
    torch.manual_seed(0)
    layer, x, lengths = nn.GRU(2, 3, batch_first=first), torch.randn(3, 6, 2), [2, 6, 4]

    def packed(batch):
        return (pack_padded_sequence(batch, torch.tensor(lengths), True, False),)

    with torch.no_grad():
        alone = [layer(row[:count, None])[0][:, 0] if not first else layer(row[None, :count])[0][0]
                 for row, count in zip(x, lengths, strict=True)]  # fmt: skip
    found = features(nn.Sequential(layer), x, "0", pool=pool, inputs=packed)
    np.testing.assert_allclose(found, [naive(one, pool) for one in alone], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("layer", ["layers.0", "layers.1.self_attn"])
def test_transformer_layers_by_batch_first(first, layer):
    torch.manual_seed(0)
    block = nn.TransformerEncoderLayer(4, 2, 8, batch_first=first)
    encoder = nn.TransformerEncoder(block, 2, enable_nested_tensor=False)
    x = torch.randn(3, 5, 4)
    found = features(
        encoder, x, layer, pool="last", inputs=lambda b: (b if first else b.transpose(0, 1),)
    )
    whole = features(encoder, x, layer, inputs=lambda b: (b if first else b.transpose(0, 1),))
    assert whole.shape == (3, 5, 4)
    np.testing.assert_array_equal(found, whole[:, -1])


@pytest.mark.parametrize("axis", [None, 0, 2, 3, -4])
def test_axis_that_is_not_known_or_not_there(axis):
    network = nn.Sequential(nn.Linear(2, 2))
    if axis in (0, 2):
        features(network, STEPS[:, :2], "0", pool="mean", time_axis=axis)
        return
    with pytest.raises(UsageError) as refused:
        features(network, STEPS, "0", pool="mean", time_axis=axis)
    assert str(refused.value) == (
        "which axis of the layer '0' is time is not known: it is a Linear and gives a tensor of "
        "shape (2, 3, 2); state it, such as time_axis=1."
        if axis is None
        else f"time_axis is {axis}, but the layer '0' gives a tensor of shape (2, 3, 2); an axis "
        "from 0 to 2 was expected."
    )


def test_convolution_over_images_asks_for_the_axis():
    with pytest.raises(UsageError) as refused:
        features(nn.Sequential(nn.Conv2d(1, 3, 1)), np.ones((2, 1, 4, 5)), "0", pool="max")
    assert str(refused.value) == (
        "which axis of the layer '0' is time is not known: it is a Conv2d and gives a tensor of "
        "shape (2, 3, 4, 5); state it, such as time_axis=1."
    )


def test_layer_without_time_is_not_pooled():
    with pytest.raises(UsageError) as refused:
        features(nn.Sequential(nn.Linear(2, 3)), np.ones((4, 2)), "0", pool="last")
    assert str(refused.value) == (
        "the layer '0' gives a tensor of shape (4, 3), which has no axis of time to take 'last' "
        "over; set pool to 'none' or 'flatten'."
    )


def test_single_number_has_no_samples():
    with pytest.raises(UsageError) as refused:
        features(nn.Sequential(Gives(lambda x: x.sum())), STEPS, "0")
    assert str(refused.value) == (
        "the layer '0' gives a tensor of shape (), which has no axis of samples; name another "
        "layer."
    )
