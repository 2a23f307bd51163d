"""OpenAPI 3.1 of what is built. The event's schema is `schemas/event.v1.schema.json`, not a copy of it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

import gateway
from gateway.schema import EVENT_SCHEMA, load_schema
from gateway.web.conversions_api import VERSION
from gateway.web.keys import CHALLENGE
from gateway.web.segment import BATCH, PATHS, SETTINGS

if TYPE_CHECKING:
    from collections.abc import Iterable

Node: TypeAlias = dict[str, Any]

_TEXT: Node = {"type": "string"}
_COUNT: Node = {"type": "integer", "minimum": 0}

#: Status → when it is answered, for the doors that take events.
REFUSALS = {
    400: "Malformed, or an empty list.",
    401: "Missing or unknown key.",
    403: "A key of the wrong kind, or an origin that is not allowed.",
    404: "Nothing is there: without `admin_token`, nothing of /admin is.",
    408: "The body did not arrive in time.",
    413: "Too large, also after decompression, or too many events.",
    415: "Unknown content type or encoding.",
    422: "Every event was refused; `results` says why.",
    429: "Too much at once: send it again after `Retry-After` seconds.",
    431: "Too many headers, or too long ones.",
    503: "Nothing can be stored now: send it again after `Retry-After` seconds.",
}

_FAULT: Node = {
    "type": "object",
    "required": ["path", "code", "message"],
    "properties": {
        "path": {"type": "string", "description": "JSON Pointer into the event."},
        "code": {"type": "string", "description": "Stable code: see docs/codes.md."},
        "message": _TEXT,
    },
}
_FAULTS: Node = {"type": "array", "items": {"$ref": "#/components/schemas/Fault"}}

_RESULT: Node = {
    "type": "object",
    "required": ["index", "status"],
    "properties": {
        "index": {**_COUNT, "description": "Place of the event in the body, from 0."},
        "event_id": {"type": "string", "description": "Absent for a refused event."},
        "status": {"enum": ["accepted", "duplicate", "rejected"]},
        "warnings": _FAULTS,
        "errors": _FAULTS,
        "destinations": {
            "type": "object",
            "description": "Destination → `queued`, `dry_run` or `skipped:` and the reason.",
            "additionalProperties": _TEXT,
        },
    },
}
_PREVIEW: Node = {
    "duplicate": {"const": "unknown", "description": "Whether the event came before is not looked up."},
    "preview": {
        "type": "object",
        "description": "Destination → its request without secrets, or why there is none.",
        "additionalProperties": {
            "type": "object",
            "properties": {"request": {"type": "object"}, "skipped": {"type": "object"}, "error": {}},
        },
    },
}


def _answer(result: str) -> Node:
    return {
        "type": "object",
        "required": ["accepted", "duplicates", "rejected", "results"],
        "properties": {
            "accepted": _COUNT,
            "duplicates": _COUNT,
            "rejected": _COUNT,
            "results": {"type": "array", "items": {"$ref": f"#/components/schemas/{result}"}},
        },
    }


def _told() -> Node:
    """What a shop is answered."""
    found = _answer("Result")
    unused = {"type": "object", "properties": {"code": _TEXT, "message": _TEXT}}
    erased = {"type": "object", "properties": {"events": _COUNT}}
    more = {
        "unused": {**unused, "description": "Why no event was made."},
        "erased": {**erased, "description": "A customer was erased."},
    }
    return {**found, "properties": {**found["properties"], **more}}


_PROBLEM: Node = {
    "type": "object",
    "description": "RFC 9457.",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": _TEXT,
        "title": _TEXT,
        "status": {"type": "integer"},
        "detail": _TEXT,
        "code": {"type": "string", "description": "Stable code: see docs/codes.md."},
        "request_id": {"type": "string", "description": "With a 500: leads to a line in the gateway's log."},
        "accepted": _COUNT,
        "duplicates": _COUNT,
        "rejected": _COUNT,
        "results": {"type": "array", "items": {"$ref": "#/components/schemas/Result"}},
    },
}

_WHO: Node = {"type": "object", "description": "At least one of email, phone, external_id, anonymous_id."}
_CHANGE: Node = {
    "type": "object",
    "required": ["user_data", "consent"],
    "properties": {
        "user_data": _WHO,
        "consent": {"type": "object", "description": "As in an event: at least one grant or denial."},
        "key": {"type": "string", "description": "A public key, where it comes in no header."},
    },
}
_REMEMBERED: Node = {
    "type": "object",
    "required": ["denied", "opted_out", "destinations"],
    "properties": {
        "denied": {"type": "array", "items": _TEXT},
        "opted_out": {"type": "boolean"},
        "destinations": {"type": "object", "additionalProperties": {"type": "array", "items": _TEXT}},
    },
}
_CHANGED: Node = {
    "type": "object",
    "required": ["remembered", "warnings"],
    "properties": {
        "remembered": _REMEMBERED,
        "stopped": {**_COUNT, "description": "Deliveries that were cancelled; only with a write key."},
        "warnings": _FAULTS,
    },
}
_ERASURE: Node = {
    "type": "object",
    "required": ["user_data"],
    "properties": {
        "user_data": _WHO,
        "linked": {"type": "boolean", "description": "Also events that share another identifier with the person's."},
    },
}
_HELD: Node = {
    "type": "object",
    "properties": {
        "destination": _TEXT,
        "plugin": _TEXT,
        "delivered": _COUNT,
        "unsure": {**_COUNT, "description": "Sent, and no answer seen."},
        "stopped": _COUNT,
        "first_at": {"type": ["number", "null"]},
        "last_at": {"type": ["number", "null"]},
    },
}
_RECEIPT: Node = {
    "type": "object",
    "required": ["erased_at", "events", "linked_events", "pseudonyms", "overwritten", "destinations", "warnings"],
    "properties": {
        "erased_at": {"type": "number", "description": "Unix seconds."},
        "events": _COUNT,
        "linked_events": _COUNT,
        "pseudonyms": _COUNT,
        "overwritten": {"type": "boolean"},
        "destinations": {"type": "array", "items": _HELD},
        "warnings": _FAULTS,
    },
}

_RECEIVED: Node = {
    "type": "object",
    "required": ["events_received", "messages", "fbtrace_id"],
    "properties": {
        "events_received": {**_COUNT, "description": "Accepted ones and duplicates."},
        "messages": {"type": "array", "items": _TEXT, "description": "Refused events, warnings, what was left out."},
        "fbtrace_id": {"type": "string", "description": "The request's id."},
    },
}
_GRAPH_ERROR: Node = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "code", "is_transient", "error_user_title", "error_user_msg", "fbtrace_id"],
            "properties": {
                **dict.fromkeys(("message", "type", "error_user_msg", "fbtrace_id"), _TEXT),
                "code": {"type": "integer", "description": "As the Graph API has it."},
                "error_subcode": {"type": "integer"},
                "is_transient": {"type": "boolean"},
                "error_user_title": {"type": "string", "description": "Stable code: see docs/codes.md."},
            },
        }
    },
}
_VALIDATION_MESSAGES: Node = {
    "type": "object",
    "required": ["validationMessages"],
    "properties": {
        "validationMessages": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["fieldPath", "description", "validationCode", "code"],
                "properties": dict.fromkeys(("fieldPath", "description", "validationCode", "code"), _TEXT),
            },
        }
    },
}

_EVENT: Node = {"$ref": "#/components/schemas/Event"}
_EVENTS: Node = {"type": "array", "minItems": 1, "items": _EVENT}
_BODY: Node = {
    "anyOf": [_EVENT, _EVENTS, {"type": "object", "required": ["events"], "properties": {"events": _EVENTS}}]
}
_BROWSER_BODY: Node = {
    "description": "As for /v1/events; `key` may stand beside the fields.",
    "type": ["object", "array"],
}

_SECRET: list[Node] = [{"bearer": []}, {"basic": []}, {"header": []}]
_PUBLIC: list[Node] = [*_SECRET, {"query": []}, {}]


@cache
def encoded() -> bytes:
    """The whole document as it is sent: anybody may ask for it, so that it is written once."""
    return msgspec.json.encode(document())


@cache
def document() -> Node:
    """The whole document. To be read, not changed."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Conversions gateway",
            "version": gateway.__version__,
            "description": "Takes conversion events and delivers each, under consent, to every ad platform.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": _paths(),
        "components": {"securitySchemes": _SECURITY, "schemas": _schemas()},
    }


