"""The page about the command line, made from the commands: `python -m gateway.cli.reference` rewrites `docs/cli.md`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from gateway.cli.main import app
from gateway.ingest.formats.files.columns import markdown

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"
#: The page about `gateway import`; its tables of columns are made from those of the code.
FILES = PAGE.parent / "doors" / "files.md"

INTRO = """\
# The command line

<!-- Made from the commands by `python -m gateway.cli.reference`: change their help, not this page. -->

`gateway` and `python -m gateway` are the same. Commands that read a configuration take `--config FILE`; without it
`$GATEWAY_CONFIG` is read, else `gateway.toml` in the present folder.

| exit code | means |
|---|---|
| 0 | fine |
| 1 | something is wrong: a check failed, an event was refused, there is no such event, the outbox cannot be used |
| 2 | wrong usage, or a configuration or plugin that cannot be used |
| 74 | the disk failed |

What is wrong is told in one line on standard error (a configuration: a line for each fault). Output is coloured only on
a terminal, and never if `NO_COLOR` is set. Secrets are shown as `***`; e-mail addresses, phone numbers and digests in
platforms' words are left out.

Commands that look (`events`, `explain`, `dead list`, `dead show`, `check`, `replay` and `import` with `--dry-run`)
never write, make no file, and may run while the gateway does. Those that act (`dead retry`, `dead discard`, `replay`,
`erase`, `import`) may too: the running dispatcher takes up what they changed within a second. With `--json` the first
three do not ask, so they need `--yes`; `erase` and `import` never ask.

In JSON, times are Unix seconds (UTC), durations seconds (`_s`), and `null` means that there is none. Keys may be added.

States: `queued` (its turn has not come), `waiting` (tried, to be tried again), `received` (taken; the platform will
report), `delivered`, `dead` (given up, with a reason), `skipped` (never to be sent), `expired` (too old before it could
go), `cancelled` (stopped or discarded), `dry_run` (a test event that would have counted as real)."""

_STANDING = '{"state", "code", "message", "tries", "first_at", "next_at", "since"}'
_DELIVERY = """{
    "state", "code", "message", "tries", "first_at", "next_at", "since",
    "consent": {"outcome", "reason", "rule",   // at the door
      "now", "steps": [{"question", "found", "answer"}]},   // under the present configuration
    "match_keys": ["email", …], "fields": ["user_data.em", …],   // names, never values
    "paused": {"since", "code", "message"},   // null unless it has to wait for a paused destination
    "attempts": [{"started_at", "duration_s", "size", "status", "verdict", "code", "message", "request_id",
      "asked_next_at"}]}"""
_EVENT = f"""{{"seq", "event_id", "event_name", "source", "received_at", "payload_kept", "unreadable",
  "event_time", "action_source", "test", "region", "signals": {{…}},   // empty unless payload_kept
  "joined": {{PATH: {{"by", "at", "source"}}}},   // told by a visit of the same person, not by the sender
  "destinations": {{NAME: {_DELIVERY}}}}}"""
_ACTED = """{"chosen": 2, "destinations": {NAME: 2}, "left": [{"instance", "code", "message", "count"}],
 "lacking": {"NAME: email": 1}, "dry_run": false, "done": 2,
 "preview": [{"instance", "event_id", "request": {…}}]}   // with --dry-run: the first of each destination"""

