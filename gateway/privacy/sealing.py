"""What the outbox keeps of an event, encrypted where the operator has given a key: AES-256-GCM. Pure but for the nonce.

A sealed text is one byte that begins no JSON, four bytes that name the key, twelve of nonce, and the ciphertext with
its tag. What was stored before a key was set, or under an older one that is still configured, stays readable.
"""

from __future__ import annotations

import base64
import binascii
import os
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

#: What a payload is bound to; see `gateway.ingest.record` for its short-lived part.
PAYLOAD = b"payload"
#: Begins what is sealed.
MARK = b"\x01"
KEY_BYTES, _NAME, _NONCE = 32, 4, 12


class Unopened(ValueError):
    """Sealed under a key that is not configured, or not as it was sealed."""


@dataclass(frozen=True)
class Keyring:
    """Keys: the first seals, all open. Without any nothing is sealed."""

    keys: tuple[bytes, ...] = field(default=(), repr=False)

    @cached_property
    def _ciphers(self) -> dict[bytes, AESGCM]:
        return {name_of(key): AESGCM(key) for key in self.keys}

    def seal(self, text: bytes, about: bytes) -> bytes:
        """Encrypt; `about` is what it belongs to, and has to be said again to open it."""
        if not self.keys:
            return text
        name, nonce = name_of(self.keys[0]), os.urandom(_NONCE)
        return MARK + name + nonce + self._ciphers[name].encrypt(nonce, text, about)

    def open(self, text: bytes | str, about: bytes) -> bytes:
        """The inverse; a text that is not sealed comes back as it is. Raises `Unopened`."""
        if isinstance(text, str):  # somebody's hand was in the database
            text = text.encode()
        if not text.startswith(MARK):
            return text
        name, rest = text[1 : 1 + _NAME], text[1 + _NAME :]
        cipher = self._ciphers.get(name)
        if cipher is None:
            raise Unopened(f"sealed under the key {name.hex()}, which is not among [privacy] encryption_key")
        try:
            return cipher.decrypt(rest[:_NONCE], rest[_NONCE:], about)
        except (InvalidTag, ValueError):
            raise Unopened("not as it was sealed: changed, or another event's") from None

    def text(self, sealed: bytes, about: bytes) -> str | None:
        """The same as text; `None` when it cannot be opened."""
        try:
            return self.open(sealed, about).decode()
        except (Unopened, UnicodeDecodeError):
            return None


#: Nothing is encrypted.
NO_KEYS = Keyring()


def name_of(key: bytes) -> bytes:
    """What a key is called: four bytes that do not tell it."""
    return sha256(b"name of a key\0" + key).digest()[:_NAME]


def read_key(text: str) -> bytes:
    """A key as hexadecimal digits or Base64. Raises `ValueError` for anything but 32 bytes."""
    try:
        key = bytes.fromhex(text) if len(text) == 2 * KEY_BYTES else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != KEY_BYTES:
        raise ValueError("expected 32 random bytes in Base64 or hexadecimal, as `openssl rand -base64 32` makes them")
    return key
