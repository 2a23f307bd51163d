"""What is taken back of consent holds until it is given anew, and never lets more go than the event would."""

from itertools import product

import pytest

from gateway.model.delivery import Action
from gateway.model.event import Consent
from gateway.privacy.consent import PURPOSES, Policy, RegionRule, Requirement, decide
from gateway.privacy.signals.heard import ALL_FLAGS, Vendor
from gateway.privacy.withdrawal import Denial, Said, both, decide_with, decoded, said
from tests.gateway.privacy.signals import writing

AT = 1_795_000_000.0
ADS = Requirement(frozenset({"ad_storage", "ad_user_data", "ad_personalization"}), limited=frozenset({"US"}))
GOOGLE = Requirement(frozenset({"ad_user_data"}), limited=frozenset({"US"}))
EVERYTHING = frozenset(PURPOSES)
FLAGS = ("ad_storage", "ad_user_data", "ad_personalization")
#: Purposes 1, 3, 4 and 7; vendors 755 and 986 consented and disclosed; and one in which nothing is.
YES = "CQuCLYAQuCLYAEsABBENAtEgALIAAAAAAAYgHtQAgF5gPaAAAAAA.IHtQAgF5gPaA.YAAAAAAAAAAA"
NO = "CQuCLYAQuCLYAEsABBENAtEgAAAAAAAAAAYgAAAAAAAA.IHtQAgF5gPaA.YAAAAAAAAAAA"
ONE_VENDOR = "CQuCLYAQuCLYAEsABBENAtEgALIAAAAAAAYgF5wAQF5gAAAA.IHtQAgF5gPaA.YAAAAAAAAAAA"
OPTED_OUT, NOT_OPTED_OUT = "DBABLA~CVQVAAAAAACA.YA", "DBABLA~CVQqAAAAAACA.QA"
NOW = 1_795_000_000.0 + 4 * 86_400


def heard(**consent):
    return said(Consent(**consent), {"google": Vendor(tcf=755), "tiktok": Vendor(tcf=986)}, NOW)


@pytest.mark.parametrize(
    ("one", "denies", "grants"),
    [
        (Said(), False, False),
        (Said(denied=frozenset({"ad_storage"})), True, False),
        (Said(granted=frozenset({"ad_storage"})), False, True),
        (Said(opted_out=True), True, False),
        (Said(opted_out=False), False, True),
        (Said(to={"google": ALL_FLAGS}), True, False),
    ],
)
def test_what_denies_and_what_grants(one, denies, grants):
    assert (one.denies, one.grants) == (denies, grants)
    assert bool(Denial().after(one)) is denies


def test_an_event_is_stored_with_what_was_taken_back():
    denial = Denial(frozenset({"ad_user_data"}), True, {"google": frozenset({"ad_storage"})})
    assert denial.on({"ad_user_data": "granted", "region": "DE"}) == {
        "ad_user_data": "denied", "ad_storage": "denied", "region": "DE", "gpc": True,
    }  # fmt: skip
    assert Denial(frozenset({"ad_user_data"})).on({}) == {"ad_user_data": "denied"}


def test_who_denied_nothing_is_asked_nothing_more():
    asked = (Consent(ad_user_data="granted", ad_storage="granted"), "DE", GOOGLE, Policy(), AT)
    assert decide_with(None, "google", *asked) == decide(*asked)
    other = Denial(to={"tiktok": ALL_FLAGS})
    assert decide_with(other, "google", *asked) == decide(*asked)


def test_a_child_denies_everything():
    child = writing.gpp({7: writing.us(7, [2, 2, 2], child=1)})
    assert heard(gpp=child, ad_storage="granted") == Said(denied=ALL_FLAGS)


def test_a_child_takes_nothing_back_of_what_else_is_denied():
    child = writing.gpp({7: writing.us(7, [1, 2, 2], child=1)})
    assert heard(gpp=child, analytics_storage="denied") == Said(EVERYTHING, opted_out=True)


def test_an_opt_out_is_taken_back_by_what_speaks_of_it_alone():
    opted_out = Denial(opted_out=True)
    european = writing.gpp({2: YES})
    assert opted_out.after(heard(gpp=european)) == opted_out.after(heard(tcf=YES)) == opted_out
    both_sections = writing.gpp({2: YES, 7: writing.us(7, [2, 2, 2])})
    assert opted_out.after(heard(gpp=both_sections, gpp_sid=(2,))) == opted_out
    for spoken in ({"gpp": both_sections}, {"gpp": NOT_OPTED_OUT}, {"gpc": False}):
        assert opted_out.after(heard(**spoken)) == Denial()


def test_a_denied_flag_is_denied_until_it_is_granted():
    denial = Denial().after(heard(ad_user_data="denied", ad_storage="denied"))
    assert denial.denied == {"ad_user_data", "ad_storage"}
    assert denial.after(heard(ad_storage="granted")).denied == {"ad_user_data"}
    assert not denial.after(heard(ad_storage="granted", ad_user_data="granted"))


