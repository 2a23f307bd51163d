"""`gateway erase`: a person's data."""

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli import opening, show
from gateway.cli.options import CONFIG, ConfigOption, JsonOption

if TYPE_CHECKING:
    from gateway.model.errors import Fault


def erase(
    config: ConfigOption = CONFIG,
    email: Annotated[list[str] | None, typer.Option("--email", metavar="VALUE", help="An e-mail address.")] = None,
    phone: Annotated[
        list[str] | None, typer.Option("--phone", metavar="VALUE", help="A phone number, best with its country code.")
    ] = None,
    external_id: Annotated[
        list[str] | None, typer.Option("--external-id", metavar="VALUE", help="The id in your own systems.")
    ] = None,
    anonymous_id: Annotated[
        list[str] | None, typer.Option("--anonymous-id", metavar="VALUE", help="The id of a visitor.")
    ] = None,
    country: Annotated[
        str | None, typer.Option("--country", metavar="CODE", help="Country of a national phone number: DE.")
    ] = None,
    linked: Annotated[
        bool, typer.Option("--linked", help="Also events that share another identifier with the person's.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Erase a person: events, deliveries, dead letters and links; print the receipt.

    Each identifier may be given several times, in the clear or hashed with SHA-256. What happened until now does not
    come in again, be it by a late event, an import or a replay; who comes back later is somebody new. The receipt says
    which platforms had received the person: have it deleted there, too. It works beside a running gateway.
    """
    import anyio

    from gateway.insight.receipt import receipt
    from gateway.outbox import erasure
    from gateway.privacy.identity import person

    given = {"email": email, "phone": phone, "external_id": external_id, "anonymous_id": anonymous_id}
    user_data: dict[str, Any] = {name: values for name, values in given.items() if values}
    if not user_data:
        raise typer.BadParameter("say whom: --email, --phone, --external-id or --anonymous-id")
    with opening.reading(config) as (settings, _):  # an outbox that is not there is not made for this
        pass
    with opening.writing(settings) as outbox:
        found = person(outbox.key, user_data, country)
        if found.warnings:
            raise typer.BadParameter(f"{_told(found.warnings[0])}; nothing was erased")
        erased = anyio.run(lambda: erasure.erase(outbox, found.pseudonyms, time.time(), linked=linked))
    made = receipt(erased, settings)
    if json:
        show.as_json(made)
    else:
        _printed(made)


def _told(fault: "Fault") -> str:
    name = fault.path.split("/")[2]
    if fault.code == "phone_without_country":
        return f"{name}: a national number needs --country"
    return f"{name}: {fault.message.partition('; left out')[0]}"


def _printed(made: dict[str, Any]) -> None:
    out = show.console()
    when = datetime.fromtimestamp(made["erased_at"], UTC)
    show.line(out, f"Erased: {show.plural(made['events'], 'event', 'events')}, {when:%Y-%m-%d %H:%M:%S} UTC", "bold")
    if not made["events"]:
        show.line(
            out, "Nobody was found by this. It is remembered: what happened until now does not come in.", indent=2
        )
    for one in made["destinations"]:
        counts = ", ".join(f"{one[name]} {words}" for name, words in _WORDS.items() if one[name])
        show.line(out, f"{one['destination']}: {counts}", indent=2)
    if any(one["delivered"] or one["unsure"] for one in made["destinations"]):
        show.line(out, "What a platform has received only the platform can delete: ask it to.", "yellow")
    if made["linked_events"]:
        count = show.plural(made["linked_events"], "event shares", "events share")
        show.line(out, f"{count} another identifier with these; --linked erases them too.", "yellow")
    if not made["overwritten"]:
        show.line(out, "The write-ahead log could not be emptied: a reader is in the way. Run it again.", "yellow")


#: Of a destination, in the receipt's order.
_WORDS = {
    "delivered": "delivered",
    "unsure": "sent without an answer seen",
    "stopped": "stopped before they were sent",
}
