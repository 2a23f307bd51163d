"""After the fourth stage nobody in it can be read any more."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.parametrize("key", ["city", "state", "zip", "country"])
@pytest.mark.parametrize("value", ["jane.doe@example.com", ["Springfield", "jane.doe%40example.com"]])
def test_an_address_for_a_place_is_removed_with_a_warning(at: Any, key: str, value: Any) -> None:
    # these four are kept in the clear for a while
    taken = at.take({"event_name": "Lead", "event_id": "1", "user_data": {key: value}})
    assert (taken.draft.digests, taken.draft.clear) == ({}, {})
    assert [(one.path, one.code) for one in taken.draft.warnings] == [(f"/user_data/{key}", "personal_data_removed")]


@pytest.mark.parametrize(
    ("user_data", "source", "codes"),
    [
        ({"phone": "212 555 0142"}, "", ["phone_without_country"]),
        ({"phone": "212 555 0142"}, 'default_country = "US"', []),
        ({"phone": "212 555 0142", "country": "US"}, "", []),
        ({"phone": "12"}, 'default_country = "US"', ["not_normalisable"]),
        ({"email": "nobody"}, "", ["not_normalisable"]),
        ({"email": ["nobody", "jane.doe@example.com"]}, "", ["not_normalisable"]),
        ({"phone": "f" * 64}, "", ["prehashed_phone"]),
        ({"email": "F" * 64}, "", []),
        ({"email": ""}, "", []),
    ],
)
def test_what_cannot_be_hashed_is_left_out_with_a_warning(
    make: Any, user_data: Any, source: str, codes: list[str]
) -> None:
    door = make(source=f'region = "US"\n{source}')
    taken = door.take({"event_name": "Lead", "event_id": "1", "user_data": user_data})
    assert taken.errors == ()
    assert [one.code for one in taken.draft.warnings] == codes
    assert not any(str(value) in one.message for one in taken.draft.warnings for value in user_data.values() if value)


def test_one_number_written_in_many_ways_is_one_digest(make: Any) -> None:
    door = make(source='region = "US"\ndefault_country = "US"')
    spellings = ["+1 212 555 0142", "(212) 555-0142", "2125550142", "001 212 555 0142", "+12125550142"]
    found = [
        door.take({"event_name": "Lead", "event_id": "1", "user_data": {"phone": one}}).draft.digests
        for one in spellings
    ]
    assert found[0]
    assert all(one == found[0] for one in found[:3] + found[4:])
