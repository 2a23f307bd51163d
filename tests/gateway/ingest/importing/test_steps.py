"""Rows of one event are put together, and nothing is lost of what stands between them."""

from __future__ import annotations

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from gateway.config.faults import Faults
from gateway.ingest.formats.files.events import Row, Translator, Trouble
from gateway.ingest.formats.files.mapping import mapping
from gateway.ingest.formats.files.plan import plan
from gateway.ingest.importing.steps import steps

TEXT = 'group_by = "custom_data.order_id"\n[constants]\nevent_name = "Purchase"\nevent_time = 1794990000\n'


def translator(text=TEXT):
    return Translator(plan(mapping(tomllib.loads(text), "m"), ["order_id", "SKU"], Faults("f")), b"key")


def rows(told):
    """`a` … `c`: a row of that order; `-`: nothing; `!`: a line that cannot be read."""
    made = {"-": lambda line: Row(line, None), "!": lambda line: Trouble(line, "", "", "malformed_csv", "")}
    return [made.get(one, lambda line, one=one: Row(line, [one, f"S{line}"]))(at) for at, one in enumerate(told, 2)]


def run(told, done=0, text=TEXT):
    return [*steps(rows(told), translator(text), b"key", lambda: 1_795_000_000.0, done)]


def brief(found):
    """Position, and the lines of an event, or the codes."""
    return [
        (one.position, None if one.what is None else one.what.code if isinstance(one.what, Trouble) else
         [row.line for row in one.what.rows] if one.what.event else sorted({t.code for t in one.what.troubles}))
        for one in found
    ]  # fmt: skip


def test_rows_of_one_order_with_nothing_between():
    assert brief(run("aab")) == [(2, [2, 3]), (3, [4])]
    assert brief(run("a-a-b")) == [(3, [2, 4]), (4, None), (5, [6])]


def test_a_line_that_cannot_be_read_behind_an_order_is_its_own():
    assert brief(run("aa!b")) == [(2, [2, 3]), (3, "malformed_csv"), (4, [5])]
    assert brief(run("!a")) == [(1, "malformed_csv"), (2, [3])]


def test_a_line_that_cannot_be_read_within_an_order_refuses_it():
    assert brief(run("a!ab")) == [(3, ["malformed_csv", "rows_unread"]), (4, [5])]


def test_it_goes_on_after_what_is_done():
    assert brief(run("aab", done=2)) == [(3, [4])]


def lines_of(what):
    """The lines of the file that a step tells of."""
    if what is None or isinstance(what, Trouble):
        return [] if what is None else [what.line]
    unread = [one.line for one in what.troubles if one.code == "malformed_csv"]
    return [*(row.line for row in what.rows), *unread]


@given(st.text("abc-!", max_size=30), st.booleans())
def test_every_row_is_in_one_step_and_every_position_is_one_to_go_on_from(told, grouped):
    text = TEXT if grouped else TEXT.partition("\n")[2]
    whole = run(told, text=text)
    positions = [one.position for one in whole]
    assert positions == sorted(set(positions))
    lines = [line for one in whole for line in lines_of(one.what)]
    assert sorted(lines) == [at for at, one in enumerate(told, 2) if one != "-"]
    for at, position in enumerate(positions, 1):
        assert brief(run(told, done=position, text=text)) == brief(whole[at:])
