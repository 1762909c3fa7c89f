"""What a test sees is what the worker would have written: the same statements, in a test and on a real server."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from django.db import connection

from django_electric.test import ElectricClient
from django_electric.test.client import as_query
from django_electric.test.following import Following, Message
from tests.kit.scripts import LAST_ID, SCRIPTS, Script
from tests.support.server import ElectricServer

Told = list[dict[str, Any]]


def told(messages: list[Message]) -> Told:
    """What a client reads in *messages*, without what names this database's transactions."""
    named = ("lsn", "txids")
    return [
        {**message, "headers": {k: v for k, v in message["headers"].items() if k not in named}}
        for message in messages
        if "operation" in message["headers"]
    ]


def has_last(messages: list[Message]) -> bool:
    return any(message.get("value", {}).get("id") == LAST_ID for message in messages)


def by_the_kit(client: ElectricClient, script: Script) -> Told:
    with connection.cursor() as cursor:
        for statement in script.made:
            cursor.execute(statement)
        shape = client.shape(**script.params)
        for statements in script.transactions:
            for statement in statements:
                cursor.execute(statement)
            shape.sync()
    return told(shape.messages)


def by_the_worker(server: ElectricServer, script: Script) -> Told:
    server.sql(*script.made)
    following = Following()
    with httpx.Client(base_url=server.url, timeout=30) as http, server.connect() as writer:

        def ask() -> None:
            query = {**as_query(script.params), **following.query}
            answer = http.get("/v1/shape", params=query)
            following.take(answer.status_code, answer.headers, answer.content)

        while not following.is_up_to_date:
            ask()
        for statements in script.transactions:
            with writer.transaction():
                for statement in statements:
                    writer.execute(statement)  # type: ignore[arg-type]
        while not has_last(following.messages):
            ask()
    return told(following.messages)


@pytest.mark.parametrize("script", SCRIPTS, ids=str)
def test_the_same_statements_make_the_same_messages(
    electric_client: ElectricClient, server: ElectricServer, script: Script
) -> None:
    expected = by_the_worker(server, script)
    assert has_last(expected)
    assert len(expected) >= len(script.transactions)
    assert by_the_kit(electric_client, script) == expected
