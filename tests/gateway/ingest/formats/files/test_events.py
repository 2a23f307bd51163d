"""Rows as events: what columns mean, what makes rows one event, what makes an event the same one again."""

from __future__ import annotations

import json
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import schema
from gateway.config.faults import Faults
from gateway.ingest.formats.files import columns
from gateway.ingest.formats.files.events import Row, Translator, plain_event
from gateway.ingest.formats.files.mapping import mapping
from gateway.ingest.formats.files.places import places
from gateway.ingest.formats.files.plan import plan
from gateway.model.errors import ConfigError

NOW = 1_795_000_000.0
BASE = '[constants]\nevent_name = "Purchase"\nevent_time = 1794990000\n'


def planned(names, text=BASE, **more):
    faults = Faults("file.csv")
    found = plan(mapping(tomllib.loads(text), "m.toml", **more), names, faults)
    faults.raise_any()
    return found


def translator(names, text=BASE, key=b"key"):
    return Translator(planned(names, text), key)


def events(names, *rows, text=BASE):
    made = translator(names, text)
    return [made.translate([Row(2 + at, list(row))], NOW) for at, row in enumerate(rows)]


def event(names, row, text=BASE):
    (found,) = events(names, row, text=text)
    assert found.troubles == ()
    return found.event


def troubles(names, row, text=BASE):
    return [(one.column, one.path, one.code) for one in events(names, row, text=text)[0].troubles]


# What columns mean.


def test_every_name_in_the_tables_leads_to_a_place():
    assert set(columns.known().values()) <= set(places())
    assert not columns.known().keys() & columns.unclear().keys()


def test_names_are_matched_without_regard_to_case_and_signs():
    names = ["E-Mail", "order_ID", "USER_DATA.Phone", "Google Click ID", "fn", "Ad User Data", "Item Price"]
    assert event(names, ["a@example.com", "7", "+1 212 555 0142", "Cj0", "Jane", "Granted", "3"]) == {
        "event_name": "Purchase",
        "event_time": 1794990000,
        "user_data": {"email": "a@example.com", "phone": "+1 212 555 0142", "gclid": "Cj0", "first_name": "Jane"},
        "custom_data": {"order_id": "7", "contents": [{"item_price": 3}]},
        "consent": {"ad_user_data": "granted"},
    }


def test_the_template_of_google_ads_as_it_is():
    names = ["Google Click ID", "Conversion Name", "Conversion Time", "Conversion Value", "Conversion Currency"]
    found = event(names, ["Cj0", "Purchase", "11/20/2026 02:03:09 PM", "12.50", "USD"], text='timezone = "+00:00"')
    assert (found["event_time"], found["custom_data"]) == (1795183389, {"value": 12.5, "currency": "USD"})


def test_unknown_columns_are_named_with_what_to_do():
    found = planned(["email", "Margin", "Lead ID", "emial", "jane.doe@example.com", "", "Notes"], BASE + "", lax=False)
    told = dict(found.unknown)
    assert list(told) == ["Margin", "Lead ID", "emial", "column 5", "Notes"]
    assert "say its path in `columns`" in told["Margin"]
    assert "`user_data.meta_lead_id` if it is" in told["Lead ID"]
    assert "did you mean `user_data.email`?" in told["emial"]


def test_columns_are_left_out_on_request_alone():
    assert planned(["email", "Notes"], 'ignore = ["notes"]\n' + BASE).ignored == ("Notes",)
    assert planned(["email", "Notes"], BASE, lax=True).ignored == ("Notes",)


@pytest.mark.parametrize(
    ("names", "text", "told"),
    [
        (["email"], "", "event_name: no column tells it"),
        (["event_name"], "", "event_time: no column tells it"),
        (["value", "Amount"], BASE, "columns: more than one column tells `custom_data.value`: value, Amount"),
        (["email"], '[columns]\n"Mail" = "user_data.email"\n' + BASE, "columns.Mail: the file has no such column"),
        (["email"], 'group_by = "custom_data.order_id"\n' + BASE, "group_by: no column tells `custom_data.order_id`"),
        (["email"], 'event_id = ["custom_data.order_id"]\n' + BASE, "event_id: no column tells"),
        (["email"], BASE + '[values."custom_data.status"]\na = "b"', 'values."custom_data.status": no column tells it'),
        (["ad_user_data"], BASE + 'consent.ad_user_data = "granted"', "constants.consent.ad_user_data: the column"),
        ([], BASE, '"line 1": names of columns are expected'),
        (["jane@example.com", "12.5"], BASE, '"line 1": it looks like a row'),
    ],
)
def test_what_cannot_be_is_told_at_the_start(names, text, told):
    with pytest.raises(ConfigError) as caught:
        planned(names, text)
    assert any(line.removeprefix("file.csv: ").startswith(told) for line in str(caught.value).splitlines())


# What rows say.


