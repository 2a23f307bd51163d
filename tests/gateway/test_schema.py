"""The event schema: what it takes, how a refusal is explained, and that two validators read it alike."""

from __future__ import annotations

import copy
import json
import random
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import schema as schemas
from gateway.model.event import CLICK_IDS, MATCH_KEYS, Consent
from gateway.schema import explain_errors, faults, is_valid, load_schema, nearest, pointer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCHEMA = load_schema("event.v1.schema.json")
EXAMPLES = {
    path.stem: json.loads(path.read_text("utf-8"))
    for path in sorted((schemas.schemas_folder() / "examples").glob("*.json"))
}
ORACLE = jsonschema.Draft202012Validator(SCHEMA)

#: The keys that version 1 was published with, by object. It only ever grows: lines are added, never taken away.
PUBLISHED = {
    "": "event_name event_id event_time action_source event_source_url referrer_url user_data custom_data consent app "
    "messaging original_event destinations test context",
    "user_data": "email phone external_id first_name last_name gender date_of_birth street city state zip country "
    "client_ip_address client_user_agent anonymous_id madid idfv language session_attributes fbp fbc fbclid ttp ttclid "
    "gclid gbraid wbraid dclid gad_source gad_campaignid impression_id match_id ga_client_id ga_session_id "
    "ga_app_instance_id epik pin_unauth sc_click_id sc_cookie1 rdt_cid rdt_uuid li_fat_id msclkid uetvid twclid "
    "meta_lead_id tiktok_lead_id snap_lead_id linkedin_lead_urn subscription_id fb_login_id partner_id",
    "custom_data": "value currency order_id contents content_ids content_type content_name content_category "
    "content_brand num_items search_string predicted_ltv net_revenue status delivery_category tax shipping discount "
    "coupon new_customer customer_type customer_segmentation refund_id remaining_value conversion_count merchant_id "
    "merchant_feed_label merchant_feed_language store_id shop_id sign_up_method lead_event_source lead_stage "
    "description user_properties custom_variables",
    "content": "id quantity item_price title description brand category variant delivery_category",
    "app": "id name version build package_name store os os_version device_model device_brand device_type locale "
    "timezone timezone_abbreviation carrier network_type screen_width screen_height screen_density cpu_cores "
    "storage_gb free_storage_gb install_id install_time install_referrer installer_package url_schemes campaign_ids "
    "advertiser_tracking_enabled application_tracking_enabled att_status attribution",
    "messaging": "channel page_id page_scoped_user_id ctwa_clid ig_account_id ig_sid whatsapp_business_account_id",
    "original_event": "event_name event_id event_time order_id",
    "consent": "ad_storage ad_user_data ad_personalization analytics_storage tcf additional_consent gpp gpp_sid gpc "
    "region",
}
CLOSED = ("", "user_data", "app", "messaging", "original_event", "consent")
HEX = "ab" * 32
LONGEST = "9223372036854775807"

#: Where → a value that is taken there.
TAKEN: list[tuple[str, Any]] = [
    ("event_name", "QuizFinished"),
    ("event_name", "é" * 50),
    ("event_id", 42),
    ("event_id", "x" * 128),
    ("event_time", 1795000000),
    ("event_time", 1795000000.25),
    ("event_time", "2026-11-18T09:06:40+01:00"),
    ("action_source", "system_generated"),
    ("user_data.email", "jane@example.com"),
    ("user_data.email", ["jane@example.com", HEX, HEX.upper()]),
    ("user_data.email", ""),
    ("user_data.email", []),
    ("user_data.external_id", [7, "seven"]),
    ("user_data.meta_lead_id", 1234567890123456),
    ("user_data.gad_source", 1),
    ("custom_data.value", 0),
    ("custom_data.value", 12.5),
    ("custom_data.value", "12.50"),
    ("custom_data.value", "1000"),
    ("custom_data.currency", "usd"),
    ("custom_data.order_id", int(LONGEST)),
    ("custom_data.net_revenue", "-3.20"),
    ("custom_data.coupon", "SPRING10"),
    ("custom_data.coupon", ["A", "B"]),
    ("custom_data.contents", [{"id": 5, "quantity": 2, "item_price": "3.00", "size": "M"}]),
    ("custom_data.content_category", ["Apparel", "Home"]),
    ("custom_data.status", True),
    ("custom_data.my_own_key", {"deep": [1, None, {"x": "y"}]}),
    ("context.anything", [1, "two", None]),
    ("consent.gpp_sid", [7, 8]),
    ("consent.gpp_sid", "7,8"),
    ("consent.gpp_sid", "7, 8"),
    ("consent.gpp_sid", 7),
    ("consent.gpp_sid", -1),
    ("consent.region", "DE"),
    ("consent.region", "us-ca"),
    ("consent.region", "GB-ENG"),
    ("consent.gpc", False),
    ("app.advertiser_tracking_enabled", True),
    ("app.advertiser_tracking_enabled", 0),
    ("app.url_schemes", ["exampleshop"]),
    ("destinations", {"*": False, "google": True}),
    ("test", True),
]

