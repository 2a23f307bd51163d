"""The verdicts, and the readings of an answer that most platforms share.

`delivered`, `received`, `retry`, `split`, `reject` and `pause` each make a `Verdict`; a table of a platform's codes
names them bare: `CODES = {1007: verdicts.pause, 2001: verdicts.reject}`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from gateway.model.delivery import Kind, Verdict

if TYPE_CHECKING:
    from gateway.plugin.destination import Response

#: How much of a platform's words is kept.
MESSAGE_CHARACTERS = 500

Maker: TypeAlias = Callable[..., Verdict]


def delivered(code: str = "", message: str = "") -> Verdict:
    """The platform has it."""
    return Verdict(Kind.DELIVERED, code, message)


def received(request_id: str, message: str = "") -> Verdict:
    """The platform took it and reports the outcome later under this id; needs `Destination.follow_up`."""
    return Verdict(Kind.RECEIVED, "", message, request_id=request_id)


def retry(
    code: str = "",
    message: str = "",
    after_s: float | None = None,
    *,
    tries: int | None = None,
    then_pause: bool = False,
    renew_token: bool = False,
) -> Verdict:
    """Again later: not before `after_s`, at most `tries` times, after which the event is given up (`then_pause`: the
    destination pauses for an operator instead). A `Retry-After` header is honoured by the core.
    """
    return Verdict(Kind.RETRY, code, message, after_s, tries, then_pause=then_pause, renew_token=renew_token)


def split(code: str = "", message: str = "", field: str = "") -> Verdict:
    """The whole request was refused because of some event in it: halve it until the guilty one stands alone."""
    return Verdict(Kind.SPLIT, code, message, field=field)


def reject(code: str = "", message: str = "", field: str = "") -> Verdict:
    """The platform will never take this event: a dead letter. `field`: which one it blames, without positions."""
    return Verdict(Kind.REJECT, code, message, field=field)


def pause(code: str = "", message: str = "", after_s: float | None = None) -> Verdict:
    """Token, permission or account trouble: nothing of this destination can go until an operator mends it."""
    return Verdict(Kind.PAUSE, code, message, after_s)


def refused(code: str, message: str, n: int, field: str = "") -> Verdict:
    """A refusal that names no event: `reject` for a single one, `split` for several."""
    return reject(code, message, field) if n == 1 else split(code, message, field)


def shorten(text: object) -> str:
    """A platform's words, cut to what is kept."""
    return str(text if text is not None else "")[:MESSAGE_CHARACTERS]


def by_code(
    codes: Mapping[Any, Maker | Verdict],
    response: Response,
    path: str,
    n: int,
    *,
    message: str | None = None,
) -> Verdict | None:
    """Look the code at `path` of the JSON body up in a table; `None` when it is not there.

    Values of the table are verdict functions or ready verdicts. A `reject` for a request with several events becomes
    `split`. `message` is the dotted path of the platform's words, by default `message` beside the code.
    """
    code = response.find(path)
    try:
        entry = codes.get(code)
    except TypeError:  # an unhashable code: not one of ours
        return None
    if entry is None:
        return None
    beside = path.rpartition(".")[0]
    words = shorten(response.find(message or (f"{beside}.message" if beside else "message")))
    verdict = entry if isinstance(entry, Verdict) else entry()
    verdict = replace(verdict, code=verdict.code or str(code), message=verdict.message or words)
    if verdict.kind is Kind.REJECT and n > 1:
        return replace(verdict, kind=Kind.SPLIT)
    return verdict


def by_status(response: Response, n: int) -> Verdict:
    """The reading of a bare HTTP status, for what the platform's own words did not settle."""
    status = response.status
    code = f"http_{status}"
    words = shorten(response.body[: 4 * MESSAGE_CHARACTERS].decode("utf-8", "replace"))
    if 200 <= status < 300:
        return delivered()
    if status in (401, 403, 404) or 300 <= status < 400:
        return pause(code, words)
    if status in (408, 425, 429) or status >= 500:
        return retry(code, words)
    if status == 413:
        return refused(code, "request body too large", n)
    return refused(code, words, n)
