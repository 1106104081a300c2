"""Wrapped, compiled, traced and quantised networks: their layers are heard, or it is said why not.

Each test first makes sure that its trap is one, where there is one.
"""

import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from features_models import ENCODED, ROWS, Twice, hooks, known
from torch import nn

from sensor_ad.errors import UsageError
from sensor_ad.features import features, layers_of, tap


@pytest.fixture(autouse=True)
def forget_compiled():
    yield
    torch.compiler.reset()


def compiled_whole():
    return torch.compile(known(), backend="eager")


def compiled_in_place():
    network = known()
    network.compile(backend="eager")
    return network


def compiled_forward():
    network = known()
    network.forward = torch.compile(network.forward, backend="eager")
    return network


def compiled_layer():
    network = nn.Sequential()
    for name, layer in known().named_children():
        network.add_module(name, layer)
    network.encoder = torch.compile(nn.Sequential(network.encoder), backend="eager")
    return network


COMPILED = {
    "whole": (compiled_whole, "encoder"),
    "whole by its own name": (compiled_whole, "_orig_mod.encoder"),
    "in place": (compiled_in_place, "encoder"),
    "forward": (compiled_forward, "encoder"),
    "a layer": (compiled_layer, "encoder"),
    "within a layer": (compiled_layer, "encoder.0"),
    "within a layer by its own name": (compiled_layer, "encoder._orig_mod.0"),
}


def test_compiled_code_passes_over_hooks():
    """The trap: without a remedy these hooks are not called."""
    network, heard = compiled_whole(), []
    network(ROWS)
    network.get_submodule("_orig_mod.encoder").register_forward_hook(lambda *_: heard.append(1))
    network(ROWS)
    assert heard == []


@pytest.mark.parametrize("kind", COMPILED)
@pytest.mark.parametrize("used", [True, False], ids=["used", "fresh"])
def test_compiled_network_is_heard(kind, used):
    make, layer = COMPILED[kind]
    network = make()
    if used:
        network(ROWS)
    with tap(network, layer) as tapped:
        result, outputs = tapped(ROWS)
        assert outputs[layer].tolist() == ENCODED
        network(ROWS[:1])  # as a trainer runs it
        assert tapped.outputs[layer].tolist() == ENCODED[:1]
    assert torch.equal(result, network(ROWS))
    assert features(network, ROWS, layer).tolist() == ENCODED
    assert hooks(network) == 0


def test_compiled_code_runs_again_after_the_block():
    made, ran = [], []

    def backend(graph, example):
        made.append(graph)
        return lambda *inputs: ran.append(len(made)) or graph.forward(*inputs)

    network = torch.compile(known().eval(), backend=backend)
    with torch.inference_mode():
        network(ROWS)
    with tap(network, "encoder"), tap(network, "active") as tapped:
        tapped(ROWS)
    with torch.inference_mode():
        network(ROWS)
    assert ran == [1, 1]  # not within the block, and not compiled anew after it
    assert torch._dynamo.eval_frame._stance.stance == "default"


def test_blocks_of_threads_that_overlap_keep_compiled_code_off():
    network, inside, leave = compiled_forward(), threading.Event(), threading.Event()
    with torch.inference_mode():
        network.eval()(ROWS)

    def hold():
        with tap(network, "encoder") as tapped:
            inside.set()
            leave.wait(10)
            return tapped(ROWS)[1]["encoder"].tolist()

    with ThreadPoolExecutor(1) as pool:
        with tap(network, "encoder"):
            held = pool.submit(hold)
            inside.wait(10)
        leave.set()
        assert held.result() == ENCODED
    assert torch._dynamo.eval_frame._stance.stance == "default"


def test_names_listed_of_a_compiled_network_are_its_own():
    assert layers_of(compiled_whole(), ROWS) == layers_of(known(), ROWS)
    assert [layer.name for layer in layers_of(compiled_layer())] == [
        *("encoder", "encoder.0", "active", "decoder")
    ]


@pytest.mark.parametrize("layer", ["encoder", "module.encoder"])
def test_data_parallel_is_looked_through(layer):
    network = nn.DataParallel(known())
    with tap(network, layer) as tapped:
        _, outputs = tapped(ROWS)
        assert outputs[layer].tolist() == ENCODED
        network(ROWS[:1])
        assert tapped.outputs[layer].tolist() == ENCODED[:1]
    assert features(network, ROWS, layer).tolist() == ENCODED
    assert features(torch.compile(network, backend="eager"), ROWS, "encoder").tolist() == ENCODED
    assert [one.name for one in layers_of(network, ROWS)] == ["encoder", "active", "decoder"]


def test_fx_graph_is_heard():
    network = torch.fx.symbolic_trace(known())
    assert features(network, ROWS, "encoder").tolist() == ENCODED


