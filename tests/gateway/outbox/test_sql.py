"""What is put into a statement, rather than passed beside it, is ours: nothing that somebody sent can change one."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[3] / "gateway"
SOURCES = sorted(PACKAGE.rglob("*.py"))
SQL = re.compile(r"\b(SELECT|INSERT|UPDATE|DELETE|REPLACE|CREATE|DROP|ALTER|PRAGMA|ATTACH|VACUUM|WHERE|FROM|VALUES)\b")

#: Everything that statements are put together from, and why it cannot come from outside.
PIECES = {
    "BUSY_TIMEOUT_MS": "a constant", "SETTLING": "a constant", "UNREAD": "a constant", "_EVENT": "a constant",
    "_FREE": "a constant", "_VALUE": "a constant", "_CURRENCY": "a constant", "LANE_COLUMNS": "a constant",
    "_COLUMNS": "a constant", "_READ": "a constant",
    "MARKS": "question marks", "marks": "question marks",
    "insert": "INSERT INTO and a table, written by the callers in append.py",
    "columns": "names of columns, written just above", "table": "from a tuple written just above",
    "end": "min or max", "where": "made by _where", "' AND '.join((*fixed, *given))": "terms written in the module",
    "_settled(lanes)": "made by _listed", "_LYING[what]": "a constant", "_listed(lanes)": "numbers, each through int()",
    "migrations.migrations_table": "a constant",
}  # fmt: skip


def pieces(source: str) -> list[str]:
    """The expressions inside the f-strings that are statements or parts of one."""
    found = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.JoinedStr)]
    statements = [node for node in found if SQL.search(ast.unparse(node))]
    return [
        ast.unparse(part.value) for node in statements for part in node.values if isinstance(part, ast.FormattedValue)
    ]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_statements_hold_nothing_from_outside(path: Path) -> None:
    unknown = set(pieces(path.read_text("utf-8"))) - PIECES.keys()
    assert not unknown, f"pass it as a parameter (?), or add it to PIECES with the reason why it is ours: {unknown}"


def test_speaking_sql_is_the_outboxs_alone() -> None:
    speaks = re.compile(r"\.execute(many|script)?\(")
    found = {path.relative_to(PACKAGE).parts[0] for path in SOURCES if speaks.search(path.read_text("utf-8"))}
    assert found == {"outbox"}


def test_a_value_in_a_statement_is_found() -> None:
    assert pieces('db.execute(f"DELETE FROM event WHERE event_id = {event_id!r}")') == ["event_id"]
    assert pieces('f"{name}: no such lane"') == []