#: Where → a value that is refused there, the fault's path, its code and some of its words.
REFUSED: list[tuple[str, Any, str, str, str]] = [
    ("event_name", "", "/event_name", "too_short", "1 or more characters, found 0"),
    ("event_name", "x" * 51, "/event_name", "too_long", "at most 50 characters, found 51"),
    ("event_name", 5, "/event_name", "wrong_type", "expected a string, found a number"),
    ("event_id", "", "/event_id", "too_short", "1 or more"),
    ("event_id", "x" * 129, "/event_id", "too_long", "at most 128"),
    ("event_id", True, "/event_id", "wrong_type", "expected a string or an integer, found a boolean"),
    ("event_id", 1.5, "/event_id", "wrong_type", "found a number with a fraction"),
    ("event_id", None, "/event_id", "wrong_type", "found null; leave the key out instead"),
    ("event_id", 2**63, "/event_id", "out_of_range", f"at most {LONGEST}"),
    ("event_time", [], "/event_time", "wrong_type", "expected a string or a number, found a list"),
    ("action_source", "web", "/action_source", "not_allowed", "`website`"),
    ("event_source_url", "u" * 4097, "/event_source_url", "too_long", "at most 4096"),
    ("eventName", "Purchase", "/eventName", "unknown_key", "did you mean `event_name`?"),
    ("properties", {}, "/properties", "unknown_key", "unknown key `properties`"),
    ("user_data", [], "/user_data", "wrong_type", "expected an object, found a list"),
    ("user_data.emial", "x", "/user_data/emial", "unknown_key", "did you mean `email`?"),
    ("user_data.firstName", "x", "/user_data/firstName", "unknown_key", "did you mean `first_name`?"),
    ("user_data.email", 5, "/user_data/email", "wrong_type", "expected a string or a list of strings, found a number"),
    ("user_data.email", ["a", 5], "/user_data/email/1", "wrong_type", "expected a string, found a number"),
    ("user_data.email", ["a"] * 21, "/user_data/email", "too_many", "at most 20 entries, found 21"),
    ("user_data.zip", 1234, "/user_data/zip", "wrong_type", "expected a string or a list of strings"),
    (
        "user_data.external_id",
        {},
        "/user_data/external_id",
        "wrong_type",
        "expected a string, an integer or a list of strings or integers, found an object",
    ),
    ("user_data.client_user_agent", "u" * 1025, "/user_data/client_user_agent", "too_long", "at most 1024"),
    ("custom_data.value", -0.01, "/custom_data/value", "out_of_range", "at least 0"),
    ("custom_data.value", "-1", "/custom_data/value", "bad_format", "decimal string, such as `12.50`"),
    ("custom_data.value", "12,50", "/custom_data/value", "bad_format", "decimal string"),
    ("custom_data.value", "12.50\n", "/custom_data/value", "bad_format", "decimal string"),
    ("custom_data.value", "1e3", "/custom_data/value", "bad_format", "decimal string"),
    ("custom_data.value", "٣", "/custom_data/value", "bad_format", "decimal string"),
    ("custom_data.value", True, "/custom_data/value", "wrong_type", "found a boolean"),
    ("custom_data.currency", "EURO", "/custom_data/currency", "bad_format", "three letters"),
    ("custom_data.currency", "EUR\n", "/custom_data/currency", "bad_format", "three letters"),
    ("custom_data.num_items", 1.5, "/custom_data/num_items", "wrong_type", "expected an integer"),
    ("custom_data.num_items", -1, "/custom_data/num_items", "out_of_range", "at least 0"),
    ("custom_data.customer_type", "old", "/custom_data/customer_type", "not_allowed", "`new`, `returning` or"),
    ("custom_data.contents", {}, "/custom_data/contents", "wrong_type", "expected a list of objects"),
    ("custom_data.contents", [{"id": None}], "/custom_data/contents/0/id", "wrong_type", "found null"),
    ("custom_data.contents", [{}] * 501, "/custom_data/contents", "too_many", "at most 500 entries, found 501"),
    ("custom_data.my_own_key", "x" * 8193, "/custom_data/my_own_key", "too_long", "at most 8192"),
    ("consent.ad_storage", "yes", "/consent/ad_storage", "not_allowed", "expected `granted` or `denied`"),
    ("consent.ad_storage", True, "/consent/ad_storage", "not_allowed", "found a boolean"),
    ("consent.gpc", 1, "/consent/gpc", "wrong_type", "expected a boolean, found a number"),
    ("consent.region", "Germany", "/consent/region", "bad_format", "region code, such as `DE` or `US-CA`"),
    ("consent.region", "DE\n", "/consent/region", "bad_format", "region code"),
    ("consent.gpp_sid", "seven", "/consent/gpp_sid", "bad_format", "list of section numbers"),
    ("consent.gpp_sid", ["7"], "/consent/gpp_sid/0", "wrong_type", "expected an integer, found a string"),
    ("consent.tcf", "C" * 8193, "/consent/tcf", "too_long", "at most 8192"),
    ("app.advertiser_tracking_enabled", 2, "/app/advertiser_tracking_enabled", "out_of_range", "at most 1"),
    ("messaging.channel", "fax", "/messaging/channel", "not_allowed", "`whatsapp`"),
    ("original_event.name", "x", "/original_event/name", "unknown_key", "did you mean `event_name`?"),
    ("destinations", {"meta": "no"}, "/destinations/meta", "wrong_type", "expected a boolean, found a string"),
    ("test", "true", "/test", "wrong_type", "expected a boolean, found a string"),
]