#: Command → its JSON. A name alone stands for a value.
SHAPES = {
    "demo": "{…}   // see mocks.md",
    "init": '{"path"}',
    "check": '{"ok": true, "checks": [{"name", "status", "message"}]}   // status: ok, warning or problem',
    "preview": """{"results": [{"index", "status", "event_name", "event_id", "warnings", "destinations",
  "preview": {NAME: {"request": {"method", "url", "headers", "json"}}   // or {"skipped": {…}}, {"error"}
}}]}   // as POST /v1/validate answers; a refused one has "errors" instead""",
    "explain": f'{{"event_id", "events": [{_EVENT}]}}',
    "events": '{"events": [{"seq", "event_id", "event_name", "source", "received_at",\n'
    f'  "destinations": {{NAME: {_STANDING}}}}}]}}',
    "prove": """{"event_id", "events": [{"seq", "event_id", "event_name", "source", "received_at", "holds",
  "faults": [{"code", "message", "row", "seq"}],
  "row", "salt", "event_commitment", "strings_commitment", "strings",   // opened, none or not kept
  "ruling_hash", "ruling": {"source", "signals": {…}, "policy", "to": {NAME: [outcome, reason, code, rule]}},
  "later": [{"row", "at", "kind", "said": {…}}],   // said: a ruling, or what the row says
  "chain": [{"row", "at", "kind", "previous", "hash", "holds"}]}]}   // from its row to the head""",
    "replay": _ACTED,
    "import": """{"file", "format", "source", "dry_run", "finished", "resumed_after",   // null: not resumed
  "rows", "accepted", "duplicates", "rejected", "left_out",   // of the whole file, before an interrupt too
  "destinations": {NAME: {"queued": 2, "skipped:consent": 1}},   // of the accepted
  "errors": {CODE: 1}, "warnings": {CODE: 1},
  "faults": [{"level", "line", "column", "path", "code", "message"}],   // the first; error, warning or duplicate
  "unknown_columns": […], "ignored_columns": […]}""",
    "health": '{"ok", "status", "answer": {…}}   // status: of HTTP, null when there was no answer',
    "erase": """{"erased_at", "events", "linked_events", "pseudonyms", "overwritten",
  "destinations": [{"destination", "plugin", "delivered", "unsure", "stopped", "first_at", "last_at"}]}""",
    "backup": '{"path", "events", "bytes"}',
    "restore": '{"path", "made_at", "events", "erased_again", "moved": [FILE]}   // null: not known',
    "dead list": """{"groups": [{"cause", "instance", "code", "field", "count", "first_at", "last_at", "message",
  "money": [{"currency", "value"}], "without_value", "advice", "docs"}]}""",
    "dead show": '{"events": […]}   // as `explain`, with the dead ones of "destinations" only',
    "dead retry": _ACTED,
    "dead discard": _ACTED,
    "consent report": """{"since", "until", "ledger_since", "head", "head_hash",
  "events", "without_signal", "with_strings", "unreadable_strings", "withdrawn",
  "withdrawals", "grants", "erasures",   // asked for outside of events
  "lines": [{"region", "source", "destination", "sent", "limited", "held", "other", "stopped", "released",
    "rules": [{"outcome", "code", "rule", "count"}]}],   // outcome: sent, limited, held or other
  "unreadable": [{"cmp", "count", "reasons": {WHY: 2}}],   // cmp: "unknown" when the string does not tell
  "policies": [{"policy", "events", "first_at", "last_at"}]}""",
    "ledger verify": """{"holds", "base", "head", "head_hash", "rows", "entries", "opened", "strings_opened", "closed",
  "rulings", "anchors", "anchors_older", "faults": [{"code", "message", "row", "seq"}], "more_faults"}""",
    "plugins list": """{"plugins": [{"name", "origin", "api_version", "interface", "docs", "purposes",
  "config": [{"key", "type", "required", "secret", "default", "description"}]}]}""",
    "plugins new": '{"files": […]}',
}


def page() -> str:
    """The whole page, in Markdown."""
    root = typer.main.get_command(app)
    parts = [INTRO]
    for name, command in commands(root):
        parts += [f"## `gateway {name}`", _text(command.help or "")]
        if rows := [*_rows(command)]:
            parts.append("\n".join(["| option | takes | does |", "|---|---|---|", *rows]))
        if shape := SHAPES.get(name):
            parts.append(f"`--json`:\n\n```text\n{shape}\n```")
    return "\n\n".join(parts) + "\n"


def commands(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """All commands with their whole names, in the order of `--help`."""
    for name, command in group.commands.items():
        whole = f"{before}{name}"
        if hasattr(command, "commands"):
            yield from commands(command, f"{whole} ")
        else:
            yield whole, command


def _text(text: str) -> str:
    return text.strip()


def _rows(command: Any) -> Iterator[str]:
    for option in command.params:
        if option.name == "help":
            continue
        argument = option.param_type_name == "argument"
        names = [option.metavar or option.name.upper()] if argument else [*option.opts, *option.secondary_opts]
        takes = "" if argument or option.is_flag else option.metavar
        told = (option.help or "").replace("|", "\\|")
        yield f"| {', '.join(f'`{one}`' for one in names)} | {takes} | {told} |"


def with_columns(text: str) -> str:
    """The page about files, with its tables of columns made anew."""
    before, begin, rest = text.partition("<!-- columns -->\n")
    after = rest.partition("<!-- /columns -->")[2]
    return f"{before}{begin}{markdown()}\n<!-- /columns -->{after}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    FILES.write_text(with_columns(FILES.read_text("utf-8")), encoding="utf-8")
