"""The command line `gateway`: the commands put together, and what an error becomes."""

import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from gateway.cli import backup, consent, dead, erase, health, importing, ledger, look, plugins, replay, run, setup

#: Exit codes: something is wrong; wrong usage or configuration; the disk failed (EX_IOERR of sysexits.h).
WRONG, USAGE, DISK = 1, 2, 74


class Group(TyperGroup):
    """A group of commands that says what there is when it is asked for something else."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that `args` begins with; fails with the list of commands."""
        name = args[0] if args else ""
        if name and not name.startswith("-") and self.get_command(ctx, name) is None:
            known = ", ".join(self.list_commands(ctx))
            ctx.fail(f"there is no command {name!r}. There are: {known}")
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=Group,
    name="gateway",
    help="Takes one stream of conversion events and delivers each, under consent, to every ad platform.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from gateway import __version__

        print(f"gateway {__version__}")
        raise typer.Exit


@app.callback()
def _gateway(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


app.command("demo")(run.demo)
app.command("init")(setup.init)
app.command("check")(setup.check)
app.command("serve")(run.serve)
app.command("dispatch")(run.dispatch)
app.command("health")(health.health)
app.command("preview")(look.preview)
app.command("explain")(look.explain)
app.command("events")(look.events)
app.command("prove")(ledger.prove)
app.command("replay")(replay.replay)
app.command("import")(importing.import_file)
app.command("erase")(erase.erase)
app.command("backup")(backup.backup)
app.command("restore")(backup.restore)
for _name, _help, _commands in (
    ("dead", "Dead letters: deliveries given up, with the reason.", dead.COMMANDS),
    ("consent", "What consent has let through and held back.", consent.COMMANDS),
    ("ledger", "The consent ledger: what was decided, and whether anybody changed it.", ledger.COMMANDS),
    ("plugins", "For authors of destinations.", plugins.COMMANDS),
):
    _group = typer.Typer(cls=Group, no_args_is_help=True, rich_markup_mode=None, help=_help)
    for _command, _function in _commands.items():
        _group.command(_command)(_function)
    app.add_typer(_group, name=_name)


def call(arguments: list[str]) -> int:
    """Run one command; returns the exit code. Errors that are meant for people go to standard error, one line each."""
    from gateway.model.errors import GatewayError

    try:
        app(arguments, prog_name="gateway")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except GatewayError as error:
        print(f"gateway: {error}", file=sys.stderr)
        return _code(error)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"gateway: {where}{error.strerror or error}", file=sys.stderr)
        return WRONG
    return 0


def _code(error: Exception) -> int:
    from gateway.model.errors import ConfigError, OutboxFailed, PluginLoadError

    if isinstance(error, ConfigError | PluginLoadError):
        return USAGE
    return DISK if isinstance(error, OutboxFailed) else WRONG


def main() -> None:
    """The console script."""
    sys.exit(call(sys.argv[1:]))