def test_empty_cells_say_nothing_and_constants_fill_them():
    text = 'empty = ["NULL"]\n' + BASE + 'custom_data.currency = "EUR"'
    names = ["currency", "value", "email"]
    assert event(names, ["", " 5 ", "null"], text)["custom_data"] == {"value": 5, "currency": "EUR"}
    assert event(names, ["USD", "5", "a@example.com"], text)["custom_data"]["currency"] == "USD"


def test_stages_by_a_table():
    text = """
        [columns]
        Stage = ["event_name", "custom_data.lead_stage"]
        [values.event_name]
        SQL = "QualifiedLead"
        "closed won" = "ConvertedLead"
        New = false
        [constants]
        event_time = 1794990000
        """
    first, won, left, unknown = events(["Stage"], ["sql"], ["Closed Won"], ["new"], ["odd"], text=text)
    assert first.event["event_name"] == "QualifiedLead"
    assert first.event["custom_data"] == {"lead_stage": "sql"}
    assert first.event["action_source"] == "system_generated"
    assert won.event["event_name"] == "ConvertedLead"
    assert (left.event, left.troubles) == (None, ())
    assert [(one.column, one.path, one.code) for one in unknown.troubles] == [
        ("Stage", "/event_name", "value_not_mapped")
    ]


def test_any_other_text_and_the_cell_itself():
    text = BASE + '[values."custom_data.store_id"]\n"*" = true\n"" = "none"\nx = 7'
    assert event(["store_id"], ["A"], text)["custom_data"] == {"store_id": "A"}
    assert event(["store_id"], [""], text)["custom_data"] == {"store_id": "none"}
    assert event(["store_id"], ["X"], text)["custom_data"] == {"store_id": "7"}


def test_all_faults_of_a_row_are_told_with_their_columns():
    found = troubles(["Amount", "new_customer", "email"], ["1,5", "perhaps", "a@example.com"])
    assert found == [
        ("Amount", "/custom_data/value", "bad_format"),
        ("new_customer", "/custom_data/new_customer", "bad_format"),
    ]


def test_a_row_needs_a_time():
    names, text = ["event_time", "email"], '[constants]\nevent_name = "Lead"'
    assert troubles(names, ["", "a@example.com"], text) == [("event_time", "/event_time", "required")]
    assert troubles(names, ["soon", "a@example.com"], text) == [("event_time", "/event_time", "bad_format")]


def test_several_columns_and_cells_for_one_match_key():
    text = 'separator = ";"\n' + BASE
    found = event(["email", "Email 2", "phone"], ["a@example.com;b@example.com", "b@example.com", "1"], text)
    assert found["user_data"] == {"email": ["a@example.com", "b@example.com"], "phone": "1"}


def test_a_refund_is_what_was_given_back():
    text = BASE.replace("Purchase", "Refund")
    assert event(["value"], ["-12.50"], text)["custom_data"] == {"value": 12.5}
    assert event(["value"], ["-12.50"])["custom_data"] == {"value": -12.5}  # which the schema refuses


# Rows of one order.

GROUPED = 'group_by = "custom_data.order_id"\n' + BASE
ORDER = ["order_id", "email", "value", "SKU", "Quantity"]


def test_consecutive_rows_of_one_order_are_one_event():
    made = translator(ORDER, GROUPED)
    rows = [
        Row(2, ["7", "a@example.com", "30", "A", "2"]),
        Row(3, ["7", "", "", "B", "1"]),
        Row(4, ["8", "", "1", "", ""]),
    ]
    assert made.same_event(rows[0], rows[1])
    assert not made.same_event(rows[1], rows[2])
    found = made.translate(rows[:2], NOW).event
    assert found["custom_data"] == {
        "order_id": "7",
        "value": 30,
        "contents": [{"id": "A", "quantity": 2}, {"id": "B", "quantity": 1}],
    }
    assert found["user_data"] == {"email": "a@example.com"}


def test_rows_without_an_order_are_events_of_their_own():
    rows = [Row(2, ["", "", "1", "A", "1"]), Row(3, ["", "", "1", "A", "1"])]
    assert not translator(ORDER, GROUPED).same_event(*rows)


def test_rows_that_disagree_are_refused():
    rows = [Row(2, ["7", "", "30", "A", "2"]), Row(3, ["7", "", "20", "B", "1"])]
    found = translator(ORDER, GROUPED).translate(rows, NOW)
    assert [(one.line, one.column, one.code) for one in found.troubles] == [(3, "value", "rows_differ")]


def test_products_as_json_in_a_cell():
    assert event(["contents"], ['[{"id": "A"}]'])["custom_data"]["contents"] == [{"id": "A"}]
    assert event(["contents", "SKU"], ['{"id": "A"}', "B"])["custom_data"]["contents"] == {"id": "A"}


# What makes an event the same one again.


def ids(names, *rows, text=BASE):
    return [one.event.get("event_id") for one in events(names, *rows, text=text)]


