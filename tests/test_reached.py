"""Guards on what the benchmarks reached: a few recordings each, with a margin."""

import os
from pathlib import Path

import numpy as np
import pytest

from benchmarks import skab, tep, tsbad

FOLDER = os.environ.get("SENSOR_AD_REAL_DATA", "")
pytestmark = pytest.mark.skipif(
    not FOLDER, reason="SENSOR_AD_REAL_DATA does not name a folder with real data"
)


def root(name):
    folder = Path(FOLDER) / name
    if not folder.is_dir():
        pytest.skip(f"no {name} in the folder of recordings")
    return folder


@pytest.mark.parametrize(
    ("series", "reached", "causal"),
    [("002", 0.996, 0.696), ("156", 0.997, 0.587)],
    ids=["MSL S-2", "SMAP A-5"],
)
def test_tsbad(series, reached, causal):
    """VUS-PR of the smoothed offline score, and of the causal one."""
    (one,) = tsbad.read_table(root("tsbad_m"), series)
    (said,) = tsbad.score_series(root("tsbad_m"), [], 1, 1, one)
    judged = tsbad.judge(root("tsbad_m"), one, said)[0]
    assert judged.views["smoothed"].vus_pr > reached - 0.1
    assert judged.views["causal"].vus_pr > causal - 0.1
    assert judged.views["smoothed"].top_hit


def test_skab():
    """Four tests: ROC-AUC .98 in the mean, and F1 .94 at the program's own limit."""
    names = ["valve1/15", "valve2/3", "other/5", "other/7"]
    folder = root("skab")
    judged = [
        skab.judge(folder, skab.score_experiment(folder, None, "", 1, name)) for name in names
    ]
    found = [skab.figures(one) for one in judged]
    assert np.mean([one.auc for one in found]) > 0.93
    assert np.mean([one.f1 for one in found]) > 0.85
    assert np.mean([one.far for one in found]) < 30


def test_tep():
    """Tennessee Eastman, four faults: ahead of T² and Q (of all 21: 84 against 63 percent).

    Fault 19 shows in how much tags move, not in their levels: 78 percent against Q's 14.
    """
    folder = root("tep")
    train, *tests = (
        tep.tep_frame(folder / name) for name in ("d00.dat", "d00_te.dat", "d05_te.dat",
                                                  "d10_te.dat", "d20_te.dat", "d19_te.dat")
    )  # fmt: skip
    scores = tep.program_scores(train, tests, 0)
    scores |= {name: found for name, found in tep.pca_scores(train, tests).items()
               if name in ("T²", "Q")}  # fmt: skip
    rates = {method: [] for method in scores}
    for one in tep.judge(scores, (5, 10, 20, 19)):
        rates[one.method].append(one.rate)
    *plain, restless = rates[tep.OURS]
    assert np.mean(plain) > max(np.mean(rates[peer][:-1]) for peer in ("T²", "Q")) + 5
    assert restless > 50
