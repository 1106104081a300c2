"""The recipes of docs/features.md run as they stand there, and print what they promise."""

import os
import re
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "features.md").read_text(encoding="utf-8")
RECIPES = dict(
    zip(
        (int(number) for number in re.findall(r"^### (\d)", TEXT, re.MULTILINE)),
        re.split(r"^### \d", TEXT, flags=re.MULTILINE)[1:],
        strict=True,
    )
)


def code_of(number):
    found = re.findall(r"^```python\n(.*?)^```$", RECIPES[number], re.MULTILINE | re.DOTALL)
    return "\n".join(found)


def run(number, capsys, **given):
    """Run a recipe from the project's folder; give what it printed."""
    capsys.readouterr()
    before = Path.cwd()
    os.chdir(ROOT)
    try:
        exec(compile(code_of(number), f"recipe {number}", "exec"), given)
    finally:
        os.chdir(before)
    return capsys.readouterr().out


def numbers(text):
    return [float(found) for found in re.findall(r"-?\d+\.\d+", text)]


def test_recipes_are_those_of_the_document():
    assert list(RECIPES) == [1, 2, 3, 4, 5, 6]


def test_anomalies_on_any_layer(capsys):
    out = run(1, capsys)
    date, times = re.fullmatch(r"most unusual: (\S+), (\d+) times the median\n", out).groups()
    # The faults that the latents show: bearing wear and cavitation (data/README.md).
    assert "2026-03-26" <= date <= "2026-04-06"
    assert int(times) >= 2


@pytest.mark.skipif(
    not (Path(os.environ.get("SENSOR_AD_REAL_DATA", "")) / "tep").is_dir(),
    reason="SENSOR_AD_REAL_DATA does not name a folder that holds tep/",
)
def test_kinds_of_faults(capsys):
    learnt, raw, by_hand = numbers(run(2, capsys).replace("encoder.0:", "encoder:"))
    assert learnt > raw + 0.05
    assert learnt > 0.5
    assert by_hand > raw


def test_operating_modes(capsys):
    out = run(3, capsys)
    assert out.startswith("6 modes")
    assert numbers(out)[0] > 0.8


def test_network_of_others(capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries that it loads
        pytest.importorskip(
            "pytorch_forecasting", reason="PyTorch Forecasting is not installed (extra tft)"
        )
        out = run(5, capsys)
    sizes = re.fullmatch(r"{'lstm_encoder': \((\d+), 8\), 'pos_wise_ff': \((\d+), 8\)}\n", out)
    assert sizes[1] == sizes[2]
    assert int(sizes[1]) > 300


def test_images(capsys):
    out = run(6, capsys)
    assert numbers(out)[0] > 0.85
