"""What the operator says of a file: checked as the configuration is, with the path of each fault and a hint."""

from __future__ import annotations

import tomllib

import pytest
from jsonschema import Draft202012Validator

from gateway.ingest.formats.files.mapping import SCHEMA, mapping
from gateway.model.errors import ConfigError
from gateway.schema import load_schema


def made(text: str, **more):
    return mapping(tomllib.loads(text), "m.toml", **more)


def faults(text: str, **more) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        made(text, **more)
    return [line.removeprefix("m.toml: ") for line in str(caught.value).splitlines()]


def test_the_schema_is_one():
    Draft202012Validator.check_schema(load_schema(SCHEMA))


def test_all_of_it():
    found = made(
        """
        timezone = "Europe/Berlin"
        time_format = "%d.%m.%Y"
        time_of_day = "18:30"
        decimal = "comma"
        separator = ";"
        empty = ["NULL", "-"]
        encoding = "CP1252"
        event_id = ["custom_data.order_id", "event_name"]
        group_by = "custom_data.order_id"
        ignore = ["Notes"]
        [columns]
        "Deal Stage" = ["event_name", "custom_data.lead_stage"]
        SKU = "contents.id"
        [values.event_name]
        SQL = "QualifiedLead"
        New = false
        [values.consent.ad_user_data]
        yes = "granted"
        [constants]
        action_source = "system_generated"
        consent.region = "DE"
        custom_data.user_properties = {tier = "gold"}
        """,
        constants=["custom_data.currency=EUR", "consent.gpc=no"],
    )
    assert [one.path for one in found.columns["Deal Stage"]] == ["event_name", "custom_data.lead_stage"]
    assert found.columns["SKU"][0].path == "custom_data.contents.id"
    assert found.values == {
        "event_name": {"sql": "QualifiedLead", "new": False},
        "consent.ad_user_data": {"yes": "granted"},
    }
    assert found.constants == {
        "action_source": "system_generated",
        "consent.region": "DE",
        "custom_data.user_properties": {"tier": "gold"},
        "custom_data.currency": "EUR",
        "consent.gpc": False,
    }
    assert (found.encoding, found.group_by) == ("cp1252", "custom_data.order_id")
    assert found.manner.empty == {"null", "-"}
    assert found.manner.day_time.hour == 18


def test_what_makes_events_of_rows_has_a_fingerprint():
    text = 'timezone = "UTC"\n[constants]\nevent_name = "Lead"'
    assert made(text).fingerprint == made(text).fingerprint
    others = [made(text, lax=True), made(text, timezone="+01:00"), made(text, constants=["test=yes"]), made("")]
    assert made(text).fingerprint not in [one.fingerprint for one in others]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('colums = {}', "colums: unknown key; did you mean columns?"),
        ('decimal = ","', 'decimal: expected "point" or "comma", found ","'),
        ('timezone = "Europe/Berln"', "timezone: no such time zone; expected one like Europe/Berlin or +01:00"),
        ('encoding = "utf8000"', "encoding: no such encoding"),
        ('encoding = "unicode_escape"', "encoding: no such encoding"),
        ('time_of_day = "25:00"', "time_of_day: expected a time of day"),
        ('[columns]\nA = "user_data.emial"', "columns.A: no such path in the event; did you mean `user_data.email`?"),
        ('[columns]\nMail = 7', "columns.Mail: expected a path or a list of paths, found an integer"),
        ('[constants]\nconsent.ad_user_data = "yes"', "constants.consent.ad_user_data: expected `granted` or `denied`"),
        ('[constants]\naction_source = "store"', "constants.action_source: expected `website`"),
        ('[constants]\nevent_time = 2026-11-20', "constants: expected texts, numbers, true or false"),
        ('[constants]\ncontents.id = "A"', "constants.custom_data.\"contents.id\": a product's keys come from columns"),
        ('[values.event_nam]\na = "Lead"', "values.event_nam: no such path in the event; did you mean `event_name`?"),
        ('event_id = ["order"]', "event_id.0: no such path"),
        ('group_by = "order"', "group_by: no such path"),
    ],
)  # fmt: skip
def test_faults_are_told_with_path_and_hint(text, told):
    found = faults(text)
    assert len(found) == 1
    assert found[0].startswith(told)


def test_faults_of_the_command_line():
    assert faults("", constants=["event_name"]) == ["--set.event_name: expected PATH=VALUE"]
    assert faults("", constants=["consent.gpc=perhaps"])[0].startswith('--set."consent.gpc": expected yes or no')
    assert faults("", timezone="nowhere")[0].startswith("timezone: no such time zone")
