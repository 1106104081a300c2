"""Streams: data of every kind give the same features, in bounded memory, or a clear sentence."""

import gc
import tracemalloc
import weakref

import numpy as np
import pandas as pd
import pytest
import torch
from features_models import ROWS, Around, Gives, Twice, hooks, known
from torch import nn
from torch.nn.utils.rnn import pack_sequence
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from sensor_ad.errors import DataError, UsageError
from sensor_ad.features import features
from sensor_ad.models import ConvAutoencoder

N = 10
DATA = np.arange(2.0 * N).reshape(N, 2) ** 2
EXPECTED = np.stack([DATA[:, 0] - DATA[:, 1], DATA[:, 0] + DATA[:, 1]], axis=1)
"""What the first layer of `known` makes of it."""


class Rows(Dataset):
    """Samples as people write them: float64 arrays, with a label."""

    def __len__(self):
        return N

    def __getitem__(self, number):
        return DATA[number], number % 2


class Endless(IterableDataset):
    def __iter__(self):
        yield from torch.tensor(DATA, dtype=torch.float32)


TENSOR = torch.tensor(DATA, dtype=torch.float32)
KINDS = {
    "array": (lambda: DATA, N),
    "read-only": (lambda: np.broadcast_to(DATA, DATA.shape), N),
    "whole numbers": (lambda: DATA.astype(np.int64).astype(np.float32), N),
    "tensor": (lambda: TENSOR, N),
    "frame": (lambda: pd.DataFrame(DATA, columns=["flow", "pressure"]), N),
    "loader": (lambda: DataLoader(TensorDataset(TENSOR, TENSOR), batch_size=4), N),
    "float64 loader": (lambda: DataLoader(Rows(), batch_size=4), N),
    "one by one": (lambda: DataLoader(Endless(), batch_size=3), None),
    "list of tensors": (lambda: list(TENSOR.split(4)), None),
    "list of arrays": (lambda: [DATA[:4], DATA[4:]], None),
    "list of pairs": (lambda: [(part, 7) for part in TENSOR.split(4)], None),
    "generator": (lambda: (part for part in TENSOR.split(4)), None),
}
"""Kind of data -> how it is made, and how many samples are known before."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("out", [None, "x.npy", "x.parquet"])
def test_every_kind_of_data_gives_the_same(kind, out, tmp_path):
    make, total = KINDS[kind]
    told = []
    found = features(
        known(),
        make(),
        "encoder",
        batch=4,
        out=None if out is None else tmp_path / out,
        progress=lambda done, all_: told.append((done, all_)),
    )
    if out == "x.parquet":
        found = pd.read_parquet(found).to_numpy()
    np.testing.assert_array_equal(found, EXPECTED.astype(np.float32))
    assert found.dtype == np.float32
    assert told[-1] == (N, total)
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert len(told) > 1


@pytest.mark.parametrize("batch", [1, 3, 10, 1000])
def test_size_of_batches_does_not_matter(batch):
    assert features(known(), DATA, "encoder", batch=batch).tolist() == EXPECTED.tolist()


def test_dict_batches_go_to_the_network_as_they_are():
    class Reads(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = known()

        def forward(self, batch):
            return self.inner(batch["x"])

    batches = [{"x": part, "note": "a word"} for part in TENSOR.split(4)]
    for data in (batches, [(one, "y") for one in batches]):
        assert features(Reads(), data, "inner.encoder").tolist() == EXPECTED.tolist()


def test_inputs_give_several_arguments():
    torch.manual_seed(0)
    network = ConvAutoencoder(3, 64)
    values, mask = torch.randn(5, 3, 64), (torch.rand(5, 3, 64) > 0.1).float()
    loader = DataLoader(TensorDataset(values, mask), batch_size=2)
    found = features(network, loader, "bottleneck", inputs=tuple)
    pooled = features(network, loader, "bottleneck", inputs=tuple, pool="mean_spread")
    with torch.no_grad():
        latents = network.bottleneck(network.encoder(torch.cat([values * mask, mask], dim=1)))
    np.testing.assert_allclose(found, latents, rtol=1e-5, atol=1e-6)
    expected = torch.cat([latents.mean(dim=2), latents.std(dim=2, correction=0)], dim=1)
    np.testing.assert_allclose(pooled, expected, rtol=1e-4, atol=1e-6)


def test_packed_batches():
    torch.manual_seed(0)
    network = Around(nn.GRU(2, 3))
    parts = [torch.randn(4, 2), torch.randn(3, 2)]
    found = features(network, [pack_sequence(parts)], "layer", pool="last")
    with torch.no_grad():
        expected = [network.layer(part)[0][-1].tolist() for part in parts]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_whole_numbers_stay_whole_numbers():
    network = nn.Sequential(nn.Embedding(5, 2))
    found = features(network, np.array([[1, 2], [3, 4]]), "0")
    np.testing.assert_array_equal(found, network[0].weight.detach()[torch.tensor([[1, 2], [3, 4]])])


def test_one_name_gives_an_array_several_give_a_dict():
    assert isinstance(features(known(), DATA, "active"), np.ndarray)
    for layers in (["active"], "act*", ["encoder", "active"]):
        found = features(known(), DATA, layers)
        assert "active" in found
        np.testing.assert_array_equal(found["active"], EXPECTED.clip(min=0))


def test_what_is_kept_is_not_overwritten():
    network = nn.Sequential(known().encoder, nn.ReLU(inplace=True))
    found = features(network, DATA, ["0", "1"])
    np.testing.assert_array_equal(found["0"], EXPECTED)
    np.testing.assert_array_equal(found["1"], EXPECTED.clip(min=0))


@pytest.mark.parametrize(("call", "added"), [("first", 1), ("last", 2), ("all", None)])
def test_layer_that_runs_twice(call, added):
    found = features(Twice(), DATA, "step", call=call, batch=4)
    expected = DATA + added if added else np.stack([DATA + 1, DATA + 2], axis=1)
    np.testing.assert_array_equal(found, expected)


def test_layer_that_runs_twice_is_an_error():
    network = Twice()
    with pytest.raises(UsageError) as refused:
        features(network, DATA, "step")
    assert str(refused.value) == (
        "the layer 'step' ran 2 times in one forward pass; say which call counts: call='first', "
        "'last' or 'all'."
    )
    assert hooks(network) == 0


def test_half_precision():
    found = features(known(), DATA, "encoder", dtype="float16")
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found, EXPECTED.astype(np.float16))


def test_value_too_large_for_half_precision_refused():
    with pytest.raises(UsageError) as refused:
        features(known(), np.array([[0.0, 7e4]]), "encoder", dtype="float16")
    assert str(refused.value) == (
        "the layer 'encoder' gives values beyond 65504, the most that float16 can hold; set dtype "
        "to 'float32'."
    )


def test_network_in_double_precision_is_fed_doubles():
    found = features(known().double(), TENSOR, "encoder")
    np.testing.assert_array_equal(found, EXPECTED)


class Watched(nn.Module):
    """Notes every tensor that it gives, weakly."""

    def __init__(self):
        super().__init__()
        self.given = []

    def forward(self, rows):
        result = rows * 2
        self.given.append(weakref.ref(result))
        return result


@pytest.mark.parametrize("pool", ["none", "mean"])
def test_nothing_of_a_batch_is_kept(pool):
    network = nn.Sequential(Watched(), nn.ReLU())
    alive = []

    def progress(done, total):
        alive.append(sum(one() is not None for one in network[0].given))

    gc.disable()  # not even by a cycle
    try:
        features(network, np.ones((6, 3, 4)), ["0", "1"], batch=2, pool=pool, time_axis=1,
                 progress=progress)  # fmt: skip
    finally:
        gc.enable()
    assert alive == [0, 0, 0]


@pytest.mark.parametrize(("out", "most"), [("x.npy", 3_000_000), ("x.parquet", 12_000_000)])
def test_memory_is_bounded_when_a_file_is_written(out, most, tmp_path):
    network = nn.Sequential(nn.Identity())
    stream = (torch.full((1000, 25), float(number)) for number in range(400))  # 40 MB
    tracemalloc.start()
    features(network, stream, "0", out=tmp_path / out)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 10_000 < peak < most  # a batch, and a row group


def rows_with(value, rows):
    data = DATA.copy()
    data[rows, 1] = value
    return data


@pytest.mark.parametrize(
    ("rows", "told"),
    [([5, 7], "2 of the 4 samples of a batch, first in sample 5"),
     ([9], "1 of the 2 samples of a batch, first in sample 9")],
)  # fmt: skip
@pytest.mark.parametrize("make", [lambda data: data, lambda data: [data[:4], data[4:8], data[8:]]])
def test_nan_is_refused(make, rows, told):
    network = known()
    with pytest.raises(DataError) as refused:
        features(network, make(rows_with(np.nan, rows)), "encoder", batch=4)
    assert str(refused.value) == (
        f"the data hold NaN in {told} (counted from 0); fill or leave out what is missing before."
    )
    assert hooks(network) == 0


def test_nan_in_a_dict_is_refused():
    with pytest.raises(DataError) as refused:
        features(known(), [{"x": torch.tensor([[1.0], [float("nan")]])}], "encoder")
    assert str(refused.value) == (
        "the data hold NaN in 1 of the 2 samples of a batch, first in sample 1 (counted from 0); "
        "fill or leave out what is missing before."
    )


class Fails:
    """Batches that cannot be read to their end."""

    def __iter__(self):
        yield TENSOR
        raise OSError("the share is gone")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.empty((0, 2)), "the data hold no samples: their shape is (0, 2)."),
        (torch.empty(0, 2), "the data hold no samples: their shape is (0, 2)."),
        (pd.DataFrame({"a": [], "b": []}), "the data hold no samples: their shape is (0, 2)."),
        ([], "the data hold no batch; an iterator may have been used up before."),
        (DataLoader(TensorDataset(TENSOR[:0])),
         "the data hold no batch; an iterator may have been used up before."),
        ([()], "a batch is empty; tensors, (x, y) pairs or dicts were expected."),
        (["words"], "a batch is a str; a tensor, an (x, y) pair or a dict was expected, or inputs= "
                    "that makes arguments of it."),
        (pd.DataFrame({"a": [1.0], "b": ["x"]}),
         "the data are of the type object, numbers were expected; turn times, words and missing "
         "values into numbers, or leave them out."),
        (Fails(), "the next batch could not be read (the share is gone); see to its source."),
    ],
)  # fmt: skip
def test_data_that_cannot_be_used(data, message, tmp_path):
    for out in (None, tmp_path / "x.npy"):
        with pytest.raises(DataError) as refused:
            features(known(), data, "encoder", out=out)
        assert str(refused.value) == message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (5, "the data are a int; {}."),
        ("plant.csv", "the data are a str; {}."),
        ({"x": TENSOR}, "the data are a dict; {}; a dict is one batch: put it into a list."),
    ],
)
def test_data_of_no_known_kind(data, told):
    with pytest.raises(UsageError) as refused:
        features(known(), data, "encoder")
    assert str(refused.value) == told.format(
        "an array, a tensor, a DataFrame, a DataLoader or another iterable of batches was expected"
    )


def test_one_number_is_no_data():
    with pytest.raises(UsageError) as refused:
        features(known(), np.array(1.0), "encoder")
    assert str(refused.value) == "the data are one number; an array of samples was expected."


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pool": "median"},
         "pool is 'median', expected one of none, flatten, last, mean, max, mean_spread."),
        ({"dtype": "int8"}, "dtype is 'int8', expected one of float32, float16."),
        ({"batch": 0}, "batch is 0, expected a number of samples, 1 or more."),
        ({"call": "frist"}, "call is 'frist', expected one of error, first, last, all."),
        ({"layers": "encodr"}, "the network has no layer 'encodr'; it has encoder, active, "
                               "decoder; did you mean 'encoder'?"),
        ({"device": "meta"}, "the model lies on cpu, device='meta' was asked for; move it with "
                             "model.to('meta'), or leave device out."),
    ],
)  # fmt: skip
def test_options_that_do_not_fit(options, message):
    with pytest.raises(UsageError) as refused:
        features(known(), DATA, **{"layers": "encoder", **options})
    assert str(refused.value) == message


def test_device_that_the_model_is_on():
    assert features(known(), DATA, "encoder", device="cpu").tolist() == EXPECTED.tolist()
    assert features(nn.Sequential(nn.ReLU()), DATA, "0", device="cpu").tolist() == DATA.tolist()


def test_model_on_several_devices_refused():
    network = known()
    network.decoder.to("meta")
    with pytest.raises(UsageError) as refused:
        features(network, DATA, "encoder")
    assert str(refused.value) == (
        "the model lies on cpu and meta, one device was expected; move all of it with model.to(…)."
    )


@pytest.mark.parametrize(
    ("network", "shape", "words", "expected"),
    [
        (known(), (4, 3), "mat1 and mat2 shapes cannot be multiplied (4x3 and 2x2)",
         "'encoder', takes 2 features in the last axis"),
        (nn.Sequential(nn.Conv1d(3, 2, 1)), (4, 2, 9),
         "Given groups=1, weight of size [2, 3, 1], expected input[4, 2, 9] to have 3 channels, "
         "but got 2 channels instead", "'0', takes 3 channels in axis 1"),
        (nn.Sequential(nn.LSTM(3, 2)), (4, 5, 2),
         "input.size(-1) must be equal to input_size. Expected 3, got 2",
         "'0', takes 3 features in the last axis"),
    ],
    ids=["linear", "conv", "lstm"],
)  # fmt: skip
def test_shape_that_does_not_fit(network, shape, words, expected):
    layer = next(name for name, _ in network.named_modules() if name)
    with pytest.raises(UsageError) as refused:
        features(network, np.ones(shape), layer)
    sizes = ", ".join(map(str, shape))
    assert str(refused.value) == (
        f"the network failed on tensor ({sizes}) ({words}); its first layer, {expected}; give it "
        "what it was made for, with inputs= where a batch holds more."
    )
    assert isinstance(refused.value.__cause__, RuntimeError)
    assert hooks(network) == 0


def test_argument_that_is_missing():
    with pytest.raises(UsageError) as refused:
        features(ConvAutoencoder(3, 8), np.ones((2, 3, 8)), "bottleneck")
    assert str(refused.value) == (
        "the network failed on tensor (2, 3, 8) (ConvAutoencoder.forward() missing 1 required "
        "positional argument: 'mask'); its first layer, 'encoder.0.0', takes 6 channels in axis 1; "
        "give it what it was made for, with inputs= where a batch holds more."
    )
    assert isinstance(refused.value.__cause__, TypeError)


def test_lack_of_memory_is_not_taken_for_a_misfit():
    def full(rows):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate")

    with pytest.raises(RuntimeError, match="can't allocate memory"):
        features(nn.Sequential(Gives(full)), DATA, "0")


@pytest.mark.parametrize("data", [np.ones((4, 2)), [torch.ones(4, 2)]])
def test_layer_without_a_row_for_each_sample_refused(data):
    network = nn.Sequential(Gives(lambda rows: torch.cat([rows, rows, rows])))
    with pytest.raises(UsageError) as refused:
        features(network, data, "0")
    assert str(refused.value) == (
        "the layer '0' gives 12 rows for 4 samples, one for each was expected; state the axis of "
        "time (0 where samples are axis 1), or name another layer."
    )


def test_samples_of_unlike_lengths_refused_unless_pooled():
    network, data = nn.Sequential(nn.Conv1d(1, 2, 1)), [torch.ones(3, 1, 5), torch.ones(3, 1, 7)]
    assert features(network, data, "0", pool="mean").shape == (6, 2)
    with pytest.raises(UsageError) as refused:
        features(network, data, "0")
    assert str(refused.value) == (
        "the layer '0' gives features of the shape (2, 7) for this batch, (2, 5) for those before; "
        "pool them over time (pool='mean', say), or make all samples equally long."
    )


@pytest.mark.parametrize("fault", [KeyboardInterrupt, ValueError])
def test_interruption_leaves_nothing_behind(fault, tmp_path):
    def stop(done, total):
        raise fault

    network = known()
    for name in ("x.npy", "x.parquet"):
        with pytest.raises(fault):
            features(network, DATA, "encoder", batch=4, out=tmp_path / name, progress=stop)
    assert list(tmp_path.iterdir()) == []
    assert hooks(network) == 0
    assert network.training


def test_mode_and_gradients_are_as_before():
    network = nn.Sequential(nn.Dropout(0.9), nn.Linear(2, 2)).train()
    found = features(network, DATA, "0")
    np.testing.assert_array_equal(found, DATA)
    assert network.training
    assert torch.is_grad_enabled()
    assert network(ROWS).requires_grad
