"""`sensor-ad models limit`: what it prints, and that scoring, report and lists follow."""

import json

import pandas as pd
import plant
import pytest

LIMIT = ("models", "limit")


def limit_json(site, *words):
    ended = plant.command(*LIMIT, site.config_file, *words, "--json")
    assert (ended.code, ended.err) == (0, "")
    return json.loads(ended.out)


def test_limit_is_shown_with_what_other_budgets_give(shared, bundle):
    told = limit_json(shared)
    limit = bundle.fitted.limit

    assert told["model"] == shared.bundle.name
    assert told["limit"] == told["trained_limit"] == limit.value
    assert told["limit_from"] == f"training ({limit.method})"
    assert (told["statement"], told["achieved"]) == (limit.statement, limit.achieved)
    assert told["tested"] == told["back_test"]["statement"] == limit.back_test.statement
    assert told["back_test"]["limits"] == list(limit.back_test.limits)
    assert [(one["events"], one["days"]) for one in told["budgets"]] == [
        (events, 30.0) for events in (1, 2, 5, 10, 30)
    ]
    values = [one["limit"] for one in told["budgets"]]
    assert values == sorted(values, reverse=True)
    assert told["budgets"][1]["limit"] == limit.value, "the budget of training"
    assert told["budgets"][1]["rate"] == limit.rate
    assert [one["verified"] for one in told["budgets"]] == [
        one["events"] * limit.hours / 24 >= 30 for one in told["budgets"]
    ]
    assert told["changes"] == []


def test_limit_in_words(site):
    model = site.bundle.name
    ended = plant.command(*LIMIT, site.config_file)
    lines = ended.out.splitlines()
    trained = limit_json(site)["trained_limit"]
    assert (ended.code, ended.err) == (0, "")
    assert lines[:2] == [f"model: {model}", f"limit: {trained:.4g} (training chose {trained:.4g})"]
    assert lines[2].startswith("from: training (")
    assert any(line.startswith("│ 10 ") for line in lines)

    plant.command(*LIMIT, site.config_file, model, "--value", "3", "--reason", "wear")
    ended = plant.command(*LIMIT, site.config_file, model, "--reset")
    (now, earlier, first) = [line for line in ended.out.splitlines() if ": " in line and (
        line.startswith(("limit:", "earlier:")))]  # fmt: skip
    assert now == f"limit: {trained:.4g} (training chose {trained:.4g})"
    assert earlier.startswith("earlier: The limit was changed back to what training chose on ")
    assert first.startswith("earlier: The limit was changed by hand on ")
    assert first.endswith(" Reason: wear.")


def test_changed_limit_is_what_scores(site):
    plant.command("score", site.config_file, site.later, "--quiet", "--no-context")
    low = limit_json(site)["limit"]
    high = 2 * low
    said = limit_json(site, "--value", str(high), "--reason", "<b>calls</b> at night")["limit_from"]

    ended = plant.command("score", site.config_file, site.later, "--json", "--no-context")

    told, (before, run) = json.loads(ended.out), site.runs()
    assert told["limit"] == high
    assert told["notes"][-1] == said
    assert said.endswith("Reason: <b>calls</b> at night.")
    assert ended.err.splitlines()[-1] == said
    scores = pd.read_parquet(run / "scores.parquet")
    above = scores["scorable"] & (scores["causal_score"] > high)
    assert (scores["alarm"] <= above).all()
    assert scores.loc[above, "alarm"].any()
    assert above.sum() < (scores["causal_score"] > low).sum()
    raised = pd.read_parquet(before / "scores.parquet")["alarm"]
    assert (scores["alarm"] != raised).any()
    record = json.loads((run / "run.json").read_text())
    assert record["limit"] == high
    assert record["limit_change"]["statement"] == said
    assert record["limit_change"]["trained"] == record["limit_change"]["before"]
    assert record["limit_change"]["reason"] == "<b>calls</b> at night"
    page = (run / "index.html").read_text(encoding="utf-8")
    assert said.replace("<", "&lt;").replace(">", "&gt;") in page
    assert "the limit was set by hand: no budget stands behind it" in page
    assert "false ones would be usual" not in page
    assert json.loads((before / "run.json").read_text())["limit_change"] is None


def test_changed_budget_is_told_in_the_report(site):
    changed = limit_json(site, "--events", "30", "--days", "15")
    told = json.loads(plant.command("score", site.config_file, site.later, "--json").out)
    page = (site.runs()[-1] / "index.html").read_text(encoding="utf-8")
    assert told["limit"] == changed["limit"] < changed["trained_limit"]
    assert told["statement"].startswith("Budget: at most 30 false events per 15 days")
    assert "at most 30 events per 15 days of normal operation" in page
    assert changed["limit_from"] in page


def test_lists_tell_of_the_change(site):
    said = limit_json(site, "--value", "3.25", "--reason", "wear")["limit_from"]

    (row,) = json.loads(plant.command("models", "list", site.config_file, "--json").out)
    shown = json.loads(plant.command("models", "show", site.config_file, "--json").out)

    assert (row["limit"], row["limit_change"], row["state"]) == (3.25, said, "whole")
    assert (shown["limit"], shown["limit from"]) == (3.25, said)
    table = plant.command("models", "list", site.config_file).out
    assert "3.25 (changed)" in table
    assert f"{site.bundle.name}: {said}" in table.splitlines()
    dry = plant.command("score", site.config_file, site.later, "--dry-run", "--json")
    assert json.loads(dry.out)["limit"] == 3.25
    limit_json(site, "--reset")
    (row,) = json.loads(plant.command("models", "list", site.config_file, "--json").out)
    assert (row["limit"] > 3.25, row["limit_change"]) == (True, "")


def test_damaged_change_stops_scoring_and_is_listed(site):
    limit_json(site, "--value", "3.25")
    path = site.models.parent / "limits" / f"{site.bundle.name}.json"
    path.write_text(path.read_text().replace("3.25", "9.25"))

    listed = json.loads(plant.command("models", "list", site.config_file, "--json").out)
    assert listed[0]["limit"] is None
    assert listed[0]["state"].startswith(f"{path} is damaged")
    for words in (("score", site.config_file, site.later), (*LIMIT, site.config_file),
                  ("score", site.config_file, site.later, "--dry-run")):  # fmt: skip
        ended = plant.command(*words)
        assert ended.code == 6
        assert ended.err == f"sensor-ad: {listed[0]['state']}\n"
    assert site.runs() == []
    assert limit_json(site, "--reset")["limit_from"].startswith("training (")
    assert plant.command("score", site.config_file, site.later, "--quiet").code == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--value", "0"), 2),
        (("--value", "nan"), 2),
        (("--value", "high"), 2),
        (("--value", "3", "--events", "2"), 2),
        (("--days", "3"), 2),
        (("nobody", "--value", "3"), 6),
    ],
)
def test_wrong_words_change_nothing(shared, words, code):
    ended = plant.command(*LIMIT, shared.config_file, *words)
    assert (ended.code, ended.out) == (code, "")
    assert ended.err
    assert "Traceback" not in ended.err
    assert not (shared.models.parent / "limits").exists()


def test_limit_of_no_model(tmp_path):
    site = plant.make_site(tmp_path)
    for words in ((), ("--value", "3")):
        ended = plant.command(*LIMIT, site.config_file, *words)
        assert ended.code == 6
    assert not (tmp_path / "workspace").exists()
