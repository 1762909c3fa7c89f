"""The OpenAPI document of ``/v1/shape`` and ``/v1/health``.

Nothing in it is said twice: parameters are those of the table that requests are read by (`query`);
statuses, headers and examples are taken from sample answers, made by the functions that make the
real ones. What only the document says is what a status and a header mean.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Final

from django_electric import __version__
from django_electric.protocol import replies
from django_electric.protocol.bodies import SCHEMAS, reference
from django_electric.protocol.body import IGNORED_MEMBERS
from django_electric.protocol.headers import Headers, finished, identity_headers
from django_electric.protocol.query import (
    CURSOR,
    HANDLE,
    IGNORED,
    POSITION,
    SECRETS,
    SHAPE,
    SUBSET,
    SUBSET_NESTED,
    SUBSET_PREFIX,
    JsonSchema,
    Parameter,
)
from django_electric.protocol.replies import Reply
from django_electric.protocol.samples import (
    BAD_BODIES,
    DELETING_ANSWERS,
    HEALTH_ANSWERS,
    PREFLIGHT_ANSWERS,
    Sample,
    reading_answers,
)

Object = dict[str, object]
"""A JSON object of the document."""

SHAPE_STATUSES: Final[Mapping[int, str]] = {
    200: "Rows, changes or the news that there are none; or a subset.",
    202: "The shape is deleted.",
    204: "What a page of another origin may ask.",
    304: "The client has this chunk already: its `if-none-match` names it.",
    400: "A parameter or the body is wrong; the offset is one that the log has not reached; on deleting, the handle is"
    " another one than the definition's.",
    401: "The secret is missing or wrong, and nobody has signed in. Where there is a secret the body is JSON, but not said to"
    " be.",
    403: "Who has signed in may not read the table: its model's policy says so, or it has none.",
    404: "There is no such shape to delete.",
    405: "Deleting is not allowed.",
    409: "The shape is another one than the handle says, or has gone: start again, with the handle of the answer if it has"
    " one.",
    413: "The body is larger than 8 MB.",
    500: "Something that should not happen; the server's log says what.",
    503: "Not now: the worker or the database is not there, the first rows could not be read, or too many requests are"
    " under way. Ask again after `retry-after` seconds.",
}
HEALTH_STATUSES: Final[Mapping[int, str]] = {
    200: "Shapes are served and kept.",
    202: "The worker is not there yet (`starting`), or waits for another one to end (`waiting`).",
}

_NAME: JsonSchema = {"type": "string"}
_FLAG: JsonSchema = {"const": "true"}
_SECONDS: JsonSchema = {"type": "integer", "minimum": 1}
HEADERS: Final[Mapping[str, tuple[str, JsonSchema]]] = {
    "electric-handle": ("The name of this log, for the next request.", _NAME),
    "electric-offset": (
        "Where this answer ends: the `offset` of the next request.",
        {"type": "string", "pattern": "^[0-9]+_([0-9]+|inf)$"},
    ),
    "electric-schema": (
        "JSON: column → its type, its place in the primary key, and so on.",
        {"type": "string", "contentMediaType": "application/json"},
    ),
    "electric-up-to-date": ("Empty. Present if the client has all that there is.", {"const": ""}),
    "electric-has-data": ("`false` if nothing new came.", {"enum": ["true", "false"]}),
    "electric-cursor": ("The `cursor` of the next live request.", {"type": "integer", "minimum": 0}),
    "electric-snapshot": ("The answer is a subset.", _FLAG),
    "electric-internal-known-error": ("The failure is an expected one.", _FLAG),
    "etag": ("Names this answer, for `if-none-match`.", {"type": "string", "pattern": '^(W/)?".*"$'}),
    "cache-control": ("How long caches may answer with this.", _NAME),
    "surrogate-control": ("The same for a CDN.", {"const": "no-store"}),
    "retry-after": ("Seconds after which to ask again.", _SECONDS),
    "content-encoding": ("A large answer is compressed for a client that says so.", {"const": "gzip"}),
    "vary": ("What else the answer depends on.", _NAME),
    "x-accel-buffering": ("Tells proxies to let events through at once.", {"const": "no"}),
    "x-request-id": ("The request's own, if it has 20 to 200 characters; otherwise a new one.", _NAME),
    "electric-server": ("Whose protocol is spoken, and who speaks it.", _NAME),
    "access-control-allow-origin": ("The origin of the page that asks.", _NAME),
    "access-control-allow-methods": ("What a page of another origin may do.", _NAME),
    "access-control-expose-headers": ("The headers that such a page may read.", _NAME),
    "access-control-allow-headers": ("The headers that such a page may send.", _NAME),
    "access-control-max-age": ("Seconds for which this is so.", _SECONDS),
}  # fmt: skip
"""The headers of answers, but for those of `_CARRIED`."""
_CARRIED: Final = ("content-type", "connection")
"""OpenAPI says the first with the body; the second is about the connection, not the answer."""
REQUEST_HEADERS: Final[Mapping[str, tuple[str, str]]] = {
    "if-none-match": ("The `etag` of an answer that the client has.", '"38216733-1763884800000000:-1:0_0"'),
    "x-request-id": ("A name for this request, of 20 to 200 visible characters, to be found in the answer.",
        "b7e2c1a0-58c1-4a0e-9d53-4c1f6a2b9e10"),
    "access-control-request-headers": ("The headers that a page of another origin wants to send.", "if-none-match"),
}  # fmt: skip


def document(*, server: str = "/", is_open: bool = False) -> Object:
    """The document of the routes below *server*, a URL; of a server without a secret if it *is_open*."""
    paths = _paths()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "django_electric",
            "version": __version__,
            "summary": "Shapes: rows of a Postgres table, and every change to them.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": server}],
        "security": [] if is_open else [{secret.name: []} for secret in SECRETS],
        "paths": paths,
        "components": {
            "schemas": {**SCHEMAS, **_POSTED},
            "headers": _header_components(paths),
            "securitySchemes": {
                secret.name: {
                    "type": "apiKey",
                    "in": "query",
                    "name": secret.name,
                    "description": secret.help,
                }
                for secret in SECRETS
            },
        },
    }


def _paths() -> Object:
    return {
        "/v1/shape": {
            "get": _reading("GET", "Read a shape, or part of it"),
            "head": _reading("HEAD", "What reading would say, without the rows"),
            "post": _posting(),
            "delete": _deleting(),
            "options": _preflight(),
        },
        "/v1/health": {
            "get": _health("GET", "Whether shapes are served"),
            "head": _health("HEAD", "Whether shapes are served, in the status alone"),
        },
    }


# --- Operations -------------------------------------------------------------------------------------


def _reading(method: str, summary: str) -> Object:
    parameters = [*_query(), *_request_headers("if-none-match", "x-request-id")]
    return _operation(method, "Shape", summary, parameters, reading_answers(method))


def _posting() -> Object:
    # What is required may stand in the body instead.
    parameters = [*_query(may_be_absent=True), *_request_headers("x-request-id")]
    answers = [*reading_answers("POST"), *BAD_BODIES]
    operation = _operation("POST", "Shape", "Read a shape, or part of it", parameters, answers)
    content = {"application/json": {"schema": reference("Posted")}}
    return {**operation, "requestBody": {"required": False, "content": content}}


def _deleting() -> Object:
    parameters = [
        *(_parameter(parameter, may_be_absent=True) for parameter in (*SHAPE, HANDLE)),
        *_request_headers("x-request-id"),
    ]
    summary = "Delete a shape, by its definition, its handle or both"
    return _operation("DELETE", "Shape", summary, parameters, DELETING_ANSWERS)


def _preflight() -> Object:
    parameters = _request_headers("access-control-request-headers", "x-request-id")
    summary = "Preflight of a page of another origin"
    operation = _operation("OPTIONS", "Shape", summary, parameters, PREFLIGHT_ANSWERS)
    return {**operation, "security": []}


def _health(method: str, summary: str) -> Object:
    headers = _request_headers("x-request-id")
    operation = _operation(method, "Health", summary, headers, HEALTH_ANSWERS)
    return {**operation, "security": []}


def _operation(
    method: str,
    noun: str,
    summary: str,
    parameters: Sequence[Object],
    answers: Sequence[Sample],
) -> Object:
    return {
        "operationId": f"{method.lower()}{noun}",
        "summary": summary,
        "parameters": list(parameters),
        "responses": _responses(method, noun, answers),
    }


# --- Parameters ---------------------------------------------------------------------------------------


def _query(*, may_be_absent: bool = False) -> list[Object]:
    own = [_parameter(p, may_be_absent=may_be_absent) for p in (*SHAPE, *POSITION)]
    return [*own, *map(_subset_parameter, SUBSET), *(_parameter(p) for p in IGNORED)]


def _parameter(parameter: Parameter[object], *, may_be_absent: bool = False) -> Object:
    described = {
        "name": parameter.name,
        "in": "query",
        "description": parameter.help,
        "required": parameter.is_required and not may_be_absent,
        **({"deprecated": True} if parameter.is_deprecated else {}),
    }
    value = {"schema": parameter.schema, "example": parameter.example}
    return {**described, **_style(parameter.schema), **value}


def _style(schema: JsonSchema) -> Object:
    """How a query writes such a value: ``a[b]=…``, or with commas."""
    if schema["type"] == "object":
        return {"style": "deepObject", "explode": True}
    return {"style": "form", "explode": False} if schema["type"] == "array" else {}


def _subset_parameter(member: Parameter[object]) -> Object:
    """The presence of any of them makes the request one for a subset."""
    described = {
        "name": f"{SUBSET_PREFIX}{member.name}",
        "in": "query",
        "description": f"Of a subset (`{SUBSET_NESTED}[{member.name}]=…` is the same). {member.help}",
        "required": False,
    }
    value = {"schema": member.schema, "example": member.example}
    if member.schema["type"] == "object":
        return {**described, "content": {"application/json": value}}
    return {**described, **value}


def _request_headers(*names: str) -> list[Object]:
    return [
        {
            "name": name,
            "in": "header",
            "description": REQUEST_HEADERS[name][0],
            "required": False,
            "schema": {"type": "string"},
            "example": REQUEST_HEADERS[name][1],
        }
        for name in names
    ]


def _subset_members() -> Object:
    members: Object = {
        member.name: {**_posted_schema(member), "description": member.help} for member in SUBSET
    }
    ignored = {name: {"description": "Ignored: meant for proxies."} for name in IGNORED_MEMBERS}
    return {**members, **ignored}


def _posted_schema(member: Parameter[object]) -> JsonSchema:
    return _POSTED_VALUES if member.schema["type"] == "object" else member.schema


_POSTED_VALUES: Final[JsonSchema] = {
    "anyOf": [
        {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}},
        {"type": "string", "contentMediaType": "application/json"},
    ]
}


_QUERY_MEMBERS: Final[Object] = {
    p.name: {**p.schema, "description": p.help} for p in (*SHAPE, *POSITION) if p is not CURSOR
}
_POSTED: Final[Mapping[str, JsonSchema]] = {
    "SubsetMembers": {"type": "object", "properties": _subset_members()},
    "Posted": {
        "description": "Either an object `subset`, and beside it parameters that count instead of those in the query; or"
        " the subset's members themselves. Without any of these the answer is the log's.",
        "anyOf": [
            {
                "type": "object",
                "properties": {**_QUERY_MEMBERS, SUBSET_NESTED: reference("SubsetMembers")},
                "required": [SUBSET_NESTED],
            },
            {
                "type": "object",
                "properties": {**_QUERY_MEMBERS, **_subset_members()},
                "not": {"required": [SUBSET_NESTED]},
            },
        ],
    },
}

# --- Samples → responses ------------------------------------------------------------------------------


def _responses(method: str, noun: str, answers: Sequence[Sample]) -> Object:
    meanings = SHAPE_STATUSES if noun == "Shape" else HEALTH_STATUSES
    statuses = sorted({sample.reply.status for sample in answers})
    return {
        str(status): _response(
            method, noun, meanings[status], [s for s in answers if s.reply.status == status]
        )
        for status in statuses
    }


def _response(method: str, noun: str, meaning: str, answers: Sequence[Sample]) -> Object:
    headers = [_all_headers(method, noun, sample.reply) for sample in answers]
    response: Object = {"description": meaning, "headers": _header_references(headers)}
    content = {} if method == "HEAD" else _content(answers)
    return {**response, "content": content} if content else response


def _all_headers(method: str, noun: str, reply: Reply) -> Headers:
    """The headers of *reply* as it is sent."""
    own = reply.headers
    if reply != replies.UNAUTHORIZED:
        own = finished(own, method, None, is_shape_route=noun == "Shape")
    return {**own, **identity_headers("")}


def _header_references(answers: Sequence[Headers]) -> Object:
    """Each header of any of *answers*: required if all of them have it."""
    names = dict.fromkeys(name for headers in answers for name in headers if name not in _CARRIED)
    return {
        name: _header_reference(name, is_optional=not all(name in headers for headers in answers))
        for name in sorted(names, key=list(HEADERS).index)
    }


def _header_reference(name: str, *, is_optional: bool) -> Object:
    return {"$ref": f"#/components/headers/{name}{_OPTIONAL if is_optional else ''}"}


_OPTIONAL: Final = ".optional"
_HEADER_REFERENCE = re.compile(r"#/components/headers/([a-z.-]+)")


def _header_components(paths: Object) -> Object:
    """The headers that *paths* refer to; where one may be absent it goes by another name."""
    used = _HEADER_REFERENCE.findall(json.dumps(paths))
    return {
        key: {"description": text, "required": key == name, "schema": schema}
        for name, (text, schema) in HEADERS.items()
        for key in (name, name + _OPTIONAL)
        if key in used
    }


def _content(answers: Sequence[Sample]) -> Object:
    """Media type → schema and examples."""
    by_type: dict[str, list[Sample]] = {}
    for sample in answers:
        if sample.schema is not None:
            media_type = sample.reply.headers["content-type"].partition(";")[0]
            by_type.setdefault(media_type, []).append(sample)
    return {
        media_type: {
            "schema": _any_of(list(dict.fromkeys(str(s.schema) for s in samples))),
            "examples": {s.name: {"value": _value(media_type, s.reply.body)} for s in samples},
        }
        for media_type, samples in by_type.items()
    }


def _any_of(names: Sequence[str]) -> JsonSchema:
    if len(names) == 1:
        return reference(names[0])
    return {"anyOf": [reference(name) for name in names]}


def _value(media_type: str, body: bytes) -> object:
    return json.loads(body) if media_type == "application/json" else body.decode()
