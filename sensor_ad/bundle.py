"""A fitted model as a folder, without pickle: a model comes in, files go out, and back again.

Every file is hashed in `manifest.json`, and that one in `manifest.sha256`; a bundle is checked
whole before any of it is used. Loading runs no code from the bundle: weights are safetensors,
arrays are npz without objects, forests are skops with an exact list of types, and their trees are
checked before use.
"""

from __future__ import annotations

import importlib.metadata
import json
import zipfile
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from sensor_ad import __version__
from sensor_ad.calibration import Calibration
from sensor_ad.config import NETWORK_WORDS, Config, make_config, to_table
from sensor_ad.detectors import Standardiser, column_name, make_detector
from sensor_ad.durable import replacing_folder
from sensor_ad.errors import ModelError
from sensor_ad.fitting import Fitted
from sensor_ad.fusion import PROMPT, Ratio
from sensor_ad.grid import Layout
from sensor_ad.limits import limit_arrays, limit_facts, limit_from
from sensor_ad.manifest import (
    ARRAYS,
    FORMAT,
    MANIFEST,
    MANIFEST_HASH,
    check_bundle,
    damaged,
    sha256,
)
from sensor_ad.models import make_network
from sensor_ad.patterns import Patterns, View
from sensor_ad.prepare import from_json, known_inputs, to_json
from sensor_ad.records import Floats
from sensor_ad.scoring import LatentDetectors, Scorer, make_shifts
from sensor_ad.slow_normal import SlowNormal
from sensor_ad.standstill import StandStill
from sensor_ad.trees import sound_trees

WEIGHTS = "network.safetensors"
VIEWS, VIEW_ARRAYS = ("level", "change"), ("mean", "basis", "bank")
"""Of the patterns, in the order of their fields."""
LIBRARIES = ("torch", "numpy", "scikit-learn", "pyod", "skops", "safetensors")

NEIGHBOUR_TYPES = frozenset(
    {
        "sklearn.metrics._dist_metrics.EuclideanDistance64",
        "sklearn.neighbors._kd_tree.KDTree",
    }
)
TREE_TYPES = frozenset({"sklearn.tree._tree.Tree"})
ALLOWED_TYPES: dict[str, frozenset[str]] = {
    "pyod:ABOD": NEIGHBOUR_TYPES | {"pyod.models.abod.ABOD"},
    "pyod:GMM": frozenset({"pyod.models.gmm.GMM"}),
    "pyod:HBOS": frozenset({"pyod.models.hbos.HBOS"}),
    "pyod:HDBSCAN": NEIGHBOUR_TYPES | {"pyod.models.hdbscan.HDBSCAN"},
    "pyod:IForest": TREE_TYPES | {"pyod.models.iforest.IForest"},
    "pyod:INNE": frozenset({"pyod.models.inne.INNE"}),
    "pyod:KDE": NEIGHBOUR_TYPES | {"pyod.models.kde.KDE"},
    "pyod:KNN": NEIGHBOUR_TYPES | {"pyod.models.knn.KNN"},
    "pyod:KPCA": frozenset({"pyod.models.kpca.KPCA", "pyod.models.kpca.PyODKernelPCA"}),
    "pyod:LODA": frozenset({"pyod.models.loda.LODA"}),
    "pyod:LOF": NEIGHBOUR_TYPES | {"pyod.models.lof.LOF"},
    "pyod:MCD": frozenset({"pyod.models.mcd.MCD"}),
    "pyod:OCSVM": frozenset({"pyod.models.ocsvm.OCSVM"}),
    "pyod:PCA": frozenset({"pyod.models.pca.PCA"}),
    "pyod:Sampling": frozenset(
        {"pyod.models.sampling.Sampling", "sklearn.metrics._dist_metrics.EuclideanDistance64"}
    ),
}
"""Detector -> the only types, beyond those that skops trusts itself, that its file may hold."""


@dataclass(frozen=True)
class Bundle:
    """A model that was read back."""

    id: str
    fitted: Fitted
    config: Config
    """Settings that it was trained with."""
    manifest: dict[str, Any]

    @property
    def states(self) -> dict[str, tuple[str, ...]]:
        """Digital tag -> its states in the order of their numbers, as they were learnt."""
        return {tag: tuple(some) for tag, some in self.manifest.get("states", {}).items()}