_SEGMENT_ANSWER: Node = {
    "type": "object",
    "required": ["success", "accepted", "duplicates", "rejected", "results"],
    "properties": {
        "success": {"type": "boolean", "description": "No call was refused."},
        "accepted": _COUNT,
        "duplicates": _COUNT,
        "rejected": _COUNT,
        "results": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["index", "status"],
                "properties": {
                    "index": _COUNT,
                    "status": {"enum": ["accepted", "duplicate", "rejected", "ignored"]},
                    "event_id": _TEXT,
                    "warnings": _FAULTS,
                    "errors": _FAULTS,
                    "destinations": {"type": "object", "additionalProperties": _TEXT},
                },
            },
        },
    },
}
_SEGMENT_CALL: Node = {"type": "object", "description": "A call of the Segment specification; `writeKey` may be in it."}
_SEGMENT_BATCH: Node = {
    "description": "A batch of calls, or one call that says its type.",
    "anyOf": [
        {
            "type": "object",
            "required": ["batch"],
            "properties": {"batch": {"type": "array", "minItems": 1, "items": _SEGMENT_CALL}, "writeKey": _TEXT},
        },
        _SEGMENT_CALL,
        {"type": "array", "minItems": 1, "items": _SEGMENT_CALL},
    ],
}

_SECURITY: Node = {
    "bearer": {"type": "http", "scheme": "bearer", "description": CHALLENGE},
    "basic": {"type": "http", "scheme": "basic", "description": "The key is the user name; no password."},
    "header": {"type": "apiKey", "in": "header", "name": "X-Write-Key"},
    "query": {"type": "apiKey", "in": "query", "name": "key"},
}


