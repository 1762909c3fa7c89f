"""Whatever the server, and whether wrapped in `shapes_first` or not, the answer is the same."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import httpx
import pytest

from tests.servers.conftest import WEBS, Webs
from tests.servers.web_process import WebProcess
from tests.support.server import ElectricServer
from tests.support.waiting import eventually

pytestmark = pytest.mark.xdist_group("servers")

OF_THE_SERVER = {
    "connection", "content-length", "date", "keep-alive", "server", "transfer-encoding",
    "electric-cursor", "x-request-id",
}  # fmt: skip
"""Headers that a server adds, and those that differ from one answer to the next."""
OF_THE_MOMENT = re.compile(
    rb'"(?:global_last_seen_lsn|snapshot_mark|database_lsn|xmin|xmax)":"?\d+"?'
)
UNDER_WAY = re.compile(rb'(?<=^{"metadata":{)(.*?)"xip_list":\[[^]]*\]', re.DOTALL)
"""In a subset: what other sessions of the cluster were about at that moment."""


class Asked(NamedTuple):
    """A request to ``/v1/shape``, as it is made of handle and offset of a client that is up to date."""

    query: dict[str, str] = {}
    method: str = "GET"
    headers: dict[str, str] = {}
    body: str = ""
    path: str = "/v1/shape"
    status: int = 200


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    def comparable(self) -> Answer:
        headers = {k: v for k, v in self.headers.items() if k not in OF_THE_SERVER}
        if ":now:" in headers.get("etag", ""):  # used once
            del headers["etag"]
        body = UNDER_WAY.sub(rb"\1", OF_THE_MOMENT.sub(b"", self.body))
        return Answer(self.status, headers, body)


SONGS = {"table": "songs", "offset": "-1"}
FOLLOWING = {"table": "songs", "handle": "HANDLE", "offset": "OFFSET"}
ORIGIN = {"origin": "http://app.example"}
REQUESTS: dict[str, Asked] = {
    "initial": Asked(SONGS),
    "initial with an origin": Asked(SONGS, headers=ORIGIN),
    "initial, large": Asked({"table": "hymns", "offset": "-1"}),
    "with a condition and columns": Asked({**SONGS, "where": "id < 5", "columns": "id"}),
    "catch-up with nothing new": Asked(FOLLOWING),
    "catch-up with news": Asked({**FOLLOWING, "offset": "0_0"}),
    "live with news": Asked({**FOLLOWING, "offset": "0_0", "live": "true"}),
    "server-sent events": Asked(
        {**FOLLOWING, "offset": "0_0", "live": "true", "live_sse": "true"}
    ),
    "now": Asked({**SONGS, "offset": "now"}),
    "not modified": Asked(SONGS, headers={"if-none-match": '"TAG"'}, status=304),
    "a bad offset": Asked({**SONGS, "offset": "banana"}, status=400),
    "a table that is not there": Asked({**SONGS, "table": "nope"}, status=400),
    "a bad condition": Asked({**SONGS, "where": "nope = 1"}, status=400),
    "a bad body": Asked(SONGS, method="POST", body="[", status=400),
    "another path": Asked(path="/v1/nope", status=404),
    "a method that nobody has": Asked(SONGS, method="PUT", status=404),
    "deleting": Asked(SONGS, method="DELETE", status=405),
    "another handle": Asked({**FOLLOWING, "handle": "1-1"}, status=409),
    "a subset": Asked({**FOLLOWING, "subset__where": "id < 3", "subset__order_by": "id"}),
    "a subset by POST": Asked(
        FOLLOWING, method="POST", body='{"where": "id < 3", "order_by": "id", "limit": 1}'
    ),
    "a subset, large": Asked({**FOLLOWING, "subset__order_by": "id", "subset__limit": "45"}),
    "HEAD": Asked(SONGS, method="HEAD"),
    "HEAD of an error": Asked({**SONGS, "offset": "banana"}, method="HEAD", status=400),
    "OPTIONS": Asked(
        method="OPTIONS",
        headers={**ORIGIN, "access-control-request-headers": "x-mine"},
        status=204,
    ),
    "health": Asked(path="/v1/health"),
    "root": Asked(path="/"),
}  # fmt: skip


class Client:
    """Knows where somebody stands who follows the songs."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(timeout=30)
        self._http2 = httpx.Client(timeout=30, http1=False, http2=True)
        self._words: dict[str, str] = {}
        first = self.ask(url, REQUESTS["initial"]).headers
        self._words = {"HANDLE": first["electric-handle"], '"TAG"': first["etag"]}

    def follow(self, url: str) -> None:
        """Go to the end of the log, which is not there yet."""
        news = self.ask(url, REQUESTS["live with news"])
        self._words["OFFSET"] = news.headers["electric-offset"]

    def ask(self, url: str, asked: Asked, *, over_http2: bool = False, **headers: str) -> Answer:
        """The body is what came, compressed if it is."""
        with (self._http2 if over_http2 else self._http).stream(
            asked.method,
            url + asked.path,
            params=self._filled_in(asked.query),
            content=asked.body,
            headers={"accept-encoding": "identity", **self._filled_in(asked.headers), **headers},
        ) as response:
            assert response.http_version == ("HTTP/2" if over_http2 else "HTTP/1.1")
            body = b"".join(response.iter_raw())
            return Answer(response.status_code, dict(response.headers.items()), body)

    def _filled_in(self, given: Mapping[str, str]) -> dict[str, str]:
        return {key: self._words.get(value, value) for key, value in given.items()}

    def close(self) -> None:
        self._http.close()
        self._http2.close()