def test_orders_and_refunds_have_an_id_of_their_own():
    assert ids(["order_id"], ["7"]) == [None]  # the pipeline takes the order's
    assert ids(["order_id"], ["7" * 200])[0].startswith("row-")
    assert ids(["refund_id"], ["r7"], text=BASE.replace("Purchase", "Refund")) == [None]
    assert ids(["event_id", "email"], ["e7", "a@example.com"]) == ["e7"]


def test_other_rows_get_one_of_what_they_say_wherever_they_stand():
    first, second, third = ids(
        ["email", "value"], ["a@example.com", "1"], ["b@example.com", "1"], ["a@example.com", "1"]
    )
    assert first == third != second
    assert ids(["value", "email"], ["1", "a@example.com"]) == [first]
    assert "example" not in first


def test_neither_consent_nor_what_is_left_out_nor_the_mappings_words_make_another_event():
    names, row = ["email", "time", "ad_user_data", "Exported"], ["a@example.com", "2026-11-20 10:00", "granted", "x"]
    text = 'ignore = ["Exported"]\n[columns]\ntime = "event_time"\n[constants]\nevent_name = "Lead"\n'
    first = ids(names, row, text='timezone = "+01:00"\n' + text)
    assert ids(names, [*row[:2], "denied", "y"], text='timezone = "+02:00"\n' + text) == first
    assert ids(names, ["b@example.com", *row[1:]], text='timezone = "+01:00"\n' + text) != first


def test_the_key_is_part_of_it():
    made = [Translator(planned(["email"]), key).translate([Row(2, ["a@example.com"])], NOW) for key in (b"a", b"b")]
    assert made[0].event["event_id"] != made[1].event["event_id"]


def test_an_id_of_the_mapping():
    names = ["Deal ID", "event_name", "email"]
    text = 'event_id = ["custom_data.order_id", "event_name"]\n[constants]\nevent_time = 1794990000'
    assert ids(names, ["5501", "QualifiedLead", ""], text=text) == ["5501-QualifiedLead"]
    assert troubles(names, ["", "QualifiedLead", ""], text) == [("Deal ID", "/custom_data/order_id", "required")]
    personal = ids(names, ["1", "Lead", "a@example.com"], text=text.replace("custom_data.order_id", "user_data.email"))
    assert personal[0].startswith("row-")


# NDJSON.


def test_lines_that_are_events_are_left_as_they_are_but_for_the_id():
    lead = {"event_name": "Lead", "user_data": {"email": "a@example.com"}}
    found = plain_event({**lead, "consent": {"region": "DE"}}, b"key")
    assert found["event_id"].startswith("row-")
    assert plain_event(lead, b"key")["event_id"] == found["event_id"]
    kept = {"event_name": "Purchase", "custom_data": {"order_id": 7}}
    assert plain_event(kept, b"key") is kept
    assert plain_event(["x"], b"key") == ["x"]


def test_objects_of_another_shape_by_a_mapping():
    text = """
        [columns]
        "contact.mail" = "user_data.email"
        stage = "event_name"
        [values.event_name]
        SQL = "QualifiedLead"
        """
    made = Translator(planned(None, text), b"key")
    row = {
        "contact": {"mail": "a@example.com"},
        "stage": "SQL",
        "event_time": 1794990000,
        "custom_data": {"value": 5, "order_id": None},
    }
    found = made.translate([Row(1, row)], NOW).event
    assert found.pop("event_id").startswith("row-")
    assert found == {
        "user_data": {"email": "a@example.com"},
        "event_name": "QualifiedLead",
        "event_time": 1794990000,
        "custom_data": {"value": 5},
        "action_source": "system_generated",
    }
    refused = made.translate([Row(1, {**row, "secret": "x"})], NOW)
    assert [(one.column, one.code) for one in refused.troubles] == [("secret", "unknown_column")]
    refused = made.translate([Row(1, {**row, "jane.doe@example.com": "x"})], NOW)
    assert [(one.column, one.code) for one in refused.troubles] == [("a key", "unknown_column")]


CELLS = st.text(max_size=12) | st.sampled_from(["1", "2026-11-20", "yes", "granted", "a@example.com", "[]", '{"a": 1}'])
KEYS = st.text(max_size=8) | st.sampled_from([*places()])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.sampled_from(sorted(places())), min_size=1, max_size=8, unique=True), st.data())
def test_any_row_is_an_event_as_json_or_has_troubles(names, data):
    given_consent = [one for one in names if one not in ("event_name", "event_time")]
    cells = data.draw(st.lists(CELLS, min_size=len(given_consent), max_size=len(given_consent)))
    found = translator(given_consent or ["email"]).translate([Row(2, cells or ["x"])], NOW)
    assert (found.event is None) == bool(found.troubles)
    if found.event is not None:
        schema.faults(json.loads(json.dumps(found.event)))


@given(st.dictionaries(KEYS, JSON, max_size=5))
def test_any_object_is_an_event_or_has_troubles(row):
    found = Translator(planned(None, ""), b"key").translate([Row(1, row)], NOW)
    assert (found.event is None) == bool(found.troubles)
    plain_event(row, b"key")