def _paths() -> Node:
    typed = {"application/json": {"schema": _BODY}, "application/x-ndjson": {"schema": _TEXT}}
    beacon = {name: {"schema": _BROWSER_BODY} for name in ("application/json", "text/plain")}
    lines = {"application/x-ndjson": {"schema": _TEXT}}
    return {
        "/v1/events": {
            "post": _door("postEvents", "Take events in; answered once they are on disk", 202, "Answer", typed, _SECRET)
        },
        "/v1/validate": {
            "post": _door("validateEvents", "Say what would happen; store nothing", 200, "Validation", typed, _SECRET)
        },
        "/v1/collect": {
            "post": _door("collectEvents", "Events from a browser", 202, "Answer", {**beacon, **lines}, _PUBLIC),
            "options": _preflight("collectPreflight"),
        },
        "/collect.js": {"get": _get("getSnippet", "The browser snippet", "text/javascript")},
        "/v1/consent": {
            "post": _about("changeConsent", "A person's consent changed", "ConsentChange", "ConsentChanged", _PUBLIC),
            "options": _preflight("consentPreflight"),
        },
        "/{version}/{pixel_id}/events": {"post": _conversions()},
        "/mp/collect": {"post": _measurements("postMeasurements", "GA4's Measurement Protocol", 204)},
        "/debug/mp/collect": {"post": _measurements("validateMeasurements", "The same; stores nothing", 200)},
        "/g/collect": {
            "get": _hits("getHit"),
            "post": _hits("postHits"),
            "options": _preflight("hitPreflight"),
        },
        **_segment(),
        "/webhooks/{source}": {"post": _webhook()},
        "/v1/users": {"delete": _about("eraseUser", "Erase a person", "Erasure", "Receipt", _SECRET)},
        "/healthz": {"get": _get("health", "Alive", "application/json")},
        "/readyz": {"get": _get("readiness", "Ready to take events", "application/json", 503)},
        "/metrics": {"get": _get("metrics", "Counters for Prometheus", "text/plain")},
        "/admin/api/status": {"get": _admin("adminStatus", "Lanes and totals")},
        "/admin/api/dead": {"get": _admin("adminDead", "Dead letters by destination and cause")},
        "/admin/api/events/{event_id}": {"get": _admin("adminEvent", "What happened to an event", "event_id")},
        "/openapi.json": {"get": _get("describe", "This document", "application/json")},
    }


