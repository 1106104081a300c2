"""A bundle is taken whole and as it was written, or refused with what is wrong; it runs no code."""

import hashlib
import json
import re
import shutil
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import plant
import pytest
import skops.io
from sklearn.tree._tree import Tree

from sensor_ad.bundle import ALLOWED_TYPES, _load_estimator, load_bundle
from sensor_ad.config import ScoringSettings
from sensor_ad.detector import Detector, load
from sensor_ad.detector_names import PYOD_TESTED
from sensor_ad.detectors import make_detector
from sensor_ad.errors import ModelError, ResourceError
from sensor_ad.manifest import read_manifest
from sensor_ad.trees import sound_trees

FILES = (
    "arrays.npz",
    "manifest.json",
    "manifest.sha256",
    "network.safetensors",
    "pyod_IForest.skops",
)
REMEDY = "restore it from a copy, take another model (sensor-ad models list), or train again."


@pytest.fixture
def folder(shared, tmp_path):
    """Give a copy of a bundle."""
    shutil.copytree(shared.bundle, tmp_path / "model")
    return tmp_path / "model"


def refusal(folder):
    """Return the sentence with which a bundle is refused."""
    with pytest.raises(ModelError) as fault:
        load_bundle(folder)
    return str(fault.value)


def seal(folder):
    """Make all hashes anew, as somebody would who wants a changed bundle to look whole."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for name in manifest["files"]:
        manifest["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    seal_manifest(folder, manifest)


def seal_manifest(folder, manifest):
    """Write a manifest with its hash."""
    text = json.dumps(manifest)
    (folder / "manifest.json").write_text(text)
    digest = hashlib.sha256(text.encode()).hexdigest()
    (folder / "manifest.sha256").write_text(f"{digest}  manifest.json\n")


def damage(folder, name):
    """Return the sentence for a file that is not as it was written."""
    if name.startswith("manifest"):
        name = "manifest.json or manifest.sha256"
    return f"the model in {folder} is damaged: {name} is not as it was written; {REMEDY}"


def test_bundle_holds_these_files(folder):
    assert tuple(sorted(path.name for path in folder.iterdir())) == FILES


@pytest.mark.parametrize("name", FILES)
def test_any_byte_changed(folder, name):
    path = folder / name
    good = path.read_bytes()
    random = np.random.default_rng(len(good))
    places = {0, 1, len(good) // 2, len(good) - 1, *random.integers(len(good), size=12).tolist()}

    for place in sorted(places):
        bad = bytearray(good)
        bad[place] ^= 1 << int(random.integers(8))
        path.write_bytes(bad)
        assert refusal(folder) == damage(folder, name), place
    path.write_bytes(good)
    load_bundle(folder)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_truncated_file(folder, name, share):
    path = folder / name
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])

    assert refusal(folder) == damage(folder, name)


@pytest.mark.parametrize("name", FILES)
def test_file_with_something_behind_it(folder, name):
    with (folder / name).open("ab") as file:
        file.write(b"\n")

    assert refusal(folder) == damage(folder, name)


@pytest.mark.parametrize("name", FILES)
def test_missing_file(folder, name):
    (folder / name).unlink()

    if name.startswith("manifest"):
        assert refusal(folder) == (
            f"{folder} is not a whole model: {name} is missing or unreadable; take another model "
            "(sensor-ad models list), or train again."
        )
    else:
        assert refusal(folder) == f"the model in {folder} lacks its file {name}; {REMEDY}"


def test_folder_in_place_of_a_file(folder):
    (folder / "arrays.npz").unlink()
    (folder / "arrays.npz").mkdir()

    assert refusal(folder) == damage(folder, "arrays.npz")


@pytest.mark.parametrize("name", ["notes.txt", "network.pt", ".hidden"])
def test_extra_file(folder, name):
    (folder / name).write_text("x")

    assert refusal(folder) == (
        f"the model in {folder} has a file {name} that does not belong to it; remove that file if "
        "you know where it came from, else train again."
    )


def test_folder_that_is_no_bundle(tmp_path):
    assert refusal(tmp_path / "nothing") == (
        f"{tmp_path / 'nothing'} is not a whole model: manifest.sha256 is missing or unreadable; "
        "take another model (sensor-ad models list), or train again."
    )


def test_newer_format(folder):
    manifest = read_manifest(folder)
    seal_manifest(folder, {**manifest, "format": 5, "program": "9.0.0"})

    assert refusal(folder) == (
        f"{folder} has format 5, this program reads format 4; use the program that wrote it "
        "(sensor_ad 9.0.0), or train again."
    )


def test_bundles_of_two_models_mixed(folder, shared):
    other = {**read_manifest(folder), "trained": "2020-01-01T00:00:00+00:00"}
    seal_manifest(folder, other)
    shutil.copy(shared.bundle / "manifest.sha256", folder)

    assert refusal(folder) == damage(folder, "manifest.json")


def test_saved_and_loaded_model_scores_bit_for_bit(detector, tmp_path):
    today = plant.later()
    before = detector.score(today)
    events = detector.events()
    detector.save(tmp_path / "model")
    loaded = load(tmp_path / "model")

    pd.testing.assert_frame_equal(loaded.score(today), before, check_exact=True)
    assert loaded.events() == events
    weights = detector.fitted.scorer.network.state_dict()
    for name, tensor in loaded.fitted.scorer.network.state_dict().items():
        assert (tensor == weights[name]).all()
    assert loaded.fitted.limit.value == detector.fitted.limit.value


def test_folder_that_exists_is_not_overwritten(detector, tmp_path):
    for content in ("", "mine"):
        folder = tmp_path / f"model{content}"
        folder.mkdir()
        if content:
            (folder / "notes.txt").write_text(content)
        with pytest.raises(ResourceError) as fault:
            detector.save(folder)
        assert str(fault.value) == (
            f"{folder} exists already; choose a folder that does not exist yet."
        )
        assert len(list(folder.iterdir())) == len(content[:1])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "modelmine"]


# Other data than the model was trained on.


def refused_scoring(site, frame=None, **changes):
    """Score with the site's model; return the sentence with which it is refused, less its frame."""
    site.change(**changes)
    export = site.later if frame is None else plant.write_csv(frame, site.folder / "other.csv")
    for words in ([], ["--dry-run"]):
        ended = plant.command("score", site.config_file, export, *words)
        assert ended.code == 6
        assert ended.out == ""
    assert site.runs() == []
    match = re.fullmatch(
        r"sensor-ad: the model does not fit this export: (.*)\. (\w.*)\n", ended.err, re.DOTALL
    )
    assert match, ended.err
    return match.groups()


