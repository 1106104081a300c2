"""`use_when`: what an expression holds for, and what it may not contain."""

import numpy as np
import pytest

from sensor_ad.conditions import DEEPEST, parse_condition
from sensor_ad.errors import DataError

NAN = float("nan")
HINT = "use tags, numbers, comparisons, and, or, not, + - * /"


def holds(text, **columns):
    table = {name: np.array(values, dtype=float) for name, values in columns.items()}
    return parse_condition(text).holds(table).tolist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a == 1", [False, True, False, True]),
        ("a != 1", [True, False, True, False]),
        ("a < b", [False, False, True, False]),
        ("a >= b", [True, True, False, True]),
        ("a == 1 and b == 1", [False, False, False, True]),
        ("a == 1 or b == 1", [False, True, True, True]),
        ("not (a == 1)", [True, False, True, False]),
        ("not a", [True, False, True, False]),
        ("a and b", [False, False, False, True]),
        ("0 < a + b < 2", [False, True, True, False]),
        ("a == 0 or a == 1 and b == 1", [True, False, True, True]),
        ("(a == 0 or a == 1) and b == 1", [False, False, True, True]),
        ("-a < 0", [False, True, False, True]),
        ("2 * a - b / 2 > 1", [False, True, False, True]),
        ("b / a > 1", [False, False, True, False]),
        ("1 / 0 > a", [True, True, True, True]),
        ("1 < 2 and a == 1", [False, True, False, True]),
        ("(a == 1) + (b == 1) == 1", [False, True, True, False]),
    ],
)
def test_truth(text, expected):
    assert holds(text, a=[0, 1, 0, 1], b=[0, 0, 1, 1]) == expected


@pytest.mark.parametrize(
    "text",
    [
        "a == 1", "a != 1", "a < 1", "a >= 0", "a + 1 > 0", "0 < a < 9", "not a == 1", "not a",
        "not not a", "a and b", "a == a", "not (a > 0 and b > 0)", "-a", "(a == 1) + 1 > 0",
        "not (a > 5 or b > 5)",
    ],
)  # fmt: skip
def test_missing_never_holds(text):
    assert holds(text, a=[NAN], b=[1]) == [False]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a > 0 or b > 0", True), ("a > 0 and b > 0", False), ("not (a > 0 and b > 5)", True)],
)
def test_missing_does_not_matter_where_the_rest_decides(text, expected):
    assert holds(text, a=[NAN], b=[1]) == [expected]


def test_backticks_name_any_tag():
    condition = parse_condition(
        "`Volume Flow (m3/h)` > 3 and `if` == 1 and `Volume Flow (m3/h)` < 9"
    )

    assert condition.tags == ("Volume Flow (m3/h)", "if")
    columns = {"Volume Flow (m3/h)": np.array([2.0, 5.0, 9.0]), "if": np.ones(3)}
    assert condition.holds(columns).tolist() == [False, True, False]


def test_no_row_holds_nothing():
    assert holds("a > 1", a=[]) == []


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("open('x') == 1", "Call"),
        ("a.real > 1", "Attribute"),
        ("(lambda: 1)() == 1", "Call"),
        ("(lambda: a) == 1", "Lambda"),
        ("[x for x in a] == 1", "ListComp"),
        ("a[0] == 1", "Subscript"),
        ("a == 'on'", "Constant"),
        ("a == None", "Constant"),
        ("a == 1j", "Constant"),
        (f"a < 1{'0' * 400}", "Constant"),
        ("a in b", "Compare"),
        ("a is b", "Compare"),
        ("a ** 9 > 1", "BinOp"),
        ("a % 2 == 1", "BinOp"),
        ("a << 9 > 1", "BinOp"),
        ("~a == 1", "UnaryOp"),
        ("(b := 1) == a", "NamedExpr"),
        ("f'{a}' == 1", "JoinedStr"),
        ("a if b else a > 1", "IfExp"),
    ],
)
def test_syntax_refused(text, kind):
    with pytest.raises(ValueError) as refused:
        parse_condition(text)
    assert str(refused.value) == f"{text!r} holds {kind}, which is not allowed; {HINT}"


@pytest.mark.parametrize(
    "text", ["a = 1", "a ==", "a == 1; b", "import os", "a\n== 1", "`a b > 1", "\0", "(" * 300]
)
def test_not_an_expression_refused(text):
    with pytest.raises(ValueError) as refused:
        parse_condition(text)
    assert str(refused.value) == (
        f'{text!r} is not an expression such as "pump_running == 1 and `flow rate` > 3"'
    )


@pytest.mark.parametrize("text", ["1 == 1", "a", "a + b", "3"])
def test_nothing_compared_refused(text):
    with pytest.raises(ValueError) as refused:
        parse_condition(text)
    assert str(refused.value) == (
        f'{text!r} compares no tag; write, for example, "pump_running == 1"'
    )


@pytest.mark.parametrize("part", ["not ", "-"])
@pytest.mark.parametrize("times", [DEEPEST + 1, 900])
def test_deep_nesting_refused(part, times):
    text = part * times + "a"
    with pytest.raises(ValueError) as refused:
        parse_condition(text)
    assert str(refused.value) == (
        f"{text[:60]!r} is nested more than {DEEPEST} deep; write it more simply"
    )


@pytest.mark.parametrize(
    ("columns", "hint"),
    [
        (["pump_run", "flow"], "did you mean 'pump_run'?"),
        (["x"], "name a tag that the export has."),
    ],
)
def test_tag_missing_names_nearest(columns, hint):
    with pytest.raises(DataError) as refused:
        holds("pump_runs == 1", **{name: [1] for name in columns})
    assert str(refused.value) == (
        f"use_when names the tag 'pump_runs', which the export lacks; {hint}"
    )