def test_fx_graph_without_a_call_of_the_layer_is_refused():
    network = nn.Sequential(known())
    graph = torch.fx.symbolic_trace(network)  # it calls 0.encoder, never 0
    assert features(graph, ROWS, "0.encoder").tolist() == ENCODED
    with pytest.raises(UsageError) as refused:
        features(graph, ROWS, "0")
    assert str(refused.value) == (
        "the layer '0' did not run in the forward pass; name one that does."
    )


def test_exported_program_is_refused_as_it_runs_no_layers():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = torch.export.export(known(), (ROWS,)).module()
    with pytest.raises(UsageError) as refused:
        features(network, ROWS, "encoder")
    assert str(refused.value) == (
        "the layer 'encoder' did not run in the forward pass; name one that does."
    )


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize("make", [torch.jit.script, lambda m: torch.jit.trace(m, ROWS)])
def test_torchscript_is_refused(make):
    script = make(known())
    for network, layer in [(script, "encoder"), (nn.Sequential(script), "0")]:
        with pytest.raises(UsageError) as refused:
            tap(network, layer)
        assert str(refused.value) == (
            f"the layer {layer!r} is TorchScript, whose layers run where hooks are not called; "
            "take features from the network as it was before torch.jit."
        )
    whole = nn.Sequential(script, nn.ReLU()).train()
    assert features(whole, ROWS, "1").tolist() == [[4], [10]]  # a layer beside it is heard
    assert all(module.training for module in whole.modules())
    assert [one.calls for one in layers_of(whole, ROWS)][-1] == 1
    assert layers_of(script, ROWS)[0].calls is None


@pytest.mark.filterwarnings("ignore:torch.ao.quantization:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:torch.quantize_per:UserWarning")
def test_quantised_layers_are_heard():
    network = torch.ao.quantization.quantize_dynamic(known(), {nn.Linear}, dtype=torch.qint8)
    assert type(network.encoder).__module__ == "torch.ao.nn.quantized.dynamic.modules.linear"
    found = features(network, ROWS, "encoder")
    with torch.inference_mode():
        np.testing.assert_array_equal(found, network.encoder(ROWS))
    np.testing.assert_allclose(found, ENCODED, atol=0.2)


@pytest.mark.filterwarnings("ignore:torch.quantize_per:UserWarning")
def test_quantised_outputs_are_turned_into_numbers():
    class Quantise(nn.Module):
        def forward(self, rows):
            return torch.quantize_per_tensor(rows, 0.5, 0, torch.qint8)

    network = nn.Sequential(Quantise())
    assert features(network, ROWS, "0").tolist() == ROWS.tolist()


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_nested_tensors_of_a_transformer_are_padded():
    torch.manual_seed(0)
    block = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
    encoder = nn.TransformerEncoder(block, 1).eval()
    x, hidden = torch.randn(2, 5, 4), torch.zeros(2, 5, dtype=torch.bool)
    hidden[1, 3:] = True

    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = encoder

        def forward(self, rows):
            return self.encoder(rows, src_key_padding_mask=hidden)

    found = features(Masked(), x, "encoder.layers.0", pool="mean")
    alone = features(encoder, x[1:, :3], "layers.0", pool="mean")
    np.testing.assert_allclose(found[1:], alone, rtol=1e-4, atol=1e-5)


def test_fast_path_of_a_transformer_does_not_hide_layers():
    torch.manual_seed(0)
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), 2).eval()
    x = torch.randn(3, 5, 4)
    ran = [layer.name for layer in layers_of(encoder, x) if layer.calls]
    assert {"layers.0.linear1", "layers.1.self_attn", "layers.1.norm2"} <= set(ran)
    found = features(encoder, x, ["layers.0.linear1", "layers.1"])
    assert found["layers.0.linear1"].shape == (3, 5, 8)
    with torch.inference_mode():
        np.testing.assert_allclose(found["layers.1"], encoder(x), rtol=1e-4, atol=1e-5)


def test_layer_of_an_attention_that_is_never_called_is_refused():
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), 1)
    with pytest.raises(UsageError) as refused:
        features(encoder, torch.ones(3, 5, 4), "layers.0.self_attn.out_proj")
    assert str(refused.value) == (
        "the layer 'layers.0.self_attn.out_proj' did not run in the forward pass; name one that "
        "does."
    )


def test_tied_weights_are_two_layers():
    network = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    network[1].weight = network[0].weight
    with torch.no_grad():
        network[0].weight.copy_(2 * torch.eye(2))
    found = features(network, ROWS, "*")
    assert found["0"].tolist() == (2 * ROWS).tolist()
    assert found["1"].tolist() == (4 * ROWS).tolist()


def test_layers_in_lists_and_dicts_of_modules():
    class Paths(nn.Module):
        def __init__(self):
            super().__init__()
            self.paths = nn.ModuleDict({"a": nn.ModuleList([known(), Twice()])})

        def forward(self, rows):
            return [path(rows) for path in self.paths["a"]]

    found = features(Paths(), ROWS, ["paths.a.0.encoder", "paths.a.1"])
    assert found["paths.a.0.encoder"].tolist() == ENCODED
    assert found["paths.a.1"].tolist() == (ROWS + 2).tolist()