ALLOW = (
    "Score an export with the model's tags, allow the difference in [compare] of the config, or "
    "train anew."
)


def test_other_tags(site):
    frame = plant.later().drop(columns="flow")
    assert refused_scoring(site, frame) == (
        "the export lacks the tag 'flow' of the model",
        ALLOW,
    )
    renamed = plant.later().rename(columns={"pressure": "pressure_2"})
    assert refused_scoring(site, renamed) == (
        "the export lacks the tag 'pressure' of the model (renamed to 'pressure_2'?)",
        ALLOW,
    )
    both = renamed.rename(columns={"flow": "speed"})
    assert refused_scoring(site, both, compare={"extra_tag": "refuse"}) == (
        "the export lacks the tags 'flow', 'pressure' of the model; the export has the tags "
        "'speed', 'pressure_2' that the model does not know",
        ALLOW,
    )


def test_no_tag_of_the_model_is_refused_whatever_is_tolerated(site):
    frame = plant.later().add_prefix("unit2_")
    assert refused_scoring(site, frame, compare={"missing_tag": "tolerate"}) == (
        "the export lacks the tags 'flow', 'pressure', 'temperature', 'energy' of the model; the "
        "export has the tags 'unit2_flow', 'unit2_pressure', 'unit2_temperature', 'unit2_energy' "
        "that the model does not know",
        ALLOW,
    )


def test_other_period(site):
    assert refused_scoring(site, plant.later().iloc[::5]) == (
        "the export has a row every 300 s, the model was trained on one every 60 s",
        'Export at the model\'s period, set compare.period = "tolerate" to have it resampled, or '
        "train anew.",
    )


