"""Files all the way: the examples of the documentation, a process that is killed, a gateway that runs beside it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from gateway.cli.main import call
from gateway.outbox.engine import connect

PAGE = (Path(__file__).parents[2] / "docs/doors/files.md").read_text("utf-8")
HOUR = 3600.0


def example(heading: str, name: str, folder: Path) -> tuple[str, str]:
    """The file and the mapping that stand below a heading, written down; what happened in November was yesterday."""
    part = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    text, toml = (re.search(rf"```{kind}\n(.*?)```", part, re.DOTALL)[1] for kind in ("text", "toml"))
    yesterday = datetime.now(UTC) - timedelta(days=1)
    text = re.sub(r"2026-11-\d\d", f"{yesterday:%Y-%m-%d}", text)
    text = re.sub(r"\d\d\.11\.2026", f"{yesterday:%d.%m.%Y}", text)
    (folder / f"{name}.csv").write_text(text, "utf-8")
    (folder / f"{name}.toml").write_text(toml, "utf-8")
    return str(folder / f"{name}.csv"), str(folder / f"{name}.toml")


@pytest.fixture
def imported(world, capsys):
    """`imported(heading, name)`: a world in which that example was imported, and what the command said."""

    def run(heading: str, name: str):
        made = world()
        folder = made.settings.path.parent
        file, toml = example(heading, name, folder)
        said = []
        for more in (["--dry-run"], []):
            capsys.readouterr()
            assert call(["import", file, "--map", toml, "--config", str(made.settings.path), "--json", *more]) == 0
            said.append(json.loads(capsys.readouterr().out))
        told = ("rows", "accepted", "duplicates", "rejected", "left_out", "faults")
        assert [said[0][key] for key in told] == [said[1][key] for key in told]
        made.deliver()
        return made, {**said[1], "foreseen": said[0]["destinations"]}

    return run


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_store_purchases_reach_the_platforms(imported):
    world, said = imported("Purchases in stores", "tills")
    assert (said["rows"], said["accepted"], said["rejected"], said["warnings"]) == (3, 2, 0, {})
    assert world.refusals == []
    assert sorted(world.ids("meta")) == ["12-889", "12-890"]
    first = next(one for one in world.arrived["meta"] if one["event_id"] == "12-889")
    assert first["action_source"] == "physical_store"
    assert first["user_data"]["em"] == [digest("ana.example@example.com")]
    assert first["user_data"]["ph"] == [digest("12125550123")]
    assert first["custom_data"]["value"] == 59.98
    assert [(one["id"], one["quantity"], one["item_price"]) for one in first["custom_data"]["contents"]] == [
        ("SKU-1", 1, 39.98),
        ("SKU-2", 2, 10),
    ]
    assert all(sorted(world.ids(name)) == ["12-889", "12-890"] for name in ("tiktok", "google", "pinterest"))
    assert said["foreseen"] == said["destinations"]
    assert not any(b"ana.example@example.com" in request.content for _, request in world.requests)


def test_stages_of_leads_reach_the_platforms(imported):
    world, said = imported("Stages of leads", "stages")
    assert (said["rows"], said["accepted"], said["left_out"]) == (4, 3, 1)
    assert world.refusals == []
    assert world.ids("meta") == ["5501-QualifiedLead", "5501-ConvertedLead"]  # in their order; the third denies
    first, second = world.arrived["meta"]
    assert first["action_source"] == "system_generated"
    assert first["user_data"]["lead_id"] == 1234567890123456
    assert first["custom_data"]["event_source"] == "crm"
    assert first["custom_data"]["lead_event_source"] == "ExampleCRM"
    assert (second["event_name"], second["custom_data"]["value"]) == ("ConvertedLead", 1200)
    assert said["destinations"]["meta"] == {"queued": 2, "skipped:consent": 1}


def test_refunds_reach_the_platforms(imported):
    world, said = imported("Refunds and backfill", "refunds")
    assert (said["accepted"], said["rejected"]) == (2, 0)
    with world.outbox.reading() as db:
        stored = [json.loads(row[0]) for row in db.execute("SELECT payload FROM event ORDER BY seq")]
    assert [(one["event_id"], one["custom_data"]["value"]) for one in stored] == [("r-1", 29.99), ("r-2", 12.5)]
    assert [one["custom_data"]["remaining_value"] for one in stored] == [44.49, 0]
    assert said["destinations"]["meta"] == {"queued": 2}  # what only the mapping finds out a dry run tells before
    assert said["foreseen"]["meta"] == {"skipped:unsupported": 2}
    assert stored[0]["original_event"] == {"event_name": "Purchase", "order_id": "10042"}


def test_what_is_too_old_is_counted_where_it_is_skipped(world, tmp_path, capsys):
    made = world()
    lines = [
        json.dumps({"event_name": "Purchase", "event_time": time.time() - days * 24 * HOUR, "action_source": source,
                    "event_source_url": "https://shop.example/thank-you",
                    "user_data": {"email": "ana.example@example.com", "client_user_agent": "Mozilla/5.0 (made up)"},
                    "custom_data": {"value": 5, "currency": "EUR", "order_id": f"{source}-{days}"},
                    "consent": {"region": "US"}})
        for source in ("website", "physical_store") for days in (1, 30, 80)
    ]  # fmt: skip
    (tmp_path / "old.ndjson").write_text("\n".join(lines), "utf-8")
    options = ["--config", str(made.settings.path), "--json"]
    assert call(["import", str(tmp_path / "old.ndjson"), *options]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["accepted"] == 6
    assert said["destinations"]["meta"] == {"skipped:too_old": 3, "queued": 3}
    assert said["destinations"]["google"] == {"queued": 4, "skipped:too_old": 2}
    made.deliver()
    assert sorted(made.ids("meta")) == ["physical_store-1", "physical_store-30", "website-1"]


# Processes of their own.

CONFIG = """
[server]
port = {port}
[sources.web]
write_key = "example-write-key-0000"
region = "US"
[destinations.sink]
plugin = "webhook"
url = "http://127.0.0.1:{sink}/"
allow_private = true
secret = "a-secret-of-the-tests-0001"
"""

#: Kills its own process at one point of the n-th batch.
KILLED = """
import os, signal, sys
from gateway.cli.main import call
from gateway.ingest.importing import run
from gateway.outbox import append, imports, sqlite, writer
run.BATCH = 100
point, batch = sys.argv[1], int(sys.argv[2])
count = 0
def kill(here):
    if here == point and count == batch:
        os.kill(os.getpid(), signal.SIGKILL)