def _segment() -> Node:
    """The Segment tracking API. Any type of body is taken for JSON."""
    found: Node = {}
    for path, kind in PATHS.items():
        name = "segment" + "".join(map(str.capitalize, path.strip("/").split("/")))
        schema = _SEGMENT_BATCH if kind == BATCH else _SEGMENT_CALL
        content = {one: {"schema": schema} for one in ("application/json", "text/plain")}
        post = _door(name, f"Segment: {kind}", 202, "SegmentAnswer", content, _PUBLIC)
        responses = {code: one for code, one in post["responses"].items() if code not in ("202", "415", "422")}
        taken = {"200": {**post["responses"]["202"], "description": "What became of each call."}}
        refused = {code: _json_problem(one) for code, one in responses.items()}
        post["responses"] = {**taken, **refused, "415": _json_problem(_problem(415))}
        found[path] = {"post": post, "options": _preflight(f"{name}Preflight")}
    for path in SETTINGS:
        name = "segmentSettings" if "{" in path else "sourceConfig" + "Slash" * path.endswith("/")
        get = _get(name, "What an SDK asks for before it sends", "application/json", 401, 403)
        at = {"in": "path", "required": True} if "{" in path else {"in": "query"}
        get["parameters"] = [{"name": "write_key" if "{" in path else "writeKey", "schema": _TEXT, **at}]
        found[path] = {"get": get, "options": _preflight(f"{name}Preflight")}
        if "{" in path:
            found[path]["options"]["parameters"] = get["parameters"]
    return found


def _preflight(name: str) -> Node:
    return {
        "operationId": name,
        "summary": "CORS preflight",
        "responses": {"204": {"description": "The origin may post."}, "403": _problem(403)},
    }


def _json_problem(node: Node) -> Node:
    """A problem as the Segment API's clients read it, with `message` beside its keys; one of HTTP itself is bare."""
    problem = node["content"]["application/problem+json"]
    return {**node, "content": {"application/json": problem, "application/problem+json": problem}}


def _door(name: str, summary: str, status: int, answer: str, content: Node, security: list[Node]) -> Node:
    refusals = [code for code in REFUSALS if code != 404 and (status == 202 or code not in (422, 503))]
    return {
        "operationId": name,
        "summary": summary,
        "security": security,
        "requestBody": {"required": True, "content": content},
        "responses": {
            str(status): _described("What became of each event.", "application/json", answer),
            **{str(code): _problem(code) for code in refusals},
        },
    }


def _webhook() -> Node:
    """A shop's webhook: whatever is signed is answered 200."""
    found = _door(
        "postWebhook",
        "What a shop tells, signed",
        202,
        "Told",
        {"application/json": {"schema": {"type": "object"}}},
        [{}],
    )
    told = {"200": found["responses"].pop("202")}
    refused = {status: one for status, one in found["responses"].items() if status not in ("403", "422")}
    found["parameters"] = [_parameter("source", "path")]
    found["responses"] = {**told, **refused}
    found["responses"]["401"] = {
        **_problem(401),
        "description": "Not signed with the source's secret, or no such source.",
    }
    return found


def _conversions() -> Node:
    """Meta's own format: its requests, answers and errors."""
    kinds = ("application/json", "application/x-www-form-urlencoded", "multipart/form-data")
    found = _door("postConversions", "Events in Meta's own format", 202, "Received", _any_of(kinds), _SECRET)
    refused = {status: REFUSALS[int(status)] for status in found["responses"] if status not in ("202", "422")}
    version = {**_parameter("version", "path"), "schema": {"type": "string", "pattern": VERSION.pattern}}
    found["parameters"] = [version, _parameter("pixel_id", "path"), _parameter("access_token", "query")]
    found["security"] = [{"bearer": []}, {}]
    found["responses"] = {
        "200": _described("At least one event was taken.", "application/json", "Received"),
        **{status: _described(words, "application/json", "GraphError") for status, words in refused.items()},
        "404": {**_problem(404), "description": "The address is that of no version."},
    }
    return found


