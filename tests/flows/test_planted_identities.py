"""Two hundred made-up people in many spellings go through the whole gateway: nothing of them can be read afterwards."""

from __future__ import annotations

import io
import json
import logging
import random
import re
from base64 import b64encode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import pytest
import structlog

from gateway import log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PEOPLE = 200
FULL_WIDTH = {48 + digit: 0xFF10 + digit for digit in range(10)}
GRANTED = dict.fromkeys(("ad_storage", "ad_user_data", "ad_personalization"), "granted")


@dataclass(frozen=True)
class Person:
    """Somebody whose every part is a word that stands nowhere else."""

    first: str
    last: str
    email: str
    #: North American, from the block reserved for fiction: area code, 555-01xx.
    area: str
    line: str
    street: str
    born: date

    @property
    def needles(self) -> Iterator[str]:
        """What may stand nowhere, in lower case."""
        yield from (self.first.lower(), self.last.lower(), self.street.lower(), self.born.isoformat())
        yield from (self.email, quote(self.email, safe=""), quote(quote(self.email, safe=""), safe="").lower())
        yield from (f"{self.area}{self.line}", f"{self.area} {self.line[:3]} {self.line[3:]}")
        yield from (f"{self.area}-{self.line[:3]}-{self.line[3:]}", f"{self.born:%Y%m%d}", f"{self.born:%d.%m.%Y}")

    @property
    def encoded(self) -> Iterator[str]:
        """The address in Base64, whose case counts."""
        for text in (self.email, self.email.upper(), self.email.title()):
            yield b64encode(text.encode()).decode().rstrip("=")


def people(count: int = PEOPLE) -> list[Person]:
    """So many; the first are the same whatever their number."""
    chance = random.Random(20261118)

    def word(size: int) -> str:
        return "".join(chance.choice("bdfgklmnprstvz") + chance.choice("aeiou") for _ in range(size))

    found = []
    for number in range(count):
        first, last = word(4).title(), word(5).title()
        born = date(1950, 1, 1) + timedelta(days=chance.randrange(20_000))
        street = f"{number + 1} {word(5).title()} Lane"
        line = f"55501{(number + number // 700) % 100:02}"
        found.append(
            Person(first, last, f"{first}.{last}@example.com".lower(), f"{201 + number % 700}", line, street, born)
        )
    return found


PEOPLE_PLANTED = people()


def identity(person: Person, way: int) -> dict[str, Any]:
    """`user_data` in one of several spellings."""
    email, phone = person.email, f"+1{person.area}{person.line}"
    spelt = f"({person.area}) {person.line[:3]}-{person.line[3:]}"
    ways: list[dict[str, Any]] = [
        {"email": email, "phone": phone},
        {"email": f"  {email.upper()} ", "phone": f"{phone[:2]} {spelt}"},
        {"email": [email, email.title()], "phone": [spelt, phone.replace("+", "00")], "country": "US"},
        {"email": f"{email}\u200b", "phone": f"tel:{phone}"},
        {"email": f"mailto:{email}", "phone": f"{spelt} ext. 5"},
        {"email": email.replace("@", " @ "), "phone": " ".join(phone)},
        {"email": f"{person.first} {person.last} <{email}>", "phone": phone.translate(FULL_WIDTH)},
        {"email": email.replace("@", "＠"), "phone": f"phone {spelt}"},
    ]  # fmt: skip
    births = [
        person.born.isoformat(),
        f"{person.born:%Y%m%d}",
        f"{person.born:%d.%m.%Y}",
        f"born {person.born.isoformat()}",
    ]
    return {
        **ways[way % len(ways)],
        "first_name": [person.first, person.first.upper(), f"Mrs. {person.first}"][way % 3],
        "last_name": [person.last, f" {person.last}-{person.last}", [person.last]][way % 3],
        "street": [person.street, person.street.upper(), [f"{person.street}, rear"]][way % 3],
        "date_of_birth": births[way % 4],
        "client_ip_address": "203.0.113.9",
        "client_user_agent": "Mozilla/5.0 (X11; Linux x86_64)",
        "external_id": f"{person.email}/{way}",
    }


