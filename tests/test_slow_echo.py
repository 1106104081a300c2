"""How a network answers to one tag that is off: known answers, gaps, and networks of all kinds."""

import numpy as np
import pytest
import torch

from sensor_ad import slow_echo
from sensor_ad.config import ModelSettings
from sensor_ad.grid import Grid, Rows
from sensor_ad.models import Network, make_network
from sensor_ad.prepare import Preparation
from sensor_ad.records import Tag
from sensor_ad.slow_echo import measure_answers

C, WINDOW = 3, 16
SCALE = np.array([1.0, 2.0, 10.0])
MIX = np.array([[0.2, 0.5, 0.0], [0.0, 0.0, 0.3], [0.1, 0.0, 0.9]])
"""What is expected of the tag of the row, for one spread of the tag of the column."""


class Mixing(Network):
    """Expects of each tag a known mixture of all tags, of the same row."""

    def __init__(self) -> None:
        super().__init__(C, WINDOW)
        self.bottleneck = torch.nn.Conv1d(C, C, 1, bias=False)
        self.bottleneck.weight.data = torch.from_numpy(MIX.astype(np.float32))[..., None]

    @property
    def reach(self):
        return 0

    def forward(self, values, mask):
        return self.bottleneck(values * mask)


def preparation():
    """Say how three tags are scaled."""
    three = np.zeros(C)
    tags = tuple(Tag(name) for name in "abc")
    kinds = ("continuous",) * C
    grid = Grid(60_000_000, 0)
    return Preparation(tags, kinds, three, SCALE, three, three, three.astype(int), grid, "")


def rows(T=400, index=None):
    """Make rows of noise."""
    values = np.random.default_rng(1).standard_normal((T, C)) * SCALE
    index = np.arange(T) if index is None else index
    return Rows(index, values, np.ones(T, bool))


def test_answers_of_a_known_network():
    history = rows()
    history.values[::7, 1] = np.nan
    found = measure_answers(Mixing().eval(), preparation(), history, np.ones(400, bool))
    # A reading that is missing cannot be off; it is expected all the same.
    expected = (np.eye(C) - MIX) * SCALE[:, None] / SCALE
    np.testing.assert_allclose(found[:, [0, 2]], expected[:, [0, 2]], atol=1e-5)
    np.testing.assert_allclose(found[:, 1], expected[:, 1], rtol=0.2, atol=1e-5)


@pytest.mark.parametrize("case", ["too short", "all learnt", "gaps everywhere", "too many tags"])
def test_each_tag_by_itself_when_nothing_can_be_measured(case, monkeypatch):
    T, held, index = 400, np.ones(400, bool), None
    if case == "too short":
        T, held = 40, np.ones(40, bool)
    if case == "all learnt":
        held = np.zeros(400, bool)
    if case == "gaps everywhere":
        index = np.arange(400) + 100 * (np.arange(400) // 30)
    if case == "too many tags":
        monkeypatch.setattr(slow_echo, "MOST_TAGS", 2)
    found = measure_answers(Mixing().eval(), preparation(), rows(T, index), held)
    np.testing.assert_array_equal(found, np.eye(C))


@pytest.mark.parametrize("name", ["conv", "linear", "lstm", "cnn", "vae"])
def test_networks_of_all_kinds_answer(name):
    torch.manual_seed(0)
    network = make_network(ModelSettings(name=name), C, WINDOW, (False,) * C).eval()
    found = measure_answers(network, preparation(), rows(), np.ones(400, bool))
    assert found.shape == (C, C)
    assert np.isfinite(found).all()
    assert not network.training
