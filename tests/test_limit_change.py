"""A limit changed without training: what is asked for, what is kept, what is in force."""

import json
import re

import numpy as np
import pytest

from sensor_ad.config import LimitSettings
from sensor_ad.errors import LockedError, ModelError, UsageError
from sensor_ad.limit_change import (
    KEPT_CHANGES,
    LONGEST_REASON,
    LimitChange,
    LimitRequest,
    change_limit,
    changed_limit,
    check_request,
    model_limit,
    read_changes,
)
from sensor_ad.limits import choose_limit, with_budget
from sensor_ad.store import open_workspace


@pytest.fixture
def workspace(site):
    """Give a workspace with one trained model."""
    return open_workspace(site.folder / "workspace", "plant")


@pytest.fixture
def model(site):
    """Give the id of that model."""
    return site.bundle.name


def test_limit_is_that_of_training_until_it_is_changed(workspace, model, bundle):
    found = model_limit(workspace, model)
    assert found.now is found.trained
    assert found.now.value == bundle.fitted.limit.value
    assert (found.change, found.changes) == (None, ())
    assert not workspace.limits.exists(), "looking writes nothing"


def test_budget_is_solved_again(workspace, model):
    trained = model_limit(workspace, model).trained
    settings = LimitSettings(events=20, days=10)

    made = change_limit(workspace, model, LimitRequest(events=20, days=10, reason="trial"))
    found = model_limit(workspace, model)

    expected = with_budget(trained, settings)
    assert expected.value < trained.value
    for one in (made, found):
        assert (one.now.value, one.now.method) == (expected.value, expected.method)
        assert one.now.statement == expected.statement
        assert one.now.achieved == expected.achieved
        assert one.trained.value == trained.value
    assert found.change.reason == "trial"


def test_days_are_those_of_the_budget_now(workspace, model):
    change_limit(workspace, model, LimitRequest(events=3, days=7))
    found = change_limit(workspace, model, LimitRequest(events=1))
    assert (found.now.budget_events, found.now.budget_days) == (1, 7)


def test_bundle_stays_as_it_was(workspace, model):
    folder = workspace.model_folder(model)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    change_limit(workspace, model, LimitRequest(value=3.0))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_value_by_hand_promises_no_budget(workspace, model):
    trained = model_limit(workspace, model).trained
    found = change_limit(workspace, model, LimitRequest(value=trained.threshold / 2))

    assert found.now.value == trained.threshold / 2
    assert not found.now.verified
    assert found.now.statement == (
        "The limit was set by hand, not by the budget of training (at most 2 false events per 30 "
        "days)."
    )
    assert found.now.false_events == trained.counts.at(trained.threshold / 2) > 0
    assert found.now.tested == (
        f"Of the limit that training chose, not of this one: {trained.back_test.statement}"
    )
    assert trained.tested == trained.back_test.statement
    assert trained.tested_briefly == trained.back_test.brief
    assert found.now.tested_briefly == f"{trained.back_test.brief}, of the limit of training"


def test_history_says_what_was_when_and_why(workspace, model):
    trained = model_limit(workspace, model).trained.value
    change_limit(workspace, model, LimitRequest(value=3.0, reason="  noisy\nweek "))
    change_limit(workspace, model, LimitRequest(value=2.0))
    found = change_limit(workspace, model, LimitRequest(reset=True, reason="as it was."))

    assert found.now.value == trained
    assert found.change is None
    assert [(one.kind, one.before, one.value, one.reason) for one in found.changes] == [
        ("value", trained, 3.0, "noisy week"),
        ("value", 3.0, 2.0, ""),
        ("reset", 2.0, trained, "as it was."),
    ]
    assert all(re.fullmatch(r"20\d\d-\d\d-\d\dT[\d:]+\+00:00", one.time) for one in found.changes)
    assert read_changes(workspace, model) == found.changes


def test_reset_of_what_was_never_changed_writes_nothing(workspace, model):
    found = change_limit(workspace, model, LimitRequest(reset=True))
    assert (found.changes, found.now) == ((), found.trained)
    assert not workspace.limits.exists()


def test_history_is_bounded(workspace, model, monkeypatch):
    monkeypatch.setattr("sensor_ad.limit_change.KEPT_CHANGES", 3)
    assert KEPT_CHANGES > 3
    for value in (1.0, 2.0, 3.0, 4.0):
        found = change_limit(workspace, model, LimitRequest(value=value))
    assert [one.value for one in found.changes] == [2.0, 3.0, 4.0]


def test_long_reason_is_shortened(workspace, model):
    found = change_limit(workspace, model, LimitRequest(value=3.0, reason="x\u202e" * 900))
    assert len(found.change.reason) == LONGEST_REASON
    assert "\u202e" not in found.change.reason


CHANGE = LimitChange("2026-03-01T06:00:30+00:00", "value", 5.0, 4.5, 4.25)


@pytest.mark.parametrize(
    ("changes", "statement"),
    [
        (
            {},
            "The limit was changed by hand on 2026-03-01 06:00 UTC, from 4.5 to 5; training chose "
            "4.25. No reason was given.",
        ),
        (
            {"kind": "budget", "events": 1.0, "days": 7.5, "reason": "too many calls."},
            "The limit was changed for at most 1 false event per 7.5 days on 2026-03-01 06:00 UTC, "
            "from 4.5 to 5; training chose 4.25. Reason: too many calls.",
        ),
        (
            {"kind": "reset", "value": 4.25, "reason": "trial is over"},
            "The limit was changed back to what training chose on 2026-03-01 06:00 UTC, from 4.5 "
            "to 4.25. Reason: trial is over.",
        ),
    ],
    ids=["by hand", "budget", "reset"],
)
def test_statement(changes, statement):
    assert LimitChange(**{**vars(CHANGE), **changes}).statement == statement


