"""One request: built by the plugin, encoded once, signed, sent, its answer judged. Never raises on their account."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from gateway.delivery.auth import Encoded, Signer, TokenRefused, TokenUnavailable, encode
from gateway.delivery.claims import Claim, plugin_bug
from gateway.log import platform_words
from gateway.model.delivery import Kind, Verdict
from gateway.model.errors import TransportError
from gateway.plugin import verdicts
from gateway.plugin.destination import Batch, Request, Response

if TYPE_CHECKING:
    from gateway.config import Instance
    from gateway.delivery.clock import Clock
    from gateway.delivery.transport import Transport

#: The longest `Retry-After` that is believed, in seconds.
RETRY_AFTER_MAX_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of one request."""

    #: One for all claims, or one for each.
    verdict: Verdict | Sequence[Verdict]
    #: Unix seconds.
    started_at: float
    duration_s: float = 0.0
    #: HTTP status; 0 when no answer came.
    status: int = 0
    #: A request was tried; otherwise the verdict is our own.
    tried: bool = False
    #: It may have arrived, and its answer was not seen.
    unseen: bool = False
    #: No answer came at all.
    silent: bool = False


class Sender:
    """Sends one instance's requests."""

    def __init__(self, instance: Instance, clock: Clock, transport: Transport) -> None:
        self._instance, self._clock, self._transport = instance, clock, transport
        self._signer = Signer(instance, clock, transport)
        self._item_bytes = 1.0

    @property
    def fits(self) -> int:
        """How many items of the last batch's size one request body can hold."""
        return max(1, int(0.9 * self._instance.destination.limits.bytes / self._item_bytes))

    async def send(self, claims: Sequence[Claim]) -> Answered:
        """Send one batch: claims of one group."""
        built = self._build(claims)
        if isinstance(built, Verdict):
            return Answered(built, self._clock.now())
        answered = await self._exchange(built, len(claims))
        return _final(answered) if claims[0].test else answered

    async def ask(self, request: Request) -> Answered | Response:
        """Send a question that is not a batch; the answer as it came, or why there is none."""
        encoded = encode(request)
        answered, response = await self._once(encoded)
        if response is not None and response.status == 401:
            self._signer.forget_token()
            answered, response = await self._once(encoded)
        return response if response is not None else answered

    async def probe(self, request: Request) -> Answered:
        """Send a plugin's probe and classify its answer."""
        return _final(await self._exchange(encode(request), 1))

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    def _build(self, claims: Sequence[Claim]) -> Encoded | Verdict:
        destination, n = self._instance.destination, len(claims)
        batch = Batch.of([claim.item for claim in claims], group=claims[0].group, test=claims[0].test)
        try:
            encoded = encode(destination.build_request(batch, self._instance.config))
        except Exception as error:  # a plugin's mistake: found by halving, it costs one delivery
            return verdicts.refused("plugin_bug", plugin_bug(destination.name, "build_request", error), n)
        if encoded.body is not None:
            self._item_bytes = len(encoded.body) / n
        if encoded.body is not None and len(encoded.body) > destination.limits.bytes:
            return verdicts.refused("too_large", f"more than {destination.limits.bytes} bytes in one request", n)
        return encoded

    async def _exchange(self, encoded: Encoded, n: int) -> Answered:
        answered, response = await self._once(encoded)
        if response is None:
            return answered
        verdict = self._classify(response, n)
        if isinstance(verdict, Verdict) and verdict.renew_token:
            self._signer.forget_token()
            answered, response = await self._once(encoded)
            if response is None:
                return answered
            verdict = self._classify(response, n)
            if isinstance(verdict, Verdict) and verdict.renew_token:
                verdict = replace(verdict, kind=Kind.PAUSE)
        return replace(answered, verdict=verdict)

    async def _once(self, encoded: Encoded) -> tuple[Answered, Response | None]:
        started_at, start = self._clock.now(), time.perf_counter()
        signed = False
        try:
            prepared = await self._signer.sign(encoded)
            signed = True
            response = await self._transport.send(prepared)
        except TransportError as error:  # before it was signed, it was the token that got no answer
            answered = Answered(verdicts.retry(error.reason, str(error)), started_at, tried=True, silent=True)
            answered = replace(answered, unseen=error.sent and signed, duration_s=time.perf_counter() - start)
            return answered, None
        except TokenUnavailable as error:
            verdict = verdicts.retry("token_unavailable", str(error))
            return Answered(verdict, started_at, time.perf_counter() - start, tried=True, silent=True), None
        except TokenRefused as error:
            verdict = verdicts.pause(error.code, self._signer.redacted(str(error)))
            return Answered(verdict, started_at, time.perf_counter() - start, tried=True), None
        except (LookupError, TypeError, ValueError) as error:  # the plugin's part was checked when it was encoded
            words = f"the request cannot be signed ({type(error).__name__}): look for a character that does not belong"
            return Answered(verdicts.pause("credentials_unusable", words), started_at, tried=True), None
        duration_s = time.perf_counter() - start
        return Answered(verdicts.delivered(), started_at, duration_s, response.status, tried=True), response

    def _classify(self, response: Response, n: int) -> Verdict | Sequence[Verdict]:
        destination = self._instance.destination
        try:
            verdict = destination.classify(response, n)
            found = [_checked(verdict, n)] if isinstance(verdict, Verdict) else [_checked(one, 1) for one in verdict]
            if not isinstance(verdict, Verdict) and len(found) != n:
                raise ValueError("classify gave another number of verdicts than there were events")
        except Exception as error:  # a plugin's mistake
            return self._unreadable(response, n, plugin_bug(destination.name, "classify", error))
        found = [self._without_secrets(one) for one in found]
        least = retry_after(response.headers.get("retry-after"), self._clock.now())
        if least is not None:
            found = [_not_before(one, least) for one in found]
        return found[0] if isinstance(verdict, Verdict) else found

    def _without_secrets(self, verdict: Verdict) -> Verdict:
        """With the platform's words as they may be kept: nothing of ours and of no person."""
        if not verdict.message and not verdict.field:
            return verdict
        words, field = (platform_words(self._signer.redacted(text)) for text in (verdict.message, verdict.field))
        return replace(verdict, message=words, field=field)

    def _unreadable(self, response: Response, n: int, words: str) -> Verdict | Sequence[Verdict]:
        """An answer that the plugin cannot read. What the platform refused is halved until the guilty event stands
        alone; what it seems to have taken is not sent again; where it does not work just now, all is tried again.
        """
        if response.status in (408, 425, 429) or response.status >= 500:
            return verdicts.retry("plugin_bug", words)
        if 200 <= response.status < 300:
            return [
                verdicts.reject("plugin_bug", f"{words}; the platform answered {response.status}: it may have it")
            ] * n
        return verdicts.refused("plugin_bug", words, n)