def save_bundle(
    folder: Path, fitted: Fitted, config: Config, facts: dict[str, Any], bundle_id: str = "model"
) -> None:
    """Write a model as a folder that must not exist yet; whole or not at all.

    Parameters
    ----------
    facts
        JSON values for the manifest: the data's span, files and hashes, timings, notes.
    bundle_id
        The model's name.
    """
    scorer = fitted.scorer
    with replacing_folder(folder) as temporary:
        weights = {k: v.detach().cpu().contiguous() for k, v in scorer.network.state_dict().items()}
        save_file(weights, temporary / WEIGHTS)
        arrays = _arrays(fitted)
        estimators = _estimators(fitted, config)
        for name, (detector_arrays, estimator) in estimators.items():
            arrays |= {f"detector/{name}/{key}": value for key, value in detector_arrays.items()}
            if estimator is not None:
                import skops.io

                skops.io.dump(estimator, temporary / _estimator_file(name))
        np.savez_compressed(temporary / ARRAYS, **arrays)
        manifest = {
            "format": FORMAT,
            "id": bundle_id,
            "asset": config.asset,
            "program": __version__,
            "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
            **facts,
            **_facts(fitted),
            "config": to_table(config),
            "files": {file.name: sha256(file) for file in sorted(temporary.iterdir())},
        }
        text = json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        (temporary / MANIFEST).write_text(text, encoding="utf-8", newline="\n")
        digest = sha256(temporary / MANIFEST)
        (temporary / MANIFEST_HASH).write_text(f"{digest}  {MANIFEST}\n", newline="\n")


def load_bundle(
    folder: Path, device: torch.device | None = None, own_network: str | None = None
) -> Bundle:
    """Check a bundle whole, then rebuild its model.

    Parameters
    ----------
    own_network
        What the user's own config says of `model.name`: a network of their own is imported only
        when they name it themselves, never because a bundle does.

    Raises
    ------
    ModelError
        A file is missing, was added or changed, or holds something that is not allowed.
    """
    manifest, arrays = check_bundle(folder)
    config = make_config(manifest["config"], origin=f"the config in {folder}")
    preparation = from_json(manifest["preparation"], arrays)
    if config.model.name not in NETWORK_WORDS and config.model.name != own_network:
        raise ModelError(
            f"{folder} was made with the network {config.model.name}, which is not part of "
            f"sensor_ad: its code is run only when you name it; set model.name to it in your "
            f"config (from Python: load(folder, network={config.model.name!r}))."
        )
    known = known_inputs(preparation.tags, preparation.kinds)
    network = make_network(config.model, len(preparation.tags), manifest["window"], known)
    try:
        network.load_state_dict(load_file(folder / WEIGHTS))
    except (SafetensorError, RuntimeError, OSError) as error:
        raise ModelError(damaged(folder, WEIGHTS)) from error
    network = network.to(device or torch.device("cpu")).eval()
    scorer = Scorer(
        preparation=preparation,
        layout=Layout(**manifest["layout"]),
        window=manifest["window"],
        min_observed=manifest["min_observed"],
        network=network,
        residual_scale=arrays["residual_scale"],
        detectors=_detectors(folder, config, arrays),
        stand_still=StandStill(
            usual=arrays["stand_still/usual"],
            resting=arrays["stand_still/resting"],
            cap=manifest["window"],
            lost=arrays["stand_still/lost"],
            repeats=arrays["stand_still/repeats"],
        ),
        patterns=_patterns(arrays, manifest["window"]) if config.scoring.patterns else None,
        ratios={
            name: Ratio(*map(float, arrays[f"ratio/{name}"]))
            for name in (*manifest["evidence"], PROMPT)
        },
        calibrations={name: _calibration(arrays, name) for name in manifest["evidence"]},
        fusion=_calibration(arrays, "fusion"),
        causal=_calibration(arrays, "causal"),
    )
    fitted = Fitted(
        scorer=scorer,
        limit=limit_from(manifest["limit"], arrays),
        scheme=manifest["scheme"],
        parts=manifest["parts"],
        history=tuple(manifest["history"]),
        best_epoch=manifest["best_epoch"],
        notes=tuple(manifest["notes"]),
        slow=_slow(arrays),
        **{name: arrays[name] for name in REPORT_ARRAYS},
    )
    return Bundle(manifest["id"], fitted, config, manifest)


REPORT_ARRAYS = (
    "calibration_scores",
    "latent_center",
    "latent_axes",
    "latent_variance",
    "calibration_latents",
)


def _facts(fitted: Fitted) -> dict[str, Any]:
    return {
        "preparation": to_json(fitted.scorer.preparation),
        "layout": asdict(fitted.scorer.layout),
        "window": fitted.scorer.window,
        "min_observed": fitted.scorer.min_observed,
        "evidence": list(fitted.scorer.evidence_names),
        "limit": limit_facts(fitted.limit),
        "scheme": fitted.scheme,
        "parts": fitted.parts,
        "history": list(fitted.history),
        "best_epoch": fitted.best_epoch,
        "notes": list(fitted.notes),
    }


