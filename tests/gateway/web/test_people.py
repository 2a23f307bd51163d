"""`POST /v1/consent` and `DELETE /v1/users`."""

import json
from hashlib import sha256

import pytest

from gateway.delivery import stopping
from tests.gateway.web.conftest import PUBLIC_KEY, SHOP, WRITE_KEY

pytestmark = pytest.mark.anyio

JANE = {"email": "jane.doe@example.com"}
GRANTED = {"ad_user_data": "granted", "region": "DE"}
BROWSER = {"Authorization": f"Bearer {PUBLIC_KEY}", "Origin": SHOP}


async def post(client, event_id, **more):
    event = {"event_name": "Lead", "event_id": event_id, "user_data": JANE, "consent": GRANTED, **more}
    return (await client.post("/v1/events", json=event)).json()["results"][0]


async def say(client, consent, user_data=JANE, **options):
    return await client.post("/v1/consent", json={"user_data": user_data, "consent": consent}, **options)


async def erase(client, body, **options):
    return await client.request("DELETE", "/v1/users", json=body, **options)


class TestConsent:
    async def test_a_denial_stops_what_is_queued_and_what_comes(self, client, outbox):
        await post(client, "a")
        answer = await say(client, {"ad_user_data": "denied"})
        assert answer.status_code == 200
        remembered = {"denied": ["ad_user_data"], "opted_out": False, "destinations": {}}
        assert answer.json() == {"remembered": remembered, "stopped": 1, "warnings": []}
        with outbox.reading() as db:
            assert db.execute("SELECT state, code FROM delivery").fetchall() == [("cancelled", "consent_withdrawn")]
        told = 'gateway_deliveries_ended_total{code="consent_withdrawn",instance="acme",state="cancelled"} 1.0'
        assert told in (await client.get("/metrics")).text
        assert (await post(client, "b"))["destinations"] == {"acme": "skipped:consent"}

    async def test_a_newer_grant_ends_it(self, client):
        await say(client, {"ad_user_data": "denied", "gpc": True})
        assert (await say(client, {"ad_user_data": "granted"})).json()["remembered"]["opted_out"] is True
        assert (await post(client, "a"))["destinations"] == {"acme": "skipped:consent"}
        answer = await say(client, {"gpc": False})
        assert answer.json()["remembered"] == {"denied": [], "opted_out": False, "destinations": {}}
        assert (await post(client, "b"))["destinations"] == {"acme": "queued"}

    @pytest.mark.parametrize("spelling", ["JANE.DOE@example.com ", sha256(b"jane.doe@example.com").hexdigest()])
    async def test_the_person_may_be_spelt_otherwise_or_hashed(self, client, spelling):
        await post(client, "a")
        answer = await say(client, {"ad_user_data": "denied"}, {"email": [spelling, "other@example.com"]})
        assert answer.json()["stopped"] == 1

    async def test_an_identifier_that_no_destination_asks_for_counts(self, client):
        await post(client, "a", user_data={"external_id": "7", "anonymous_id": "v-1"})
        assert (await say(client, {"ad_user_data": "denied"}, {"anonymous_id": "v-1"})).json()["stopped"] == 1
        denied = await post(client, "b", user_data={"external_id": "8", "anonymous_id": "v-1"})
        assert denied["destinations"] == {"acme": "skipped:consent"}
        assert (await post(client, "c", user_data={"external_id": "7"}))["destinations"] == {"acme": "queued"}

    @pytest.mark.parametrize(
        ("body", "code", "word"),
        [
            ({"consent": {"gpc": True}}, "required", "/user_data"),
            ({"user_data": JANE}, "required", "/consent"),
            ({"user_data": JANE, "consent": {}}, "required", "/consent"),
            ({"user_data": {"first_name": "Jane"}, "consent": {"gpc": True}}, "no_identifier", "email"),
            ({"user_data": {"email": "jane"}, "consent": {"gpc": True}}, "no_identifier", "/user_data/email"),
            ({"user_data": {"mail": "jane"}, "consent": {"gpc": True}}, "unknown_key", "mail"),
            ({"user_data": JANE, "consent": {"gpc": "yes"}}, "wrong_type", "/consent/gpc"),
            ({"user_data": JANE, "consent": {"region": "DE"}}, "no_signal", "/consent"),
            ({"user_data": JANE, "consent": {"gpc": True}, "event_name": "Lead"}, "unknown_key", "event_name"),
            ({"user_data": JANE, "consent": {"gpc": True}, "jane@example.com": 1}, "unknown_key", "may not be named"),
        ],
    )
    async def test_what_is_wrong_is_told(self, client, body, code, word):
        answer = await client.post("/v1/consent", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, code)
        assert word in answer.json()["detail"]
        assert "jane" not in answer.text

    @pytest.mark.parametrize("body", ["[]", "[1]", "x", '"x"'])
    async def test_a_body_is_one_object(self, client, body):
        answer = await client.post("/v1/consent", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 400

    async def test_a_page_may_deny(self, client):
        await post(client, "a")
        answer = await say(client, {"ad_user_data": "denied", "ad_storage": "granted"}, headers=BROWSER)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == SHOP
        found = answer.json()
        assert found["remembered"]["denied"] == ["ad_user_data"]
        assert [one["code"] for one in found["warnings"]] == ["grant_ignored"]
        assert "stopped" not in found  # what waits for somebody is nothing for a page
        assert (await post(client, "b"))["destinations"] == {"acme": "skipped:consent"}

    async def test_a_page_may_not_grant(self, client):
        await say(client, {"ad_user_data": "denied", "gpc": True})
        for consent in ({"ad_user_data": "granted"}, {"gpc": False}):
            answer = await say(client, consent, headers=BROWSER)
            assert (answer.status_code, answer.json()["code"]) == (422, "denials_only")
        answer = await say(client, {"ad_user_data": "granted", "ad_storage": "denied"}, headers=BROWSER)
        assert answer.json()["remembered"]["denied"] == ["ad_storage"]
        everything = (await say(client, {"ad_storage": "denied"})).json()["remembered"]
        assert everything == {"denied": ["ad_storage", "ad_user_data"], "opted_out": True, "destinations": {}}

    async def test_a_page_of_another_origin_may_nothing(self, client):
        headers = {**BROWSER, "Origin": "https://other.example"}
        answer = await say(client, {"ad_user_data": "denied"}, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "origin_not_allowed")

    async def test_a_beacon_brings_its_key_in_the_body(self, client):
        body = {"key": PUBLIC_KEY, "user_data": JANE, "consent": {"ad_user_data": "denied"}}
        del client.headers["authorization"]
        headers = {"Content-Type": "text/plain;charset=UTF-8", "Origin": SHOP}
        answer = await client.post("/v1/consent", content=json.dumps(body), headers=headers)
        assert answer.status_code == 200

    async def test_a_browsers_own_signal_is_an_objection(self, client):
        headers = {**BROWSER, "Sec-GPC": "1"}
        answer = await say(client, {"ad_storage": "denied"}, headers=headers)
        assert answer.json()["remembered"]["opted_out"] is True
        assert (await say(client, {"ad_storage": "denied"}, headers={"Sec-GPC": "1"})).status_code == 200

    async def test_a_preflight_is_answered(self, client):
        asked = {"Origin": SHOP, "Access-Control-Request-Method": "POST"}
        assert (await client.options("/v1/consent", headers=asked)).status_code == 204

    @pytest.mark.parametrize("headers", [{"Authorization": ""}, {"Authorization": "Bearer nobodys"}])
    async def test_without_a_key_nobody_is_heard(self, client, headers):
        assert (await say(client, {"gpc": True}, headers=headers)).status_code == 401


class TestErasure:
    async def test_answers_with_the_receipt(self, client, outbox):
        await post(client, "a")
        await post(client, "b")
        await post(client, "c", user_data={"email": "joan@example.com"})
        answer = await erase(client, {"user_data": {"email": "Jane.Doe@Example.com"}})
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"
        found = answer.json()
        assert (found["events"], found["overwritten"], found["warnings"]) == (2, True, [])
        [acme] = found["destinations"]
        assert (acme["destination"], acme["plugin"], acme["delivered"], acme["stopped"]) == ("acme", "acme", 0, 2)
        assert "jane" not in answer.text.lower()
        with outbox.reading() as db:
            assert db.execute("SELECT event_id FROM event").fetchall() == [("c",)]

    async def test_keeps_the_past_out(self, client):
        await erase(client, {"user_data": JANE})
        late = await post(client, "a", event_time=1_700_000_000)
        assert (late["status"], late["errors"][0]["code"]) == ("rejected", "person_erased")

    async def test_is_foretold_by_validate(self, client):
        await erase(client, {"user_data": JANE})
        event = {"event_name": "Lead", "event_id": "a", "user_data": JANE, "consent": GRANTED}
        told = (await client.post("/v1/validate", json=[{**event, "event_time": 1_700_000_000}, event])).json()
        assert [one["status"] for one in told["results"]] == ["rejected", "accepted"]
        assert told["results"][0]["errors"][0]["code"] == "person_erased"

    async def test_takes_linked_events_along_if_asked(self, client):
        await post(client, "a", user_data={**JANE, "external_id": "7"})
        await post(client, "b", user_data={"external_id": "7"})
        assert (await erase(client, {"user_data": JANE, "linked": True})).json()["events"] == 2

    async def test_with_the_admin_token(self, client, service, settings, outbox):
        from dataclasses import replace

        from gateway.web.service import Effective

        with_token = replace(settings, server=replace(settings.server, admin_tokens=("the-admin-token",)))
        service.effective = Effective.of(with_token, outbox)
        headers = {"Authorization": "Bearer the-admin-token"}
        assert (await erase(client, {"user_data": JANE}, headers=headers)).status_code == 200
        assert (await say(client, {"gpc": True}, headers=headers)).status_code == 403

    @pytest.mark.parametrize(
        ("key", "status"), [(PUBLIC_KEY, 403), ("nobodys", 401), ("", 401), (WRITE_KEY, 200), ("its-second-key", 200)]
    )
    async def test_with_a_write_key_only(self, client, key, status):
        answer = await erase(client, {"user_data": JANE}, headers={"Authorization": f"Bearer {key}" if key else ""})
        assert answer.status_code == status

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            ({}, "required"),
            ({"user_data": {}}, "required"),
            ({"user_data": {"email": 7}}, "wrong_type"),
            ({"user_data": {"city": "Bonn"}}, "no_identifier"),
            ({"user_data": JANE, "consent": {"gpc": True}}, "unknown_key"),
            ({"user_data": JANE, "linked": 1}, "wrong_type"),
        ],
    )
    async def test_what_is_wrong_is_told(self, client, outbox, body, code):
        answer = await erase(client, body)
        assert (answer.status_code, answer.json()["code"]) == (422, code)
        with outbox.reading() as db:
            assert db.execute("SELECT count(*) FROM person").fetchone() == (0,)

    async def test_of_another_method_there_is_nothing(self, client):
        assert (await client.post("/v1/users", json={})).status_code == 405

    async def test_stops_many_in_steps(self, client, outbox, monkeypatch):
        monkeypatch.setattr(stopping, "STEP", 2)
        for number in range(5):
            await post(client, f"event-{number}")
        assert (await say(client, {"ad_user_data": "denied"})).json()["stopped"] == 5
        with outbox.reading() as db:
            assert db.execute("SELECT DISTINCT state FROM delivery").fetchall() == [("cancelled",)]

    @pytest.mark.parametrize("body", ["", " ", "[]", '[{"user_data": {}}]'])
    async def test_a_body_that_is_no_object_is_told_what_it_should_be(self, client, body):
        for method, path in (("POST", "/v1/consent"), ("DELETE", "/v1/users")):
            answer = await client.request(method, path, content=body, headers={"Content-Type": "application/json"})
            assert answer.status_code == 400
            assert "one JSON object, with `user_data`" in answer.json()["detail"]


