"""Credentials onto requests: the only place where secrets and requests meet."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit, urlunsplit

import anyio
import msgspec

from gateway.delivery.transport import Prepared, Transport
from gateway.model.errors import GatewayError
from gateway.plugin.auth import Bearer, Header, OAuth, Proof, Query, Signature
from gateway.plugin.destination import Request

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.config import Instance
    from gateway.delivery.clock import Clock

#: Shown in place of a secret.
REDACTED = "***"
#: Secrets shorter than this many characters are not looked for in a platform's words.
QUOTABLE = 6
#: An access token is renewed this long before it ends, in seconds.
TOKEN_MARGIN_S = 300.0

_encode = msgspec.json.Encoder(enc_hook=str).encode


class TokenRefused(GatewayError):
    """The token endpoint will not give a token: the credentials are wrong. `code` is OAuth's error."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class TokenUnavailable(GatewayError):
    """The token endpoint does not work just now."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A plugin's request with its body as bytes, before credentials."""

    request: Request
    body: bytes | None


def encode(request: Request) -> Encoded:
    """Encode the body once. Raises `TypeError` or `ValueError` for what JSON, a URL or a header cannot hold."""
    urlsplit(request.url)
    for name, value in request.headers.items():
        f"{name}: {value}".encode("ascii")
    return Encoded(request, None if request.json is None else _encode(request.json))


class Signer:
    """Puts one instance's credentials on its requests."""

    def __init__(self, instance: Instance, clock: Clock, transport: Transport) -> None:
        self._instance = instance
        self._clock = clock
        oauth = next((auth for auth in instance.destination.auths if isinstance(auth, OAuth)), None)
        self._token = _Token(oauth, instance, clock, transport) if oauth else None

    async def sign(self, encoded: Encoded) -> Prepared:
        """The request as it goes out. Raises `TokenRefused`, `TokenUnavailable` or `TransportError`."""
        token = await self._token.get() if self._token else None
        return self._prepare(encoded, self._instance.secrets, token)

    def forget_token(self) -> None:
        """The platform did not take the token: the next request gets a new one."""
        if self._token is not None:
            self._token.forget()

    def redacted(self, text: str) -> str:
        """A platform's words without our secrets: some quote the token that they refuse."""
        return redacted(text, (*self._instance.secrets.values(), self._token.value if self._token else None))

    def shown(self, encoded: Encoded) -> Prepared:
        """The request with its secrets redacted."""
        return self._prepare(encoded, dict.fromkeys(self._instance.secrets, REDACTED), REDACTED, shown=True)

    def _prepare(
        self, encoded: Encoded, secrets: Mapping[str, Any], token: str | None, *, shown: bool = False
    ) -> Prepared:
        request, body = encoded.request, encoded.body
        headers, params = dict(request.headers), dict(request.params)
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
        for auth in self._instance.destination.auths:
            if isinstance(auth, OAuth):
                headers["Authorization"] = f"Bearer {token}"
            elif secrets.get(auth.key) is not None:
                _apply(auth, secrets, headers, params, body, self._clock.now(), shown=shown)
        url = rebased(request.url, self._instance.base_url)
        if params:
            url += ("&" if "?" in url else "?") + urlencode(params, safe="*" if shown else "")
        return Prepared(request.method, url, headers, body)


def redacted(text: str, secrets: Iterable[object]) -> str:
    """A text without these secrets."""
    for secret in secrets:
        if isinstance(secret, str) and len(secret) >= QUOTABLE:
            text = text.replace(secret, REDACTED)
    return text


