"""E-mail addresses where an id or a name should be: some shops take the customer's address for an id."""

from __future__ import annotations

import re
from binascii import a2b_base64
from typing import TYPE_CHECKING, Any

from gateway.model.errors import EventInvalid, Fault
from gateway.privacy.personal import decoded, has_email
from gateway.privacy.scrub import MARK, scrub_value
from gateway.schema import MAX_FAULTS

if TYPE_CHECKING:
    from gateway.ingest.draft import Draft

#: Code and message of the warning about whatever is taken out.
REMOVED = ("personal_data_removed", "personal data does not belong here: removed")

#: What may be an address in Base64: of plain ASCII it is letters and digits alone, in either alphabet.
_ENCODED = re.compile(r"(?<![A-Za-z0-9])([A-Za-z0-9]{12,})(?:=|%3[Dd]){0,2}")


def without_encoded(url: str) -> str:
    """A URL with each e-mail address in Base64 replaced: so do mailing tools write them into the links of letters."""
    if not any(map(_decodes_to_email, _ENCODED.findall(url))):
        return url
    return _ENCODED.sub(lambda found: MARK if _decodes_to_email(found[1]) else found[0], url)


def _decodes_to_email(text: str) -> bool:
    size = len(text)
    if size % 4 == 1:
        return False
    plain = a2b_base64(text + "==" if size % 4 else text)
    return b"@" in plain and plain.isascii() and has_email(plain.decode("ascii"))


def holds_email(value: Any) -> bool:
    """Whether a text, or one in a list, holds an e-mail address."""
    if isinstance(value, str):
        return ("@" in value or "%" in value or not value.isascii()) and has_email(decoded(value))
    return isinstance(value, list) and any(map(holds_email, value))


def without_emails(draft: Draft, key: str, part: dict[str, Any]) -> dict[str, Any]:
    """A closed part of the event without the values that hold an address, with a warning for each.

    Its keys are known, so that only values can be at fault; an open object below it is scrubbed as `custom_data` is.
    The same object comes back when nothing was found.
    """
    for value in part.values():
        if type(value) is not str or "@" in value or "%" in value or not value.isascii():
            break
    else:  # nearly always
        return part
    kept: dict[str, Any] = {}
    for name, value in part.items():
        new = scrub_value(value)[0] if isinstance(value, dict) else value
        gone = holds_email(value)
        if gone or new is not value:
            draft.warn(f"/{key}/{name}", *REMOVED)
        if not gone:
            kept[name] = new
    return kept


def refuse_misplaced(draft: Draft) -> None:
    """Raise `EventInvalid` if anything was removed: where the operator would rather hear of it than send the rest."""
    found = [one for one in draft.warnings if one.code == REMOVED[0]]
    if found:
        words = "holds personal data, which does not belong there: send it in user_data, or not at all"
        raise EventInvalid(*(Fault(one.path, "personal_data", words) for one in found[:MAX_FAULTS]))
