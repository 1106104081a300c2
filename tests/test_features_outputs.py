"""What layers put out: any structure is chosen from, and what is no tensor is shown."""

from collections import OrderedDict, namedtuple
from dataclasses import dataclass

import pytest
import torch
from features_models import ROWS, Around, Gives, Twice, known
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from sensor_ad.errors import UsageError
from sensor_ad.features import Layer, features, layer_table, layers_of, tap

Pair = namedtuple("Pair", "first second")


@dataclass
class Held:
    mean: torch.Tensor
    parts: list[torch.Tensor]


class ModelOutput(OrderedDict):
    """As transformers' outputs: a dict whose entries are attributes too."""

    def __init__(self, **entries):
        super().__init__(entries)
        self.__dict__.update(entries)


class Plain:
    """An object of no known kind."""

    def __init__(self, hidden):
        self.hidden = hidden


STRUCTURES = {
    "tuple": (lambda x: (x, x + 1), "(tensor (2, 2), tensor (2, 2))"),
    "list": (lambda x: [x, x + 1], "[tensor (2, 2), tensor (2, 2)]"),
    "dict": (lambda x: {"a": x, "1": x + 1}, "{a: tensor (2, 2), 1: tensor (2, 2)}"),
    "named": (lambda x: Pair(x, x + 1), "Pair(first=tensor (2, 2), second=tensor (2, 2))"),
    "data": (lambda x: Held(x, [x, x + 1]), "Held(mean=tensor (2, 2), parts=[tensor (2, 2), "
             "tensor (2, 2)])"),
    "model": (lambda x: ModelOutput(hidden=x + 1), "{hidden: tensor (2, 2)}"),
    "plain": (lambda x: Plain(x + 1), "Plain(hidden=tensor (2, 2))"),
    "deep": (lambda x: (x, {"h": [x, (x + 1, 3)]}), "(tensor (2, 2), {h: [tensor (2, 2), "
             "(tensor (2, 2), a int)]})"),
}  # fmt: skip
"""Kind of output -> how it is made of rows, and how it is shown."""
CHOICES = [
    *[("tuple", 1), ("tuple", "1"), ("tuple", -1), ("list", 1), ("dict", "1"), ("dict", ("1",))],
    *[("named", 1), ("named", "second"), ("data", "parts.1"), ("data", ("parts", -1))],
    *[("model", "hidden"), ("plain", "hidden"), ("deep", "1.h.1.0"), ("deep", (1, "h", 1, 0))],
]


def around(make):
    return Around(Gives(make))


@pytest.mark.parametrize(("kind", "choice"), CHOICES)
def test_part_of_any_structure(kind, choice):
    with tap(around(STRUCTURES[kind][0]), "layer", output=choice) as tapped:
        _, outputs = tapped(ROWS)
    assert torch.equal(outputs["layer"], ROWS + 1)


@pytest.mark.parametrize("kind", STRUCTURES)
def test_structure_without_a_choice_is_shown(kind):
    make, shown = STRUCTURES[kind]
    with tap(around(make), "layer") as tapped, pytest.raises(UsageError) as refused:
        tapped(ROWS)
    assert str(refused.value) == (
        f"the layer 'layer' gives {shown}, no single tensor; choose a part of it with output=: an "
        'index, a key, an attribute, or a path such as "1.0".'
    )


@pytest.mark.parametrize(
    ("kind", "choice"),
    [("tuple", 2), ("tuple", "first"), ("dict", "b"), ("named", "third"), ("deep", "1.h.5"),
     ("data", "__class__"), ("plain", "__init__")],
)  # fmt: skip
def test_part_that_is_not_there_is_refused(kind, choice):
    make, shown = STRUCTURES[kind]
    with (
        tap(around(make), "layer", output=choice) as tapped,
        pytest.raises(UsageError) as refused,
    ):
        tapped(ROWS)
    assert str(refused.value) == (
        f"the layer 'layer' has no output {choice!r}: it gives {shown}; choose what is there with "
        "output=."
    )


@pytest.mark.parametrize("kind", ["tuple", "list", "dict", "named", "data", "deep"])
def test_whole_output_is_a_copy_of_its_own(kind):
    given = []
    network = around(lambda x: given.append(STRUCTURES[kind][0](x.clone())) or given[-1])
    with tap(network, "layer", output=()) as tapped:
        _, outputs = tapped(ROWS)

    def tensors(part):
        if isinstance(part, torch.Tensor):
            return [part]
        if isinstance(part, dict):
            return [tensor for value in part.values() for tensor in tensors(value)]
        inside = vars(part).values() if isinstance(part, Held) else part
        return [t for value in inside if not isinstance(value, int) for t in tensors(value)]

    mine, theirs = tensors(outputs["layer"]), tensors(given[0])
    assert len(mine) == len(theirs) > 0
    for one, other in zip(mine, theirs, strict=True):
        assert torch.equal(one, other)
        assert one.data_ptr() != other.data_ptr()
    if kind in ("named", "data"):
        assert type(outputs["layer"]) is type(given[0])


