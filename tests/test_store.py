"""The workspace: its models, the one in service, what the last scoring left, the lock."""

import subprocess
import sys
import threading

import numpy as np
import pytest

from sensor_ad.errors import LockedError, ModelError, ResourceError
from sensor_ad.store import Context, new_model_id, open_workspace

IDS = ("20260301T060000-1a2b3c", "20260302T060000-4d5e6f", "20260401T060000-aaaaaa")


@pytest.fixture
def workspace(tmp_path):
    """Give a workspace with three models, made out of order."""
    workspace = open_workspace(tmp_path, "pump")
    for name in (IDS[2], IDS[0], IDS[1], ".half.tmp"):
        (workspace.models / name).mkdir(parents=True)
    (workspace.models / "notes.txt").touch()
    return workspace


def context_of(model, **changes):
    values = {
        "model": model, "phase_us": 7, "index": np.arange(3),
        "values": np.array([[1.0], [np.nan], [3]]), "used": np.array([True, False, True]),
        "counters": np.array([9.5]),
        "recent_events": [{"id": "E1", "start": 1, "end": 2}],
    }  # fmt: skip
    return Context(**{**values, **changes})


def test_opening_makes_nothing(tmp_path):
    workspace = open_workspace(tmp_path / "new", "pump")
    assert workspace.list_models() == []
    assert not (tmp_path / "new").exists()


def test_models_listed_oldest_first(workspace):
    assert [path.name for path in workspace.list_models()] == list(IDS)


def test_model_in_service(workspace):
    workspace.use(IDS[1])
    assert workspace.champion() == IDS[1]
    workspace.use(IDS[0])
    assert workspace.champion() == IDS[0]
    assert workspace.model_folder(workspace.champion()) == workspace.models / IDS[0]


def test_no_model_in_service_refused(workspace):
    with pytest.raises(ModelError) as refused:
        workspace.champion()
    assert str(refused.value) == (
        f"no model is in service in {workspace.folder}; run 'sensor-ad train CONFIG' first."
    )


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff", b"null"])
def test_damaged_pointer_refused(workspace, content):
    (workspace.folder / "champion.json").write_bytes(content)
    with pytest.raises(ModelError) as refused:
        workspace.champion()
    assert str(refused.value) == (
        f"{workspace.folder / 'champion.json'} is damaged; choose the model again: "
        "'sensor-ad models use ID'."
    )


@pytest.mark.parametrize(
    ("model", "hint"),
    [
        ("20260301T060000-1a2b", f"did you mean {IDS[0]}?"),
        ("zzz", "see 'sensor-ad models list'."),
        ("../../pump", "see 'sensor-ad models list'."),
        (".half.tmp", "see 'sensor-ad models list'."),
    ],
)
def test_unknown_model_names_nearest(workspace, model, hint):
    workspace.use(IDS[2])
    for ask in (workspace.model_folder, workspace.use):
        with pytest.raises(ModelError) as refused:
            ask(model)
        assert str(refused.value) == (f"there is no model {model!r} in {workspace.folder}; {hint}")
    assert workspace.champion() == IDS[2]


def test_context_comes_back(workspace):
    context = context_of(IDS[0])
    workspace.save_context(context)

    again = workspace.load_context(IDS[0])

    assert again is not None
    for name in ("index", "values", "used", "counters"):
        np.testing.assert_array_equal(getattr(again, name), getattr(context, name))
    assert (again.model, again.phase_us, again.recent_events) == (
        IDS[0],
        7,
        context.recent_events,
    )


def test_context_keeps_sensors_and_slow_change_apart(workspace):
    context = context_of(IDS[0], sensors={"key": np.arange(2)}, slow={"key": np.arange(5)})
    workspace.save_context(context)
    again = workspace.load_context(IDS[0])
    np.testing.assert_array_equal(again.sensors["key"], np.arange(2))
    np.testing.assert_array_equal(again.slow["key"], np.arange(5))
    workspace.save_context(context_of(IDS[0]))
    assert workspace.load_context(IDS[0]).slow == {}


def test_context_of_another_model_is_none(workspace):
    workspace.save_context(context_of(IDS[0], recent_events=[]))
    assert workspace.load_context(IDS[1]) is None
    assert workspace.load_context(IDS[0]).recent_events == []


def test_no_context_is_none(workspace):
    assert workspace.load_context(IDS[0]) is None


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b[:200], lambda b: b[:-9],
                                    lambda b: b"PK" + b[50:], lambda b: b"hello"])  # fmt: skip
def test_damaged_context_is_none(workspace, damage):
    workspace.save_context(context_of(IDS[0]))
    path = workspace.folder / "context.npz"
    path.write_bytes(damage(path.read_bytes()))
    assert workspace.load_context(IDS[0]) is None


def locked_message(workspace):
    return f"another sensor-ad command is at work in {workspace.folder}; wait until it has ended."


def test_lock_keeps_others_out(workspace):
    with workspace.lock():
        with pytest.raises(LockedError) as refused, workspace.lock():
            pass
        assert str(refused.value) == locked_message(workspace)
    with workspace.lock():
        pass


def test_lock_keeps_threads_out(workspace):
    faults = []

    def other():
        try:
            with workspace.lock():
                pass
        except LockedError as fault:
            faults.append(str(fault))

    with workspace.lock():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert faults == [locked_message(workspace)]


def test_lock_keeps_processes_out_and_ends_with_them(workspace):
    script = (
        "import sys\nfrom pathlib import Path\nfrom sensor_ad.store import open_workspace\n"
        "with open_workspace(Path(sys.argv[1]), 'pump').lock():\n"
        "    print('locked', flush=True)\n    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, str(workspace.folder.parent)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"locked\n"
        with pytest.raises(LockedError), workspace.lock():
            pass
        other.kill()
    with workspace.lock():
        pass


def test_lock_is_released_after_a_fault(workspace):
    with pytest.raises(KeyboardInterrupt), workspace.lock():
        raise KeyboardInterrupt
    with workspace.lock():
        pass


def test_lock_where_no_folder_can_be_made(tmp_path):
    (tmp_path / "file").touch()
    workspace = open_workspace(tmp_path / "file", "pump")
    with pytest.raises(ResourceError) as refused, workspace.lock():
        pass
    assert str(refused.value) == (
        f"the workspace {workspace.folder} cannot be made (Not a directory); choose a folder that "
        "can be written (key 'workspace')."
    )


def test_model_ids_sort_by_time_and_name_the_data():
    name = new_model_id("1a2b3c4d5e")
    assert len(name) == len(IDS[0])
    assert name.endswith("-1a2b3c")
