"""The look-outs of `tests/canaries.py` see: whatever is leaked on purpose, through whatever channel, fails its test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from gateway import config, registry
from gateway.delivery.auth import Signer, encode
from gateway.delivery.clock import SystemClock
from gateway.delivery.dispatcher import transport_for
from gateway.plugin import Request
from gateway.web.keys import Keys
from tests.canaries import stands_in

ROOT = Path(__file__).parent.parent
HEAD = """
import io, json, logging, subprocess, sys
import anyio, httpx, pytest, structlog
from gateway import log
from gateway.config import Source
from gateway.config.settings import Secrets
from gateway.ingest.problem import RequestRefused
from gateway.outbox.engine import sqlite3
from gateway.web.app import App
from gateway.web.keys import Keys
from gateway.web.metrics import Metrics
from gateway.web.problem import Problem
from tests.canaries import WATCH

SECRET, PERSON = "canary-secret-0123456789", "canary.person@example.com"

@pytest.fixture(autouse=True)
def planted():
    Secrets({"token": SECRET})
    WATCH.event({"user_data": {"email": PERSON, "first_name": "Canaria", "street": "1 Canary Lane"}})

def answered(send_it):
    app = App.__new__(App)
    async def handle(scope, receive, send):
        await send_it(send)
    app._handle = handle
    async def nothing(*_):
        return {}
    anyio.run(app, {"type": "http", "path": "/x", "method": "GET", "headers": []}, nothing, nothing)
"""

#: Channel → a test's body that leaks through it.
LEAKS = {
    "stdout": "print('it is', SECRET)",
    "stderr": "print('it is', PERSON, file=sys.stderr)",
    "stdout_read": "capsys = request.getfixturevalue('capsys'); print(json.dumps([SECRET])); capsys.readouterr()",
    "log": "log.get_logger('web').debug('happened', message=f'it is {SECRET}')",
    "log_street": "log.get_logger('web').info('happened', message='lives at 1 canary lane')",
    "log_elsewhere": "log.configure(stream=io.StringIO()); log.get_logger('web').debug('x', message=SECRET)",
    "library": "logging.getLogger('uvicorn').debug('GET /?key=%s', SECRET)",
    "library_asyncio": "logging.getLogger('asyncio').debug('task with %s', SECRET)",
    "exception": "RequestRefused(400, 'x', f'not for {PERSON}')",
    "metric": "m = Metrics(); m.request_refused(SECRET); m.text()",
    "answer": "answered(lambda send: send({'type': 'http.response.body', 'body': PERSON.encode()}))",
    "header": "answered(lambda send: send({'type': 'http.response.start', 'headers': [(b'x', SECRET.encode())]}))",
    "problem": "answered(lambda send: send({'type': 'x', 'body': Problem(RequestRefused(400, 'x', SECRET)).body}))",
    "process": "subprocess.run([sys.executable, '-c', f'print({SECRET!r})'], capture_output=True)",
    "key": "Keys([Source(name='x', write_keys=('canary-write-key-1',))]); print('canary-write-key-1')",
    "admin_token": "Keys([], ('canary-admin-token-1',)); print('canary-admin-token-1')",
}  # fmt: skip

#: The same for files: looked through at the end of a test file, so each has one of its own.
FILES = {
    "database": "db = sqlite3.connect(tmp_path / 'gateway.db'); db.execute('CREATE TABLE x (y)'); "
    "db.execute('INSERT INTO x VALUES (?)', (PERSON,)); db.commit(); db.close()",
    "wal": "(tmp_path / 'gateway.db-wal').write_bytes(b'\\0\\1' + SECRET.encode() + b'\\0')",
    "log_file": "(tmp_path / 'log').write_text(f'x {SECRET}')",
    "deep": "(tmp_path / 'a').mkdir(); (tmp_path / 'a' / 'backup.db').write_text('Canaria')",
}

FINE = "log.get_logger('web').error('x', email=PERSON, message='fine', key='k'); print('Can-aria', SECRET[:8])"
INPUT = "(tmp_path / 'gateway.toml').write_text(SECRET)"


def run(folder: Path) -> str:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.canaries",
        "-p",
        "no:cacheprovider",
        "-q",
        "-rA",
        str(folder),
    ]
    options = ["--rootdir", str(folder), "-c", "/dev/null", "--basetemp", str(folder / "tmp")]
    done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_every_leak_fails_the_test_that_leaks(tmp_path: Path) -> None:
    lines = [f"def test_{name}(request):\n    {body}\n" for name, body in LEAKS.items()]
    (tmp_path / "test_leaks.py").write_text("\n".join([HEAD, *lines, f"def test_fine(tmp_path):\n    {FINE}\n"]))
    for name, body in {**FILES, "input": INPUT}.items():
        text = f"{HEAD}\ndef test_{name}(tmp_path):\n    {body}\n"
        (tmp_path / f"test_file_{name}.py").write_text(text)
    told = run(tmp_path)
    found = {line.rpartition("::")[2].split(" ")[0] for line in told.splitlines() if line.startswith("ERROR ")}
    assert found == {f"test_{name}" for name in (*LEAKS, *FILES)}, told
    assert f"{len(LEAKS) + len(FILES) + 2} passed" in told


def test_values_print_without_what_is_secret_in_them(tmp_path: Path) -> None:
    """What a debugger, a failed assertion or an error tracker would print of them."""
    secrets = ("canary-write-key-1", "canary-admin-token", "canary-access-token", "canary-app-secret")
    write, admin, access, app = secrets
    (tmp_path / "gateway.toml").write_text(
        f'[server]\nadmin_token = "{admin}"\n[sources.web]\nwrite_key = "{write}"\n'
        f'[destinations.meta]\npixel_id = "1"\naccess_token = "{access}"\napp_secret = "{app}"\n'
    )
    document = config.read(tmp_path / "gateway.toml", {})
    settings = config.settings(document, registry.load().destinations)
    instance = settings.destinations["meta"]
    keys = Keys(settings.sources.values(), settings.server.admin_tokens)
    signer = Signer(instance, SystemClock(), transport_for(instance))
    prepared = anyio.run(signer.sign, encode(Request("POST", "https://platform.example/", json={"token": access})))
    assert access in f"{prepared.url} {prepared.headers}"
    values = (document, settings, settings.redacted(), *settings.sources.values(), settings.server, instance)
    for value in (*values, instance.secrets, keys, signer, prepared, keys._holders):
        assert not [one for one in secrets if one in f"{value} {value!r} {vars_of(value)}"], type(value)


def vars_of(value: object) -> str:
    """What `traceback` and others show of a local: its `repr`, in a list and a mapping too."""
    return repr([value]) + repr({"value": value})


@pytest.mark.parametrize(
    ("text", "there"),
    [
        ('"date_of_birth": "20010724"', True),
        ("dob=20010724&", True),
        ("a4f20010724bc", False),
        ("1795.20010724", False),
    ],
)
def test_a_day_is_looked_for_as_such(text: str, there: bool) -> None:
    assert stands_in("20010724", text) is there