def retry_after(value: str | None, now: float) -> float | None:
    """The header's seconds from now, whether given as seconds or as a date; `None` for neither (RFC 9110 §10.2.3)."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), RETRY_AFTER_MAX_S)
    try:
        at = parsedate_to_datetime(text)
        at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
        return min(max(0.0, at.timestamp() - now), RETRY_AFTER_MAX_S)
    except (ValueError, TypeError, OverflowError):
        return None


def _final(answered: Answered) -> Answered:
    """What a platform took in its test mode is done with: it reports nothing about that later."""
    given = answered.verdict
    each = [given] if isinstance(given, Verdict) else list(given)
    done = [replace(one, kind=Kind.DELIVERED, request_id="") if one.kind is Kind.RECEIVED else one for one in each]
    return replace(answered, verdict=done[0] if isinstance(given, Verdict) else done)


def _checked(verdict: Verdict, n: int) -> Verdict:
    """A verdict that keeps the rules, whatever the plugin gave: nothing is rejected whole, one cannot be split."""
    if verdict.kind is Kind.REJECT and n > 1:
        return replace(verdict, kind=Kind.SPLIT)
    if verdict.kind is Kind.SPLIT and n == 1:
        return replace(verdict, kind=Kind.REJECT)
    return verdict


def _not_before(verdict: Verdict, least: float) -> Verdict:
    if verdict.kind in (Kind.RETRY, Kind.PAUSE):
        return replace(verdict, after_s=max(verdict.after_s or 0.0, least))
    return verdict