def _measurements(name: str, summary: str, status: int) -> Node:
    body = {kind: {"schema": {"type": "object", "required": ["events"]}} for kind in ("application/json", "text/plain")}
    found = _door(name, summary, 202, "Answer", body, [*_SECRET, {}])
    found["parameters"] = [_parameter(key, "query") for key in ("api_secret", "measurement_id", "firebase_app_id")]
    told: Node = {"description": "At least one event was taken, or all are of a kind that is left out."}
    if status == 200:
        told = _described("What would be found wrong.", "application/json", "ValidationMessages")
    found["responses"] = {str(status): told, **{key: one for key, one in found["responses"].items() if key != "202"}}
    return found


def _hits(name: str) -> Node:
    found = _measurements(name, "GA4's tag, from a browser", 204)
    found["security"] = [{}]
    found["requestBody"] = {"required": False, "content": {"text/plain": {"schema": _TEXT}}}
    found["parameters"] = [_parameter("tid", "query"), _parameter("en", "query")]
    if name.startswith("get"):
        del found["requestBody"]
    return found


def _any_of(kinds: Iterable[str]) -> Node:
    return {kind: {"schema": {"type": "object", "required": ["data"]}} for kind in kinds}


def _parameter(name: str, place: str) -> Node:
    return {"name": name, "in": place, "required": place == "path", "schema": _TEXT}


def _about(name: str, summary: str, body: str, answer: str, security: list[Node]) -> Node:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{body}"}}}
    found = _door(name, summary, 202, answer, content, security)
    found["responses"] = {"200": found["responses"].pop("202"), **found["responses"]}
    found["responses"]["200"]["description"] = summary
    return found


def _get(name: str, summary: str, media_type: str, *refusals: int) -> Node:
    fine = {"description": summary, "content": {media_type: {}}}
    return {
        "operationId": name,
        "summary": summary,
        "responses": {"200": fine, **{str(code): _problem(code) for code in refusals}},
    }


def _admin(name: str, summary: str, *given: str) -> Node:
    found = _get(name, summary, "application/json", 401, 403, 404)
    parameters = [{"name": one, "in": "path", "required": True, "schema": _TEXT} for one in given]
    return {**found, "security": [{"bearer": []}], **({"parameters": parameters} if given else {})}


def _described(description: str, media_type: str, schema: str) -> Node:
    return {"description": description, "content": {media_type: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}}


def _problem(status: int) -> Node:
    found = _described(REFUSALS[status], "application/problem+json", "Problem")
    if status in (429, 503):
        found["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    if status == 401:
        found["headers"] = {"WWW-Authenticate": {"schema": _TEXT}}
    return found


def _schemas() -> Node:
    event = dict(load_schema(EVENT_SCHEMA))
    parts = event.pop("$defs", {})
    for key in ("$schema", "$id"):
        event.pop(key, None)
    return {
        "Event": _moved(event),
        **{f"Event.{name}": _moved(part) for name, part in parts.items()},
        "Fault": _FAULT,
        "Result": _RESULT,
        "PreviewedResult": {**_RESULT, "properties": {**_RESULT["properties"], **_PREVIEW}},
        "Answer": _answer("Result"),
        "Told": _told(),
        "Validation": _answer("PreviewedResult"),
        "Problem": _PROBLEM,
        "ConsentChange": _CHANGE,
        "ConsentChanged": _CHANGED,
        "Erasure": _ERASURE,
        "Receipt": _RECEIPT,
        "Received": _RECEIVED,
        "GraphError": _GRAPH_ERROR,
        "ValidationMessages": _VALIDATION_MESSAGES,
        "SegmentAnswer": _SEGMENT_ANSWER,
    }


def _moved(node: Any) -> Any:
    """A piece of the event's schema, pointing to where its parts lie in this document."""
    if isinstance(node, list):
        return [_moved(entry) for entry in node]
    if not isinstance(node, dict):
        return node
    return {
        key: value.replace("#/$defs/", "#/components/schemas/Event.") if key == "$ref" else _moved(value)
        for key, value in node.items()
    }
