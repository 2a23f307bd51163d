"""The consent gate against its documented algebra, case by case, and against the platforms' own requirements."""

from __future__ import annotations

from itertools import chain, combinations, product
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gateway import registry
from gateway.ingest.gate import parse_consent
from gateway.model.delivery import Action, Decision
from gateway.model.event import Consent
from gateway.privacy.consent import (
    OPT_IN_REGIONS,
    PURPOSES,
    SHIPPED_REGIONS,
    STRINGS,
    Policy,
    RegionRule,
    Requirement,
    decide,
    effective,
    may_use_click_ids,
    under_tcf,
)
from gateway.privacy.signals.heard import NOBODY, Vendor
from tests.gateway.privacy.signals import writing

FLAGS = ("granted", "denied", None)
ADS = ("ad_storage", "ad_user_data", "ad_personalization")

#: Region, what is configured for an unknown one, and whether consent must come first there.
REGIONS = [
    ("DE", "deny", True),
    ("FR-75", "deny", True),
    ("NO", "deny", True),
    ("GB", "deny", True),
    ("GB-SCT", "allow", True),
    ("CH", "deny", True),
    ("BR", "deny", True),
    ("CA-QC", "allow", True),
    ("ZZ", "allow", True),
    (None, "deny", True),
    ("US", "deny", False),
    ("US-CA", "deny", False),
    ("US-VA", "deny", False),
    (None, "allow", False),
]
#: Where a platform has a limited mode, and in which of the regions above it then means something.
LIMITED = [
    (frozenset[str](), set[str | None]()),
    (frozenset({"US"}), {"US", "US-CA", "US-VA"}),
    (frozenset({"US", "US-CA"}), {"US", "US-CA"}),
]


#: When the events here came in; the published strings are from the day before.
AT = 1_795_300_000.0
T1 = "CQuCLYAQuCLYAEsABBENAtEgALIAAAAAAAYgHtQAgF5gPaAAAAAA.IHtQAgF5gPaA.YAAAAAAAAAAA"
T2 = "CQuCLYAQuCLYAEsABBENAtEgALIAAAAAAAYgF5wAQF5gAAAA.IHtQAgF5gPaA.YAAAAAAAAAAA"
T3 = "CQuCLYAQuCLYAEsABBENAtEgAAAAAAAAAAYgAAAAAAAA.IHtQAgF5gPaA.YAAAAAAAAAAA"
OPTED_OUT, NOT_OPTED_OUT = "DBABLA~CVQVAAAAAACA.YA", "DBABLA~CVQqAAAAAACA.QA"
#: What the strings of an event may say, in a word → the strings.
STRINGS_SAY: dict[str, dict[str, Any]] = {
    "none": {},
    "nothing against it": {"tcf": T1, "gpp": NOT_OPTED_OUT, "additional_consent": "2~89~dv.2572"},
    "no purpose": {"tcf": T3},
    "no purpose 1": {"tcf": writing.tc_string({3, 4, 7}, at=AT)},
    "no purpose 3": {"gpp": writing.gpp({2: writing.tc_string({1, 4, 7}, at=AT)})},
    "no purpose 4": {"tcf": writing.tc_string({1, 3, 7}, at=AT)},
    "no purpose 7": {"tcf": writing.tc_string({1, 3, 4}, at=AT)},
    "opt-out": {"gpp": OPTED_OUT},
    "child": {"gpp": writing.gpp({7: writing.us(7, [2, 2, 2], child=1)}), "tcf": T1},
    "unread": {"gpp": "x", "tcf": T3},
}
#: The same → the flags that are denied by it, by Google's mapping of purposes.
TCF_DENIALS = {
    "no purpose": set(ADS),
    "no purpose 1": {"ad_storage", "ad_user_data"},
    "no purpose 3": {"ad_personalization"},
    "no purpose 4": {"ad_personalization"},
    "no purpose 7": {"ad_user_data"},
}


class Case(NamedTuple):
    flags: dict[str, str | None]
    gpc: bool | None
    opt_in: bool
    required: frozenset[str]
    wants_limited: bool
    can_limit: bool
    strings: str = "none"


