"""Hooks: known weights give known features, and nothing is left behind, whatever happens."""

import pytest
import torch
from torch import nn

from sensor_ad.errors import UsageError
from sensor_ad.features import LayerOutputs
from sensor_ad.models import ConvAutoencoder


def known():
    """Make a network of known weights: x -> (x1 - x2, x1 + x2) -> rectified -> their sum."""
    network = nn.Sequential()
    network.add_module("encoder", nn.Linear(2, 2, bias=False))
    network.add_module("active", nn.ReLU())
    network.add_module("decoder", nn.Linear(2, 1, bias=False))
    with torch.no_grad():
        network.encoder.weight.copy_(torch.tensor([[1.0, -1.0], [1.0, 1.0]]))
        network.decoder.weight.fill_(1.0)
    return network


def hooks(network):
    return sum(len(module._forward_hooks) for module in network.modules())


ROWS = torch.tensor([[1.0, 3.0], [5.0, 2.0]])


def test_known_weights_give_known_features():
    network = known()
    with LayerOutputs(network, ["encoder", "active"]) as outputs:
        result, features = outputs(ROWS)

    assert result.tolist() == [[4], [10]]
    assert features["encoder"].tolist() == [[-2, 4], [3, 7]]
    assert features["active"].tolist() == [[0, 4], [3, 7]]
    assert hooks(network) == 0


def test_each_pass_gives_its_own_features():
    with LayerOutputs(known(), ["encoder"]) as outputs:
        _, first = outputs(ROWS)
        _, second = outputs(ROWS[:1])
    assert first["encoder"].shape == (2, 2)
    assert second["encoder"].tolist() == [[-2, 4]]


def test_latents_equal_a_direct_call_of_the_encoder():
    torch.manual_seed(0)
    network = ConvAutoencoder(3, 64)
    values, mask = torch.randn(2, 3, 256), (torch.rand(2, 3, 256) > 0.1).float()

    with LayerOutputs(network, [network.bottleneck_name]) as outputs:
        result, features = outputs(values, mask)

    network.eval()
    with torch.inference_mode():
        latents = network.bottleneck(network.encoder(torch.cat([values * mask, mask], dim=1)))
        assert torch.equal(features["bottleneck"], latents)
        assert torch.equal(result, network(values, mask))


def test_nested_layer_by_its_dotted_name():
    network = nn.ModuleDict({"inner": known()})
    network.forward = network["inner"].forward
    with LayerOutputs(network, ["inner.encoder"]) as outputs:
        _, features = outputs(ROWS)
    assert features["inner.encoder"].tolist() == [[-2, 4], [3, 7]]


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt, SystemExit])
def test_no_hook_left_after_a_fault_of_the_block(fault):
    network = known()
    with pytest.raises(fault), LayerOutputs(network, ["encoder", "decoder"]) as outputs:
        outputs(ROWS)
        assert hooks(network) == 2
        raise fault
    assert hooks(network) == 0
    assert network.training


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt])
def test_no_hook_left_after_a_fault_of_the_network(fault):
    class Broken(nn.Module):
        def forward(self, rows):
            raise fault

    network = nn.Sequential(known(), Broken())
    with pytest.raises(fault), LayerOutputs(network, ["0.encoder"]) as outputs:
        outputs(ROWS)
    assert hooks(network) == 0
    assert network.training


def test_foreign_hooks_stay():
    network = known()
    calls = []
    handle = network.encoder.register_forward_hook(lambda *_: calls.append(1))
    with LayerOutputs(network, ["encoder"]) as outputs:
        outputs(ROWS)
    assert hooks(network) == 1
    assert calls == [1]
    handle.remove()


def test_evaluation_within_and_each_mode_restored():
    network = nn.Sequential(nn.Dropout(0.9), nn.BatchNorm1d(2), nn.Linear(2, 1))
    network.train()
    network[1].eval()
    mean = network[1].running_mean.clone()

    with LayerOutputs(network, ["0"]) as outputs:
        _, features = outputs(ROWS)
        assert not any(module.training for module in network.modules())

    assert torch.equal(features["0"], ROWS)  # dropout hid nothing
    assert [module.training for module in network.modules()] == [True, True, False, True]
    assert torch.equal(network[1].running_mean, mean)


def test_no_gradient():
    network = known()
    rows = ROWS.clone().requires_grad_()
    with LayerOutputs(network, ["encoder"]) as outputs:
        result, features = outputs(rows)
    assert not result.requires_grad
    assert not features["encoder"].requires_grad
    assert torch.is_grad_enabled()
    assert network(rows).requires_grad


def test_layer_with_several_outputs():
    network = nn.Sequential(nn.LSTM(2, 3, batch_first=True))
    with LayerOutputs(network, ["0"]) as outputs:
        result, features = outputs(torch.ones(1, 5, 2))
    assert torch.equal(features["0"][0], result[0])
    assert [state.shape for state in features["0"][1]] == [(1, 1, 3), (1, 1, 3)]


@pytest.mark.parametrize(
    ("layer", "hint"), [("encodr", "; did you mean 'encoder'?"), ("zzz", "."), ("", ".")]
)
def test_unknown_layer_lists_those_there_are(layer, hint):
    network = known()
    with pytest.raises(UsageError) as refused:
        LayerOutputs(network, ["active", layer])
    assert str(refused.value) == (
        f"the network has no layer {layer!r}; it has encoder, active, decoder{hint}"
    )
    assert hooks(network) == 0


def test_layer_that_does_not_run_refused():
    network = known()
    network.spare = nn.Linear(2, 2)
    network.forward = lambda rows: network.decoder(network.active(network.encoder(rows)))
    with LayerOutputs(network, ["encoder", "spare"]) as outputs:
        with pytest.raises(UsageError) as refused:
            outputs(ROWS)
        assert str(refused.value) == (
            "the layer 'spare' did not run in the forward pass; name one that does."
        )
    assert hooks(network) == 0


def test_call_outside_the_block_refused():
    outputs = LayerOutputs(known(), ["encoder"])
    for _ in range(2):
        with pytest.raises(UsageError) as refused:
            outputs(ROWS)
        assert str(refused.value) == (
            "the hooks are not set; call the outputs within their with-block."
        )
        with outputs:
            outputs(ROWS)
