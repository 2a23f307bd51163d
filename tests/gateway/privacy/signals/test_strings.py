"""Consent strings: what is written is read, published vectors too, and nothing that is cut short denies less."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.model.event import Consent
from gateway.privacy.signals import Unreadable, read_additional, read_gpp, read_tcf
from gateway.privacy.signals.bits import Bits
from gateway.privacy.signals.gpp import LAYOUTS
from gateway.privacy.signals.heard import DAY, DISCLOSED_SINCE, MAX_AGE_S, NOBODY, NOTHING, Heard, Vendor, hear, say_of
from gateway.privacy.signals.tcf import cmp_of
from tests.gateway.privacy.signals import writing

AT = 1_795_300_000.0  # the day after the vectors were made

T1 = "CQuCLYAQuCLYAEsABBENAtEgALIAAAAAAAYgHtQAgF5gPaAAAAAA.IHtQAgF5gPaA.YAAAAAAAAAAA"
T2 = "CQuCLYAQuCLYAEsABBENAtEgALIAAAAAAAYgF5wAQF5gAAAA.IHtQAgF5gPaA.YAAAAAAAAAAA"
T3 = "CQuCLYAQuCLYAEsABBENAtEgAAAAAAAAAAYgAAAAAAAA.IHtQAgF5gPaA.YAAAAAAAAAAA"
T4 = "CQSbk4AQSbk4ANwAAAENAwCgAAAAAAAAAAYgACPAAAAA.IDKQA4AAgAKAGQAygAAA.YAAAAAAAAAAA"

ALL_ADS = frozenset({"ad_storage", "ad_user_data", "ad_personalization"})


def listed(numbers, up_to=1_100):
    return [one for one in range(1, up_to) if one in numbers]


@pytest.mark.parametrize(
    ("string", "purposes", "vendors", "disclosed"),
    [
        (T1, [1, 3, 4, 7], [755, 986], [755, 986]),
        (T2, [1, 3, 4, 7], [755], [755, 986]),
        (T3, [], [], [755, 986]),
        (T4, [], [], [1, 2, 3, 4, 5, 100, 404]),
    ],
)
def test_published_tc_strings(string, purposes, vendors, disclosed):
    found = read_tcf(string)
    assert (
        listed(found.purposes, 25),
        [one for one in (755, 986) if one in found.vendors],
        listed(found.disclosed),
    ) == (
        purposes,
        vendors,
        disclosed,
    )
    assert (found.service_specific, found.publisher_country) == (
        True,
        "DE" if string != T4 else found.publisher_country,
    )


def test_the_rest_of_one():
    found = read_tcf(T1)
    assert (found.policy, found.vendor_list, found.cmp_id, found.publisher_country) == (4, 45, 300, "DE")
    assert found.created_at == found.updated_at == 1_795_219_200.0
    assert read_tcf(T4).policy == 2


@pytest.mark.parametrize(
    "text", ["", "null", "notastring", "DBABLA~CVQVAAAAAACA.YA", T1[:20], T1 + ".", "." + T1, "=", T1 + "="]
)
def test_what_is_no_tc_string_is_unreadable(text):
    with pytest.raises(Unreadable):
        read_tcf(text)


@pytest.mark.parametrize(
    ("string", "section", "opted_out"),
    [("DBABLA~CVQVAAAAAACA.YA", 7, True), ("DBABLA~CVQqAAAAAACA.QA", 7, False), ("DBABBg~BUUAAACA.YA", 8, True)],
)
def test_published_gpp_strings(string, section, opted_out):
    assert {number: one.opted_out for number, one in read_gpp(string).us.items()} == {section: opted_out}


@pytest.mark.parametrize(("header", "sections"), [("DBABM", [2]), ("DBACNY", [2, 6]), ("DBABjw", [5, 6])])
def test_published_headers(header, sections):
    body = {2: T1, 5: "x", 6: "1YNN"}
    found = read_gpp("~".join([header, *(body[one] for one in sections)]))
    assert (found.tcf is not None, list(found.us), found.unknown) == (
        2 in sections,
        [6] if 6 in sections else [],
        frozenset({5} & set(sections)),
    )


@pytest.mark.parametrize(
    ("text", "consented", "disclosed"),
    [("2~89.2572~dv.1031", {89, 2572}, {1031}), ("1~89", {89}, set()), ("2~~dv.89", set(), {89}), ("1~", set(), set())],
)
def test_published_additional_consent(text, consented, disclosed):
    found = read_additional(text)
    assert (found.consented, found.disclosed) == (consented, disclosed)


@pytest.mark.parametrize(
    "text", ["3~89", "2~89", "2~89~dv.89", "2~89.~dv.", "89", "", "1~8a", "1~-1", "2~1~2~dv.", "1~٣"]
)
def test_what_is_no_additional_consent_is_unreadable(text):
    with pytest.raises(Unreadable):
        read_additional(text)


NUMBERS = st.sets(st.integers(1, 1_200), max_size=40)


@given(st.sets(st.integers(1, 24)), NUMBERS, NUMBERS, st.booleans(), st.integers(0, 2))
def test_a_tc_string_is_read_as_it_was_written(purposes, vendors, disclosed, as_ranges, kind):
    string = writing.tc_string(
        purposes, vendor=vendors, disclosed=disclosed, as_ranges=as_ranges, restrictions=[(7, kind, [(3, 9), (20, 20)])]
    )
    found = read_tcf(string)
    assert set(listed(found.purposes, 25)) == purposes
    assert (set(listed(found.vendors, 1_300)), set(listed(found.disclosed, 1_300))) == (vendors, disclosed)
    [restriction] = found.restrictions
    assert (restriction.purpose, restriction.kind, listed(restriction.vendors)) == (7, kind, [*range(3, 10), 20])


@st.composite
def sections(draw):
    chosen = draw(st.sets(st.sampled_from(sorted(writing.US)), min_size=1, max_size=4))
    return {
        one: (
            draw(st.lists(st.integers(0, 2), min_size=(count := writing.US[one][2]), max_size=count)),
            draw(st.integers(0, 2)),
            draw(st.booleans()),
        )
        for one in chosen
    }


@given(sections())
def test_a_gpp_string_is_read_as_it_was_written(said):
    string = writing.gpp({one: writing.us(one, outs, child=child, gpc=gpc) for one, (outs, child, gpc) in said.items()})
    found = read_gpp(string)
    assert found.us.keys() == said.keys()
    for one, (outs, child, gpc) in said.items():
        *_, children, _, has_gpc = writing.US[one]
        assert found.us[one].opted_out == (1 in outs or (gpc and has_gpc))
        assert found.us[one].child == (child == 1 and children > 0)


def test_every_section_of_a_state_is_read():
    assert LAYOUTS.keys() == writing.US.keys()
    assert {one: layouts[0].gpc for one, layouts in LAYOUTS.items()} == {
        one: told[-1] for one, told in writing.US.items()
    }


def test_the_first_version_of_the_national_section_is_read():
    bits = writing.number(1, 6) + "01" * 6 + "010101" + "00" * (12 + 2 + 4)
    [section] = read_gpp(writing.gpp({7: writing.text(bits) + ".QA"})).us.values()
    assert section.opted_out


def test_each_section_has_the_fields_that_its_specification_lists():
    found = {
        one: (it.version, it.notices, it.opt_outs, it.sensitive, it.children, it.rest, it.gpc)
        for one, (it, *_) in LAYOUTS.items()
    }
    assert found == writing.US
    assert [(it.version, it.notices, it.opt_outs, it.sensitive, it.children, it.rest) for it in LAYOUTS[7][1:]] == [
        (1, 6, 3, 12, 2, 4)
    ]


@pytest.mark.parametrize("section", [25, 26, 27])
def test_a_part_about_sensitive_data_may_be_there(section):
    core, part = writing.us(section, [1, 2]), writing.unpadded("0" + "01" * 8)
    assert read_gpp(writing.gpp({section: f"{core}.{part}"})).us[section].opted_out
    assert not read_gpp(writing.gpp({section: f"{writing.us(section, [2, 2])}.{part}"})).us[section].opted_out
    for wrong in (f"{core}.AA", f"{core}.{part}.{part}", f"{core}.{part[:2]}", f"{core}."):
        with pytest.raises(Unreadable):
            read_gpp(writing.gpp({section: wrong}))


def test_how_many_sections_a_header_may_name():
    def named(first, last):
        bits = "000011" + "000001" + writing.number(1, 12)
        bits += "1" + writing.fibonacci(first) + writing.fibonacci(last - first) if last > first else (
            "0" + writing.fibonacci(first)
        )  # fmt: skip
        count = last - first + 1
        return read_gpp("~".join([writing.unpadded(bits), *["x"] * count])).unknown

    assert named(100, 149) == frozenset(range(100, 150))
    assert named(951, 1_000) == frozenset(range(951, 1_001))
    assert named(1_000, 1_000) == {1_000}
    for first, last in ((100, 150), (1_001, 1_001), (990, 1_001)):
        with pytest.raises(Unreadable, match="nobody has defined"):
            named(first, last)
    fifty = list(range(100, 150))
    assert read_gpp("~".join([writing.header(fifty), *["x"] * 50])).unknown == frozenset(fifty)
    with pytest.raises(Unreadable, match="nobody has defined"):
        read_gpp("~".join([writing.header([*fifty, 150]), *["x"] * 51]))


@pytest.mark.parametrize("body", ["1YNN", "1NNN", "1--N"])
def test_a_us_privacy_string(body):
    assert read_gpp(writing.gpp({6: body})).us[6].opted_out is (body[2] == "Y")
    assert read_gpp(writing.gpp({6: "1YYN"})).us[6].opted_out
    assert not read_gpp(writing.gpp({6: body})).us[6].child
    for wrong in ("2NNN", "1YN", "1YNNN", "1ynn", "1YXN"):
        with pytest.raises(Unreadable):
            read_gpp(writing.gpp({6: wrong}))


@pytest.mark.parametrize(
    "text",
    [
        "DBABLA", "DBABLA~", "DBABLA~CVQVAAAAAACA", "DBABLA~CVQVAAAAAACA.YA~CVQVAAAAAACA.YA", "DCABLA~CVQVAAAAAACA.YA",
        "DBABLA~DVQVAAAAAACA.YA", "DBABLA~CVQVAAAAAACA.gA", "DBABLA~CVQ_AAAAAACA.QA", "DBD_" + "_" * 3_000, "D", "",
    ],
)  # fmt: skip
def test_what_is_no_gpp_string_is_unreadable(text):
    with pytest.raises(Unreadable):
        read_gpp(text)


@given(st.text(max_size=60) | st.text(alphabet=writing.ALPHABET + ".~", max_size=200))
def test_no_text_breaks_a_reader(text):
    for read in (read_tcf, read_gpp, read_additional):
        with suppress(Unreadable):
            read(text)


def test_more_than_there_can_be_is_refused_before_it_is_read():
    for restrictions in ([(1, 0, [])] * 73, [(1, 0, [(1, 2)] * 1_001)]):
        with pytest.raises(Unreadable, match="more ranges or restrictions"):
            read_tcf(writing.tc_string(restrictions=restrictions))


def test_as_much_as_there_can_be_is_read():
    found = read_tcf(writing.tc_string(restrictions=[(1, 0, [])] * 72))
    assert len(found.restrictions) == 72
    [restriction] = read_tcf(writing.tc_string(restrictions=[(1, 0, [(1, 2)] * 1_000)])).restrictions
    assert len(restriction.vendors.ranges) == 1_000


@pytest.mark.parametrize(
    ("restriction", "words"),
    [((1, 3, []), "unknown kind"), ((1, 0, [(5, 3)]), "ends before it begins"), ((1, 0, [(0, 3)]), "ends before")],
)
def test_a_restriction_that_makes_no_sense_is_unreadable(restriction, words):
    with pytest.raises(Unreadable, match=words):
        read_tcf(writing.tc_string(restrictions=[restriction]))


@pytest.mark.parametrize("kind", ["010", "011"])
def test_segments_that_tell_nothing_of_consent_may_be_there_once(kind):
    segment = writing.text(kind + writing.vendors([7]))
    assert read_tcf(f"{writing.tc_string()}.{segment}") == read_tcf(writing.tc_string())
    with pytest.raises(Unreadable, match="segment"):
        read_tcf(f"{writing.tc_string()}.{segment}.{segment}")


@pytest.mark.parametrize("kind", ["000", "100", "111"])
def test_a_segment_of_an_unknown_type_is_unreadable(kind):
    with pytest.raises(Unreadable, match="segment"):
        read_tcf(f"{writing.tc_string()}.{writing.text(kind + writing.vendors([7]))}")


@pytest.mark.parametrize(
    ("text", "cmp_id"),
    [
        (T1, 300),
        (T1[:20], 300),
        (T4, 880),
        (T1[:10], None),
        (None, None),
        ("", None),
        ("B" + T1[1:], None),
        ("?", None),
    ],
)
def test_who_made_a_string_can_be_told_when_it_cannot_be_used(text, cmp_id):
    assert cmp_of(text) == cmp_id


def test_nothing_is_read_past_the_end():
    bits = Bits("__")
    assert bits.number(11) == 2**11 - 1
    with pytest.raises(Unreadable):
        bits.number(2)
    assert bits.flag()
    with pytest.raises(Unreadable):
        bits.flag()


# What they deny.


def heard(at=AT, **strings):
    """What the strings say against the event, whoever it is for."""
    return replace(hear(Consent(**strings), at), tcf=(), additional=None)


def denies_no_more(whole: Heard, part: Heard) -> bool:
    """Whether `part` would let something through that `whole` holds."""
    if part.unread:
        return False
    return bool(whole.unread) or not (
        whole.denied <= part.denied and whole.opted_out <= part.opted_out and whole.child <= part.child
    )


@settings(max_examples=60)
@given(st.sets(st.sampled_from([1, 3, 4, 7])), NUMBERS, st.booleans())
def test_no_truncation_of_a_tc_string_grants_more(purposes, vendors, as_ranges):
    whole = writing.tc_string(purposes, vendor=vendors, disclosed=vendors, at=AT - DAY, as_ranges=as_ranges)
    said = heard(tcf=whole)
    assert not said.unread
    for length in range(len(whole)):
        assert not denies_no_more(said, heard(tcf=whole[:length])), length


VENDORS = [Vendor(tcf=7), Vendor(atp=7), Vendor(purposes_only=True), Vendor(atp=7, purposes_only=True), NOBODY]


@settings(max_examples=60)
@given(
    st.sets(st.sampled_from([1, 3, 4, 7])), st.sets(st.integers(1, 9)), st.sets(st.integers(1, 9)), st.booleans(),
    st.sampled_from([AT - DAY, DISCLOSED_SINCE - DAY]), st.integers(0, 2),
)  # fmt: skip
def test_no_truncation_grants_a_vendor_more(purposes, vendors, disclosed, as_ranges, made, kind):
    tcf = writing.tc_string(
        purposes, vendor=vendors, disclosed=disclosed, at=made, as_ranges=as_ranges, restrictions=[(7, kind, [(5, 7)])]
    )
    additional = f"2~{'.'.join(map(str, vendors))}~dv.{'.'.join(map(str, disclosed - vendors))}"
    for vendor in VENDORS:
        for whole in (Consent(tcf=tcf), Consent(tcf=tcf, additional_consent=additional)):
            granted = say_of(hear(whole, AT), vendor).granted
            cuts = [replace(whole, tcf=tcf[:length]) for length in range(len(tcf))]
            if whole.additional_consent:
                cuts += [replace(whole, additional_consent=additional[:length]) for length in range(len(additional))]
            for cut in cuts:
                found = hear(cut, AT)
                assert found.unread or say_of(found, vendor).granted <= granted, cut


@pytest.mark.parametrize(
    ("strings", "vendor", "granted", "denied"),
    [
        ({"tcf": T1}, Vendor(tcf=986), ALL_ADS, set()),
        ({"tcf": T2}, Vendor(tcf=755), ALL_ADS, set()),
        ({"tcf": T2}, Vendor(tcf=986), set(), ALL_ADS),
        ({"tcf": T3}, Vendor(tcf=755), set(), ALL_ADS),
        ({"tcf": T1}, NOBODY, set(), set()),
        ({"tcf": T1}, Vendor(purposes_only=True), ALL_ADS, set()),
        ({"tcf": T2, "additional_consent": "2~89~dv.2572"}, Vendor(atp=89), ALL_ADS, set()),
        ({"tcf": T2, "additional_consent": "2~89~dv.2572"}, Vendor(atp=2572), set(), ALL_ADS),
        ({"tcf": T2, "additional_consent": "2~89~dv."}, Vendor(atp=2572, purposes_only=True), set(), ALL_ADS),
        ({"tcf": T2, "additional_consent": "1~89"}, Vendor(atp=89), set(), set()),
        ({"tcf": T2}, Vendor(atp=89), set(), set()),
        ({"tcf": T2}, Vendor(atp=89, purposes_only=True), ALL_ADS, set()),
        ({"tcf": writing.tc_string({1, 7}, vendor=[5], disclosed=[5], at=AT)}, Vendor(tcf=5),
         {"ad_storage", "ad_user_data"}, set()),
        ({"tcf": writing.tc_string({1, 3}, vendor=[5], disclosed=[5], at=AT)}, Vendor(tcf=5), {"ad_storage"}, set()),
        ({"tcf": writing.tc_string(vendor=[5], disclosed=[6], at=AT)}, Vendor(tcf=5), set(), ALL_ADS),
        ({"tcf": writing.tc_string(vendor=[5], disclosed=None, at=DISCLOSED_SINCE - DAY)}, Vendor(tcf=5), set(), set()),
        ({"tcf": writing.tc_string(vendor=[5], disclosed=[5], at=AT, restrictions=[(7, 0, [(1, 9)])])}, Vendor(tcf=5),
         {"ad_storage", "ad_personalization"}, {"ad_user_data"}),
        ({"tcf": writing.tc_string(vendor=[5], disclosed=[5], at=AT, restrictions=[(3, 2, [(5, 5)])])}, Vendor(tcf=5),
         {"ad_storage", "ad_user_data"}, {"ad_personalization"}),
        ({"tcf": writing.tc_string(vendor=[5], disclosed=[5], at=AT, restrictions=[(7, 1, [(1, 9)])])}, Vendor(tcf=5),
         ALL_ADS, set()),
        ({"tcf": writing.tc_string(vendor=[5], disclosed=[5], at=AT, restrictions=[(7, 0, [(6, 9)])])}, Vendor(tcf=5),
         ALL_ADS, set()),
        ({"tcf": T1, "gpp": writing.gpp({2: T2})}, Vendor(tcf=986), set(), ALL_ADS),
        ({"tcf": T1, "gpp": writing.gpp({2: T2})}, Vendor(tcf=755), ALL_ADS, set()),
        ({}, Vendor(tcf=755), set(), set()),
    ],
)  # fmt: skip
def test_what_the_strings_say_of_a_vendor(strings, vendor, granted, denied):
    found = say_of(hear(Consent(**strings), AT), vendor)
    assert (found.granted, found.denied) == (granted, denied)


@settings(max_examples=60)
@given(sections())
def test_no_truncation_of_a_gpp_string_grants_more(said):
    whole = writing.gpp({one: writing.us(one, outs, child=child, gpc=gpc) for one, (outs, child, gpc) in said.items()})
    for length in range(len(whole)):
        assert not denies_no_more(heard(gpp=whole), heard(gpp=whole[:length])), length


@pytest.mark.parametrize(
    ("missing", "denied"),
    [
        ({1}, {"ad_storage", "ad_user_data"}),
        ({3}, {"ad_personalization"}),
        ({4}, {"ad_personalization"}),
        ({7}, {"ad_user_data"}),
        ({2, 5, 6, 8, 9, 10, 11}, set()),
        ({1, 3, 4, 7}, ALL_ADS),
    ],
)
def test_what_a_denied_purpose_denies(missing, denied):
    string = writing.tc_string(set(range(1, 12)) - missing, at=AT)
    assert heard(tcf=string) == heard(gpp=writing.gpp({2: string})) == Heard(denied=frozenset(denied))


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ("future", {"at": AT + 4 * DAY}),
        ("future", {"at": AT - 2 * DAY, "created": AT}),
        ("13 months", {"at": AT - MAX_AGE_S - 2 * DAY, "created": AT - MAX_AGE_S - 2 * DAY}),
        ("policy", {"policy": 3}),
        ("group of sites", {"service_specific": False}),
        ("disclosed", {"disclosed": None}),
        ("version 2", {"version": 1}),
    ],
)
def test_a_tc_string_that_is_not_valid_cannot_be_used(words, options):
    told = heard(tcf=writing.tc_string(**{"at": AT, **options})).unread
    assert told.startswith("`tcf` cannot be used")
    assert words in told


def test_an_older_string_need_not_name_disclosed_vendors():
    before = writing.tc_string(at=DISCLOSED_SINCE - DAY, disclosed=None)
    assert heard(tcf=before, at=DISCLOSED_SINCE + 30 * DAY) == Heard()
    assert heard(tcf=writing.tc_string(at=AT - MAX_AGE_S + 2 * DAY, disclosed=())) == Heard()


def test_which_sections_apply():
    string = writing.gpp({8: writing.us(8, [2, 2]), 9: writing.us(9, [1, 2])})
    assert heard(gpp=string).opted_out  # nobody says which apply
    assert heard(gpp=string, gpp_sid=(-1,)).opted_out
    assert not heard(gpp=string, gpp_sid=(8,)).opted_out
    assert heard(gpp=string, gpp_sid=(8, 9)).opted_out
    assert "gpp_sid" in heard(gpp=string, gpp_sid=(7,)).unread


def test_a_section_that_nobody_reads_may_deny():
    string = writing.gpp({5: "anything", 8: writing.us(8, [2, 2])})
    assert "does not read" in heard(gpp=string).unread
    assert heard(gpp=string, gpp_sid=(8,)) == Heard(opt_outs=True)


def test_a_child_is_heard_of():
    assert heard(gpp=writing.gpp({7: writing.us(7, [2, 2, 2], child=1)})).child
    assert not heard(gpp=writing.gpp({7: writing.us(7, [2, 2, 2], child=2)})).child


def test_additional_consent_counts_only_beside_a_tc_string():
    assert "beside a TC string" in heard(additional_consent="1~89").unread
    string = writing.tc_string(at=AT)
    assert heard(additional_consent="1~89", tcf=string) == Heard()
    assert heard(additional_consent="1~89", gpp=writing.gpp({2: string})) == Heard()
    assert "beside a TC string" in heard(additional_consent="1~89", gpp=writing.gpp({6: "1YNN"})).unread
    assert "`additional_consent`" in heard(additional_consent="3~89", tcf=writing.tc_string(at=AT)).unread


def test_all_strings_deny_together():
    found = heard(
        tcf=writing.tc_string({1, 3, 4}, at=AT),
        gpp=writing.gpp({2: writing.tc_string({1, 7}, at=AT), 7: writing.us(7, [2, 1, 2])}),
    )
    assert found == Heard(denied=frozenset({"ad_user_data", "ad_personalization"}), opted_out=True, opt_outs=True)


# Where each rule begins and ends, to the day.

MIDNIGHT = AT // DAY * DAY


@pytest.mark.parametrize("age_days", [0, 1, 395, 396, 397, 398])
def test_a_string_is_valid_for_thirteen_months_from_its_last_change(age_days):
    made = MIDNIGHT - age_days * DAY
    for at in (MIDNIGHT, MIDNIGHT + DAY - 1):
        assert bool(hear(Consent(tcf=writing.tc_string(at=made)), at).unread) == (age_days > 396)
    assert hear(Consent(tcf=writing.tc_string(at=made - 1)), MIDNIGHT).unread.endswith("13 months") == (age_days >= 396)


@pytest.mark.parametrize("ahead_days", [0, 1, 2, 3, 4])
def test_a_clock_may_be_ahead_by_two_days(ahead_days):
    for at in (MIDNIGHT, MIDNIGHT + DAY - 1):
        found = hear(Consent(tcf=writing.tc_string(at=MIDNIGHT + ahead_days * DAY)), at)
        assert bool(found.unread) == (ahead_days > 3)
    later = hear(Consent(tcf=writing.tc_string(at=MIDNIGHT + 3 * DAY + 1)), MIDNIGHT)
    assert "from the future" in later.unread


def test_a_string_is_not_changed_before_it_is_made():
    same, before = MIDNIGHT - 5 * DAY, MIDNIGHT - 6 * DAY
    assert not hear(Consent(tcf=writing.tc_string(at=same, created=same)), AT).unread
    assert not hear(Consent(tcf=writing.tc_string(at=same, created=before)), AT).unread
    assert "before it was made" in hear(Consent(tcf=writing.tc_string(at=before, created=same)), AT).unread


@pytest.mark.parametrize(("days", "must"), [(-1, False), (0, True), (1, True)])
def test_from_march_2026_on_the_disclosed_vendors_must_be_there(days, must):
    made = writing.tc_string(at=DISCLOSED_SINCE + days * DAY, disclosed=None)
    assert bool(hear(Consent(tcf=made), DISCLOSED_SINCE + 10 * DAY).unread) is must
    assert datetime(2026, 3, 1, tzinfo=UTC).timestamp() == DISCLOSED_SINCE


@pytest.mark.parametrize(("policy", "valid"), [(2, False), (3, False), (4, True), (5, True)])
def test_a_policy_before_version_2_2_is_not_valid(policy, valid):
    assert bool(hear(Consent(tcf=writing.tc_string(policy=policy)), AT).unread) is not valid


@pytest.mark.parametrize(
    ("sid", "denied", "opted_out"),
    [
        ((), True, True), ((-1,), True, True), ((0,), True, True), ((2,), True, False), ((8,), False, True),
        ((2, 8), True, True), ((-1, 8), False, True), ((0, 2), True, False),
    ],
)  # fmt: skip
def test_only_the_sections_that_apply_are_heard(sid, denied, opted_out):
    gpp = writing.gpp({2: writing.tc_string([1, 3, 4]), 8: writing.us(8, [1, 2])})
    found = hear(Consent(gpp=gpp, gpp_sid=sid), AT)
    assert (found.unread, "ad_user_data" in found.denied, found.opted_out) == ("", denied, opted_out)
    assert bool(found.tcf) is denied


def test_a_section_that_applies_and_is_not_there_is_a_denial():
    found = hear(Consent(gpp=writing.gpp({8: writing.us(8, [2, 2])}), gpp_sid=(2,)), AT)
    assert "not in it" in found.unread
    nobodys = hear(Consent(gpp=writing.gpp({8: writing.us(8, [2, 2])}), gpp_sid=(1,)), AT)
    assert "not in it" in nobodys.unread
    assert not hear(Consent(gpp=writing.gpp({8: writing.us(8, [2, 2])}), gpp_sid=(8,)), AT).unread


def test_what_cannot_be_used_is_named():
    for name, text in (("tcf", "x"), ("gpp", "x"), ("additional_consent", "x")):
        assert f"`{name}`" in hear(Consent(**{name: text}), AT).unread
    assert hear(Consent(), AT) is NOTHING
    assert hear(Consent(ad_storage="granted"), AT) is NOTHING


def test_the_version_of_additional_consent_is_kept():
    assert read_additional("1~89").version == 1
    assert read_additional("2~89~dv.").version == 2


def test_the_empty_text_and_other_letters_are_told_apart():
    with pytest.raises(Unreadable, match="empty"):
        Bits("")
    with pytest.raises(Unreadable, match="not base64url"):
        Bits("a+b")