def test_other_unit(site):
    assert refused_scoring(site, tags={"pressure": {"unit": "psi"}}) == (
        "the unit of 'pressure' was 'bar' in training and is 'psi' now",
        ALLOW,
    )


# What a forged bundle could do.


class Canary:
    """Leaves a file behind when it is brought to life from a bundle."""

    def __init__(self, path="") -> None:
        self.path = path

    def __setstate__(self, state) -> None:
        Path(state["path"]).write_text("alive")

    def __reduce__(self):
        return Path.write_text, (Path(self.path), "alive")


@pytest.mark.parametrize("kind", ["object", "within", "function"])
def test_forest_of_a_foreign_type_is_not_loaded(folder, tmp_path, kind):
    canary = tmp_path / "canary"
    path = folder / "pyod_IForest.skops"
    forest = skops.io.load(path, trusted=sorted(ALLOWED_TYPES["pyod:IForest"]))
    if kind == "object":
        forest = Canary(str(canary))
    elif kind == "within":
        forest.detector_.estimators_[3].extra = Canary(str(canary))
    else:
        forest.extra = shutil.rmtree
    skops.io.dump(forest, path)
    canary.unlink(missing_ok=True)
    seal(folder)
    foreign = "shutil.rmtree" if kind == "function" else f"{Canary.__module__}.Canary"

    assert refusal(folder) == (
        f"{path} holds the type {foreign}, which no pyod:IForest needs; it was not loaded. "
        "Take another model (sensor-ad models list), or train again."
    )
    assert not canary.exists()


def test_type_allowed_for_one_detector_is_foreign_to_another(tmp_path):
    path = tmp_path / "pyod_IForest.skops"
    detector = make_detector("pyod:HBOS", ScoringSettings(), 0)
    detector.fit(np.random.default_rng(0).normal(size=(200, 4)))
    skops.io.dump(detector.state()[1], path)

    with pytest.raises(ModelError, match=r"holds the type pyod\.models\.hbos\.HBOS, which no "):
        _load_estimator(path, "pyod:IForest", 4)


def test_skops_file_that_is_none(folder):
    path = folder / "pyod_IForest.skops"
    for content in (b"", b"not a zip", path.read_bytes()[:-100]):
        path.write_bytes(content)
        seal(folder)
        assert refusal(folder) == damage(folder, path.name)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("schema.json", "{}")
    seal(folder)
    assert refusal(folder) == damage(folder, path.name)


def forge(folder, change, width=None):
    """Change the nodes of one tree in a bundle's forest, and make the hashes fit."""
    path = folder / "pyod_IForest.skops"
    forest = skops.io.load(path, trusted=sorted(ALLOWED_TYPES["pyod:IForest"]))
    tree = forest.detector_.estimators_[7].tree_
    state = tree.__getstate__()
    nodes = state["nodes"].copy()
    change(nodes)
    forged = Tree(width or tree.n_features, np.array([1], dtype=np.intp), 1)
    forged.__setstate__({**state, "nodes": nodes})
    # An estimator's tree is a plain attribute.
    forest.detector_.estimators_[7].tree_ = forged
    skops.io.dump(forest, path)
    seal(folder)


def put(field, value, leaf=False):
    """Say how to change a field of the first inner node, or of the first leaf."""

    def change(nodes):
        at = int(np.flatnonzero((nodes["left_child"] == -1) == leaf)[0])
        nodes[field][at] = value

    return change


@pytest.mark.parametrize("name", ["left", "right", "feature"])
@pytest.mark.parametrize("value", [1_000_000, -1])
def test_own_forest_that_leads_out_of_its_arrays(folder, name, value):
    with np.load(folder / "arrays.npz") as stored:
        arrays = {key: stored[key].copy() for key in stored.files}
    arrays[f"detector/isolation_forest/{name}"][3, 0] = value
    np.savez(folder / "arrays.npz", **arrays)
    seal(folder)

    assert refusal(folder) == (
        "the isolation forest of the model is not sound: an index leads out of its arrays; take "
        "another model (sensor-ad models list), or train again."
    )


