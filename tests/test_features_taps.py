"""Hooks: known weights give known features, and nothing is left behind, whatever happens."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from features_models import ENCODED, ROWS, Add, Around, Gives, Twice, hooks, known
from torch import nn

from sensor_ad.errors import UsageError
from sensor_ad.features import LayerOutputs, tap
from sensor_ad.models import ConvAutoencoder


def test_known_weights_give_known_features():
    network = known()
    with LayerOutputs(network, ["encoder", "active"]) as outputs:
        result, features = outputs(ROWS)

    assert result.tolist() == [[4], [10]]
    assert features["encoder"].tolist() == ENCODED
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
    assert features["inner.encoder"].tolist() == ENCODED


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt, SystemExit])
def test_no_hook_left_after_a_fault_of_the_block(fault):
    network = known()
    with pytest.raises(fault), LayerOutputs(network, ["encoder", "decoder"]) as outputs:
        outputs(ROWS)
        assert hooks(network) == 3  # two layers, and the beginning of a pass
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


@pytest.mark.parametrize("ask", [lambda: tap(known(), []), lambda: tap(known(), ())])
def test_no_layer_named_refused(ask):
    with pytest.raises(UsageError) as refused:
        ask()
    assert str(refused.value) == (
        "no layer was named; name one, several, or a pattern such as 'encoder.*'."
    )


def test_call_that_is_no_word_refused():
    with pytest.raises(UsageError) as refused:
        tap(known(), "encoder", call="frist")
    assert str(refused.value) == "call is 'frist', expected one of error, first, last, all."


def test_pattern_takes_what_runs_below():
    torch.manual_seed(0)
    network = nn.ModuleDict({"parts": nn.ModuleList([known(), known()])})
    network.forward = lambda rows: [part(rows) for part in network["parts"]]
    with tap(network, ["parts.*.encoder", "parts.1.a*"]) as tapped:
        _, outputs = tapped(ROWS)
    assert list(outputs) == ["parts.0.encoder", "parts.1.encoder", "parts.1.active"]
    with tap(network, "parts*") as tapped:
        _, outputs = tapped(ROWS)
    assert list(outputs) == [  # the ModuleList itself cannot run
        *("parts.0", "parts.0.encoder", "parts.0.active", "parts.0.decoder"),
        *("parts.1", "parts.1.encoder", "parts.1.active", "parts.1.decoder"),
    ]


def test_pattern_that_nothing_matches_refused():
    with pytest.raises(UsageError) as refused:
        tap(known(), "encodr*")
    assert str(refused.value) == (
        "the network has no layer that matches 'encodr*'; it has encoder, active, decoder; did you "
        "mean 'encoder'?"
    )


@pytest.mark.parametrize(
    ("layer", "hint"),
    [("layer_40", "the nearest names are layer_20, layer_10"), ("zz", "no name is near")],
)
def test_unknown_layer_of_a_large_network_tells_the_nearest(layer, hint):
    network = nn.ModuleDict({"layer_10": Add(1), "layer_20": Add(2)})
    network.update({chr(number): Add(number) for number in range(200, 240)})
    with pytest.raises(UsageError) as refused:
        tap(network, layer)
    assert str(refused.value) == (
        f"the network has no layer {layer!r} among its 42; {hint}; layers_of(model) lists all."
    )


def test_layer_that_runs_twice_is_an_error_that_names_the_ways_out():
    with (
        tap(Twice(), "step") as tapped,
        pytest.raises(UsageError) as refused,
    ):
        tapped(ROWS)
    assert str(refused.value) == (
        "the layer 'step' ran 2 times in one forward pass; say which call counts: call='first', "
        "'last' or 'all'."
    )


@pytest.mark.parametrize(("call", "added"), [("first", 1), ("last", 2), ("all", [1, 2])])
def test_layer_that_runs_twice_by_the_call_asked_for(call, added):
    with tap(Twice(), "step", call=call) as tapped:
        result, outputs = tapped(ROWS)
    assert torch.equal(result, ROWS + 2)
    if call == "all":
        assert [one.tolist() for one in outputs["step"]] == [(ROWS + n).tolist() for n in added]
    else:
        assert torch.equal(outputs["step"], ROWS + added)


def test_module_under_two_names_is_told():
    shared = Add(1.0)
    network = nn.Sequential()
    network.add_module("one", shared)
    network.add_module("other", shared)
    with tap(network, "other") as tapped, pytest.raises(UsageError) as refused:
        tapped(ROWS)
    assert str(refused.value) == (
        "the layer 'other' (it is also 'one') ran 2 times in one forward pass; say which call "
        "counts: call='first', 'last' or 'all'."
    )
    with tap(network, ["one", "other"], call="last") as tapped:
        _, outputs = tapped(ROWS)
    assert all(torch.equal(output, ROWS + 2) for output in outputs.values())
    assert list(outputs) == ["one", "other"]


def test_several_layers_that_do_not_run_are_all_named():
    network = nn.Sequential(known(), nn.ReLU())
    network.forward = lambda rows: rows
    with tap(network, "*") as tapped, pytest.raises(UsageError) as refused:
        tapped(ROWS)
    assert str(refused.value) == (
        "the layers '0', '0.encoder', '0.active', '0.decoder', '1' did not run in the forward "
        "pass; name ones that do."
    )


def test_output_survives_a_layer_that_overwrites_it():
    network = nn.Sequential(known().encoder, nn.ReLU(inplace=True))
    with tap(network, ["0", "1"]) as tapped:
        _, outputs = tapped(ROWS)
    assert outputs["0"].tolist() == ENCODED
    assert outputs["1"].tolist() == [[0, 4], [3, 7]]


def test_a_classifier_can_be_trained_on_outputs():
    network = nn.Sequential(nn.Identity(), known())
    with tap(network, ["0", "1.encoder"]) as tapped:
        _, outputs = tapped(ROWS)
        network(ROWS)
        for output in (*outputs.values(), *tapped.outputs.values()):
            assert not output.is_inference()
            nn.Linear(2, 1)(output).sum().backward()


def test_pass_runs_in_inference_mode_even_after_someone_trained_in_the_block():
    seen = []
    network = nn.Sequential(
        nn.Dropout(0.9), Gives(lambda rows: seen.append(torch.is_inference_mode_enabled()) or rows)
    )
    with tap(network, "0") as tapped:
        network.train()
        _, outputs = tapped(ROWS)
    assert seen == [True]
    assert torch.equal(outputs["0"], ROWS)
    assert network.training


def test_one_layer_put_back_into_training_evaluates_in_the_next_pass():
    network = nn.Sequential(nn.Identity(), nn.Sequential(nn.Dropout(0.9)))
    with tap(network, "1.0") as tapped:
        network[1][0].train()  # the network's own mode stays as it was
        assert torch.equal(tapped(ROWS)[1]["1.0"], ROWS)
        assert not network[1][0].training


def test_model_run_by_others_within_the_block():
    network = known()
    with tap(network, "encoder") as tapped:
        network(ROWS)
        assert tapped.outputs["encoder"].tolist() == ENCODED
        assert not tapped.outputs["encoder"].requires_grad
        network(ROWS[:1])
        assert tapped.outputs["encoder"].tolist() == ENCODED[:1]
    with pytest.raises(UsageError) as refused:
        _ = tapped.outputs
    assert str(refused.value) == "the hooks are not set; call the outputs within their with-block."


def test_outputs_without_a_pass_refused():
    with tap(known(), "encoder") as tapped:
        tapped(ROWS)  # a pass of the tap's own is told by its call
        with pytest.raises(UsageError) as refused:
            _ = tapped.outputs
    assert str(refused.value) == (
        "the layer 'encoder' did not run in the forward pass; name one that does."
    )


def test_block_entered_twice_refused():
    network = known()
    with tap(network, "encoder") as tapped:
        with pytest.raises(UsageError) as refused, tapped:
            pass
        assert str(refused.value) == (
            "this block is entered already; make another tap for another block."
        )
        _, outputs = tapped(ROWS)
    assert outputs["encoder"].tolist() == ENCODED
    assert hooks(network) == 0


def test_nested_taps_do_not_disturb_each_other():
    network = known()
    with tap(network, "encoder") as outer:
        network(ROWS)
        with tap(network, ["encoder", "active"]) as inner:
            _, found = inner(ROWS[1:])
            assert outer.outputs["encoder"].tolist() == ENCODED
            outer(ROWS[:1])
            network(ROWS[:1])
            assert inner.outputs["active"].tolist() == [[0, 4]]
        assert outer.outputs["encoder"].tolist() == ENCODED[:1]
        assert not network.training
    assert found["active"].tolist() == [[3, 7]]
    assert hooks(network) == 0
    assert network.training


def test_tap_within_a_pass_of_another():
    inner_network, told = known(), []

    def look(rows):
        with tap(inner_network, "encoder") as inner:
            inner_network(rows)
            told.append(inner.outputs["encoder"])
        return rows

    network = nn.Sequential(Gives(look), inner_network)
    with tap(network, "1.active", call="all") as outer:
        _, outputs = outer(ROWS)
    assert told[0].tolist() == ENCODED
    assert [part.tolist() for part in outputs["1.active"]] == 2 * [[[0, 4], [3, 7]]]


def test_taps_in_two_threads_get_their_own_outputs():
    network, together = known(), threading.Barrier(2, timeout=10)

    class Meet(nn.Module):
        def forward(self, rows):
            together.wait()  # both passes are inside the network at once
            return rows

    whole = nn.Sequential(Meet(), network, Meet())

    def work(rows):
        with tap(whole, "1.encoder") as tapped:
            together.wait()  # all hooks are set
            found = []
            for number in range(20):
                _, outputs = tapped(rows + number)
                found.append(torch.equal(outputs["1.encoder"], network.encoder(rows + number)))
            whole(rows)
            own = torch.equal(tapped.outputs["1.encoder"], network.encoder(rows))
            together.wait()
        return all(found) and own

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(work, [ROWS, -ROWS])) == [True, True]
    assert hooks(whole) == 0
    assert whole.training


def test_one_tap_called_from_several_threads():
    with tap(known(), "encoder") as tapped, ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda n: tapped(ROWS + n)[1]["encoder"], range(50)))
    assert [(part - found[0])[0].tolist() for part in found] == [[0, 2 * n] for n in range(50)]


def test_mode_is_restored_when_blocks_of_threads_overlap():
    network, inside, leave = nn.Dropout(0.5).train(), threading.Event(), threading.Event()
    whole = nn.Sequential(network)

    def hold():
        with tap(whole, "0"):
            inside.set()
            leave.wait(10)
            return network.training

    with ThreadPoolExecutor(1) as pool:
        with tap(whole, "0"):
            held = pool.submit(hold)
            inside.wait(10)
        assert not network.training  # the other block still needs it so
        leave.set()
        assert held.result() is False
    assert network.training


@pytest.mark.parametrize("raw", [True, False])
def test_whole_output_or_its_usual_part(raw):
    network = Around(nn.LSTM(2, 3, batch_first=True))
    with tap(network, "layer", output=() if raw else None) as tapped:
        _, outputs = tapped(torch.ones(1, 5, 2))
    given = outputs["layer"]
    assert (given[0] if raw else given).shape == (1, 5, 3)
    assert isinstance(given, tuple) is raw


def test_choice_for_a_layer_not_asked_for_refused():
    with pytest.raises(UsageError) as refused:
        tap(known(), ["encoder", "active"], output={"encodr": 0})
    assert str(refused.value) == (
        "output names the layer 'encodr', which is not among the layers asked for: encoder, active."
    )
