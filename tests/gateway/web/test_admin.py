"""`/admin/api/`: the operator's own door, and nobody else's."""

from dataclasses import replace

import pytest

from gateway.model.delivery import State
from gateway.outbox import queries, standing
from gateway.outbox.lanes import Change, record
from gateway.web.admin import ROUTES
from gateway.web.service import Effective

TOKEN, NEXT_TOKEN = "token-of-the-operator", "the-token-after-it"
WRITE_KEY, PUBLIC_KEY = "write-key-of-the-shop", "public-key-of-the-shop"
EVENT = {"event_name": "Lead", "event_id": "l/1 ü", "user_data": {"email": "jane.doe@example.com"}}
PATHS = ["/admin/api/status", "/admin/api/dead", "/admin/api/events/x"]

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings(settings):
    return replace(settings, server=replace(settings.server, admin_tokens=(TOKEN, NEXT_TOKEN)))


@pytest.fixture
def admin(client):
    """Asks as the operator."""

    async def get(path, token=TOKEN, **headers):
        return await client.get(path, headers={"Authorization": f"Bearer {token}", **headers})

    return get


def test_all_of_it_is_tested_here():
    assert [route.path for route in ROUTES] == [*PATHS[:2], "/admin/api/events/{event_id:path}"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("token", [TOKEN, NEXT_TOKEN, WRITE_KEY, ""])
async def test_without_a_token_in_the_configuration_it_is_not_there(admin, client, service, outbox, path, token):
    none = replace(service.effective.settings.server, admin_tokens=())
    service.effective = Effective.of(replace(service.effective.settings, server=none), outbox)
    answer, other = await admin(path, token), await client.get("/nothing/here")
    assert (answer.status_code, answer.content) == (404, other.content)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("token", "status", "code"),
    [
        ("", 401, "missing_key"),
        ("nobody-has-this-token", 401, "unknown_key"),
        (TOKEN[:-1], 401, "unknown_key"),
        (TOKEN + "x", 401, "unknown_key"),
        (WRITE_KEY, 403, "wrong_kind_of_key"),
        (PUBLIC_KEY, 403, "wrong_kind_of_key"),
        ("key-of-a-webhook", 403, "wrong_kind_of_key"),
    ],
)
async def test_no_other_key_opens_it(admin, path, token, status, code):
    answer = await admin(path, token)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/v1/events", "/v1/validate", "/v1/collect"])
async def test_the_token_opens_nothing_else(client, stored, path):
    answer = await client.post(path, json=EVENT, headers={"Authorization": f"Bearer {TOKEN}"})
    assert (answer.status_code, answer.json()["code"]) == (403, "wrong_kind_of_key")
    assert stored() == []


@pytest.mark.parametrize("token", [TOKEN, NEXT_TOKEN])
@pytest.mark.parametrize("path", PATHS[:2])
async def test_both_tokens_open_it_while_one_is_replaced(admin, path, token):
    assert (await admin(path, token)).status_code == 200


@pytest.mark.parametrize("path", PATHS)
async def test_no_other_page_can_read_it_and_nothing_keeps_it(admin, client, path):
    for answer in (await admin(path, Origin="https://shop.example"), await client.options(path)):
        assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert (await admin(path)).headers["cache-control"] == "no-store"
    assert (await client.post(path, headers={"Authorization": f"Bearer {TOKEN}"})).status_code == 405


async def test_how_it_is(admin, client, outbox):
    found = (await admin("/admin/api/status")).json()
    assert found["lanes"] == [
        {"instance": "acme", "state": "running", "since": None, "code": "", "message": "", "behind": 0, "dead": 0}
    ]
    assert (found["ready"], found["totals"]["last_stored_at"]) == (True, None)
    await client.post("/v1/events", json=[{**EVENT, "event_id": str(number)} for number in range(3)])
    await outbox.write(lambda db: one_died(db) and None)
    found = (await admin("/admin/api/status")).json()
    [lane] = found["lanes"]
    assert (lane["state"], lane["code"], lane["behind"], lane["dead"]) == ("paused", "190", 2, 1)
    assert (found["totals"]["behind"], found["totals"]["dead"]) == (2, 1)
    assert found["totals"]["last_stored_at"] > 0


async def test_what_died(admin, client, outbox):
    await client.post("/v1/events", json=EVENT)
    await outbox.write(lambda db: one_died(db) and None)
    with outbox.reading() as db:
        [group] = queries.dead_groups(db)
    [told] = (await admin("/admin/api/dead")).json()["groups"]
    assert (told["instance"], told["code"], told["count"]) == (group.instance, group.code, 1)
    assert "jane.doe" not in str(told)


async def test_what_happened_to_an_event(admin, client):
    await client.post("/v1/events", json=EVENT)
    [told] = (await admin("/admin/api/events/l%2F1%20%C3%BC")).json()["events"]
    assert (told["event_id"], told["destinations"]["acme"]["state"]) == ("l/1 ü", "queued")
    assert "jane.doe" not in str(told)
    answer = await admin("/admin/api/events/no-such")
    assert (answer.status_code, answer.json()["code"]) == (404, "no_such_event")
    assert answer.headers["cache-control"] == "no-store"


def one_died(db):
    """The first event's delivery is a dead letter, and the lane is paused."""
    lane = standing.lane_rows(db)["acme"].id
    died = Change(1, State.DEAD, 1, code="100", message="no such thing as [e-mail]")
    record(db, lane, cursor=1, tried=None, settled=(), changes=[died], now=5.0)
    db.execute("UPDATE lane SET paused_at = 5.0, pause_code = '190' WHERE instance = 'acme'")