def _event(where: str, value: Any) -> dict[str, Any]:
    """The least event, with a value at a dotted path."""
    event: dict[str, Any] = {"event_name": "Purchase"}
    *parents, last = where.split(".")
    target = event
    for parent in parents:
        target = target.setdefault(parent, {})
    target[last] = value
    return event


def _nodes(node: Any) -> Iterator[dict[str, Any]]:
    """Every schema object in a schema, itself first."""
    if not isinstance(node, dict):
        return
    yield node
    for keyword in ("properties", "$defs"):
        for sub in node.get(keyword, {}).values():
            yield from _nodes(sub)
    for keyword in ("items", "additionalProperties", "propertyNames"):
        yield from _nodes(node.get(keyword))


def _part(name: str) -> dict[str, Any]:
    part: dict[str, Any] = SCHEMA["$defs"][name] if name else SCHEMA
    return part


class TestTheSchema:
    def test_is_itself_valid(self) -> None:
        jsonschema.Draft202012Validator.check_schema(SCHEMA)

    def test_describes_every_property_and_definition(self) -> None:
        for node in _nodes(SCHEMA):
            for name, sub in (*node.get("properties", {}).items(), *node.get("$defs", {}).items()):
                assert len(sub.get("description", "")) > 8, f"{name} has no description"

    def test_its_examples_are_valid(self) -> None:
        for node in _nodes(SCHEMA):
            for example in node.get("examples", ()):
                part = {**node, "$defs": SCHEMA["$defs"]}
                assert jsonschema.Draft202012Validator(part).is_valid(example), (node["description"], example)

    @pytest.mark.parametrize("name", PUBLISHED)
    def test_version_1_has_every_published_key(self, name: str) -> None:
        assert set(PUBLISHED[name].split()) <= set(_part(name)["properties"])

    @pytest.mark.parametrize("name", CLOSED)
    def test_closed_objects_are_closed(self, name: str) -> None:
        assert _part(name)["additionalProperties"] is False

    def test_knows_the_words_of_the_model(self) -> None:
        user_data = set(_part("user_data")["properties"])
        assert set(MATCH_KEYS) | set(CLICK_IDS) <= user_data
        assert {field.name for field in fields(Consent)} == set(_part("consent")["properties"])

    def test_takes_null_under_no_key_that_it_lists(self) -> None:
        for name in PUBLISHED:
            for key in _part(name)["properties"]:
                where = {"": key, "content": f"custom_data.contents.{key}"}.get(name, f"{name}.{key}")
                event = _event("custom_data.contents", [{key: None}]) if name == "content" else _event(where, None)
                assert not is_valid(event), where

    def test_bounds_every_string_and_list(self) -> None:
        for node in _nodes(SCHEMA):
            types = node.get("type", ())
            if "string" in types:
                assert "maxLength" in node or "pattern" in node, node
            if "array" in types:
                assert "maxItems" in node, node

    def test_every_keyword_in_it_has_a_message(self) -> None:
        annotations = {"$schema", "$id", "$defs", "$ref", "title", "description", "examples", "default"}
        structure = {"properties", "items", "additionalProperties", "required"}
        for node in _nodes(SCHEMA):
            assert set(node) <= annotations | structure | set(schemas.REASONS), set(node)