class TestBrowserDoor:
    """Whoever knows an address could ask with a public key: the answers tell nothing of what is remembered."""

    async def collect(self, client, event_id, **more):
        event = {"event_name": "Lead", "event_id": event_id, "user_data": JANE, "consent": GRANTED, **more}
        answer = await client.post("/v1/collect", json=event, headers=BROWSER)
        assert answer.status_code == 202
        return answer.json()

    async def test_tells_nobody_who_withdrew(self, client, outbox):
        before = await self.collect(client, "a")
        await say(client, {"ad_user_data": "denied"})
        after = await self.collect(client, "b")
        assert after["results"] == [{**before["results"][0], "event_id": "b"}]
        assert before["results"][0]["destinations"]["acme"] == "queued"
        with outbox.reading() as db:
            data = db.execute("SELECT data FROM decision JOIN event ON decision = id WHERE event_id = 'b'").fetchone()
        assert json.loads(data[0])["to"]["acme"][:3] == ["skipped", "consent", "consent_withdrawn"]

    async def test_tells_nobody_who_was_erased(self, client, outbox):
        before = await self.collect(client, "a", event_time=1_790_000_000)
        await erase(client, {"user_data": JANE})
        after = await self.collect(client, "b", event_time=1_790_000_000)
        assert after == {**before, "results": [{**before["results"][0], "event_id": "b"}]}
        with outbox.reading() as db:
            assert db.execute("SELECT event_id FROM event").fetchall() == []


async def test_the_key_that_signs_webhooks_erases_nobody(client):
    answer = await erase(client, {"user_data": JANE}, headers={"Authorization": "Bearer key-of-a-webhook"})
    assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (403, "wrong_kind_of_source")