def test_layer_that_gives_none_is_refused():
    with (
        tap(around(lambda x: None), "layer") as tapped,
        pytest.raises(UsageError) as refused,
    ):
        tapped(ROWS)
    assert str(refused.value) == (
        "the layer 'layer' gave None, a tensor was expected; name a layer that gives one."
    )


def test_choice_for_each_layer():
    network = Around(nn.Sequential(nn.LSTM(2, 3, batch_first=True), Gives(lambda given: given[0])))
    x = torch.ones(2, 5, 2)
    with tap(network, ["layer.0", "layer.1"], output={"layer.0": "h"}) as tapped:
        _, outputs = tapped(x)
    assert torch.equal(outputs["layer.0"][0], outputs["layer.1"][:, -1])


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_layers_name_their_outputs(kind):
    torch.manual_seed(0)
    layer, x = kind(2, 3, num_layers=2, batch_first=True), torch.randn(4, 5, 2)
    with torch.no_grad():
        sequence, state = layer(x)
    hidden = state[0] if kind is nn.LSTM else state
    for choice, expected in [
        (None, sequence),
        ("output", sequence),
        ("h", hidden),
        (("h", -1), hidden[-1]),
        ("c", state[1] if kind is nn.LSTM else None),
    ]:
        with tap(Around(layer), "layer", output=choice) as tapped:
            if expected is None:
                with pytest.raises(UsageError) as refused:
                    tapped(x)
                assert str(refused.value) == (
                    "the layer 'layer' has no output 'c': it gives (tensor (4, 5, 3), "
                    "tensor (2, 4, 3)); choose what is there with output=."
                )
            else:
                assert torch.equal(tapped(x)[1]["layer"], expected)


def test_attention_gives_what_was_attended():
    torch.manual_seed(0)
    layer, x = nn.MultiheadAttention(4, 2, batch_first=True), torch.randn(3, 5, 4)
    with torch.no_grad():
        attended, weights = layer(x, x, x)
    for choice, expected in [(None, attended), (1, weights)]:
        with tap(Around(layer), "layer", output=choice) as tapped:
            torch.testing.assert_close(tapped(x, x, x)[1]["layer"], expected)


@pytest.mark.parametrize("first", [True, False])
def test_packed_sequence_is_padded(first):
    torch.manual_seed(0)
    layer, x = nn.GRU(2, 3, batch_first=first), torch.randn(2, 5, 2)
    packed = pack_padded_sequence(x, torch.tensor([5, 3]), batch_first=True)
    with tap(Around(layer), "layer") as tapped:
        padded = tapped(packed)[1]["layer"]
    padded = padded if first else padded.transpose(0, 1)
    with torch.no_grad():
        alone = nn.GRU(2, 3, batch_first=True)
        alone.load_state_dict(layer.state_dict())
        torch.testing.assert_close(padded[0], alone(x)[0][0])
        torch.testing.assert_close(padded[1, :3], alone(x[1:, :3])[0][0])
    assert padded[1, 3:].abs().sum() == 0


def test_layers_of_tells_names_and_kinds_without_an_example():
    assert layers_of(known()) == [
        Layer("encoder", "Linear"),
        Layer("active", "ReLU"),
        Layer("decoder", "Linear"),
    ]


def test_layers_of_tells_shapes_structures_and_calls():
    network = nn.Sequential(Twice(), nn.LSTM(2, 3, batch_first=True))
    network.train()
    listed = layers_of(network, torch.zeros(4, 5, 2))
    states = "(tensor (1, 4, 3), tensor (1, 4, 3))"
    assert listed == [
        Layer("0", "Twice", "tensor (4, 5, 2)", (4, 5, 2), 1),
        Layer("0.step", "Add", "tensor (4, 5, 2)", (4, 5, 2), 2),
        Layer("0.spare", "Linear", None, None, 0),
        Layer("1", "LSTM", f"(tensor (4, 5, 3), {states})", None, 1),
    ]
    assert network.training
    assert layer_table(listed).splitlines() == [
        "name     kind    output                                                    calls",
        "0        Twice   tensor (4, 5, 2)                                          1",
        "0.step   Add     tensor (4, 5, 2)                                          2",
        "0.spare  Linear                                                            0",
        f"1        LSTM    (tensor (4, 5, 3), {states})  1",
    ]


def test_layers_of_explains_an_example_that_does_not_fit():
    with pytest.raises(UsageError) as refused:
        layers_of(known(), torch.zeros(4, 3))
    assert str(refused.value) == (
        "the network failed on tensor (4, 3) (mat1 and mat2 shapes cannot be multiplied (4x3 and "
        "2x2)); its first layer, 'encoder', takes 2 features in the last axis; give it what it was "
        "made for, with inputs= where a batch holds more."
    )


def test_every_layer_listed_as_run_can_be_taken():
    network = nn.Sequential(known(), nn.Dropout())
    ran = [layer.name for layer in layers_of(network, ROWS) if layer.calls]
    taken = features(network, ROWS, ran)
    assert list(taken) == ["0", "0.encoder", "0.active", "0.decoder", "1"]