@pytest.mark.parametrize(
    "change",
    [
        put("left_child", 1_000_000),
        put("right_child", 1_000_000),
        put("left_child", -2),
        put("right_child", -5),
        put("left_child", 0),
        put("right_child", 0),
        put("feature", 1_000_000),
        put("feature", -1),
        put("left_child", 0, leaf=True),
        put("right_child", 1_000_000, leaf=True),
    ],
)
def test_tree_that_leads_out_of_its_arrays(folder, change):
    forge(folder, lambda nodes: None)
    load_bundle(folder)
    forge(folder, change)

    assert refusal(folder) == damage(folder, "pyod_IForest.skops")


def test_tree_for_more_features_than_there_are(folder):
    forge(folder, put("feature", 900), width=1000)

    assert refusal(folder) == damage(folder, "pyod_IForest.skops")


@pytest.mark.parametrize(
    ("part", "change"),
    [
        (1, lambda order: order.__setitem__(0, 10**6)),
        (1, lambda order: order.__setitem__(0, -1)),
        (2, lambda nodes: nodes["idx_end"].__setitem__(0, 10**6)),
        (2, lambda nodes: nodes["idx_start"].__setitem__(1, -7)),
        (2, lambda nodes: nodes["is_leaf"].__setitem__(-1, 0)),
    ],
)
def test_neighbour_tree_that_leads_out_of_its_arrays(part, change):
    detector = make_detector("pyod:KNN", ScoringSettings(), 0)
    detector.fit(np.random.default_rng(0).normal(size=(300, 4)))
    estimator = detector.state()[1]
    assert sound_trees(estimator, 4)
    assert not sound_trees(estimator, 5)
    tree = estimator.neigh_._tree
    state = list(tree.__getstate__())
    state[part] = np.array(state[part])
    change(state[part])
    tree.__setstate__(tuple(state))

    assert not sound_trees(estimator, 4)


def test_array_of_objects_is_not_unpickled(folder, tmp_path):
    canary = tmp_path / "canary"
    with np.load(folder / "arrays.npz") as stored:
        arrays = dict(stored)
    arrays["center"] = np.array([Canary(str(canary))], dtype=object)
    np.savez(folder / "arrays.npz", **arrays)
    canary.unlink(missing_ok=True)
    seal(folder)

    assert refusal(folder) == damage(folder, "arrays.npz")
    assert not canary.exists()


def test_weights_that_are_a_pickle_or_do_not_fit(folder):
    (folder / "network.safetensors").write_bytes(b"\x80\x04cos\nsystem\n(S'false'\ntR.")
    seal(folder)

    assert refusal(folder) == damage(folder, "network.safetensors")


@pytest.mark.parametrize("word", PYOD_TESTED)
def test_pyod_detector_survives_its_file_bit_for_bit(word, tmp_path):
    name = f"pyod:{word}"
    features = np.random.default_rng(1).normal(size=(400, 4))
    settings = ScoringSettings(detectors=(name,))
    detector = make_detector(name, settings, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of scikit-learn, about HDBSCAN's default
        detector.fit(features)
        arrays, estimator = detector.state()
        skops.io.dump(estimator, tmp_path / "one.skops")
        loaded = make_detector(name, settings, 0)
        loaded.restore(arrays, _load_estimator(tmp_path / "one.skops", name, 4))
        others = np.random.default_rng(2).normal(size=(100, 4)) * 2
        np.testing.assert_array_equal(loaded.score(others), detector.score(others))


def test_detector_of_pyod_in_a_bundle(tmp_path):
    settings = plant.merged(
        plant.SETTINGS,
        {"scoring": {"detectors": ["pyod:KNN", "nearest"]}, "training": {"max_epochs": 1}},
    )
    detector = Detector(settings).fit(plant.plant(0, 2600))
    detector.save(tmp_path / "model")
    today = plant.later(4600, 4800)

    scores = load(tmp_path / "model").score(today)
    assert "pyod_KNN" in scores.columns
    pd.testing.assert_frame_equal(scores, detector.score(today), check_exact=True)
