"""What all tests share: properties are tried on the same examples each time, without a deadline."""

import shutil
from pathlib import Path
from typing import Any

import plant
import pytest
from hypothesis import settings

settings.register_profile("sensor_ad", derandomize=True, deadline=None, max_examples=60)
settings.load_profile("sensor_ad")


@pytest.fixture(scope="session")
def plant_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with config, exports and the one model that tests share; read only."""
    folder = tmp_path_factory.mktemp("plant")
    site = plant.make_site(folder)
    ended = plant.command("train", site.config_file)
    assert ended.code == 0, ended.err
    return folder


@pytest.fixture
def site(plant_folder: Path, tmp_path: Path) -> plant.Site:
    """Give a copy of that folder, for a test's own use."""
    shutil.copytree(plant_folder, tmp_path / "site")
    return plant.Site(tmp_path / "site")


@pytest.fixture(scope="session")
def shared(plant_folder: Path) -> plant.Site:
    """Give that folder itself, to read only."""
    return plant.Site(plant_folder)


@pytest.fixture(scope="session")
def bundle(plant_folder: Path) -> Any:
    """Give its model, loaded."""
    return plant.bundle_of(plant.Site(plant_folder))


@pytest.fixture(scope="session")
def detector() -> Any:
    """Give a fitted detector of the same plant; not to be fitted again."""
    from sensor_ad.detector import Detector

    return Detector(plant.SETTINGS).fit(plant.plant(0, plant.TRAIN_ROWS))
