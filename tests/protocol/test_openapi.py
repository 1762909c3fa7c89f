"""The OpenAPI document: sound in itself, true of the routes, and equal to its copy among the docs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from django.core.management import CommandError, call_command
from django.urls import get_resolver, resolve

from django_electric import urls
from django_electric.protocol.openapi import document

COPY = Path(__file__).resolve().parents[2] / "docs" / "reference" / "openapi.json"
DOCUMENT: dict[str, Any] = document()


def _operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, operations in DOCUMENT["paths"].items():
        for method, operation in operations.items():
            yield path, method, operation


def _with_examples(where: str, described: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Schema and value of each example in a parameter or a media type."""
    if "example" in described:
        yield where, described["schema"], described["example"]
    for name, example in described.get("examples", {}).items():
        yield f"{where} {name}", described["schema"], example["value"]
    for media_type, content in described.get("content", {}).items():
        yield from _with_examples(f"{where} {media_type}", content)


def _examples() -> Iterator[Any]:
    for path, method, operation in _operations():
        for parameter in operation["parameters"]:
            yield from _with_examples(f"{method} {path} {parameter['name']}", parameter)
        for status, response in operation["responses"].items():
            yield from _with_examples(f"{method} {path} {status}", response)


@pytest.mark.skipif(not COPY.is_file(), reason="there are no docs here to look at")
class TestCopy:
    def test_the_copy_among_the_docs_says_what_is_served(self, settings: Any) -> None:
        settings.ELECTRIC = {"default": {"SECRET": "x"}}
        call_command("electric_openapi", check=str(COPY), server="/")

    def test_a_copy_that_says_something_else_is_noticed(self, tmp_path: Path) -> None:
        other = tmp_path / "openapi.json"
        other.write_text(COPY.read_text().replace('"electric-cursor"', '"electric-curser"'))
        with pytest.raises(CommandError, match="does not say what is served"):
            call_command("electric_openapi", check=str(other), server="/")


def test_the_document_is_json_and_all_that_it_refers_to_is_there() -> None:
    text = json.dumps(DOCUMENT)

    def references(value: object) -> Iterator[str]:
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                yield value["$ref"]
            for member in value.values():
                yield from references(member)
        elif isinstance(value, list):
            for member in value:
                yield from references(member)

    found = set(references(json.loads(text)))
    assert found
    for reference in found:
        kind, name = reference.removeprefix("#/components/").split("/")
        assert name in DOCUMENT["components"][kind], reference


def test_no_component_is_unused() -> None:
    text = json.dumps(DOCUMENT)
    for kind in ("schemas", "headers"):
        for name in DOCUMENT["components"][kind]:
            assert f'"#/components/{kind}/{name}"' in text, name


@pytest.mark.parametrize(("where", "schema", "example"), list(_examples()))
def test_every_example_fits_its_schema(where: str, schema: Any, example: Any) -> None:
    whole = {**schema, "components": DOCUMENT["components"]}
    errors = list(jsonschema_rs.validator_for(whole).iter_errors(example))
    assert not errors, (where, errors)


def test_every_route_is_documented() -> None:
    routes = {pattern.name for pattern in get_resolver("django_electric.urls").url_patterns}
    assert len(urls.urlpatterns) == len(routes)
    documented = {resolve(path, "django_electric.urls").url_name for path in DOCUMENT["paths"]}
    # A declared shape takes the same requests, and who may make them is the project's affair.
    beside = {"declared-shape": "/shapes/<name>/", "gatekeeper": "/gatekeeper/<name>/"}
    beside["gatekeeper-check"] = "/gatekeeper/check"
    assert documented | set(beside) == routes
    page = Path(__file__).parents[2] / "docs" / "reference" / "http-api.md"
    if page.exists():
        assert [path for path in beside.values() if path not in page.read_text()] == []