@pytest.fixture(scope="module")
def client(stage: ElectricServer) -> Iterator[Client]:
    client = Client(stage.url)
    stage.sql("INSERT INTO songs VALUES (100, 'news')")
    client.follow(stage.url)
    yield client
    client.close()


@pytest.fixture(params=[*WEBS, ("granian", "without_asgi")], ids="-".join)
def any_web(request: pytest.FixtureRequest, webs: Webs) -> WebProcess:
    """Under WSGI, too."""
    return webs.get(*request.param)


@pytest.mark.parametrize("name", REQUESTS)
def test_the_answer_is_the_same(
    stage: ElectricServer, client: Client, any_web: WebProcess, name: str
) -> None:
    asked = REQUESTS[name]
    expected = client.ask(stage.url, asked)
    assert expected.status == asked.status
    # Where it is wrapped, the second one does not enter Django.
    for _ in range(2):
        assert client.ask(any_web.url, asked).comparable() == expected.comparable()


@pytest.mark.parametrize("name", ["initial", "initial, large", "a bad offset", "health"])
def test_a_head_says_nothing_false_of_the_length(
    client: Client, any_web: WebProcess, name: str
) -> None:
    asked = REQUESTS[name]
    whole = client.ask(any_web.url, asked)
    head = client.ask(any_web.url, asked._replace(method="HEAD"))
    assert (head.status, head.body) == (whole.status, b"")
    assert head.headers.get("content-length", str(len(whole.body))) == str(len(whole.body))


SPEAK_HTTP2 = [key for key in WEBS if key[0] in ("granian", "hypercorn")]


@pytest.mark.parametrize("key", SPEAK_HTTP2, ids="-".join)
def test_the_answer_is_the_same_over_http2(
    client: Client, webs: Webs, key: tuple[str, str]
) -> None:
    url = webs.get(*key).url
    for asked in REQUESTS.values():
        expected = client.ask(url, asked)
        assert client.ask(url, asked, over_http2=True).comparable() == expected.comparable()


@pytest.mark.parametrize("name", ["initial", "initial, large", "a subset, large"])
def test_an_answer_is_compressed_when_asked(client: Client, any_web: WebProcess, name: str) -> None:
    asked = REQUESTS[name]
    plain = client.ask(any_web.url, asked).comparable()
    for coding in ("gzip", "br;q=1.0, gzip;q=0.8, *;q=0.1"):
        zipped = client.ask(any_web.url, asked, **{"accept-encoding": coding})
        assert zipped.headers["content-encoding"] == "gzip"
        body = gzip.decompress(zipped.body)
        assert zipped._replace(body=body).comparable().body == plain.body
    for coding in ("br", "identity, br"):
        other = client.ask(any_web.url, asked, **{"accept-encoding": coding}).comparable()
        assert "content-encoding" not in other.headers
        assert other.body == plain.body


def test_events_are_not_compressed(client: Client, any_web: WebProcess) -> None:
    """`GZipMiddleware` stands in the way."""
    asked = REQUESTS["server-sent events"]
    answer = client.ask(any_web.url, asked, **{"accept-encoding": "gzip"})
    assert "content-encoding" not in answer.headers
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.body == client.ask(any_web.url, asked).body
    assert answer.body.endswith(b"}}\n\n")


def test_the_secret_is_not_in_the_access_log(client: Client, webs: Webs) -> None:
    """That of uvicorn is on unless one turns it off."""
    web = webs.get("uvicorn", "wrapped")
    client.ask(web.url, Asked({**SONGS, "secret": "hush", "cache-buster": "7"}))
    line = "GET /v1/shape?table=songs&offset=-1&secret=[redacted]&cache-buster=7 HTTP/1.1"
    eventually(lambda: line in web.log, "the request is logged")
    assert "hush" not in web.log