def urls(person: Person, way: int) -> str:
    """An address of a page with the person in it."""
    email, once = person.email, quote(person.email, safe="")
    nested = quote(f"https://pay.example/?mail={once}&n={person.last}", safe="")
    texts = [
        f"https://shop.example/thanks?email={email}&step=2",
        f"https://shop.example/thanks?e={once}&phone=%2B1{person.area}{person.line}",
        f"https://shop.example/thanks?e={quote(once, safe='')}",
        f"https://shop.example/u/{email}/orders",
        f"https://shop.example/u/{once}?firstname={person.first}&last_name={person.last}",
        f"https://{once}:secret@shop.example/",
        f"https://shop.example/?next={nested}",
        f"https://shop.example/#/reset?user[email]={once}",
        f"https://shop.example/?u={b64encode(email.encode()).decode()}",
        f"https://shop.example/?a=1&u={urlsafe_b64encode(email.upper().encode()).decode().rstrip('=')}",
        f"https://shop.example/?u={quote(b64encode(email.title().encode()).decode(), safe='')}#x",
        f"https://shop.example/?q=+1 {person.area} {person.line[:3]} {person.line[3:]}",
        f"https://shop.example/?dob={person.born.isoformat()}&street={quote(person.street)}",
        f"https://shop.example/{email.upper()}?{email}",
    ]
    return texts[way % len(texts)]


def elsewhere(person: Person, way: int) -> dict[str, Any]:
    """Parts of an event where a person does not belong."""
    email, phone = person.email, f"+1 {person.area} {person.line[:3]} {person.line[3:]}"
    options: list[dict[str, Any]] = [
        {"custom_data": {"email": email, "customer": {"first_name": person.first, "phone": phone}}},
        {"custom_data": {"note": f"please write to {email} or call {phone}", "search_string": email.upper()}},
        {"custom_data": {"contents": [{"id": email, "title": f"Gift for {email}"}], "content_ids": [email]}},
        {"custom_data": {email: 1, "deep": {"list": [{"x": email}, phone]}}},
        {
            "custom_data": {
                "user_properties": {"e-mail": email, "lastName": person.last, "dob": person.born.isoformat()}
            }
        },
        {"context": {"traits": {"email": email, "name": {"familyName": person.last}}, "page_title": f"Hello {email}"}},
        {"app": {"install_referrer": f"utm_source=x&m={quote(email)}", "attribution": {"who": email}, "name": email}},
        {"messaging": {"channel": "messenger", "page_scoped_user_id": email}},
        {"original_event": {"event_id": email, "order_id": email}},
        {"user_data": {"anonymous_id": email, "subscription_id": email, "city": email, "zip": email, "gclid": email}},
        {"destinations": {email: True, phone: False}},
        {"event_id": f"order-{email}"},
        {"event_name": email},
        {"user_data": {email: "x", "Email": email, "nickname": person.first}},
        {"event_time": email, "test": email, "consent": {"region": email, "tcf": 5}, "action_source": email},
        {"custom_data": {"value": email, "currency": email, "contents": email}},
        {email: 1},
    ]
    return options[way % len(options)]