class TestVerdicts:
    @pytest.mark.parametrize(("where", "value"), TAKEN)
    def test_takes(self, where: str, value: Any) -> None:
        event = _event(where, value)
        assert is_valid(event)
        assert faults(event) == ()

    @pytest.mark.parametrize(("where", "value", "path", "code", "words"), REFUSED)
    def test_refuses_and_says_why(self, where: str, value: Any, path: str, code: str, words: str) -> None:
        event = _event(where, value)
        assert not is_valid(event)
        (fault,) = faults(event)
        assert (fault.path, fault.code) == (path, code)
        assert words in fault.message

    @pytest.mark.parametrize("value", [None, [], "Purchase", 1, True])
    def test_only_an_object_is_an_event(self, value: object) -> None:
        (fault,) = faults(value)
        assert (fault.path, fault.code) == ("", "wrong_type")

    def test_an_event_needs_a_name(self) -> None:
        (fault,) = faults({"event_id": "1"})
        assert (fault.path, fault.code) == ("/event_name", "required")


class TestExplanations:
    def test_name_every_fault_of_an_event(self) -> None:
        found = faults({"user_data": {"emial": "x", "phone": 5}, "test": 1})
        assert {fault.path for fault in found} == {"/event_name", "/user_data/emial", "/user_data/phone", "/test"}

    def test_are_at_most_twenty(self) -> None:
        event = _event("custom_data.contents", [{"id": None} for _ in range(400)])
        assert len(faults(event)) == 20

    @pytest.mark.parametrize("key", ["jane@example.com", "+12125550142", "2125550142", "é", "x" * 60, "a/b", ""])
    def test_do_not_name_a_key_that_could_be_personal_data(self, key: str) -> None:
        (unknown,) = faults(_event("user_data", {key: "x"}))
        assert (unknown.path, unknown.code) == ("/user_data", "unknown_key")
        assert unknown.message == "a key that is not known here"
        (wrong,) = faults(_event("destinations", {key: "x"}))
        assert wrong.path == "/destinations"

    def test_never_hold_the_value(self) -> None:
        secret = "Zq9.secret@example.com"
        shapes = [secret, [secret], {secret: secret}, [{secret: [secret]}], [[secret]], secret * 500]
        told = 0
        for name in PUBLISHED:
            for key in [*_part(name)["properties"], "unknown", secret]:
                for shape in shapes:
                    part = {key: shape}
                    event = part if not name else _event("custom_data.contents", [part])
                    event = event if name in ("", "content") else _event(name, part)
                    for fault in faults(event):
                        told += 1
                        assert "Zq9" not in f"{fault.path} {fault.code} {fault.message}"
        assert told > 500

    def test_of_unions_speak_for_the_branch_whose_type_fits(self) -> None:
        schema = {"anyOf": [{"type": "string", "maxLength": 2}, {"type": "array", "items": {"type": "string"}}]}
        assert [(fault.path, fault.code) for fault in explain_errors(schema, [1])] == [("/0", "wrong_type")]
        assert [(fault.path, fault.code) for fault in explain_errors(schema, "abc")] == [("", "too_long")]
        (neither,) = explain_errors(schema, 5)
        assert neither.message == "expected a string or a list, found a number"

    def test_work_for_any_schema(self) -> None:
        schema = {
            "type": "object",
            "additionalProperties": False,
            "required": ["token"],
            "properties": {
                "token": {"type": "string"},
                "rate": {"type": "string", "pattern": "^[0-9]+/s$"},
                "port": {"type": "integer", "exclusiveMinimum": 0},
                "one": {"oneOf": [{"type": "integer"}, {"minimum": 0}]},
                "list": {"type": "array", "minItems": 1, "uniqueItems": True},
            },
        }
        found = {
            fault.path: (fault.code, fault.message)
            for fault in explain_errors(schema, {"rate": "x", "port": 0, "one": 3, "list": [1, 1], "tokn": "x"})
        }
        assert found == {
            "/token": ("required", "required, and absent"),
            "/rate": ("bad_format", "not in the form that is expected here: what matches `^[0-9]+/s$`"),
            "/port": ("out_of_range", "expected more than 0"),
            "/one": ("bad_format", "not in a form that is allowed"),
            "/list": ("not_allowed", "the entries must differ"),
            "/tokn": ("unknown_key", "unknown key `tokn`; did you mean `token`?"),
        }

    def test_nearest_key_ignores_case_and_separators(self) -> None:
        assert nearest("Event-Name", ["event_id", "event_name"]) == "event_name"
        assert nearest("colour", ["event_id", "event_name"]) is None

    def test_pointer_stops_before_a_key_that_may_not_be_named(self) -> None:
        assert pointer(["custom_data", "contents", 0, "id"]) == "/custom_data/contents/0/id"
        assert pointer(["custom_data", "jane@example.com", "id"]) == "/custom_data"