def documented(case: Case) -> tuple[str, str]:
    """Outcome and reason by docs/consent.md, read from top to bottom."""
    about_ads = bool(case.required & set(ADS))
    if case.strings == "unread":
        return "skip", "consent_string_unread"
    if case.strings == "child" and about_ads:
        return "skip", "known_child"
    said_no = {name for name, flag in case.flags.items() if flag == "denied"} | TCF_DENIALS.get(case.strings, set())
    opted_out = "send_limited" if case.wants_limited and case.can_limit else "skip"
    if about_ads and "ad_user_data" in said_no:
        return "skip", "consent_denied"
    if case.opt_in:
        if case.required & said_no:
            return "skip", "consent_denied"
        if case.gpc:
            return "skip", "gpc"
        if case.strings == "opt-out":
            return "skip", "gpp_opt_out"
        granted = {name for name, flag in case.flags.items() if flag == "granted"}
        return ("send", "consent_granted") if case.required <= granted else ("skip", "consent_missing")
    if case.gpc:
        return opted_out, "gpc"
    if case.strings == "opt-out":
        return opted_out, "gpp_opt_out"
    if case.required & said_no:
        return opted_out, "opted_out"
    return "send", "no_opt_out"


def subsets(names: tuple[str, ...]) -> list[frozenset[str]]:
    return [
        frozenset(one) for one in chain.from_iterable(combinations(names, size) for size in range(1, len(names) + 1))
    ]


@pytest.mark.parametrize(("region", "unknown", "opt_in"), REGIONS, ids=str)
def test_the_whole_truth_table(region: str | None, unknown: str, opt_in: bool) -> None:
    required = [*subsets(ADS), frozenset({"analytics_storage"}), frozenset({"analytics_storage", "ad_user_data"})]
    checked = 0
    for needs, of_instance, of_region, (limited, means), gpc in product(
        required, (None, "skip", "limited"), ("skip", "limited"), LIMITED, (None, False, True)
    ):
        regions = {code: RegionRule(rule.default, of_region) for code, rule in SHIPPED_REGIONS.items()}
        policy = Policy(regions, unknown)
        requirement = Requirement(needs, of_instance, limited)
        # an unknown region has no rule of its own
        wants = (of_instance or (of_region if region else "skip")) == "limited"
        for values in product(FLAGS, repeat=3):
            flags: dict[str, str | None] = dict(zip(ADS, values, strict=True)) | {"analytics_storage": "granted"}
            case = Case(flags, gpc, opt_in, needs, wants, region in means)
            found = decide(Consent(**flags, gpc=gpc, region=region), region, requirement, policy, AT)
            assert (str(found.action), found.reason) == documented(case), case
            assert (region or "unknown region") in found.rule
            checked += 1
    assert checked == 9 * 3 * 2 * 3 * 3 * 27


@pytest.mark.parametrize(("region", "unknown", "opt_in"), REGIONS)
def test_the_algebra_with_strings(region: str | None, unknown: str, opt_in: bool) -> None:
    """Every string beside every combination of flags and signals, for an ad platform and for one that is none."""
    checked = 0
    for needs, gpc, limited, strings in product(
        (frozenset(ADS), frozenset({"ad_user_data"}), frozenset({"analytics_storage"})),
        (None, False, True),
        (True, False),
        STRINGS_SAY,
    ):
        requirement = Requirement(needs, "limited" if limited else "skip", frozenset({"US"}))
        means = limited and bool(region) and str(region).startswith("US")
        for values in product(FLAGS, repeat=3):
            flags: dict[str, str | None] = dict(zip(ADS, values, strict=True)) | {"analytics_storage": "granted"}
            case = Case(flags, gpc, opt_in, needs, limited, means, strings)
            consent = Consent(**flags, **STRINGS_SAY[strings], gpc=gpc, region=region)
            found = decide(consent, region, requirement, Policy(unknown=unknown), AT)
            assert (str(found.action), found.reason) == documented(case), case
            may = may_use_click_ids(consent, region, Policy(unknown=unknown), AT)
            assert not (may and (strings in ("unread", "child", "opt-out", "no purpose", "no purpose 1") or gpc))
            checked += 1
    assert checked == 3 * 3 * 2 * len(STRINGS_SAY) * 27


