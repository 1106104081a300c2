"""`use_when`: an expression over tags, parsed by an allow-list, evaluated on columns of readings.

Allowed are comparisons, ``and``, ``or``, ``not``, ``+ - * /``, numbers, parentheses and tag names.
A name that is not a plain word stands in backticks: `` `Volume Flow RateRMS` > 3 ``. Nothing is
called, nothing else is reachable.
"""

from __future__ import annotations

import ast
import difflib
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from sensor_ad.errors import DataError
from sensor_ad.records import Bools, Floats

_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}

DEEPEST = 50
"""Nesting that an expression may have."""
LARGEST = 1e300
"""Numbers in an expression lie within ± this."""


@dataclass(frozen=True)
class Condition:
    """A parsed expression."""

    text: str
    tree: ast.expr
    names: dict[str, str]
    """Word in the tree -> tag."""

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags that the expression needs."""
        return tuple(sorted(set(self.names.values())))

    def holds(self, columns: Mapping[str, Floats]) -> Bools:
        """Evaluate row by row; what hangs on a missing value does not hold, nor does its ``not``.

        Parameters
        ----------
        columns
            Tag -> (T,) values in plant units, NaN where missing.

        Returns
        -------
        (T,) bool.
        """
        missing = [tag for tag in self.tags if tag not in columns]
        if missing:
            near = difflib.get_close_matches(missing[0], list(columns), 1, 0.5)
            hint = f"did you mean {near[0]!r}?" if near else "name a tag that the export has."
            raise DataError(
                f"use_when names the tag {missing[0]!r}, which the export lacks; {hint}"
            )
        with np.errstate(all="ignore"):
            return self._truth(self.tree, columns)[0]

    def _truth(self, node: ast.expr, columns: Mapping[str, Floats]) -> tuple[Bools, Bools]:
        """Where a part holds, and where it does not; a row with a missing value is in neither."""
        if isinstance(node, ast.BoolOp):
            holds, fails = zip(*(self._truth(part, columns) for part in node.values), strict=True)
            if isinstance(node.op, ast.And):
                return reduce(np.logical_and, holds), reduce(np.logical_or, fails)
            return reduce(np.logical_or, holds), reduce(np.logical_and, fails)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            holds_not, fails_not = self._truth(node.operand, columns)
            return fails_not, holds_not
        if isinstance(node, ast.Compare):
            return self._comparison(node, columns)
        value = self._value(node, columns)
        return (value != 0) & ~np.isnan(value), value == 0

    def _comparison(self, node: ast.Compare, columns: Mapping[str, Floats]) -> tuple[Bools, Bools]:
        values = [self._value(part, columns) for part in (node.left, *node.comparators)]
        holds: Any = np.bool_(True)
        known: Any = np.bool_(True)
        for op, left, right in zip(node.ops, values, values[1:], strict=False):
            known = known & ~(np.isnan(left) | np.isnan(right))
            holds = holds & _COMPARE[type(op)](left, right)
        return holds & known, ~holds & known

    def _value(self, node: ast.expr, columns: Mapping[str, Floats]) -> Any:
        if isinstance(node, ast.BinOp):
            left, right = self._value(node.left, columns), self._value(node.right, columns)
            return _ARITHMETIC[type(node.op)](left, right)
        if isinstance(node, ast.Name):
            return columns[self.names[node.id]]
        if isinstance(node, ast.Constant):
            return np.float64(node.value)  # type: ignore[arg-type]
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -self._value(node.operand, columns)
        # A comparison within arithmetic counts as 1 where it holds, 0 where not.
        holds, fails = self._truth(node, columns)
        return np.where(holds | fails, np.where(holds, 1.0, 0.0), np.nan)


def parse_condition(text: str) -> Condition:
    """Parse an expression over tags.

    Raises
    ------
    ValueError
        What in the expression is not allowed, and what is.

    Examples
    --------
    >>> parse_condition("pump_running == 1 and `flow rate` > 3").tags
    ('flow rate', 'pump_running')
    """
    names: dict[str, str] = {}

    def word(match: re.Match[str]) -> str:
        key = f"tag_{len(names)}_"
        names[key] = match.group(1)
        return f" {key} "

    source = re.sub(r"`([^`]+)`", word, text)
    try:
        tree = ast.parse(source.strip(), mode="eval").body
    except (SyntaxError, RecursionError, MemoryError, ValueError):
        raise ValueError(
            f'{text!r} is not an expression such as "pump_running == 1 and `flow rate` > 3"'
        ) from None
    _check(tree, text, depth=0)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            names.setdefault(node.id, node.id)
    if not names or not isinstance(tree, ast.Compare | ast.BoolOp | ast.UnaryOp):
        raise ValueError(f'{text!r} compares no tag; write, for example, "pump_running == 1"')
    return Condition(text, tree, names)


def _check(node: ast.AST, text: str, depth: int) -> None:
    """Refuse whatever is not on the allow-list."""
    if depth > DEEPEST:
        raise ValueError(f"{text[:60]!r} is nested more than {DEEPEST} deep; write it more simply")
    allowed = (ast.BoolOp, ast.UnaryOp, ast.BinOp, ast.Compare, ast.Name, ast.Constant)
    fine = isinstance(node, allowed)
    if isinstance(node, ast.UnaryOp):
        fine = isinstance(node.op, ast.Not | ast.USub)
    elif isinstance(node, ast.BinOp):
        fine = type(node.op) in _ARITHMETIC
    elif isinstance(node, ast.Compare):
        fine = all(type(op) in _COMPARE for op in node.ops)
    elif isinstance(node, ast.Constant):
        fine = isinstance(node.value, int | float) and abs(node.value) <= LARGEST
    if not fine:
        raise ValueError(
            f"{text!r} holds {type(node).__name__}, which is not allowed; use tags, numbers, "
            "comparisons, and, or, not, + - * /"
        )
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            _check(child, text, depth + 1)
