"""`gateway serve`, `gateway dispatch`, `gateway demo`: what runs."""

import os
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.options import CONFIG, ConfigOption, JsonOption, UnreadOption


def serve(
    config: ConfigOption = CONFIG,
    dispatch: Annotated[bool, typer.Option("--dispatch/--no-dispatch", help="Deliver in this process too.")] = True,
) -> None:
    """Run the server.

    SIGTERM and SIGINT end it in order; SIGHUP reads the configuration again. With --no-dispatch, `gateway dispatch`
    delivers: only one process at a time does on one outbox, and another takes over when it ends.
    """
    from gateway import log
    from gateway.web import server

    log.configure(level=log.level_of(os.environ))
    raise typer.Exit(server.serve(config, dispatch=dispatch))


def dispatch(config: ConfigOption = CONFIG) -> None:
    """Run the dispatcher alone, without HTTP.

    It waits while another process delivers from the same outbox, and takes over when that one ends.
    """
    from gateway import log
    from gateway.web import server

    log.configure(level=log.level_of(os.environ))
    raise typer.Exit(server.dispatch(config))


def demo(
    keep: Annotated[
        Path | None, typer.Option("--keep", metavar="FOLDER", help="Keep the configuration and the outbox there.")
    ] = None,
    json: JsonOption = False,
    config: UnreadOption = CONFIG,
) -> None:
    """Show all of it on this machine: gateway, mock platforms, sample events, and what each platform received.

    Needs no account, no configuration and no network.
    """
    from gateway.demo.run import main

    raise typer.Exit(main(json, keep))
