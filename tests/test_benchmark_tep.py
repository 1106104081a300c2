"""The benchmark on Tennessee Eastman: limits, rates and delays by hand."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.peers import parallel_analysis
from benchmarks.tep import Found, found, judge, limit_of, pca_scores, print_asked, print_table


@pytest.mark.parametrize("T", [50, 100, 960])
def test_limit_is_passed_by_one_percent_at_most(T):
    score = np.random.default_rng(T).normal(size=T)

    passed = (score > limit_of(score)).sum()

    assert passed <= 0.01 * T < passed + 2


def test_limit_of_equal_scores_raises_no_alarm():
    score = np.zeros(100)

    assert not (score > limit_of(score)).any()


def test_found_by_hand():
    score = np.zeros(260)
    score[[10, 20]] = 1.0  # 2 of 160 rows before the fault
    score[165:170] = 1.0  # five in a row are too few
    score[180:200] = 1.0

    one = found("Q", 4, score, 0.5)

    assert one == Found("Q", 4, rate=25.0, delay_min=60.0, false_rate=1.25)


def test_found_nothing():
    one = found("Q", 4, np.zeros(260), 0.5)

    assert (one.rate, one.false_rate) == (0.0, 0.0)
    assert np.isnan(one.delay_min)


def test_parallel_analysis_counts_what_is_shared():
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(400, 2))
    x = np.repeat(hidden, 4, axis=1) + 0.5 * rng.normal(size=(400, 8))

    assert parallel_analysis(x / x.std(axis=0)) == 2


def test_pca_tells_a_fault(capsys):
    rng = np.random.default_rng(0)

    def frame(T, shift=0.0):
        x = np.repeat(rng.normal(size=(T, 2)), 4, axis=1) + 0.2 * rng.normal(size=(T, 8))
        x[160:, 0] += shift
        return pd.DataFrame(x)

    tests = [frame(300), frame(300, 3.0), frame(300)]
    scores = pca_scores(frame(400), tests)
    table = judge(scores, range(1, 3))

    rate = {(one.method, one.fault): one.rate for one in table}
    assert rate["Q", 1] > 95
    assert rate["Q, causal", 1] > 90
    assert rate["Q", 2] < 10
    print_table(table, range(1, 3))
    assert f"{rate['T²', 1]:19.1f}{rate['Q', 1]:19.1f}" in capsys.readouterr().out


def test_asked_compares_with_the_better_one(capsys):
    rates = {"sensor_ad": (50.0, 98.5), "T²": (50.5, 10.0), "Q": (0.0, 99.9)}
    table = [
        Found(method + rest, fault, rate, 0.0, 0.0)
        for method, pair in rates.items()
        for rest in ("", ", causal")
        for fault, rate in zip((3, 15), pair, strict=True)
    ]

    print_asked(table, faults=(3, 15), hard=(3, 15))

    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "FAIL sensor_ad: more than 1 point behind T² and Q on [15]"
    assert lines[2] == "PASS sensor_ad: mean 74.2, the better one's 50.0"
    assert lines[3] == "     ahead on (3, 15): []"
