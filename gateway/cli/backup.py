"""`gateway backup` and `gateway restore`: a copy of the outbox, and the way back."""

import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli import opening, show
from gateway.cli.options import CONFIG, ConfigOption, JsonOption, YesOption

if TYPE_CHECKING:
    from gateway.outbox.backup import Copy


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the copy goes; a file that is there stays.")],
    config: ConfigOption = CONFIG,
    json: JsonOption = False,
) -> None:
    """Copy the outbox to a file while the gateway runs: one consistent moment, read through once it is made.

    Only its owner can read the copy. It holds what the outbox holds, digests and click ids included: keep it as long as
    `[privacy]` and `[outbox]` keep those, not longer. Keys, tokens and gateway.toml are not in it.
    """
    from gateway.outbox import backup as copies

    settings, _ = opening.load(config)
    with opening.reading(config):  # of this version's shape
        pass
    found = copies.copy(settings.outbox.path, file, time.time(), _progress)
    if json:
        show.as_json({"path": str(found.path), "events": found.events, "bytes": found.size_bytes})
    else:
        size = f"{found.events} events, {found.size_bytes / 1e6:.1f} MB"
        print(f"Wrote {found.path}: {size}. It was read back and is whole.")


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A copy that `gateway backup` made.")],
    config: ConfigOption = CONFIG,
    yes: YesOption = False,
    json: JsonOption = False,
) -> None:
    """Put a copy in the outbox's place; what is there is moved aside, not deleted. The gateway must not run.

    Who was erased since the copy was made is erased in it too, and consent that was taken back since stays so, as far
    as the old outbox can be read. What was owed when the copy was made goes again under the same event ids, unless the
    platform's window for repeats is over: then it becomes a dead letter, `unseen_window`, for you to judge. What was
    accepted after the copy was made is not in it.
    """
    from gateway.outbox import backup as copies
    from gateway.outbox.carrying import carry
    from gateway.outbox.people import key_path

    settings, _ = opening.load(config)
    now = time.time()
    found = copies.look(file)
    if not json:
        _told(found, settings.outbox.path, now)
    if not yes and (json or not sys.stdin.isatty()):
        raise typer.BadParameter("nobody can be asked here: add --yes to act")
    if not yes and not typer.confirm("Put it in the outbox's place?"):
        raise typer.Exit(1)
    target = settings.outbox.path
    had_one = target.exists()
    carried: list[int | None] = []
    moved = copies.restore(
        file,
        target,
        f".{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%SZ}",
        lambda fresh: carried.append(carry(target, fresh) if had_one else 0),
    )
    erased_again = carried[0]
    if json:
        made = {"made_at": found.made_at, "events": found.events, "erased_again": erased_again}
        show.as_json({"path": str(settings.outbox.path), **made, "moved": [str(one) for one in moved]})
        return
    print(f"{settings.outbox.path} is the copy now." + (f" The old one is {moved[0]}." if moved else ""))
    if not had_one:
        print("There was no outbox in its place: who was erased since the copy was made is in it, and consent that was")
        print("taken back since counts again. Erase again who asked, and say again who withdrew.")
        if not key_path(target).exists():
            print(f"Its key is missing too: put {key_path(target)} back, or nobody in it can be found.")
    elif erased_again is None:
        print("What people asked for since it was made could not be read from the old one: erase again who asked.")
    elif erased_again:
        print(f"{show.plural(erased_again, 'event', 'events')} of people who were erased since it was made went again.")
    print("Next: `gateway check`, then start the gateway.")


def _told(found: "Copy", target: Path, now: float) -> None:
    made = "an unknown time" if found.made_at is None else show.when(found.made_at, now)
    print(f"{found.path}: {found.events} events, {found.size_bytes / 1e6:.1f} MB, made at {made}.")
    if found.made_at is None:
        print("It does not say when it was made: what it owes will be sent as if it had never been tried.")
    if target.exists():
        print(f"{target} will be moved aside.")


def _progress(left: int, total: int) -> None:
    """On a terminal, how far the copy is."""
    if sys.stderr.isatty() and total:
        end = "\n" if left == 0 else ""
        print(f"\r{100 * (total - left) // total} %", end=end, file=sys.stderr, flush=True)
