"""What the user is told when memory runs out."""

import pytest
import torch

from sensor_ad import cli
from sensor_ad.errors import ResourceError, lack_of_memory


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            MemoryError("Unable to allocate 90.1 GiB"),
            "the memory ran out (Unable to allocate 90.1 GiB); close other programs, or choose a "
            "smaller training.batch or fewer tags. Nothing that was saved is lost.",
        ),
        (
            MemoryError(),
            "the memory ran out (no details given); close other programs, or choose a smaller "
            "training.batch or fewer tags. Nothing that was saved is lost.",
        ),
        (
            OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nMore lines"),
            "the memory of the GPU ran out (CUDA out of memory. Tried to allocate 2 GiB.); set "
            'device = "cpu", or free the GPU, or choose a smaller training.batch or fewer tags. '
            "Nothing that was saved is lost.",
        ),
    ],
)
def test_memory_that_runs_out_is_told_in_one_sentence(error, sentence):
    told = lack_of_memory(error)
    assert isinstance(told, ResourceError)
    assert str(told) == sentence


def test_a_full_host_is_told_from_torch_s_own_words():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 55)
    assert lack_of_memory(caught.value) is not None


def test_other_errors_stay_what_they_are():
    assert lack_of_memory(RuntimeError("shapes do not match")) is None


def test_a_command_without_memory_ends_with_7(monkeypatch, capsys):
    def full(**kwargs):
        raise MemoryError("Unable to allocate 90.1 GiB")

    monkeypatch.setattr(cli, "app", full)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 7
    assert capsys.readouterr().err.startswith("sensor-ad: the memory ran out")