@pytest.mark.parametrize("name", STRINGS)
@pytest.mark.parametrize("text", ["", "null", "CQuCLYAQuCLYAEsABBENAtEg", "DBABLA~CVQqAAAAAAC", "2~89.2572~dv", "1~89"])
@pytest.mark.parametrize(("region", "unknown"), [("DE", "deny"), ("US", "deny"), ("US-CA", "deny"), (None, "allow")])
def test_a_string_that_cannot_be_read_is_a_denial_everywhere(
    name: str, text: str, region: str | None, unknown: str
) -> None:
    granted = dict.fromkeys(PURPOSES, "granted")
    requirement = Requirement(frozenset(ADS), "limited", frozenset({"US"}))
    found = decide(Consent(**granted, **{name: text}), region, requirement, Policy(unknown=unknown), AT)
    assert (found.action, found.reason) == (Action.SKIP, "consent_string_unread")
    assert name in found.rule
    assert not text or text not in found.rule


def test_sections_without_a_string_say_nothing() -> None:
    assert decide(Consent(gpp_sid=(7,)), "US", Requirement(frozenset(ADS)), Policy(), AT).reason == "no_opt_out"


class TestPolicy:
    def test_consent_comes_first_in_the_eea_the_united_kingdom_and_switzerland(self) -> None:
        assert len(OPT_IN_REGIONS) == 27 + 3 + 2
        assert {"DE", "IE", "HR", "IS", "LI", "NO", "GB", "CH"} <= OPT_IN_REGIONS
        assert not {"US", "TR", "UK", "EU"} & OPT_IN_REGIONS

    def test_a_part_has_its_countrys_rule_unless_it_has_its_own(self) -> None:
        policy = Policy({"US": RegionRule("allow"), "US-CA": RegionRule("deny", "limited")})
        assert policy.rule_for("US-CA") == RegionRule("deny", "limited")
        assert policy.rule_for("US-TX") == RegionRule("allow")
        assert policy.rule_for("BR") == RegionRule("deny")

    def test_what_is_unknown_is_denied_unless_configured(self) -> None:
        assert Policy().rule_for(None).default == "deny"
        assert Policy(unknown="allow").rule_for(None) == RegionRule("allow", "skip")

    def test_every_rule_is_in_the_fingerprint(self) -> None:
        prints = {
            Policy().fingerprint,
            Policy(unknown="allow").fingerprint,
            Policy({}).fingerprint,
            Policy({**SHIPPED_REGIONS, "BR": RegionRule("allow")}).fingerprint,
            Policy({**SHIPPED_REGIONS, "US": RegionRule("allow", "limited")}).fingerprint,
        }
        assert len(prints) == 5
        assert Policy().fingerprint == Policy(dict(reversed(SHIPPED_REGIONS.items()))).fingerprint


class TestClickIds:
    @pytest.mark.parametrize(
        ("consent", "region", "allowed"),
        [
            (Consent(), "US", True),
            (Consent(), "DE", False),
            (Consent(), None, False),
            (Consent(ad_storage="granted"), "DE", True),
            (Consent(ad_storage="denied"), "US", False),
            (Consent(ad_user_data="granted", ad_personalization="granted"), "DE", False),
            (Consent(gpc=True), "US", False),
            (Consent(gpc=False), "US", True),
            (Consent(gpc=True, ad_storage="granted"), "US", False),
            (Consent(tcf="x", ad_storage="granted"), "DE", False),
            (Consent(gpp="x"), "US", False),
        ],
    )
    def test_need_ad_storage(self, consent: Consent, region: str | None, allowed: bool) -> None:
        assert may_use_click_ids(consent, region, Policy(), AT) is allowed


GRANTED = dict.fromkeys(PURPOSES, "granted")
MEASUREMENT = {"ad_user_data": "granted", "ad_personalization": "denied"}

