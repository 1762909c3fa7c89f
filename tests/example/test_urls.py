"""The root, the page and all other paths, with DEBUG off and on."""

from __future__ import annotations

import re
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from django.contrib.staticfiles import finders
from django.test import Client, RequestFactory

from django_electric.web.views import not_found
from example_project.asgi import application

HTML = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.fixture(params=[False, True], ids=["debug off", "debug on"], autouse=True)
def debug(request: pytest.FixtureRequest, settings: Any) -> None:
    settings.DEBUG = request.param


@pytest.mark.parametrize("method", ["get", "head"])
def test_root_is_an_empty_200(client: Client, method: str) -> None:
    response = getattr(client, method)("/")
    assert (response.status_code, response.content) == (200, b"")
    assert response["Access-Control-Allow-Origin"] == "*"


def test_root_shows_a_browser_to_the_page(client: Client) -> None:
    response = client.get("/", headers={"Accept": HTML})
    assert (response.status_code, response["Location"]) == (302, "/demo/")
    assert response["Vary"] == "Accept"


def test_curl_accepts_anything_and_is_not_redirected(client: Client) -> None:
    assert client.get("/", headers={"Accept": "*/*"}).status_code == 200


@pytest.mark.parametrize(
    "path", ["/nonexistent", "/v1/unknown", "/a/b/c/", "/demo/nothing", "/static/nothing"]
)
@pytest.mark.parametrize("method", ["get", "post", "put", "options"])
def test_unknown_path_answers_as_electric_does(client: Client, method: str, path: str) -> None:
    response = getattr(client, method)(path, headers={"Origin": "https://app.example"})
    assert (response.status_code, response.content) == (404, b"Not found")
    assert response["Content-Type"].startswith("text/plain")
    assert response["Access-Control-Allow-Methods"] == "GET, HEAD"
    assert response["Access-Control-Allow-Origin"] == "https://app.example"


def test_post_to_the_root_is_an_unknown_path(client: Client) -> None:
    assert client.post("/").status_code == 404


def test_not_found_needs_no_csrf_token() -> None:
    assert Client(enforce_csrf_checks=True).post("/nonexistent").status_code == 404


def test_not_found_serves_as_handler404(rf: RequestFactory) -> None:
    response = not_found(rf.get("/x"), Exception("why"))
    assert response.status_code == 404


@pytest.mark.parametrize(("path", "target"), [("/demo", "/demo/"), ("/admin", "/admin/")])
def test_missing_slash_is_added(client: Client, path: str, target: str) -> None:
    response = client.get(path)
    assert (response.status_code, response["Location"]) == (302, target)


def test_page_allows_nothing_inline(client: Client) -> None:
    response = client.get("/demo/")
    html = response.content.decode()
    assert response.status_code == 200
    assert "default-src 'none'" in response["Content-Security-Policy"]
    assert "unsafe" not in response["Content-Security-Policy"]
    assert not re.search(r"<style|style=|<script(?! type=\"module\" src=)|\son\w+=", html)


def test_files_of_the_page_exist(client: Client) -> None:
    html = client.get("/demo/").content.decode()
    names = re.findall(r'"/static/(demo/[^"]+)"', html)
    assert {"demo/app.js", "demo/page.css", "demo/icon.svg"} <= set(names)
    assert all(finders.find(name) for name in names)


async def test_asgi_application_serves_static_files() -> None:
    """Without collectstatic, with DEBUG off, and whatever the server."""
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "path": "/static/demo/app.js",
        "query_string": b"",
        "headers": [],
    }
    server = ApplicationCommunicator(application, scope)
    await server.send_input({"type": "http.request"})
    start = await server.receive_output()
    body = await server.receive_output()
    assert start["status"] == 200
    assert (b"content-type", b"text/javascript") in [
        (name.lower(), value) for name, value in start["headers"]
    ]
    assert body["body"].startswith(b"/**")
    await server.wait()