def test_what_a_later_word_does_not_speak_of_stays_denied():
    denial = Denial().after(heard(gpc=True)).after(heard(ad_user_data="denied"))
    assert denial == Denial(frozenset({"ad_user_data"}), opted_out=True)
    assert denial.after(heard(gpc=False)) == Denial(frozenset({"ad_user_data"}))


@pytest.mark.parametrize(
    ("consent", "denial"),
    [
        ({"tcf": NO}, Denial(ALL_FLAGS)),
        ({"tcf": ONE_VENDOR}, Denial(to={"tiktok": ALL_FLAGS})),
        ({"tcf": YES}, Denial()),
        ({"tcf": YES[:-30]}, Denial(EVERYTHING)),
        ({"tcf": "x"}, Denial(EVERYTHING)),
        ({"gpp": OPTED_OUT}, Denial(opted_out=True)),
        ({"gpp": NOT_OPTED_OUT}, Denial()),
        ({"gpp": OPTED_OUT[:-3]}, Denial(EVERYTHING)),
        ({"tcf": "x", "gpc": True}, Denial(EVERYTHING, opted_out=True)),
    ],
)
def test_consent_strings_deny_as_in_an_event(consent, denial):
    assert Denial().after(heard(**consent)) == denial


def test_a_string_that_cannot_be_read_grants_nothing():
    assert not heard(tcf="x", ad_storage="granted").grants


def test_a_newer_string_takes_an_older_ones_denials_back():
    denial = Denial().after(heard(tcf=NO)).after(heard(tcf=ONE_VENDOR))
    assert denial == Denial(to={"tiktok": ALL_FLAGS})
    assert not denial.after(heard(tcf=YES))


def test_a_flag_that_a_string_denies_is_no_grant():
    assert heard(tcf=NO, ad_user_data="granted").granted == frozenset()


def test_it_is_stored_as_it_is():
    denial = Denial(frozenset({"ad_storage"}), True, {"tiktok": ALL_FLAGS})
    assert decoded(denial.encoded()) == denial
    assert denial.encoded() == decoded(denial.encoded()).encoded()


def test_of_two_identifiers_each_denial_counts():
    assert both([Denial(), Denial()]) is None
    first, second = (
        Denial(frozenset({"ad_storage"})),
        Denial(opted_out=True, to={"google": frozenset({"ad_user_data"})}),
    )
    assert both([first, second]) == both([second, first]) == Denial(first.denied, True, second.to)


CONSENTS = [
    Consent(**dict(zip(FLAGS, flags, strict=True)), gpc=gpc)
    for flags in product((None, "granted", "denied"), repeat=3)
    for gpc in (None, True)
]
DENIALS = [
    Denial(frozenset(flag for flag, on in zip(FLAGS, flags, strict=True) if on), opted_out, to)
    for flags in product((False, True), repeat=3)
    for opted_out in (False, True)
    for to in ({}, {"google": frozenset({"ad_user_data"})})
]
RANK = {Action.SKIP: 0, Action.SEND_LIMITED: 1, Action.SEND: 2}


@pytest.mark.parametrize("region", ["DE", "US-CA", "BR", None])
@pytest.mark.parametrize("on_opt_out", ["skip", "limited"])
def test_no_denial_lets_more_go_and_none_is_overheard(region, on_opt_out):
    policy = Policy({"DE": RegionRule("deny"), "US": RegionRule("allow", on_opt_out)})
    for requirement, consent, denial in product((ADS, GOOGLE), CONSENTS, DENIALS):
        asked = (consent, region, requirement, policy, AT)
        without, with_it = decide(*asked), decide_with(denial, "google", *asked)
        assert RANK[with_it.action] <= RANK[without.action]
        assert with_it.action is min(
            (without.action, decide(denial.over(consent, "google"), *asked[1:]).action), key=RANK.__getitem__
        )
        if with_it.action is not without.action:
            assert with_it.reason == "consent_withdrawn"
        if "ad_user_data" in denial.denied | denial.to.get("google", frozenset()):
            assert with_it.action is Action.SKIP
        if denial.opted_out:
            assert with_it.action is not Action.SEND


def test_a_denial_for_one_destination_is_not_anothers():
    denial = Denial(to={"google": frozenset({"ad_user_data"})})
    consent = Consent(ad_user_data="granted")
    asked = (consent, "DE", GOOGLE, Policy(), AT)
    assert decide_with(denial, "google", *asked).action is Action.SKIP
    assert decide_with(denial, "other", *asked).action is Action.SEND


def test_nothing_said_is_neither():
    assert not Said().denies
    assert not Said().grants


def test_a_string_without_its_part_about_global_privacy_control_denies_unless_it_is_said_to_be_whole() -> None:
    consent = Consent(gpp="DBABLA~CVQqAAAAAACA")
    assert said(consent, {}, AT).denies
    assert said(consent, {}, AT, needs_gpc=False) == Said(opted_out=False)
