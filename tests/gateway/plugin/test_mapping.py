"""The field table says where each value goes, and what happens when there is none."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.plugin import Consent, Event, Field, Skip, apply


def event(**given: Any) -> Event:
    plain: dict[str, Any] = {"event_name": "Purchase", "event_id": "p-1", "event_time": 1_795_000_000}
    return Event(**plain | given)


def test_values_go_to_dotted_paths_and_constants_to_the_top() -> None:
    fields = (
        Field("id", "event_id"),
        Field("order.total", "custom_data.value"),
        Field("order.money.code", "custom_data.currency"),
    )
    item = apply(fields, event(custom_data={"value": 5, "currency": "EUR"}), name="Checkout", note=None)
    assert item == {"name": "Checkout", "id": "p-1", "order": {"total": 5, "money": {"code": "EUR"}}}


@pytest.mark.parametrize("absent", [None, "", [], {}, ()])
def test_what_is_absent_leaves_the_field_out(absent: Any) -> None:
    fields = (Field("a.b", "custom_data.x"), Field("list", "custom_data.x", many=True))
    assert apply(fields, event(custom_data={"x": absent})) == {}
    assert apply(fields, event()) == {}


@pytest.mark.parametrize("value", [0, 0.0, False])
def test_zero_and_false_are_values(value: Any) -> None:
    item = apply((Field("x", "custom_data.x", required=True),), event(custom_data={"x": value}))
    assert item == {"x": value}


def test_a_path_through_something_else_than_an_object_is_absent() -> None:
    fields = (Field("x", "custom_data.a.b.c"), Field("y", "custom_data.a.b.title"), Field("z", "custom_data.a.b.c.d"))
    assert apply(fields, event(custom_data={"a": {"b": "text"}})) == {}


def test_consent_is_read_like_the_rest() -> None:
    fields = (Field("gpc", "consent.gpc"), Field("tcf", "consent.tcf"))
    assert apply(fields, event(consent=Consent(gpc=False))) == {"gpc": False}


@pytest.mark.parametrize("to", ["user-data.em", "$set.id", "a b.c", "0.x", "class.def"])
def test_the_platforms_words_may_be_anything(to: str) -> None:
    parent, child = to.split(".")
    fields = (
        Field(to, "event_id"),
        Field(f"{parent}_{child}.x", "event_name"),
        Field(f"{parent}.{child}_2", "event_name"),
    )
    assert apply(fields, event()) == {
        parent: {child: "p-1", f"{child}_2": "Purchase"},
        f"{parent}_{child}": {"x": "Purchase"},
    }


@pytest.mark.parametrize("several", [[None], [""], [None, "x"]])
def test_the_first_of_several_that_is_empty_leaves_the_field_out(several: list[Any]) -> None:
    fields = (Field("x", "custom_data.x"), Field("y", "custom_data.x", as_=str))
    assert apply(fields, event(custom_data={"x": several})) == {}
    required = (Field("x", "custom_data.x", required=True),)
    assert apply(required, event(custom_data={"x": several})) == Skip("invalid_field", "custom_data.x")


def test_a_required_field_that_is_missing_skips_the_event_and_names_the_canonical_field() -> None:
    fields = (Field("x", "event_id"), Field("y", "custom_data.value", required=True))
    assert apply(fields, event()) == Skip("missing_field", "custom_data.value")


def test_a_required_field_that_cannot_be_converted_is_invalid() -> None:
    fields = (Field("y", "custom_data.value", required=True, as_=int),)
    assert apply(fields, event(custom_data={"value": "ten"})) == Skip("invalid_field", "custom_data.value")


def test_a_computed_field_is_named_after_its_function() -> None:
    def total(event: Event) -> Any:
        return event.custom_data.get("total")

    assert apply((Field("y", total, required=True),), event()) == Skip("missing_field", "total")


@pytest.mark.parametrize("error", [ValueError, TypeError, OverflowError])
def test_a_conversion_that_fails_leaves_the_field_out(error: type[Exception]) -> None:
    def fails(value: Any) -> Any:
        raise error

    assert apply((Field("x", "event_id", as_=fails),), event()) == {}


def test_other_exceptions_are_the_plugins_mistake_and_come_through() -> None:
    with pytest.raises(KeyError):
        apply((Field("x", "event_id", as_=lambda value: {}[value]),), event())


def test_many_wraps_a_single_value_and_keeps_each_once_in_order() -> None:
    field = Field("x", "custom_data.x", many=True, as_=str)
    assert apply((field,), event(custom_data={"x": "a"})) == {"x": ["a"]}
    assert apply((field,), event(custom_data={"x": ["b", "a", "b", None, ""]})) == {"x": ["b", "a"]}


def test_many_drops_only_the_values_that_cannot_be_converted() -> None:
    field = Field("x", "custom_data.x", many=True, as_=int)
    assert apply((field,), event(custom_data={"x": ["1", "two", 3]})) == {"x": [1, 3]}


def test_without_many_the_first_of_several_is_taken() -> None:
    digests = {"email": ("aa", "bb")}
    fields = (Field("one", "digests.email"), Field("all", "digests.email", many=True))
    assert apply(fields, event(digests=digests)) == {"one": "aa", "all": ["aa", "bb"]}


def test_a_conversion_to_nothing_leaves_the_field_out() -> None:
    fields = (Field("x", "custom_data.x", as_=str.strip), Field("y", "custom_data.y"))
    assert apply(fields, event(custom_data={"x": "  ", "y": [""]})) == {}


def test_many_takes_objects_from_an_open_part_of_the_event() -> None:
    item = apply((Field("x", "custom_data.x", many=True),), event(custom_data={"x": [{"a": 1}, [2]]}))
    assert item == {"x": [{"a": 1}, [2]]}


CONTENT = (
    Field("sku", "id", required=True, as_=str),
    Field("price.amount", "item_price"),
    Field("size", "options.size"),
    Field("total", lambda entry: entry.get("item_price", 0) * entry.get("quantity", 1)),
)


def test_each_maps_a_list_of_objects_by_a_table_of_its_own() -> None:
    contents = [{"id": 7, "item_price": 2, "quantity": 3, "options": {"size": "L"}}, {"id": "b"}]
    item = apply((Field("items", "custom_data.contents", each=CONTENT),), event(custom_data={"contents": contents}))
    assert item == {
        "items": [{"sku": "7", "price": {"amount": 2}, "size": "L", "total": 6}, {"sku": "b", "total": 0}],
    }


def test_each_leaves_out_an_entry_without_what_it_requires_and_what_is_no_object() -> None:
    contents = [{"item_price": 2}, "text", None, {"id": "b", "options": "L"}]
    field = Field("items", "custom_data.contents", each=CONTENT)
    assert apply((field,), event(custom_data={"contents": contents})) == {"items": [{"sku": "b", "total": 0}]}


def test_each_takes_a_single_object_as_a_list_of_one() -> None:
    field = Field("items", "custom_data.contents", each=CONTENT)
    assert apply((field,), event(custom_data={"contents": {"id": "b"}})) == {"items": [{"sku": "b", "total": 0}]}


def test_each_without_any_entry_left_counts_as_absent() -> None:
    field = Field("items", "custom_data.contents", each=CONTENT, required=True)
    found = apply((field,), event(custom_data={"contents": [{"item_price": 2}]}))
    assert found == Skip("invalid_field", "custom_data.contents")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abid"), inner, max_size=3),
    max_leaves=8,
)
EVERY_KIND = (
    Field("plain", "custom_data.a"),
    Field("deep.path", "custom_data.a.b"),
    Field("one", "custom_data.a", as_=str),
    Field("many", "custom_data.a", many=True),
    Field("numbers", "custom_data.a", many=True, as_=float),
    Field("items", "custom_data.a", each=(Field("x.y", "a.b"), Field("z", "id", many=True), Field("w", "d", as_=int))),
)


@settings(max_examples=200, deadline=None)
@given(JSON)
def test_no_json_makes_the_mapping_raise_or_changes_the_event(value: Any) -> None:
    given = event(custom_data={"a": value})
    before = copy.deepcopy(given)
    assert isinstance(apply(EVERY_KIND, given), dict)
    assert repr(given) == repr(before)  # NaN differs from itself
