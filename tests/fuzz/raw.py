"""Requests as bytes that no well-meaning client would send, and what came back."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse

from hypothesis import strategies as st

from django_electric.protocol.query import IGNORED, POSITION, SECRETS, SHAPE, SUBSET, SUBSET_PREFIX

Header = tuple[bytes, bytes]


@dataclass(frozen=True)
class RawRequest:
    """A request whose parts are sent as they are."""

    method: bytes = b"GET"
    path: bytes = b"/v1/shape"
    query: bytes = b""
    headers: Sequence[Header] = ()
    body: bytes = b""

    @property
    def target(self) -> bytes:
        return self.path + (b"?" + self.query if self.query else b"")

    @property
    def promises_more(self) -> bool:
        """Whether a server may wait for more of the body than will come."""
        return any(name in (b"content-length", b"transfer-encoding") for name, _ in self.headers)

    def on_the_wire(self) -> bytes:
        """All of it; the length of the body is added unless a header speaks of it."""
        own = {name.lower() for name, _ in self.headers}
        headers = [(b"host", b"localhost"), *self.headers]
        if self.body and not own & {b"content-length", b"transfer-encoding"}:
            headers.append((b"content-length", b"%d" % len(self.body)))
        lines = b"".join(b"%s: %s\r\n" % header for header in headers)
        return b"%s %s HTTP/1.1\r\n%s\r\n%s" % (self.method, self.target, lines, self.body)


@dataclass(frozen=True)
class RawAnswer:
    """Status 0 if the server closed the connection without a word."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