#: Region, signals → what Meta, Google and Snapchat get, without and with limited mode.
VECTORS: list[tuple[str | None, dict[str, Any], dict[str, str], dict[str, str]]] = [
    ("DE", {}, {"meta": "skip", "google": "skip", "snapchat": "skip"}, {}),
    ("DE", GRANTED, {"meta": "send", "google": "send", "snapchat": "send"}, {}),
    ("DE", {**GRANTED, "tcf": T3}, {"meta": "skip", "google": "skip", "snapchat": "skip"}, {}),
    ("DE", {**GRANTED, "tcf": T1}, {"meta": "send", "google": "send", "snapchat": "send", "pinterest": "send"}, {}),
    (
        "DE",  # a vendor's consent alone: strings grant nothing, flags do
        {"tcf": T2, "additional_consent": "2~89~dv.2572"},
        dict.fromkeys(("meta", "google", "snapchat"), "skip"),
        {},
    ),
    ("FR", MEASUREMENT, {"meta": "skip", "google": "send", "snapchat": "skip"}, {}),
    (
        "US-CA",
        {"gpc": True},
        {"meta": "skip", "google": "skip", "snapchat": "skip"},
        {"meta": "send_limited", "google": "send_limited", "snapchat": "send_limited"},
    ),
    (
        "US-TX",
        {"gpp": NOT_OPTED_OUT, "gpp_sid": (7,)},
        dict.fromkeys(("meta", "google", "snapchat"), "send"),
        {},
    ),
    (
        "US-VA",
        {"gpp": OPTED_OUT},
        dict.fromkeys(("meta", "google", "snapchat"), "skip"),
        {"snapchat": "send_limited", "meta": "skip"},
    ),
    (
        "US-VA",
        {"gpc": True},
        dict.fromkeys(("meta", "google", "snapchat"), "skip"),
        {"snapchat": "send_limited", "meta": "skip"},
    ),
    (None, {}, {"meta": "skip", "google": "skip", "snapchat": "skip"}, {}),
    ("DE", {"tcf": "CQuCLYAQuCLYAEsABBEN"}, dict.fromkeys(("meta", "google", "snapchat"), "skip"), {}),
    ("GB", {**GRANTED, "gpc": True}, dict.fromkeys(("meta", "google", "snapchat"), "skip"), {}),
    (
        "US-CA",
        {"ad_personalization": "denied"},
        {"meta": "skip", "google": "send"},
        {"meta": "send_limited", "google": "send"},
    ),
    (
        "US-CA",
        {"ad_user_data": "denied"},
        dict.fromkeys(("meta", "google"), "skip"),
        dict.fromkeys(("meta", "google"), "skip"),
    ),
]


@pytest.mark.parametrize(("region", "signals", "expected", "limited"), VECTORS, ids=str)
def test_decisions_for_the_bundled_platforms(
    region: str | None, signals: dict[str, Any], expected: dict[str, str], limited: dict[str, str]
) -> None:
    destinations = registry.load().destinations

    def ask(name: str, on_opt_out: str | None) -> Decision:
        platform = destinations[name]
        requirement = Requirement(frozenset(platform.purposes), on_opt_out, platform.limited)
        return decide(Consent(**signals, region=region), region, requirement, Policy(), AT)

    assert {name: str(ask(name, None).action) for name in expected} == expected
    wanted = limited if limited else expected
    assert {name: str(ask(name, "limited").action) for name in wanted} == wanted


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        ("DE", {"google": "send", "meta": "send", "snapchat": "skip", "tiktok": "skip", "pinterest": "skip"}),
        (None, {"google": "send", "meta": "send", "snapchat": "skip", "tiktok": "skip", "pinterest": "skip"}),
        ("BR", dict.fromkeys(("google", "meta", "snapchat", "tiktok", "pinterest"), "skip")),
    ],
)
def test_a_string_grants_vendors_where_the_tcf_applies(region: str | None, expected: dict[str, str]) -> None:
    """Without any flag; Pinterest is on no list. What is denied a vendor is denied it whatever the flags say."""
    vendors = {
        "google": Vendor(tcf=755),
        "tiktok": Vendor(tcf=986),
        "meta": Vendor(atp=89),
        "snapchat": Vendor(atp=2572),
    }
    strings = {"tcf": T2, "additional_consent": "2~89~dv.2572"}
    for name, outcome in expected.items():
        platform = registry.load().destinations[name]
        requirement = Requirement(frozenset(platform.purposes), vendor=vendors.get(name, NOBODY))
        assert str(decide(Consent(**strings), region, requirement, Policy(), AT).action) == outcome
        with_flags = decide(Consent(**strings, **GRANTED), region, requirement, Policy(), AT)
        assert str(with_flags.action) == ("skip" if name in ("snapchat", "tiktok") else "send")
    assert may_use_click_ids(Consent(**strings), region, Policy(), AT) is (region != "BR")


