"""Text as rows: each with the line that an editor shows, and one bad line costs itself alone."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ingest.formats.files import reading
from gateway.ingest.formats.files.events import Row, Trouble


def text(data: bytes, encoding: str = "utf-8-sig", newline: str = "") -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(data), encoding=encoding, errors="surrogateescape", newline=newline)


def read(data: bytes, **more):
    """What stands before the rows, and for each row its line and cells, or its line and code."""
    opened = text(data)
    first = reading.head(opened, more.get("delimiter"), more.get("names", ()))
    rows = reading.csv_rows(opened, first, len(first.names))
    return first, [(one.line, one.cells if isinstance(one, Row) else one.code) for one in rows]


def test_plain_csv():
    first, rows = read(b"Email,Value\na@example.com,1\nb@example.com,2")
    assert (first.names, first.delimiter) == (["Email", "Value"], ",")
    assert rows == [(2, ["a@example.com", "1"]), (3, ["b@example.com", "2"])]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_lines_are_counted_as_an_editor_does(end):
    _, rows = read(end.join([b"a;b", b'"x' + end + b'y";1', b"", b"z;2"]))
    assert [line for line, _ in rows] == [2, 4, 5]
    assert rows[0][1] == [f"x{end.decode()}y", "1"]
    assert rows[1][1] is None


@pytest.mark.parametrize("sign", [",", ";", "\t", "|"])
def test_what_stands_between_cells_is_found(sign):
    first, rows = read(f'"a, b; c"{sign}b{sign}c\n1{sign}2{sign}3\n'.encode())
    assert (first.delimiter, rows) == (sign, [(2, ["1", "2", "3"])])


def test_what_spreadsheets_and_templates_write_before_the_names():
    first, rows = read(b"sep=;\r\n\r\na;b\r\n1;2\r\n")
    assert (first.names, rows) == (["a", "b"], [(4, ["1", "2"])])
    first, rows = read(
        b"### INSTRUCTIONS ###,,\n# delete nothing,,\nParameters:TimeZone=Europe/Berlin,,\na,b,c\n1,2,3\n"
    )
    assert (first.names, first.zone, rows) == (["a", "b", "c"], "Europe/Berlin", [(5, ["1", "2", "3"])])
    first, _ = read(b'"Parameters:EntityType=OFFLINECONVERSION;TimeZone=-0500;",\na,b\n')
    assert first.zone == "-0500"


def test_a_column_named_by_a_number_sign_is_a_column():
    assert read(b"#,Email\n1,a@example.com\n")[0].names == ["#", "Email"]


def test_names_from_the_mapping():
    first, rows = read(b"1;2\n3;4\n", names=("a", "b"))
    assert first.delimiter == ";"
    assert rows == [(1, ["1", "2"]), (2, ["3", "4"])]


def test_an_open_quote_costs_its_line_alone():
    _, rows = read(b'a,b\n"open,1\nx,2\ny,3\n')
    assert rows == [(2, "malformed_csv"), (3, ["x", "2"]), (4, ["y", "3"])]


def test_a_row_of_another_width_is_refused_unless_the_rest_is_empty():
    _, rows = read(b"a,b\n1\n1,2,3\n1,2,\n1,2\n")
    assert rows == [(2, "malformed_csv"), (3, "malformed_csv"), (4, ["1", "2"]), (5, ["1", "2"])]


def test_what_cannot_be_decoded_costs_its_row():
    _, rows = read(b"a,b\nM\xfcller,1\nMiller,2\n")
    assert rows == [(2, "invalid_utf8"), (3, ["Miller", "2"])]


def test_a_line_without_end_costs_itself_and_no_memory():
    _, rows = read(b"a,b\n" + b"x" * (3 * reading.MOST_CHARS) + b"\n1,2\n")
    assert rows == [(2, "malformed_csv"), (3, ["1", "2"])]


def test_a_quote_that_goes_on_for_too_many_lines_is_given_up():
    _, rows = read(b'a,b\n"' + b"x,1\n" * (reading.MOST_LINES + 10))
    assert rows[0] == (2, "malformed_csv")
    assert rows[1:] == [(line, ["x", "1"]) for line in range(3, reading.MOST_LINES + 12)]


def test_lines_of_ndjson():
    found = [*reading.ndjson_rows(text(b'{"a": 1}\n\n{"a": \n[1]\n"\xff"\n' + b" " * reading.MOST_CHARS + b"x\n{}\n"))]
    assert [(one.line, one.cells if isinstance(one, Row) else one.code) for one in found] == [
        (1, {"a": 1}), (2, None), (3, "malformed_json"), (4, [1]), (5, "invalid_utf8"), (6, "too_long"), (7, {}),
    ]  # fmt: skip


def test_what_has_to_be_looked_at_closely():
    rows = [*reading.ndjson_rows(text(b'{"a": "\\u0000"}\n{"a": 1}\n'))]
    assert [one.odd for one in rows if isinstance(one, Row)] == [True, False]


SOME = st.binary(max_size=300) | st.lists(
    st.sampled_from([b'"', b",", b";", b"\r", b"\n", b"a", b"\xff", b"\0", b"1", b"sep=,\n", b"\xef\xbb\xbf", b"{}"]),
    max_size=80,
).map(b"".join)


@given(SOME, st.sampled_from(["utf-8-sig", "cp1252", "shift_jis", "utf-16-le"]))
def test_any_bytes_are_rows_or_troubles_in_the_order_of_lines(data, encoding):
    errors = "replace" if encoding == "utf-16-le" else "surrogateescape"
    opened = io.TextIOWrapper(io.BytesIO(data), encoding=encoding, errors=errors, newline="")
    first = reading.head(opened, None, ())
    rows = [*reading.csv_rows(opened, first, len(first.names))]
    lines = [one.line for one in rows]
    assert lines == sorted(set(lines))
    for one in rows:
        assert isinstance(one, Row | Trouble)
        assert not isinstance(one, Row) or one.cells is None or len(one.cells) == len(first.names)


@given(SOME)
def test_any_bytes_are_lines_of_ndjson_or_troubles(data):
    found = [*reading.ndjson_rows(text(data, newline="\n"))]
    assert [one.line for one in found] == list(range(1, len(found) + 1))


@given(
    st.lists(
        st.lists(
            st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0\ufffd\r\n"), max_size=8),
            min_size=2,
            max_size=2,
        ),
        max_size=8,
    )
)
def test_what_csv_writes_comes_back(table):
    import csv

    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL)
    writer.writerows([["name", "other"], *table])
    _, rows = read(out.getvalue().encode())
    assert [cells for _, cells in rows] == [row if any(map(str.strip, row)) else None for row in table]
