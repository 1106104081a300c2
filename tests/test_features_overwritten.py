"""Memory: what was taken stays what the layer put out, whatever is written over its output.

A layer's own tensor is never handed out, not even where torch's version counter says that nobody
wrote into it: the first tests show what the counter does not see.
"""

import numpy as np
import pytest
import torch
from features_models import ENCODED, ROWS, Gives, hooks, known
from torch import nn
from torch.nn import functional as F

from sensor_ad.features import features, tap
from sensor_ad.features.pooling import POOLS

L = 3


def _to_view(output):
    output.view(-1)[1:].fill_(9.0)
    return output


def _to_data(output):
    output.data.fill_(9.0)
    return output


def _to_array(output):
    with torch.inference_mode(False):
        output.numpy()[...] = 9.0
    return output


def _to_dlpack(output):
    with torch.inference_mode(False):
        torch.from_dlpack(output.__dlpack__()).fill_(9.0)
    return output


def _to_storage(output):
    torch.empty(0).set_(output.untyped_storage(), 0, (output.numel(),)).fill_(9.0)
    return output


def _add(output):
    output += 9.0
    return output


SEEN = {
    "a function": lambda output: F.leaky_relu_(output, 0.1).add_(1),
    "+=": _add,
    "a part": lambda output: output.__setitem__(0, 9.0) or output,
    "a view": _to_view,
    "cut from the gradients": lambda output: output.detach().mul_(9.0),
    "an out argument": lambda output: torch.add(output, 9.0, out=output),
}
UNSEEN = {".data": _to_data, "numpy": _to_array, "DLPack": _to_dlpack, "the storage": _to_storage}
"""How a layer behind may write into a tensor: so that torch counts it, and so that it does not."""
WRITES = SEEN | UNSEEN | {"a layer": nn.LeakyReLU(0.1, inplace=True)}


@pytest.mark.parametrize("how", SEEN | UNSEEN)
def test_what_the_version_counter_sees(how):
    """The trap: comparing versions would not tell that the memory was overwritten."""
    with torch.no_grad():
        output = ROWS * 2
        before, version = output.clone(), output._version
        WRITES[how](output)
    assert not torch.equal(output, before)
    assert (output._version > version) == (how in SEEN)


def test_tensors_of_a_pass_have_no_version_at_all():
    with torch.inference_mode(), pytest.raises(RuntimeError, match="do not track version counter"):
        _ = (ROWS * 2)._version


def overwriting(write):
    """Make a network with a layer that writes over what `encoder` gave."""
    layer = write if isinstance(write, nn.Module) else Gives(write)
    return nn.Sequential(known().encoder, layer)


@pytest.mark.parametrize("how", WRITES)
def test_tapped_output_is_not_overwritten(how):
    network = overwriting(WRITES[how])
    with tap(network, ["0", "1"]) as tapped:
        result, outputs = tapped(ROWS)
        assert outputs["0"].tolist() == ENCODED
        assert outputs["1"].tolist() == result.tolist() != ENCODED
        with torch.no_grad():
            network(ROWS)  # as a trainer runs it
        assert tapped.outputs["0"].tolist() == ENCODED
    assert hooks(network) == 0


@pytest.mark.parametrize("how", WRITES)
@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("steps", [1, L])
def test_features_are_not_overwritten(how, pool, steps):
    data = torch.randn(4, steps, 2, generator=torch.Generator().manual_seed(1))
    alone = nn.Sequential(known().encoder)
    expected = features(alone, data, "0", pool=pool, time_axis=1)
    found = features(overwriting(WRITES[how]), data, "0", pool=pool, time_axis=1)
    np.testing.assert_array_equal(found, expected)


class Later(nn.Module):
    """Overwrites its input from a certain pass on only."""

    def __init__(self, passes, write):
        super().__init__()
        self.left, self.write = passes, write

    def forward(self, rows):
        self.left -= 1
        return rows if self.left >= 0 else self.write(rows)


@pytest.mark.parametrize("how", [name for name in WRITES if name != "a layer"])
def test_network_that_overwrites_from_its_third_pass_on(how):
    network = nn.Sequential(known().encoder, Later(2, WRITES[how]))
    with tap(network, "0") as tapped:
        found = [tapped(ROWS) for _ in range(4)]
    assert [outputs["0"].tolist() for _, outputs in found] == 4 * [ENCODED]
    assert [result.tolist() == ENCODED for result, _ in found] == [True, True, False, False]


class Buffered(nn.Module):
    """Puts every result into the same memory."""

    def __init__(self):
        super().__init__()
        self.register_buffer("place", torch.zeros(2, 2))

    def forward(self, rows):
        return torch.mul(rows, 2.0, out=self.place)


def test_layer_that_gives_the_same_memory_every_time():
    network = nn.Sequential(Buffered())
    with tap(network, "0") as tapped:
        first, second = (tapped(rows)[1]["0"] for rows in (ROWS, -ROWS))
        assert torch.equal(first, 2 * ROWS)
        assert torch.equal(second, -2 * ROWS)
    twice = torch.cat([ROWS, -ROWS]).numpy()
    np.testing.assert_array_equal(features(network, twice, "0", batch=2), 2 * twice)


@pytest.mark.parametrize("call", ["first", "last", "all"])
def test_layer_that_runs_twice_in_the_same_memory(call):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = Buffered()

        def forward(self, rows):
            return self.layer(self.layer(rows) + 0)

    with tap(Twice(), "layer", call=call) as tapped:
        _, outputs = tapped(ROWS)
    expected = {"first": 2 * ROWS, "last": 4 * ROWS, "all": torch.stack([2 * ROWS, 4 * ROWS])}
    found = torch.stack(outputs["layer"]) if call == "all" else outputs["layer"]
    assert torch.equal(found, expected[call])


def test_outputs_share_no_memory_with_input_result_and_each_other():
    network, rows = nn.Sequential(nn.Identity(), nn.Identity()), ROWS.clone()
    with tap(network, ["0", "1"]) as tapped:
        result, outputs = tapped(rows)
        rows += 1  # all four were the same memory in the network
        outputs["0"] *= 0
    assert torch.equal(result, ROWS + 1)
    assert torch.equal(outputs["1"], ROWS)


class Own(nn.Module):
    """Gives its own parameter, which keeps its gradients in inference mode too."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2, 2))

    def forward(self, rows):
        return self.weight


@pytest.mark.parametrize("output", [None, (), 0])
def test_parameter_that_a_layer_gives_is_copied_and_cut_from_the_gradients(output):
    network = nn.Sequential(Own())
    with tap(network, "0", output=output) as tapped:
        _, outputs = tapped(ROWS)
        network(ROWS)
        for given in (outputs["0"], tapped.outputs["0"]):
            assert not given.requires_grad
            assert not given.is_inference()
            given *= 0
    assert torch.equal(network[0].weight, torch.ones(2, 2))
    np.testing.assert_array_equal(features(network, ROWS, "0", pool="flatten"), np.ones((2, 2)))


def test_grad_mode_and_inference_mode_are_as_before_after_a_fault_in_a_hook():
    network = nn.Sequential(Gives(lambda rows: (rows, rows)), Gives(lambda pair: pair[0]))
    for mode in (torch.enable_grad, torch.no_grad, torch.inference_mode):
        with mode(), tap(network, "0") as tapped:
            before = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
            with pytest.raises(Exception, match="no single tensor"):
                tapped(ROWS)
            assert (torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == before
