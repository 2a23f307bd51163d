"""`gateway health`: is the gateway that runs here well? For containers and monitors."""

import json as encoding
import sys
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli import opening, show
from gateway.cli.options import CONFIG, ConfigOption, JsonOption

if TYPE_CHECKING:
    from gateway.config import Server

#: Seconds to wait for the answer.
TIMEOUT_S = 3.0
#: Where to ask a gateway that listens on every address.
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # nothing is bound here


def health(
    config: ConfigOption = CONFIG,
    ready: Annotated[bool, typer.Option("--ready", help="Also whether it takes events.")] = False,
    json: JsonOption = False,
) -> None:
    """Ask the gateway that runs on this machine whether it is well. Exit code 1 when it is not, or does not answer.

    It asks `GET /healthz`, with --ready `GET /readyz`, at the address that the configuration names.
    """
    settings, _ = opening.load(config)
    status, answer = _asked(settings.server, "/readyz" if ready else "/healthz")
    if json:
        show.as_json({"ok": status == 200, "status": status or None, "answer": answer})
    else:
        well = status == 200
        print(answer["status"] if well else f"gateway: {answer['detail']}", file=sys.stdout if well else sys.stderr)
    raise typer.Exit(0 if status == 200 else 1)


def _asked(server: "Server", path: str) -> tuple[int, dict[str, Any]]:
    """HTTP status (0: no answer) and what was answered."""
    host = EVERYWHERE.get(server.host, server.host)
    where = f"http://{f'[{host}]' if ':' in host else host}:{server.port}{path}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # this machine is not behind a proxy
    try:
        with opener.open(where, timeout=TIMEOUT_S) as response:
            return response.status, encoding.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, encoding.load(error)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        return 0, {"detail": f"{where} does not answer: {reason}"}