def test_a_destination_is_told_what_its_strings_come_to() -> None:
    said = effective(Consent(tcf=T2, ad_personalization="denied"), "DE", Vendor(tcf=755), AT)
    assert (said.ad_storage, said.ad_user_data, said.ad_personalization) == ("granted", "granted", "denied")
    assert effective(Consent(tcf=T2), "US", Vendor(tcf=755), AT) == Consent(tcf=T2)
    assert effective(Consent(ad_storage="granted"), "DE", Vendor(tcf=755), AT) == Consent(ad_storage="granted")


def test_who_a_destination_is_belongs_to_its_fingerprint() -> None:
    vendors = (NOBODY, Vendor(tcf=7), Vendor(atp=7), Vendor(purposes_only=True))
    assert len({Requirement(frozenset(ADS), vendor=one).fingerprint for one in vendors}) == 4


def test_analytics_alone_lets_nothing_go_to_an_ad_platform() -> None:
    consent = Consent(analytics_storage="granted")
    for name in PLATFORMS:
        platform = registry.load().destinations[name]
        assert decide(consent, "DE", Requirement(frozenset(platform.purposes)), Policy(), AT).action is Action.SKIP


def test_a_denial_of_ads_is_no_matter_to_analytics() -> None:
    consent = Consent(analytics_storage="granted", ad_user_data="denied")
    assert decide(consent, "DE", Requirement(frozenset({"analytics_storage"})), Policy(), AT).action is Action.SEND


#: Cases of docs/consent.md: region and what is configured there, in words → region, policy; signals in words → consent.
PLACES: dict[str, tuple[str | None, Policy]] = {
    "Germany": ("DE", Policy()),
    "United Kingdom": ("GB", Policy()),
    "California": ("US-CA", Policy()),
    "California, `limited`": ("US-CA", Policy({**SHIPPED_REGIONS, "US-CA": RegionRule("allow", "limited")})),
    "Brazil": ("BR", Policy()),
    "unknown": (None, Policy()),
    "unknown, `allow`": (None, Policy(unknown="allow")),
}
SIGNALS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "all granted": GRANTED,
    "`ad_user_data` alone granted": {"ad_user_data": "granted"},
    "all but `ad_personalization` granted": {**GRANTED, "ad_personalization": "denied"},
    "`ad_user_data` denied": {**GRANTED, "ad_user_data": "denied"},
    "all granted, and `gpc`": {**GRANTED, "gpc": True},
    "all granted, and a string that cannot be read": {**GRANTED, "tcf": "unread"},
    "all granted, and a `tcf` without purpose 4": {**GRANTED, **STRINGS_SAY["no purpose 4"]},
    "all granted, and a `tcf` without purpose 7": {**GRANTED, **STRINGS_SAY["no purpose 7"]},
    "all granted, and an opt-out in `gpp`": {**GRANTED, "gpp": OPTED_OUT},
    "nothing but a `gpp` without an opt-out": {"gpp": NOT_OPTED_OUT},
}


PLATFORMS = ("google", "meta", "pinterest", "snapchat", "tiktok")