def test_a_wheel_uses_its_own_schemas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schemas, "BUNDLED", tmp_path)
    assert schemas.schemas_folder().joinpath("event.v1.schema.json").is_file()
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "only-in-the-wheel.json").write_text('{"type": "object"}', "utf-8")
    assert load_schema("only-in-the-wheel.json") == {"type": "object"}


#: Values that validators have been known to disagree about, and plain wrong ones.
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 1.0, -0.0, 1.5, 1e21, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**80),
    *(
        "",
        " ",
        "\n",
        "x" * 51,
        "x" * 129,
        "x" * 513,
        "x" * 9000,
        "é" * 50,
        "e\u0301" * 25,
        "🙂" * 50,
        "🙂" * 51,
        "\x00",
    ),
    *(
        "USD",
        "USD\n",
        "usd",
        "ÜSD",
        "DE\n",
        "US-CA\n",
        "DE\r",
        "12.50",
        "12.50\n",
        "٣",
        "1,5",
        "-3",
        "1e3",
        "7,8",
        "7,8\n",
    ),
    *("granted", "granted\n", "website", "1795000000", 1795000000, 1795000000000),
    *([], {}, [None], [True], ["a", 1], ["a"] * 20, ["a"] * 21, [[]], [{}], {"a": None}, {"id": True}, [{"id": True}]),
)
KEYS = sorted({key for name in PUBLISHED for key in _part(name)["properties"]} | {"other", "Event_Name", "email\n"})


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key or index) inside a document."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, sub in list(pairs):
        yield value, key
        yield from _places(sub)


def _mutate(document: Any, dice: random.Random) -> Any:
    """The document with one thing changed."""
    document = copy.deepcopy(document)
    places = list(_places(document))
    if not places or dice.random() < 0.02:
        return copy.deepcopy(dice.choice(ODD))
    where, key = dice.choice(places)
    odd = copy.deepcopy(dice.choice(ODD))
    match dice.randrange(6):
        case 0:
            where[key] = odd
        case 1:
            where.pop(key)
        case 2 if isinstance(where, dict):
            where[dice.choice(KEYS)] = where.pop(key)
        case 3 if isinstance(where, dict):
            where[dice.choice(KEYS)] = odd
        case 4:
            where[key] = [where[key]] * dice.choice((1, 2, 21))
        case _:
            other, name = dice.choice(places)
            where[key] = copy.deepcopy(other.get(name) if isinstance(other, dict) else odd)
    return document


def test_both_validators_give_the_same_verdict() -> None:
    """Thousands of changed examples: `jsonschema` and `jsonschema-rs` agree, and a refusal has an explanation."""
    verdicts = {True: 0, False: 0}

    @settings(max_examples=2000, deadline=None, database=None, derandomize=True)
    @given(st.sampled_from(sorted(EXAMPLES)), st.integers(0, 2**32))
    def compare(name: str, seed: int) -> None:
        dice, document = random.Random(seed), EXAMPLES[name]
        for _ in range(4):
            document = _mutate(document, dice)
            verdict = is_valid(document)
            verdicts[verdict] += 1
            assert ORACLE.is_valid(document) == verdict
            assert bool(faults(document)) is not verdict

    compare()
    assert verdicts[True] > 500
    assert verdicts[False] > 1500
