"""The page of `inspect`: whole, harmless whatever tags are called, offline."""

import numpy as np
import pytest
from plant import command
from test_report import Page

from sensor_ad.config import make_config
from sensor_ad.inspection import inspect
from sensor_ad.inspection_page import write_inspection

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    """Write an export with a code and a hole."""
    random = np.random.default_rng(0)
    flow = np.round(random.normal(40, 1, 3000), 2)
    flow[100:110] = -999.9
    other = [f"{value:.2f}" for value in random.normal(5, 1, 3000)]
    other[500:800] = [""] * 300
    times = np.datetime64("2026-04-10T00:00", "m") + np.arange(3000)
    path = tmp_path_factory.mktemp("export") / "plant.csv"
    lines = [f"time,flow,{HOSTILE}", *map(",".join, zip(times.astype(str), flow.astype(str), other,
                                                      strict=True))]  # fmt: skip
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def made(export, folder, **raw):
    """Write the page into a folder; read it as the report's tests do."""
    config = make_config(raw)
    found = inspect([export], config, lambda *_: None)
    write_inspection(found, folder / "index.html", config.zone)
    return Page(folder)


def test_page_tells_what_was_found(export, tmp_path):
    page = made(export, tmp_path, data={"timezone": "Europe/Berlin"})
    assert "1 tag of 2 with findings." in page.text
    assert "3,000 rows read, 3,000 kept." in page.text
    assert "flow the value -999.9 stands in 10 rows (2026-04-10 01:40 to 2026-04-10 01:49)" in (
        page.text
    )
    assert f"{HOSTILE} continuous 10.0 % 0 5 h 1 min 2026-04-10 08:19 1 min" in page.text
    assert "Europe/Berlin (plant time)" in page.text
    assert "2026-04-10 00:00 2026-04-09 22:00 UTC" in page.text


def test_page_is_harmless_and_offline(export, tmp_path):
    page = made(export, tmp_path)
    assert not page.open
    assert HOSTILE not in page.source
    pictures = [attributes for tag, attributes in page.elements if tag == "img"]
    assert [one["src"][:22] for one in pictures] == ["data:image/png;base64,"]
    assert pictures[0]["alt"]
    assert "http://" not in page.source
    assert "https://" not in page.source
    policy = [a["content"] for _, a in page.elements if a.get("http-equiv")]
    assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_command_writes_the_page_beside_its_table(export, tmp_path):
    ended = command("inspect", export, "--html", tmp_path / "index.html", "--quiet")
    assert (ended.code, ended.err) == (0, "")
    assert "flow: the value -999.9 stands in 10 rows" in ended.out
    assert "1 tag of 2 with findings." in Page(tmp_path).text
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]