def cell(place: str, signals: dict[str, Any]) -> str:
    """What Google, and the others (all alike here), may have, and why."""
    region, policy = PLACES[place]
    found = {}
    for name in PLATFORMS:
        platform = registry.load().destinations[name]
        requirement = Requirement(frozenset(platform.purposes), None, platform.limited)
        found[name] = decide(Consent(**signals), region, requirement, policy, AT)
    google = found.pop("google")
    ((action, reason),) = {(str(one.action), one.reason) for one in found.values()}
    reasons = f"`{reason}`" if reason == google.reason else f"`{google.reason}`, others `{reason}`"
    return f"`{google.action}` | `{action}` | {reasons}"


def cases() -> str:
    """The table of docs/consent.md; places where all is the same share their rows."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for place in PLACES:
        alike.setdefault(tuple(cell(place, signals) for signals in SIGNALS.values()), []).append(place)
    rows = ["| region | signals | Google | others | reason |", "|---|---|---|---|---|"]
    for cells, places in alike.items():
        rows += [f"| {'; '.join(places)} | {words} | {one} |" for words, one in zip(SIGNALS, cells, strict=True)]
    return "\n".join(rows)


def test_the_cases_in_the_docs_are_what_the_gate_says() -> None:
    page = (Path(__file__).parents[3] / "docs/consent.md").read_text("utf-8")
    told = page.partition("## Cases\n")[2].partition("\n## ")[0].partition("-->\n")[2].strip()
    assert told == cases(), f"put this into docs/consent.md:\n\n{cases()}"


def test_the_docs_name_every_code_of_the_gate() -> None:
    page = (Path(__file__).parents[3] / "docs/consent.md").read_text("utf-8")
    codes = {
        "consent_granted",
        "no_opt_out",
        "consent_missing",
        "consent_denied",
        "gpc",
        "opted_out",
        "consent_string_unread",
        "gpp_opt_out",
        "known_child",
    }
    assert [code for code in sorted(codes) if f"`{code}`" not in page] == []


ALL_GRANTED = Consent(**dict.fromkeys(ADS, "granted"))
LIMITED_EVERYWHERE = Requirement(frozenset(ADS), limited=frozenset({"US", "DE"}))
OPTED_OUT = writing.gpp({7: writing.us(7, [1, 2, 2])})
ALLOW, ALLOW_LIMITED = Policy(), Policy({"US": RegionRule("allow", "limited")})


@pytest.mark.parametrize(
    ("consent", "region", "policy", "rule"),
    [
        (ALL_GRANTED, "DE", ALLOW, "DE (opt-in): ad_storage, ad_user_data, ad_personalization granted"),
        (Consent(), "DE", ALLOW, "DE (opt-in): ad_storage, ad_user_data, ad_personalization not given"),
        (Consent(ad_storage="denied"), "DE", ALLOW, "DE (opt-in): ad_storage denied"),
        (Consent(ad_user_data="denied"), "US", ALLOW, "US (opt-out): ad_user_data denied"),
        (Consent(), "US", ALLOW, "US (opt-out): no denial, no opt-out"),
        (Consent(gpc=True), "DE", ALLOW, "DE (opt-in): Global Privacy Control is a denial"),
        (Consent(gpc=True), "US", ALLOW, "US (opt-out): Global Privacy Control; on_opt_out = skip"),
        (Consent(gpc=True), "US", ALLOW_LIMITED, "US (opt-out): Global Privacy Control; limited mode is configured"),
        (Consent(gpp=OPTED_OUT), "DE", ALLOW, "DE (opt-in): an opt-out in `gpp` is a denial"),
        (Consent(gpp=OPTED_OUT), None, Policy(unknown="allow"),
         "unknown region (opt-out): an opt-out in `gpp`; on_opt_out = skip"),
        (Consent(ad_storage="denied"), "US", ALLOW, "US (opt-out): ad_storage denied; on_opt_out = skip"),
    ],
)  # fmt: skip
def test_a_decision_tells_the_rule(consent: Consent, region: str | None, policy: Policy, rule: str) -> None:
    assert decide(consent, region, LIMITED_EVERYWHERE, policy, AT).rule == rule


def test_without_a_limited_mode_the_rule_says_so() -> None:
    decision = decide(Consent(gpc=True), "US", Requirement(frozenset(ADS)), ALLOW_LIMITED, AT)
    assert decision.action is Action.SKIP
    assert decision.rule.endswith("; the platform has no limited mode there")


@pytest.mark.parametrize("consent", [Consent(gpc=True), Consent(gpp=OPTED_OUT)])
def test_a_limited_mode_is_no_way_around_a_denial_where_consent_comes_first(consent: Consent) -> None:
    wants = Requirement(frozenset(ADS), on_opt_out="limited", limited=frozenset({"DE"}))
    assert decide(consent, "DE", wants, Policy({"DE": RegionRule("deny", "limited")}), AT).action is Action.SKIP


@pytest.mark.parametrize(
    ("limited", "region", "can"),
    [
        ({"US"}, "US-VA", True), ({"US", "US-CA"}, "US-VA", False), ({"US", "CA-QC"}, "US-VA", True),
        ({"US"}, "DE", False), ({"US"}, None, False), (set(), "US", False),
    ],
)  # fmt: skip
def test_where_a_limited_mode_means_something(limited: set[str], region: str | None, can: bool) -> None:
    assert Requirement(frozenset(ADS), limited=frozenset(limited)).can_limit(region) is can


def test_what_holds_where_nothing_is_configured() -> None:
    assert RegionRule() == RegionRule("deny", "skip")
    assert {rule.on_opt_out for rule in SHIPPED_REGIONS.values()} == {"skip"}
    assert (len(Policy().fingerprint), len(LIMITED_EVERYWHERE.fingerprint)) == (16, 16)


@pytest.mark.parametrize(("region", "applies"), [("DE", True), ("FR-75", True), (None, True), ("US-CA", False)])
def test_where_the_tcf_applies(region: str | None, applies: bool) -> None:
    assert under_tcf(region) is applies


@pytest.mark.parametrize(
    ("said", "heard"), [("uk", "GB"), ("UK-SCT", "GB-SCT"), ("el", "GR"), ("de", "DE"), ("US-CA", "US-CA")]
)
def test_a_region_in_the_european_unions_spelling_is_understood(said: str, heard: str) -> None:
    assert parse_consent({"region": said}).region == heard


class TestGppWithoutItsPartAboutGlobalPrivacyControl:
    """A cut-off string by default; for who says that their CMP leaves the part out, one that is read."""

    WITHOUT, OBJECTION = "DBABLA~CVQqAAAAAACA", "DBABLA~CVQVAAAAAACA"
    READ = Policy(needs_gpc=False)
    ALL = Requirement(frozenset(ADS))

    @pytest.mark.parametrize("flags", [{}, dict.fromkeys(ADS, "granted")])
    def test_it_is_a_denial_unless_it_is_said_to_be_whole(self, flags: dict[str, str]) -> None:
        said = Consent(gpp=self.WITHOUT, **flags)
        assert decide(said, "US-CA", self.ALL, Policy(), AT).reason == "consent_string_unread"
        assert decide(said, "US-CA", self.ALL, self.READ, AT).action is Action.SEND
        assert not may_use_click_ids(said, "US-CA", Policy(), AT)
        assert may_use_click_ids(said, "US-CA", self.READ, AT)

    def test_an_objection_in_it_is_heard_all_the_same(self) -> None:
        assert decide(Consent(gpp=self.OBJECTION), "US-CA", self.ALL, self.READ, AT).reason == "gpp_opt_out"
        assert not may_use_click_ids(Consent(gpp=self.OBJECTION), "US-CA", self.READ, AT)

    @pytest.mark.parametrize("text", [f"{WITHOUT}.", f"{WITHOUT}.AA", f"{WITHOUT}.QA.QA", "DBABLA~CVQqAAAAAA", ""])
    def test_what_cannot_be_read_otherwise_still_denies(self, text: str) -> None:
        assert decide(Consent(gpp=text), "US-CA", self.ALL, self.READ, AT).reason == "consent_string_unread"

    def test_a_tc_string_beside_it_denies_as_ever(self) -> None:
        refused = Consent(gpp=self.WITHOUT, tcf=writing.tc_string(purposes=()))
        assert decide(refused, "US-CA", self.ALL, self.READ, AT).reason == "consent_denied"