def around(owner, name, before, after):
    real = getattr(owner, name)
    def run(*arguments, **more):
        global count
        count += before == "storing"
        kill(before)
        found = real(*arguments, **more)
        kill(after)
        return found
    setattr(owner, name, run)
around(append.Log, "append", "storing", "stored")
around(imports, "move", "", "moved")
around(run.Import, "_report", "committed", "told")
sys.exit(call(sys.argv[3:]))
"""


def ids_in(path: Path) -> list[str]:
    with closing(connect(path, readonly=True)) as db:
        return [row[0] for row in db.execute("SELECT event_id FROM event ORDER BY seq")]


def purchases(path: Path, count: int) -> None:
    head = "event_name,event_time,email,value,currency,order_id"
    rows = [f"Purchase,{time.time() - HOUR:.0f},p{n}@example.com,5,EUR,o{n}" for n in range(count)]
    path.write_text("\n".join([head, *rows]), "utf-8")


def test_a_process_that_is_killed_anywhere_takes_each_row_once(tmp_path):
    """Duplicates are not known any more when it goes on: what was stored may not be looked at again."""
    (tmp_path / "gateway.toml").write_text(CONFIG.format(port=0, sink=9).replace("port = 0", ""), "utf-8")
    with (tmp_path / "gateway.toml").open("a") as out:
        out.write('[outbox]\ndedup_window = "0s"\n')
    purchases(tmp_path / "rows.csv", 1050)
    command = ["import", str(tmp_path / "rows.csv"), "--config", str(tmp_path / "gateway.toml"), "--json"]
    database, done = tmp_path / "gateway.db", 0
    for point, batch in (("storing", 2), ("stored", 2), ("moved", 1), ("committed", 2), ("told", 3)):
        killed = subprocess.run([sys.executable, "-c", KILLED, point, str(batch), *command], check=False, timeout=60)
        assert killed.returncode == -signal.SIGKILL
        done += (batch - (point in ("storing", "stored", "moved"))) * 100
        assert ids_in(database) == [f"o{n}" for n in range(done)], point
    ended = subprocess.run(
        [sys.executable, "-m", "gateway", *command], check=True, capture_output=True, text=True, timeout=60
    )
    said = json.loads(ended.stdout)
    assert (said["accepted"], said["duplicates"], said["resumed_after"]) == (1050, 0, done)
    assert ids_in(database) == [f"o{n}" for n in range(1050)]


def test_an_interrupt_ends_it_after_a_batch_and_the_next_run_goes_on(tmp_path):
    (tmp_path / "gateway.toml").write_text('[sources.web]\nwrite_key = "example-write-key-0000"\n', "utf-8")
    purchases(tmp_path / "rows.csv", 20_000)
    command = ["import", str(tmp_path / "rows.csv"), "--config", str(tmp_path / "gateway.toml")]
    database = tmp_path / "gateway.db"
    with subprocess.Popen([sys.executable, "-m", "gateway", *command], stdout=subprocess.PIPE, text=True) as running:
        wait_until(lambda: database.exists() and position(database) > 0, running)
        running.send_signal(signal.SIGINT)
        out, _ = running.communicate(timeout=30)
    assert running.returncode == 1
    assert "The same command goes on after these rows." in out
    done = position(database)
    assert 0 < done < 20_000
    assert len(ids_in(database)) == done
    assert (
        subprocess.run([sys.executable, "-m", "gateway", *command], check=False, stdout=subprocess.PIPE).returncode == 0
    )
    assert ids_in(database) == [f"o{n}" for n in range(20_000)]


def position(database: Path) -> int:
    with closing(connect(database, readonly=True)) as db:
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'import'").fetchone():
            return 0
        row = db.execute("SELECT position FROM import").fetchone()
    return row[0] if row else 0


def wait_until(happened, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)


@contextmanager
def serving(folder: Path, sink: int):
    """`gateway serve` in a process of its own; gives its address."""
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "gateway.toml").write_text(CONFIG.format(port=port, sink=sink), "utf-8")
    command = [sys.executable, "-m", "gateway", "serve", "--config", str(folder / "gateway.toml")]
    with (folder / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log, text=True) as running:
        try:
            wait_until(lambda: "started" in (folder / "log").read_text("utf-8"), running)
            yield f"http://127.0.0.1:{port}/v1/events"
        finally:
            running.send_signal(signal.SIGTERM)
            assert running.wait(30) == 0


@contextmanager
def sink():
    """A receiver of webhooks: the ids that came."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    came: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            came.extend(re.findall(r'"event_id": "([^"]+)"', json.dumps(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1], came
        finally:
            server.shutdown()


def test_it_works_beside_a_running_gateway_which_delivers_what_it_stores(tmp_path):
    purchases(tmp_path / "rows.csv", 3_000)
    with sink() as (port, came), serving(tmp_path, port) as url, httpx.Client() as client:
        command = [sys.executable, "-m", "gateway", "import", str(tmp_path / "rows.csv"), "--json"]
        environment = {**os.environ, "GATEWAY_CONFIG": str(tmp_path / "gateway.toml")}
        posted, slowest = 0, 0.0
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as running:
            while running.poll() is None or not posted:
                # every second one repeats a row of the file
                order = f"o{posted}" if posted % 2 else f"web{posted}"
                event = {"event_name": "Purchase", "user_data": {"email": "ana.example@example.com"},
                         "custom_data": {"value": 5, "currency": "EUR", "order_id": order}}  # fmt: skip
                began = time.monotonic()
                answer = client.post(url, json=event, headers={"X-Write-Key": "example-write-key-0000"})
                slowest = max(slowest, time.monotonic() - began)
                assert answer.status_code == 202
                posted += 1
            said = json.loads(running.stdout.read())
        web = {f"web{n}" for n in range(0, posted, 2)}
        doubles = posted // 2
        assert said["rejected"] == 0
        expected = {f"o{n}" for n in range(3_000)} | web | {f"o{n}" for n in range(1, posted, 2)}
        stored = ids_in(tmp_path / "gateway.db")
        assert len(stored) == len(set(stored))
        assert set(stored) == expected
        assert said["accepted"] + said["duplicates"] == 3_000
        assert said["duplicates"] <= doubles
        assert slowest < 5
        deadline = time.monotonic() + 30
        while len(set(came)) < len(expected) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert set(came) == expected