def events() -> list[Any]:
    """For each person one proper purchase, one with the person in its URLs, and one with the person anywhere."""
    made: list[Any] = []
    names = ("Purchase", "Lead", "AddToCart", "PageView")
    for number, person in enumerate(PEOPLE_PLANTED):
        consent = [{**GRANTED, "region": "DE"}, {"region": "US"}, {"region": "DE"}, {"region": "US-CA", "gpc": True}][
            number % 4
        ]
        base = {
            "event_name": names[number % len(names)],
            "user_data": identity(person, number),
            "custom_data": {"value": 10, "currency": "EUR", "order_id": f"o-{number}"},
            "consent": consent,
        }
        made.append({**base, "event_id": f"a-{number}"})
        made.append(
            {
                **base,
                "event_id": f"b-{number}",
                "event_source_url": urls(person, number),
                "referrer_url": urls(person, number // 2),
            }
        )
        strange = elsewhere(person, number)
        made.append({**base, "event_id": f"c-{number}", **strange})
        made.append({"event_name": "Lead", "event_id": f"d-{number}", "consent": {"region": "US"}, **strange})
    return made


@pytest.fixture(scope="module")
def run(world: Callable[..., Any]) -> Iterator[Any]:
    """The world after everything was posted and delivered, with its log lines in `lines`."""
    lines = io.StringIO()
    log.configure(stream=lines, console=False, level=logging.DEBUG)
    made = world(more='[consent.regions."US-CA"]\non_opt_out = "limited"\n')
    made.results = []
    planted = events()
    for at in range(0, len(planted), 400):
        made.results += made.post(*planted[at : at + 400])
    made.deliver()
    made.results += made.post(*planted[:40])  # duplicates
    made.lines = lines.getvalue()
    yield made
    structlog.reset_defaults()


def _within_a_number(digits: str, text: str) -> bool:
    """Whether a date of birth without marks only stands inside a longer number: a time, a size."""
    return digits.isdigit() and re.search(rf"(?<![\d.]){digits}(?![\d.])", text) is None


def find(text: str, *, folded: bool = True) -> list[str]:
    """Whatever of anybody stands in a text, as it is or percent-encoded."""
    texts = {text.lower(), unquote(unquote(text)).lower()} if folded else {text}
    joined = re.sub(r"[0-9a-f]{32,}", "#", "\n".join(texts))  # digests and ids: any eight digits are in one some day
    needles = (one for person in PEOPLE_PLANTED for one in person.needles)
    found = [one for one in needles if one in joined and not (len(one) == 8 and _within_a_number(one, joined))]
    return found + [one for person in PEOPLE_PLANTED for one in person.encoded if one in text]


def test_the_search_finds_what_is_there() -> None:
    person = PEOPLE_PLANTED[7]
    assert find(f"x{person.email.upper()}x")
    assert find(quote(quote(person.email, safe=""), safe=""))
    assert find(b64encode(person.email.encode()).decode())
    assert find(f"a {person.street} b")
    assert find(f'"born":"{person.born:%Y%m%d}"')
    assert find("") == []


def test_most_were_delivered(run: Any) -> None:
    assert sum(one["status"] == "accepted" for one in run.results) > 600
    assert sum(one["status"] == "rejected" for one in run.results) > 80
    assert sum(one["status"] == "duplicate" for one in run.results) > 20
    assert all(len(items) > 90 for items in run.arrived.values())
    assert run.refusals == []


def test_nobody_is_in_the_database(run: Any) -> None:
    path = run.outbox.path
    files = [one for one in path.parent.iterdir() if one.name.startswith(path.name)]
    assert len(files) >= 2
    for file in files:
        assert (file.name, find(file.read_bytes().decode("latin-1"))) == (file.name, [])


def test_nobody_is_in_what_the_database_says(run: Any) -> None:
    # the bytes of a page may split a value: ask for each row as well
    with run.outbox.reading() as db:
        tables = [row[0] for row in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        rows = [row for table in tables for row in db.execute(f'SELECT * FROM "{table}"')]
    text = "\n".join(
        value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) for row in rows for value in row
    )
    assert len(rows) > 700
    assert find(text) == []


def test_nobody_is_in_the_answers(run: Any) -> None:
    assert find(json.dumps(run.answers, ensure_ascii=False)) == []


def test_nobody_is_in_the_log(run: Any) -> None:
    assert run.lines.count("\n") > 0
    assert find(run.lines) == []


def test_nobody_is_in_what_was_sent(run: Any) -> None:
    assert len(run.requests) > 20
    sent = [
        f"{request.method} {request.url} {dict(request.headers)} {request.content.decode()}"
        for _, request in run.requests
    ]
    assert find("\n".join(sent)) == []


def test_who_they_were_is_there_as_digests(run: Any) -> None:
    text = json.dumps(run.arrived["meta"])
    assert len(set(re.findall(r'"em": \["([0-9a-f]{64})"', text))) > 60


def test_whom_nobody_may_have_is_not_there_at_all(run: Any) -> None:
    with run.outbox.reading() as db:
        rows = db.execute("SELECT event_id, payload FROM event").fetchall()
    for event_id, payload in rows:
        kind, number = event_id.split("-")
        if kind in "abc" and int(number) % 4 == 2:  # in Germany, and nothing granted
            stored = json.loads(payload)
            assert (stored["digests"], stored["user_data"]) == ({}, {})


def test_an_exception_tells_nobody(run: Any) -> None:
    lines = io.StringIO()
    log.configure(stream=lines, console=False, level=logging.DEBUG)
    person = PEOPLE_PLANTED[0]
    try:
        raise ValueError(f"{person.email} {person.first} {person.street}")
    except ValueError as error:
        log.get_logger("web").error("request_failed", exc_info=error, email=person.email)
    assert "ValueError" in lines.getvalue()
    assert find(lines.getvalue()) == []