def test_few_peaks_keep_their_margin():
    """The margin of data with one peak follows from the new budget, and is said not to be shown."""
    score = np.concatenate([np.zeros(300), [3.0], np.zeros(300)])
    trained = choose_limit(score, np.arange(601), LimitSettings(), 64, 60.0, 64)
    changed = changed_limit(trained, LimitChange("", "budget", 7.0, 5.0, 5.0, 0.01, 30.0))
    again = with_budget(trained, LimitSettings(events=0.01, days=30))
    assert trained.value == pytest.approx(3 + 1)
    assert again.value == pytest.approx(3 + 1 + np.log10(200))
    lax = with_budget(trained, LimitSettings(events=900, days=30))
    assert lax.value == 3.0, "never below the highest"
    assert changed.method == "highest value with a margin"
    assert changed.value == 7.0, "what was chosen then counts, whatever is solved today"
    assert "cannot be verified with 10.02 hours" in changed.statement


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            {"events": 2.0, "value": 4.0},
            "--events and --value were given together; a limit is changed in one way: name one of "
            "--events, --value and --reset.",
        ),
        (
            {"value": 4.0, "reset": True},
            "--value and --reset were given together; a limit is changed in one way: name one of "
            "--events, --value and --reset.",
        ),
        (
            {"days": 7.0, "reset": True},
            "--days was given without --events, the number of false events that are allowed in so "
            "many days; give both.",
        ),
        (
            {"reason": "why not"},
            "--reason was given without a change; name one of --events, --value and --reset.",
        ),
        ({"value": 0.0}, "--value is 0, a number above 0 was expected; correct it."),
        ({"value": -1.5}, "--value is -1.5, a number above 0 was expected; correct it."),
        ({"value": np.nan}, "--value is nan, a number above 0 was expected; correct it."),
        ({"value": np.inf}, "--value is inf, a number above 0 was expected; correct it."),
        ({"events": 0.0}, "--events is 0, a number above 0 was expected; correct it."),
        (
            {"events": 1.0, "days": -3.0},
            "--days is -3, a number above 0 was expected; correct it.",
        ),
    ],
)
def test_what_is_no_limit_is_refused(workspace, model, asked, message):
    for ask in (
        lambda: check_request(LimitRequest(**asked)),
        lambda: change_limit(workspace, model, LimitRequest(**asked)),
    ):
        with pytest.raises(UsageError) as refused:
            ask()
        assert str(refused.value) == message
    assert not workspace.limits.exists()


@pytest.mark.parametrize(("events", "days"), [(1e-300, 30.0), (5e-324, 1e308), (1.0, 1e300)])
def test_budget_that_no_score_keeps_is_refused(workspace, model, events, days):
    with pytest.raises(UsageError) as refused:
        change_limit(workspace, model, LimitRequest(events, days))
    assert str(refused.value) == (
        f"no score is so rare as {events:g} events per {days:g} days; allow more events."
    )


def test_unknown_model_is_refused(workspace):
    for ask in (
        lambda: model_limit(workspace, "zzz"),
        lambda: change_limit(workspace, "zzz", LimitRequest(value=3.0)),
    ):
        with pytest.raises(ModelError, match="there is no model 'zzz'"):
            ask()


def test_locked_workspace_is_left_alone(workspace, model):
    with workspace.lock(), pytest.raises(LockedError):
        change_limit(workspace, model, LimitRequest(value=3.0))
    assert not workspace.limits.exists()


def other_value(text):
    """Change the limit in the file by hand, as nobody should."""
    table = json.loads(text)
    table["changes"][-1]["value"] = 1.0
    return json.dumps(table)


DAMAGES = {
    "empty": lambda text: "",
    "cut off": lambda text: text[:-20],
    "no table": lambda text: "[]",
    "nothing in it": lambda text: "{}",
    "another value": other_value,
    "another model": lambda text: text.replace('"model": "', '"model": "x'),
    "another key": lambda text: text.replace('"before"', '"befor"'),
    "no UTF-8": lambda text: "\udcff",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_change_is_refused_and_reset(workspace, model, damage):
    change_limit(workspace, model, LimitRequest(value=3.0, reason="wear"))
    path = workspace.limits / f"{model}.json"
    path.write_bytes(damage(path.read_text()).encode(errors="surrogateescape"))

    for ask in (
        lambda: model_limit(workspace, model),
        lambda: change_limit(workspace, model, LimitRequest(value=3.0)),
    ):
        with pytest.raises(ModelError) as refused:
            ask()
        assert str(refused.value) == (
            f"{path} is damaged, so the limit in force of model {model} is not known; go back to "
            f"what training chose ('sensor-ad models limit CONFIG {model} --reset'), or restore "
            "the file from a copy."
        )
    found = change_limit(workspace, model, LimitRequest(reset=True))
    assert found.now.value == found.trained.value
    assert model_limit(workspace, model).changes == ()