def exchange(port: int, request: RawRequest, seconds: float) -> RawAnswer:
    """Send *request*, read one answer. Raises TimeoutError if nothing comes for so many seconds.

    Whoever announces more than it sends gets no answer, so it says that it will send nothing more.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        try:
            connection.sendall(request.on_the_wire())
            if request.promises_more:
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the server has heard enough: perhaps it has said why
        response = HTTPResponse(connection, method=request.method.decode("latin-1"))
        try:
            response.begin()
            body = response.read()
        except (HTTPException, ConnectionResetError):
            return RawAnswer(0)
        headers = {name.lower(): value for name, value in response.getheaders()}
        return RawAnswer(response.status, headers, body)


# --- Strategies -------------------------------------------------------------------------------------

_NAMES = [parameter.name for parameter in (*SHAPE, *POSITION, *IGNORED)]
_NAMES += [SUBSET_PREFIX + member.name for member in SUBSET]
NAMES = list(_NAMES)
SECRET_NAMES = [parameter.name for parameter in SECRETS]

_ODD_PIECES = [
    b"%00", b"%ff", b"%c0%80", b"%ed%a0%80", b"%f4%90%80%80", b"%e2%80%ae", b"%F0%9F%98%80", b"%", b"%zz", b"%2",
    b"%u0041", b"+", b"%2B", b"%20", b"%0d%0a", b"%0A", b"%22", b"%27", b"%5C", b"\\", b"'", b'"', b";", b"%3B", b",", b".", b"..",
    b"[", b"]", b"[]", b"[1]", b"[0]", b"[-1]", b"[][]", b"[a][b]", b"=", b"==", b"%26", b"%23", b"\xff", b"\xc3\xa9", b"\x80",
    b"$1", b"--", b"/*", b"*/", b"null", b"NaN", b"1e400", b"0x10", b"1_000", b"\xef\xbb\xbf", b"%EF%BC%91", b"%D9%A1",
]  # fmt: skip

_VALUES = [
    b"", b"items", b"public.items", b"%22items%22", b"pg_catalog.pg_class", b"information_schema.tables", b"nobody.knows",
    b"-1", b"now", b"0_0", b"0_inf", b"0_1", b"-1_0", b"1_0", b"18446744073709551615_0", b"18446744073709551616_inf",
    b"9" * 400 + b"_0", b"9" * 5000 + b"_0", b"0_" + b"9" * 400, b"+0_+0", b"%D9%A1_0", b"0_0_0", b"inf_inf", b"-2_0", b"0x1_0",
    b"true", b"false", b"1", b"0", b"TRUE", b"full", b"default", b"changes_only", b"id", b"id,title", b"id,,title", b"id,id",
    b"%22id%22", b"%22%22", b"%22", b"*", b"ctid", b"xmin", b"id,ctid", b"id%00", b"priority+%3E+3", b"title+%3D+$1",
    b"1%3D1", b"true", b"false", b"null", b"id+%2F+0+%3D+1", b"{%221%22:%22x%22}", b"{%221%22:1e999}", b"{%221%22:NaN}",
    b"[1]", b"{", b"nul%00l", b"..%2F..%2Fetc%2Fpasswd", b"%2e%2e", b"a%2Fb", b"id+desc", b"id;select+1", b"pg_sleep(10)+is+null",
    b"99999999999999999999", b"9223372036854775807", b"9223372036854775808", b"-1", b"1.5", b"1e3", b"a" * 70, b"a" * 3000,
]  # fmt: skip

_odd = st.lists(
    st.one_of(st.sampled_from(_ODD_PIECES), st.sampled_from(_VALUES), st.binary(max_size=6).map(lambda b: b.translate(None, b" \r\n\t&#"))),
    min_size=1, max_size=4,
).map(b"".join)  # fmt: skip
_value = st.one_of(st.sampled_from(_VALUES), _odd)
_name = st.one_of(
    st.sampled_from([name.encode() for name in NAMES]),
    st.sampled_from(
        [
            b"params[1]",
            b"params[2]",
            b"params[]",
            b"params[1][2]",
            b"params[a]",
            b"params[%00]",
            b"subset[where]",
            b"subset[params][1]",
            b"subset[]",
            b"subset[limit]",
            b"subset",
            b"subset__",
            b"subset__x",
            b"Table",
            b"TABLE",
            b" table",
            b"table[]",
            b"table[a]",
            b"offset[0]",
            b"live[]",
            b"[",
            b"]",
            b"",
        ]
    ),
    _odd,
)
pairs = st.tuples(_name, st.one_of(st.none(), _value)).map(
    lambda pair: pair[0] if pair[1] is None else pair[0] + b"=" + pair[1]
)
_SOUND = [b"table=items", b"offset=-1"]


@st.composite
def queries(draw: st.DrawFn) -> bytes:
    """A query string; often with a table and an offset, so that it comes farther."""
    sound = draw(
        st.sampled_from(
            [
                [],
                _SOUND,
                _SOUND,
                _SOUND,
                [b"table=items", b"offset=now"],
                [b"table=items", b"offset=0_0", b"handle=x"],
            ]
        )
    )
    parts = [*sound, *draw(st.lists(pairs, max_size=6))]
    if draw(st.booleans()):
        parts = draw(st.permutations(parts))
    separator = draw(st.sampled_from([b"&", b"&", b"&", b"&", b"&&", b";"]))
    return separator.join(parts)


PATHS = [
    b"/v1/shape", b"/v1/shape/", b"//v1//shape//", b"/v1/%73hape", b"/v1%2fshape", b"/v1/shape%2f", b"/v1/./shape", b"/v1/../v1/shape",
    b"/x/../v1/shape", b"/v1/shape;a=b", b"/v1;x/shape", b"/v1/shape%00", b"/v1/shape%0a", b"/v1/shape.json", b"/v1/shape%20", b"/V1/SHAPE",
    b"/v1\\shape", b"/v1/shape%ff", b"/v1/sh%c3%a4pe", b"/v1/shape%3Ftable=items", b"/v1/shape%23", b"/v1/shape/x", b"/v1", b"/v2/shape", b"/",
    b"//", b"/v1/health", b"/v1/health/", b"//v1/health", b"/v1/shape/..", b"/v1/shape/%2e%2e/shape", b"/%76%31/%73%68%61%70%65",
    b"/%2e/v1/shape", b"/v1/%2573hape", b"http://localhost/v1/shape", b"http://other/v1/shape", b"/v1/shape//////", b"*", b"v1/shape",
    b"/" + b"a" * 3000, b"/" + b"../" * 50 + b"v1/shape", b"/v1/shape\xff", b"/admin/", b"/.", b"/..",
]  # fmt: skip
paths = st.one_of(
    st.just(b"/v1/shape"),
    st.just(b"/v1/shape"),
    st.sampled_from(PATHS),
    st.lists(
        st.sampled_from(
            [b"/", b"v1", b"shape", b"%2f", b"..", b";", b"%00", b".", b"%76", b"health"]
        ),
        min_size=1,
        max_size=8,
    ).map(lambda parts: b"/" + b"".join(parts)),
)

METHODS = [
    b"GET", b"HEAD", b"POST", b"DELETE", b"OPTIONS", b"PUT", b"PATCH", b"TRACE", b"CONNECT", b"get", b"Post", b"PROPFIND", b"PURGE", b"QUERY",
    b"FOO", b"M-SEARCH", b"GETX", b"G", b"\xff", b"LINK",
]  # fmt: skip
methods = st.one_of(st.just(b"GET"), st.just(b"GET"), st.just(b"POST"), st.sampled_from(METHODS))

_VISIBLE = st.binary(max_size=30).map(lambda b: b.translate(None, bytes(range(32)) + b"\x7f"))
HEADERS = [
    (b"accept", b"text/event-stream"), (b"accept", b"*/*;q=0"), (b"accept", b"text/html"), (b"accept-encoding", b"gzip, br;q=0, *;q=x"),
    (b"accept-encoding", b"gzip;q=1e999"), (b"accept-encoding", b"gzip;q=nan"), (b"accept-encoding", b"," * 500),
    (b"if-none-match", b"*"), (b"if-none-match", b'W/"x", "'), (b"if-none-match", b'"' * 99), (b"if-none-match", b"\xff\xfe"),
    (b"if-modified-since", b"yesterday"), (b"if-modified-since", b"Thu, 01 Jan 99999 00:00:00 GMT"), (b"range", b"bytes=0-1"), (b"range", b"bytes=-"),
    (b"if-match", b'"x"'), (b"expect", b"100-continue"), (b"expect", b"nonsense"), (b"upgrade", b"websocket"), (b"upgrade", b"h2c"),
    (b"connection", b"upgrade"), (b"connection", b"close"), (b"cookie", b"sessionid=../../x; csrftoken=\xff"), (b"cookie", b"=;=;;;a"),
    (b"cookie", b"sessionid=" + b"x" * 500), (b"cookie", b"sessionid=%00; messages=[[\"x\"]]"), (b"authorization", b"Basic !!!"), (b"authorization", b"Bearer x"),
    (b"origin", b"null"), (b"origin", b"http://evil.example"), (b"origin", b"\xff"), (b"referer", b"x"), (b"x-request-id", b"a" * 50),
    (b"x-request-id", b"a" * 300), (b"x-request-id", b"\xff" * 30), (b"x-forwarded-for", b"' or 1=1"), (b"x-forwarded-proto", b"https"),
    (b"x-forwarded-host", b"evil"), (b"host", b"evil.example"), (b"host", b"a b"), (b"host", b"[::"), (b"content-type", b"application/x-www-form-urlencoded"),
    (b"content-type", b"multipart/form-data; boundary=x"), (b"content-type", b"multipart/form-data"), (b"content-type", b"application/json; charset=klingon"),
    (b"content-type", b"\xff"), (b"content-length", b"5"), (b"content-length", b"999999"), (b"content-length", b"-1"), (b"content-length", b"0"),
    (b"content-length", b"abc"), (b"content-length", b"99999999999999999999"), (b"transfer-encoding", b"chunked"), (b"transfer-encoding", b"gzip"),
    (b"transfer-encoding", b"identity"), (b"content-encoding", b"gzip"), (b"accept-language", b"tlh;q=\xff"), (b"accept-language", b"../../x"),
    (b"x-http-method-override", b"DELETE"), (b"access-control-request-headers", b"if-none-match"),
    (b"access-control-request-headers", b"traceparent, \xff,,,"), (b"access-control-request-method", b"DELETE"), (b"te", b"trailers"),
    (b"x-csrftoken", b"x"), (b"user-agent", b""), (b"x-django-electric-handover", b"0123456789abcdef"),
]  # fmt: skip
headers = st.lists(
    st.one_of(
        st.sampled_from(HEADERS),
        st.tuples(st.sampled_from([name for name, _ in HEADERS]), _VISIBLE),
    ),
    max_size=4,
)

# --- Bodies -----------------------------------------------------------------------------------------

BODIES = [
    b"", b"{}", b"[]", b"null", b"1", b'"x"', b"{", b"}", b"\xff", b"\xef\xbb\xbf{}", b"{}\x00", b"NaN", b"[" * 5_000, b'{"a":' * 3_000,
    b'{"limit":1e400}', b'{"limit":-Infinity,"order_by":"id"}', b'{"limit":NaN,"order_by":"id"}', b'{"limit":' + b"9" * 5_000 + b"}",
    b'{"limit":1,"limit":2,"order_by":"id"}', b'{"where":"\\ud800"}', b'{"where":"\\u0000"}', b'{"params":{"1":"\\udfff"},"where":"title = $1"}',
    b'{"subset":{"where":null}}', b'{"subset":null}', b'{"subset":[]}', b'{"subset":{"params":[]}}', b'{"table":{"a":1}}', b'{"table":["items"]}',
    b'{"table":null}', b'{"offset":{}}', b'{"subset":{},"offset":-1}', b'{"subset":{},"offset":1.5}', b'{"subset":{},"live":[]}', b'{"live":{}}',
    b'{"columns":[["id"]]}', b'{"columns":[null]}', b'{"columns":"id"}', b'{"columns":{}}', b'{"queryable_columns":[1]}', b'{"handle":1}', b'{"handle":true}',
    b'{"cursor":[1]}', b'{"replica":["full"]}', b'{"where":1}', b'{"where":{}}', b'{"where":""}', b'{"order_by":[]}', b'{"order_by":"id","limit":true}',
    b'{"order_by":"id","limit":"1"}', b'{"order_by":"id","offset":1.0}', b'{"where":"title = $1","params":{"1":{"a":1}}}',
    b'{"where":"title = $1","params":{"1":null}}', b'{"where":"priority = $1","params":{"1":1e999}}', b'{"where":"title = $1","params":"{"}',
    b'{"where":"title = $1","params":"[1]"}', b'{"where":"title = $1","params":"' + b"[" * 3_000 + b'"}', b'{"secret":"s3cret"}',
    b'{"experimental_compaction":"maybe"}', b'{"where_expr":{}}', b'{"order_by_expr":1}', b'{"\\u0000":1}', b'{"":1}', b'{"subset":{"\\ud800":1}}',
    b'{"\\ud800":"x"}', b'{"table":"\\ud800"}', b'{"handle":"\\ud800"}', b'{"cursor":"\\ud800"}', b'{"columns":["\\ud800"]}', b'{"subset":{"order_by":"\\ud800"}}',
    b'{"subset":{"where":"title = $1","params":{"1":"\\ud800"}}}', b'{"subset":{"where":"title = \'\\ud800\'"}}', b'{"subset":{"where":"title = $1","params":"{\\"1\\":\\"\\\\ud800\\"}"}}',
]  # fmt: skip
_json = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12),
        st.sampled_from(["items", "id", "-1", "now", "0_0", "title = $1", "id = 1", "id desc", "\ud800", "\0", "full", "true"]),
    ),
    lambda children: st.one_of(
        st.lists(children, max_size=3),
        st.dictionaries(st.sampled_from([*_NAMES, *(member.name for member in SUBSET), "subset", "1", "2", "secret"]), children, max_size=5),
    ),
    max_leaves=8,
)  # fmt: skip


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """What a POST may hold: JSON, nearly JSON, or nothing of the kind."""
    import json

    kind = draw(st.integers(0, 3))
    if kind == 0:
        return draw(st.sampled_from(BODIES))
    if kind == 1:
        return draw(st.binary(max_size=40))
    text = json.dumps(draw(_json)).encode()
    if kind == 2 and text:
        at = draw(st.integers(0, len(text) - 1))
        return text[:at] + draw(st.binary(max_size=2)) + text[at + 1 :]
    return text


@st.composite
def raw_requests(draw: st.DrawFn) -> RawRequest:
    """A request that is odd in one or two ways, so that it is not refused for the first of many."""
    odd = draw(
        st.sets(
            st.sampled_from(["method", "path", "query", "headers", "body"]), min_size=1, max_size=2
        )
    )
    method = (
        draw(methods)
        if "method" in odd
        else draw(st.sampled_from([b"GET", b"GET", b"POST", b"HEAD", b"DELETE"]))
    )
    has_body = method == b"POST" or "body" in odd
    return RawRequest(
        method=method,
        path=draw(paths) if "path" in odd else b"/v1/shape",
        query=draw(queries())
        if "query" in odd
        else draw(
            st.sampled_from(
                [
                    b"&".join(_SOUND),
                    b"table=items&offset=now",
                    b"table=items&offset=-1&subset__limit=1&subset__order_by=id",
                ]
            )
        ),
        headers=draw(headers) if "headers" in odd else (),
        body=draw(bodies()) if has_body else b"",
    )
