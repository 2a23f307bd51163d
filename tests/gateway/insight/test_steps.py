"""The gate taken apart says what the gate says."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.insight.steps import QUESTIONS, steps
from gateway.model.event import Consent
from gateway.privacy.consent import PURPOSES, Policy, Requirement, decide

#: When the events came in.
AT = 1_795_300_000.0
FLAG = st.none() | st.sampled_from(["granted", "denied"])
CONSENT = st.builds(
    Consent,
    ad_storage=FLAG,
    ad_user_data=FLAG,
    ad_personalization=FLAG,
    analytics_storage=FLAG,
    tcf=st.none() | st.just("CPxxx"),
    gpp=st.none() | st.sampled_from(["DBABLA~CVQVAAAAAACA.YA", "DBABLA~CVQqAAAAAACA.QA"]),
    gpc=st.none() | st.booleans(),
)
REQUIREMENT = st.builds(
    Requirement,
    purposes=st.frozensets(st.sampled_from(PURPOSES)),
    on_opt_out=st.sampled_from([None, "skip", "limited"]),
    limited=st.sampled_from([frozenset(), frozenset({"US"})]),
)


@given(CONSENT, st.sampled_from([None, "DE", "US", "US-CA", "BR"]), REQUIREMENT, st.sampled_from(["deny", "allow"]))
def test_the_last_step_is_the_gates_answer(consent, region, requirement, unknown):
    policy = Policy(unknown=unknown)
    found = steps(consent, region, requirement, policy, AT)
    decision = decide(consent, region, requirement, policy, AT)
    assert (found[-1].found, found[-1].answer) == (decision.rule, str(decision.action))
    assert [step.question for step in found] == list(QUESTIONS[: len(found)])
    assert not any(step.answer for step in found[:-1])


def test_a_missing_purpose_is_found_at_the_last_question():
    consent = Consent(ad_storage="granted", region="DE")
    found = steps(consent, "DE", Requirement(frozenset({"ad_storage", "ad_user_data"})), Policy(), AT)
    assert [step.question for step in found] == list(QUESTIONS[:-1])
    assert found[1].found == "DE: consent must be given first"
    assert found[-1].answer == "skip"
    assert "ad_user_data not given" in found[-1].found


def test_a_denial_ends_the_questions():
    consent = Consent(ad_user_data="denied", gpc=True)
    found = steps(consent, "US-CA", Requirement(frozenset({"ad_user_data"})), Policy(), AT)
    assert (found[-1].question, found[-1].answer) == ("denials", "skip")
