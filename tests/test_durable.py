"""Files that are whole or not there, whatever happens while they are written."""

import errno
import json

import pytest

from sensor_ad.durable import replacing, replacing_folder, write_json, write_text
from sensor_ad.errors import ResourceError

FAULTS = [KeyboardInterrupt, SystemExit, ValueError, MemoryError]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_text_replaces_what_was_there(tmp_path):
    path = tmp_path / "new" / "a.txt"
    write_text(path, "old\n")
    write_text(path, "Öl\n")
    assert path.read_bytes() == "Öl\n".encode()
    assert names(path.parent) == ["a.txt"]


def test_json_is_readable(tmp_path):
    write_json(tmp_path / "a.json", {"flow": [1.5, None, "m³"]})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"flow": [1.5, None, "m³"]}
    assert "m³" in text
    assert text.endswith("}\n")


def test_json_of_nan_refused_and_old_kept(tmp_path):
    write_json(tmp_path / "a.json", 1)
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", float("nan"))
    assert json.loads((tmp_path / "a.json").read_text()) == 1
    assert names(tmp_path) == ["a.json"]


@pytest.mark.parametrize("fault", FAULTS)
def test_interrupted_write_keeps_the_old_file(tmp_path, fault):
    path = tmp_path / "a.txt"
    path.write_text("old")

    with pytest.raises(fault), replacing(path) as temporary:
        temporary.write_text("half of the n")
        raise fault

    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("fault", FAULTS)
def test_interrupted_folder_is_not_there(tmp_path, fault):
    with pytest.raises(fault), replacing_folder(tmp_path / "run") as temporary:
        (temporary / "figures").mkdir()
        (temporary / "figures" / "a.png").write_text("half")
        raise fault

    assert names(tmp_path) == []


def test_folder_appears_whole(tmp_path):
    path = tmp_path / "reports" / "run"
    with replacing_folder(path) as temporary:
        (temporary / "figures").mkdir()
        (temporary / "figures" / "a.png").write_text("a")
        (temporary / "b.txt").write_text("b")
        assert not path.exists()
        assert temporary.name.startswith(".")

    assert names(path.parent) == ["run"]
    assert names(path) == ["b.txt", "figures"]
    assert (path / "figures" / "a.png").read_text() == "a"


@pytest.mark.parametrize("make", [replacing, replacing_folder])
@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "the disk is full: {path} could not be written; free some space."),
        (
            errno.EACCES,
            "{path} could not be written (Permission denied); choose a folder that can be written.",
        ),
        (
            errno.EROFS,
            "{path} could not be written (Read-only file system); choose a folder that can be "
            "written.",
        ),
    ],
)
def test_fault_of_the_disk_is_told(tmp_path, make, number, message):
    import os

    path = tmp_path / "a"
    with pytest.raises(ResourceError) as refused, make(path):
        raise OSError(number, os.strerror(number))
    assert str(refused.value) == message.format(path=path)
    assert names(tmp_path) == []


@pytest.mark.parametrize("make", [replacing, replacing_folder])
def test_file_in_the_place_of_the_folder_is_told(tmp_path, make):
    (tmp_path / "file").write_text("not a folder")
    path = tmp_path / "file" / "a"

    with pytest.raises(ResourceError) as refused, make(path):
        pass

    assert str(refused.value).startswith(f"{path} could not be written (")
    assert str(refused.value).endswith("); choose a folder that can be written.")


def test_folder_never_replaces_another(tmp_path):
    path = tmp_path / "run"
    path.mkdir()
    (path / "a.txt").write_text("old")

    with pytest.raises(ResourceError), replacing_folder(path) as temporary:
        (temporary / "a.txt").write_text("new")

    assert (path / "a.txt").read_text() == "old"
    assert names(tmp_path) == ["run"]


def test_long_names_fit(tmp_path):
    path = tmp_path / ("x" * 250)
    write_text(path, "a")
    assert names(tmp_path) == [path.name]
