"""HTML forms as bodies: `application/x-www-form-urlencoded` and `multipart/form-data`. Linear in their size."""

from __future__ import annotations

import re
from binascii import a2b_qp

from gateway.ingest.problem import RequestRefused

URLENCODED, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"

#: Fields of one form.
MOST_FIELDS = 100

_BOUNDARY = re.compile(r';\s*boundary="?([^";]{1,200})"?', re.IGNORECASE)
_NAME = re.compile(rb'name="([^"]{1,200})"', re.IGNORECASE)


def fields(data: bytes, content_type: str) -> dict[str, bytes]:
    """The fields of a form, decoded; the first of a name stands. Raises `RequestRefused`: 400, 413."""
    if content_type.partition(";")[0].strip().lower() == MULTIPART:
        return _multipart(data, content_type)
    return urlencoded(data)


def urlencoded(data: bytes) -> dict[str, bytes]:
    """The fields of `name=value&…`."""
    if data.count(b"&") >= MOST_FIELDS:
        raise _too_many()
    found: dict[str, bytes] = {}
    for pair in data.split(b"&"):
        name, _, value = pair.partition(b"=")
        if name:
            found.setdefault(_plain(name).decode("utf-8", "replace"), _plain(value))
    return found


def _plain(text: bytes) -> bytes:
    """Percent-decoded. In C, by way of quoted-printable: JSON in a form is half percent signs, and may be megabytes."""
    return a2b_qp(text.replace(b"+", b" ").replace(b"=", b"%3D").replace(b"%", b"="))


def _multipart(data: bytes, content_type: str) -> dict[str, bytes]:
    boundary = _BOUNDARY.search(content_type)
    if boundary is None:
        raise RequestRefused(400, "malformed_form", "multipart/form-data without a boundary")
    mark = b"--" + boundary[1].encode("utf-8", "replace")
    if data.count(mark) > MOST_FIELDS:
        raise _too_many()
    found: dict[str, bytes] = {}
    for part in data.split(mark)[1:-1]:
        head, blank, value = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        if blank and len(head) < 2000 and (name := _NAME.search(head)):
            found.setdefault(name[1].decode("utf-8", "replace"), value.removesuffix(b"\r\n"))
    return found


def _too_many() -> RequestRefused:
    return RequestRefused(413, "too_many_values", f"at most {MOST_FIELDS} fields in one form")
