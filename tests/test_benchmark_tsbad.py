"""The benchmark on TSB-AD-M: other methods and reading, on small made-up series."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.peers import (
    PEERS,
    WINDOW,
    fit_pca,
    on_rows,
    plain_preparation,
    t2_and_q,
)
from benchmarks.smoothing import centred
from benchmarks.tsbad import (
    Said,
    causal_score,
    chosen_peers,
    control,
    judge,
    lowest_where_unknown,
    peer_views,
    read_table,
    rows_left,
    score_series,
)
from benchmarks.tsbad_tables import CONTROL, PROGRAM, Series, mean_over, print_tables
from sensor_ad.fusion import smoothed, smoothed_rows

TRAIN = 300


def plant(T=700, seed=0):
    """Two tags that follow one another, a third on its own, a constant; the link breaks at 500."""
    rng = np.random.default_rng(seed)
    swing = np.sin(np.arange(T) / 9.0)
    values = np.column_stack([swing, 2 * swing, rng.normal(size=T), np.full(T, 7.0)])
    values[:, :2] += 0.05 * rng.normal(size=(T, 2))
    values[500:540, 1] *= -1
    return values


@pytest.mark.parametrize("peer", ["pca-spe", "pca-spe-plain", "t2-q", "iforest", "pca", "knn"])
def test_peers_find_a_broken_link(peer):
    found = PEERS[peer](plant(), TRAIN, 0)

    for view in peer_views(found).values():
        assert view.shape == (700,)
        assert np.isfinite(view).all()
    assert found.centred[500:540].mean() > found.centred[TRAIN:480].mean()
    # The causal score knows nothing before the fault begins, the centred one half a window ahead.
    before = PEERS[peer](plant()[:500], TRAIN, 0)
    np.testing.assert_allclose(found.causal[:500], before.causal, rtol=1e-4, atol=1e-4)


def test_pca_by_hand():
    # Rows on the line (1, 1): off it by (d, -d) the squared error is 2·d², along it T² counts.
    along = np.linspace(-1, 1, 41)
    pca = fit_pca(np.column_stack([along, along]))

    assert pca.axes.shape == (2, 1)
    assert pca.squared_error(np.array([[0.3, -0.3]]))[0] == pytest.approx(0.18)
    assert pca.t2(np.array([[0.3, -0.3]]))[0] == pytest.approx(0.0)
    assert pca.t2(np.array([[0.5, 0.5]]))[0] == pytest.approx(0.25 / along.var(ddof=1))


def test_t2_and_q_is_one_at_its_limit():
    found = t2_and_q(plant(), TRAIN, 0).centred

    # Either passes its limit on 1 % of the training rows.
    assert 0.01 <= (found[:TRAIN] > 1).mean() <= 0.02


def test_plain_preparation_floors_the_spread():
    values = np.zeros((100, 3))
    values[::50, 0] = 8.0  # hardly ever moves: a quarter of its range
    values[:, 1] = np.linspace(0, 1, 100)  # its own robust spread
    values[:, 2] = 5.0  # constant: raw unit

    scale = plain_preparation(values, 100).scale

    np.testing.assert_allclose(scale, [2.0, 0.5 / 1.349, 1.0])


def test_on_rows_covers_both_ends():
    N = 100 - WINDOW + 1
    found = on_rows(np.arange(N, dtype=float), 100)

    assert found.causal[WINDOW - 1] == 0 == found.causal[0]
    assert found.causal[-1] == N - 1 == found.centred[-1]
    assert found.centred[50] == 50 - WINDOW // 2


def test_rows_without_a_score_get_the_lowest():
    score = np.array([np.nan, 3.0, 2.0, np.nan])

    assert lowest_where_unknown(score).tolist() == [2.0, 3.0, 2.0, 2.0]
    scores = pd.DataFrame({"score": 0 * score, "causal_score": score})
    assert causal_score(scores).tolist() == [2.0, 3.0, 2.0, 2.0]


@pytest.mark.parametrize("window", [8, 64, 512])
def test_smoothing_of_the_program_and_of_the_benchmark_take_64_rows_together(window):
    score = np.zeros(400)
    score[200] = 1.0
    both = centred(smoothed(score, np.ones(400, bool), smoothed_rows(window)), rows_left(window))
    assert np.count_nonzero(both > 1e-12) == 64


def test_chosen_peers_refuses_unknown_words():
    assert chosen_peers("none") == []
    assert chosen_peers("all") == list(PEERS)
    assert chosen_peers("knn,t2-q") == ["knn", "t2-q"]
    with pytest.raises(SystemExit, match="no peer 'knm'; there are pca-spe,"):
        chosen_peers("knn,knm")


def write_series(folder, name="001_MSL_id_0"):
    frame = pd.DataFrame(plant(), columns=["a", "b", "c", "d"]).astype(np.float32)
    frame["label"] = 0
    frame.loc[500:539, "label"] = 1
    frame.to_parquet(folder / f"{name}.parquet")
    methods = {"KMeansAD": [0.25], "CNN": [0.5]}
    head = {"file": [name], "source": ["MSL X-1"], "rows": [700], "channels": [4]}
    rest = {"train_rows": [TRAIN], "anomaly_rows": [40], "vus_window": [20]}
    pd.DataFrame({**head, **rest, **methods}).to_csv(folder / "published_vus_pr.csv", index=False)


def test_read_table_chooses_series(tmp_path):
    write_series(tmp_path)

    (series,) = read_table(tmp_path, "001")

    assert series == Series("001_MSL_id_0", "MSL X-1", TRAIN, 20, {"KMeansAD": 0.25, "CNN": 0.5})
    assert read_table(tmp_path, "SMD,MSL") == [series]
    with pytest.raises(SystemExit, match="no series 002 in"):
        read_table(tmp_path, "002")


def test_one_series_from_score_to_table(tmp_path, monkeypatch, capsys):
    write_series(tmp_path)
    (series,) = read_table(tmp_path)
    seen = []

    def program(frame, train_rows, seed):
        seen.append((list(frame.columns), train_rows, seed))
        score = frame["b"].diff().abs().to_numpy()
        columns = {"score": score, "causal_score": score, "alarm": score > 2.0}
        return pd.DataFrame(columns), 33

    monkeypatch.setattr("benchmarks.tsbad._program", program)
    said = score_series(tmp_path, ["pca-spe", "t2-q"], 2, 1, series)
    judged = [found for one in said for found in judge(tmp_path, series, one)]

    # No label was shown, and what no seed changes runs once.
    assert seen == [(["a", "b", "c", "d"], TRAIN, 0), (["a", "b", "c", "d"], TRAIN, 1)]
    assert [one.method for one in said] == [PROGRAM, PROGRAM, "pca-spe", "t2-q"]
    assert [one.method for one in judged].count(CONTROL) == 2
    best = mean_over(judged, "pca-spe", lambda one: one.views["smoothed"].vus_pr)
    assert best > 0.5
    print_tables([series], judged)
    out = capsys.readouterr().out
    assert f"{'PCA-SPE, windows, our scaling':<32}{best:7.3f}" in out
    assert "KMeansAD                          0.250" in out
    assert "PASS" not in out  # asked of all 22 series only


def test_control_knows_only_the_position():
    views = {view: np.arange(200.0) % 150 for view in ("given", "smoothed", "causal")}

    found = control(Said("x", PROGRAM, 0, views, None, 1.0))

    assert set(found.views["given"]) == {0.0, 1.0}
    assert found.views["given"][149] == 1.0