def _arrays(fitted: Fitted) -> dict[str, Any]:
    scorer = fitted.scorer
    preparation = scorer.preparation
    names = ("center", "scale", "low", "high", "longest_hold")
    arrays: dict[str, Any] = {name: getattr(preparation, name) for name in names}
    arrays |= {name: getattr(fitted, name) for name in REPORT_ARRAYS}
    arrays["residual_scale"] = scorer.residual_scale
    arrays |= limit_arrays(fitted.limit)
    arrays["stand_still/usual"] = scorer.stand_still.usual
    arrays["stand_still/resting"] = scorer.stand_still.resting
    arrays["stand_still/repeats"] = scorer.stand_still.repeats
    arrays["stand_still/lost"] = scorer.stand_still.lost
    arrays["standardiser/mean"] = scorer.detectors.standardiser.mean
    arrays["standardiser/deviation"] = scorer.detectors.standardiser.deviation
    assert scorer.fusion is not None and scorer.causal is not None
    all_calibrations = {
        **scorer.calibrations,
        "fusion": scorer.fusion,
        "causal": scorer.causal,
    }
    for name, calibration in all_calibrations.items():
        arrays[f"calibration/{name}/values"] = calibration.values
        arrays[f"calibration/{name}/levels"] = calibration.levels
        arrays[f"calibration/{name}/slope"] = np.array([calibration.slope])
    for name, ratio in scorer.ratios.items():
        arrays[f"ratio/{name}"] = np.array([ratio.lowest, ratio.most, ratio.usual])
    if fitted.slow is not None:
        arrays |= {f"slow/{name}": np.asarray(value) for name, value in vars(fitted.slow).items()}
    if scorer.patterns is not None:
        arrays["patterns/weight"] = scorer.patterns.weight
        arrays["patterns/usual"] = np.array([scorer.patterns.usual])
        for name in VIEWS:
            for key, value in vars(getattr(scorer.patterns, name)).items():
                arrays[f"patterns/{name}/{key}"] = value.astype(np.float32)
    return arrays


def _estimators(fitted: Fitted, config: Config) -> dict[str, tuple[dict[str, Floats], Any]]:
    detectors = fitted.scorer.detectors
    states = {
        name: detectors.detectors[column_name(name)].state() for name in config.scoring.detectors
    }
    states |= {name: shift.state() for name, shift in detectors.shifts.items()}
    return states


def _estimator_file(name: str) -> str:
    return f"{column_name(name)}.skops"


def _calibration(arrays: dict[str, Any], name: str) -> Calibration:
    prefix = f"calibration/{name}/"
    slope = float(arrays[prefix + "slope"][0])
    return Calibration(arrays[prefix + "values"], arrays[prefix + "levels"], slope)


def _slow(arrays: dict[str, Any]) -> SlowNormal | None:
    if "slow/band" not in arrays:
        return None
    values = {field.name: arrays[f"slow/{field.name}"] for field in fields(SlowNormal)}
    sizes = {name: int(values[name]) for name in ("slot_rows", "spans")}
    return SlowNormal(**{**values, **sizes})


def _patterns(arrays: dict[str, Any], window: int) -> Patterns:
    level, change = (
        View(*(arrays[f"patterns/{name}/{key}"].astype(np.float64) for key in VIEW_ARRAYS))
        for name in VIEWS
    )
    weight, usual = arrays["patterns/weight"], float(arrays["patterns/usual"][0])
    return Patterns(weight, window, usual, level, change)


def _detectors(folder: Path, config: Config, arrays: dict[str, Any]) -> LatentDetectors:
    def arrays_of(name: str) -> dict[str, Floats]:
        prefix = f"detector/{name}/"
        return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}

    detectors, width = {}, len(arrays["standardiser/mean"])
    for name in config.scoring.detectors:
        detector = make_detector(name, config.scoring, config.seed)
        file = folder / _estimator_file(name)
        estimator = _load_estimator(file, name, width) if name in ALLOWED_TYPES else None
        detector.restore(arrays_of(name), estimator)
        detectors[column_name(name)] = detector
    shifts = make_shifts(config.scoring)
    for name, shift in shifts.items():
        shift.restore(arrays_of(name), None)
    standardiser = Standardiser(arrays["standardiser/mean"], arrays["standardiser/deviation"])
    return LatentDetectors(standardiser, detectors, shifts)


def _load_estimator(file: Path, name: str, width: int) -> Any:
    """Read a skops file that holds nothing but the types allowed for this detector.

    Parameters
    ----------
    width
        2D, features a row that the detector will be given.
    """
    import skops.io

    try:
        found = set(skops.io.get_untrusted_types(file=file))
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise ModelError(damaged(file.parent, file.name)) from error
    foreign = sorted(found - ALLOWED_TYPES[name])
    if foreign:
        raise ModelError(
            f"{file} holds the type {foreign[0]}, which no {name} needs; it was not loaded. Take "
            "another model (sensor-ad models list), or train again."
        )
    estimator = skops.io.load(file, trusted=sorted(ALLOWED_TYPES[name] & found))
    if not sound_trees(estimator, width):
        raise ModelError(damaged(file.parent, file.name))
    return estimator
