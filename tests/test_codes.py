"""Every code that the gateway gives is told on one page: found in the source, so that none is forgotten."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway import schema
from gateway.model.delivery import State
from gateway.outbox import lanes, repair
from gateway.web.problem import STATUS_CODES

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/codes.md").read_text("utf-8")
SOURCES = sorted([*(ROOT / "gateway").rglob("*.py"), *(ROOT / "plugins").glob("*.py")])

#: What makes a code: the function's name → which of its arguments the code is.
MAKERS = {
    "Fault": 1, "warn": 1,
    "RequestRefused": 1, "Later": 1, "KeyRefused": 1,
    "Entry": 1, "Decision": 1, "_opted_out": 0,
    "Skip": 0, "Unused": 0, "_settled": 3, "_ended": 2, "dead": 3, "Change": None, "GiveUp": 0, "Verdict": 1,
    "LaneStatus": 3, "leave": 1, "TransportError": 0, "refused": 0, "retry": 0, "reject": 0, "pause": 0, "split": 0,
    "flaw": 0, "Flaw": 0, "Wrong": 0, "Unread": 0, "Trouble": 3, "_trouble": 2,
}  # fmt: skip
#: Codes are words like these; a platform's own (`100/2804003`, `NOT_FOUND`) are its documentation's to tell, and a bare
#: HTTP status (`http_503`) needs no telling one by one.
CODE = re.compile(r"(?!http_)[a-z][a-z0-9]*(?:_[a-z0-9]+)*")
#: Files whose makers are not ours: made-up platforms, and the suite that plays one.
LEFT_OUT = ("gateway/demo/", "gateway/plugin/testing.py", "gateway/config/")


#: Constants that hold a code with its message.
STARRED = {"REMOVED": "personal_data_removed", "UNREAD": "rows_unread", "UNDECODED": "invalid_utf8"}


def texts(node: ast.AST | None, constants: dict[str, str]) -> Iterator[str]:
    """The texts that an expression may be."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.IfExp(body=body, orelse=other):
            yield from texts(body, constants)
            yield from texts(other, constants)
        case ast.BoolOp(values=values):
            for value in values:
                yield from texts(value, constants)
        case ast.Starred(value=ast.Name(id=name)) if name in constants:
            yield constants[name]
        case ast.JoinedStr(values=[ast.Constant(value="missing_"), _]):  # for `value` and `currency`
            yield from ("missing_value", "missing_currency")


def codes_of(tree: ast.Module, constants: dict[str, str]) -> Iterator[str]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name not in MAKERS:
            continue
        at = MAKERS[name]
        if at is not None:
            starred = [index for index, one in enumerate(node.args) if isinstance(one, ast.Starred)]
            found = node.args[starred[0]] if starred and starred[0] <= at else dict(enumerate(node.args)).get(at)
            yield from texts(found, constants)
        for keyword in node.keywords:
            if keyword.arg in ("code", "reason"):
                yield from texts(keyword.value, constants)


def found_codes() -> dict[str, str]:
    """Code → the file that gives it."""
    found: dict[str, str] = {}
    for path in SOURCES:
        name = str(path.relative_to(ROOT))
        if not name.startswith(LEFT_OUT):
            found |= dict.fromkeys(codes_of(ast.parse(path.read_text("utf-8")), STARRED), name)
    found |= {code: "gateway/schema.py" for code, _ in (*schema.REASONS.values(), schema.OTHERWISE)}
    found |= dict.fromkeys(STATUS_CODES.values(), "gateway/web/problem.py")
    found |= dict.fromkeys(lanes.UNREAD, "gateway/outbox/lanes.py") | {repair.DISCARDED: "gateway/outbox/repair.py"}
    reopen = (ROOT / "gateway/outbox/append.py").read_text("utf-8")
    found |= dict.fromkeys(re.findall(r"0, '([a-z_]+)', '", reopen), "gateway/outbox/append.py")
    return {code: name for code, name in found.items() if CODE.fullmatch(code)}


FOUND = found_codes()
ROWS = re.findall(r"^\| (`[^|]+`) \|", PAGE, re.MULTILINE)
TOLD = {code for row in ROWS for code in re.findall(r"`([a-z0-9_]+)`", row)}


def test_the_search_finds_codes_of_every_kind() -> None:
    assert {
        "in_milliseconds", "personal_data_removed", "missing_currency", "wrong_type", "malformed_zstd", "missing_key",
        "event_not_mapped", "gpc", "consent_missing", "no_identity", "too_old", "plugin_bug", "timeout", "gave_up",
        "not_found", "unread_answer",
    } <= set(FOUND)  # fmt: skip
    assert len(FOUND) > 80


@pytest.mark.parametrize("code", sorted(FOUND))
def test_is_told(code: str) -> None:
    assert code in TOLD, f"{FOUND[code]} gives `{code}`: say in docs/codes.md what it means and what to do"


def test_nothing_is_told_that_there_is_not() -> None:
    states = {str(state) for state in State}
    assert TOLD - set(FOUND) - states == set()


def test_every_state_is_told() -> None:
    assert {str(state) for state in State} <= TOLD