def _apply(
    auth: Bearer | Header | Query | Proof | Signature,
    secrets: Mapping[str, Any],
    headers: dict[str, str],
    params: dict[str, str],
    body: bytes | None,
    now: float,
    *,
    shown: bool,
) -> None:
    secret = str(secrets[auth.key])
    match auth:
        case Bearer():
            headers["Authorization"] = f"Bearer {secret}"
        case Header():
            headers[auth.name] = secret
        case Query():
            params[auth.name] = secret
        case Proof():
            params[auth.name] = REDACTED if shown else _hmac(secret, str(secrets[auth.message]).encode())
        case Signature():
            at = str(int(now))
            signed = _hmac(secret, at.encode() + b"." + (body or b""))
            headers[auth.name] = f"t={at},v1={REDACTED if shown else signed}"


def _hmac(key: str, message: bytes) -> str:
    return hmac.new(key.encode(), message, hashlib.sha256).hexdigest()


def rebased(url: str, base_url: str | None) -> str:
    """`url` with scheme and host of `base_url`, whose path becomes a prefix."""
    if base_url is None:
        return url
    base, own = urlsplit(base_url), urlsplit(url)
    return urlunsplit((base.scheme, base.netloc, base.path.rstrip("/") + own.path, own.query, ""))


class _Token:
    """An OAuth access token, fetched when needed and renewed in time; one fetch at a time."""

    def __init__(self, oauth: OAuth, instance: Instance, clock: Clock, transport: Transport) -> None:
        self._oauth, self._clock, self._transport = oauth, clock, transport
        self._secrets = tuple(instance.secrets.values())
        self._values: dict[str, Any] = {**instance.config, **instance.secrets}
        # base_url stands for all of a destination's calls, unless token_url says otherwise
        self._url = self._values.get("token_url") or rebased(oauth.token_url, instance.base_url)
        self._lock = anyio.Lock()
        self._token: str | None = None
        self._until = 0.0

    async def get(self) -> str:
        async with self._lock:
            if self._token is None or self._clock.now() >= self._until:
                await self._fetch()
            return self._token or ""

    @property
    def value(self) -> str | None:
        return self._token

    def forget(self) -> None:
        self._token = None

    async def _fetch(self) -> None:
        body = urlencode(self._grant()).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = await self._transport.send(Prepared("POST", self._url, headers, body))
        found = answer.json if isinstance(answer.json, dict) else {}
        token = found.get("access_token")
        if answer.status == 200 and isinstance(token, str) and token:
            lifetime = found.get("expires_in")
            seconds = float(lifetime) if isinstance(lifetime, int | float) else 3600.0
            self._token = token
            self._until = self._clock.now() + max(seconds - TOKEN_MARGIN_S, seconds / 2)
            return
        code = str(found.get("error") or f"http_{answer.status}")[:100]
        if answer.status in (408, 429) or answer.status >= 500 or 200 <= answer.status < 300:
            raise TokenUnavailable(f"the token endpoint answered {answer.status}")
        words = str(found.get("error_description") or f"the token endpoint answered {answer.status}")
        raise TokenRefused(redacted(code, self._secrets), redacted(words, self._secrets)[:300])

    def _grant(self) -> dict[str, str]:
        if account := self._values.get("service_account_file"):
            return self._assertion(Path(account))
        return {
            "grant_type": "refresh_token",
            "client_id": self._values["client_id"],
            "client_secret": self._values["client_secret"],
            "refresh_token": self._values["refresh_token"],
        }

    def _assertion(self, path: Path) -> dict[str, str]:
        """RFC 7523, signed by google-auth: https://developers.google.com/identity/protocols/oauth2/service-account"""
        from google.auth import jwt
        from google.auth.crypt import RSASigner

        try:
            info = json.loads(path.read_text("utf-8"))
            signer = RSASigner.from_service_account_info(info)
            email = info["client_email"]
        except (OSError, ValueError, KeyError) as error:
            raise TokenRefused(
                "service_account_file", f"{path} is no service account key ({type(error).__name__})"
            ) from None
        now = int(self._clock.now())
        claims = {"iss": email, "scope": self._oauth.scope, "aud": self._oauth.token_url, "iat": now, "exp": now + 3600}
        assertion: bytes = jwt.encode(signer, claims)
        return {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion.decode()}
