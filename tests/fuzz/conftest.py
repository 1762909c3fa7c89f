"""Servers with rows that nobody may see unasked."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.server import ElectricServer

SECRET = "s3cret-of-the-fuzz-tests"
MARKER = "nobody-may-read-this"
TABLES = (
    "CREATE TYPE mood AS ENUM ('sad', 'happy')",
    "CREATE TABLE items (id int PRIMARY KEY, title text NOT NULL, priority int, price float8, amount numeric(10, 2),"
    " is_done boolean, due date, made timestamptz, tags text[], data jsonb, mood mood, place uuid)",
    f"INSERT INTO items SELECT n, '{MARKER} ' || n, n % 5, n / 3.0, n, n % 2 = 0, '2024-01-01'::date + n,"
    f" '2024-01-01 00:00Z', ARRAY['{MARKER}'], '{{}}', 'sad', gen_random_uuid() FROM generate_series(0, 9) n",
    'CREATE TABLE "We.ird" ("I d" text PRIMARY KEY)',
    f"""INSERT INTO "We.ird" VALUES ('{MARKER}')""",
    f"CREATE VIEW a_view AS SELECT '{MARKER}' AS id",
)
# A request that waits is answered soon.
SHORT = {"ELECTRIC_LONG_POLL_TIMEOUT": "200", "ELECTRIC_POLL_INTERVAL": "100"}
OPEN = {**SHORT, "ELECTRIC_INSECURE": "true", "ELECTRIC_ENABLE_INTEGRATION_TESTING": "true"}
CLOSED = {**SHORT, "ELECTRIC_SECRET": SECRET, "ELECTRIC_ENABLE_INTEGRATION_TESTING": "true"}

StartServer = Callable[..., ElectricServer]


@pytest.fixture(scope="session")
def open_server(electric_server: StartServer) -> ElectricServer:
    """A server that serves everybody."""
    return electric_server(OPEN, before_start=TABLES)


@pytest.fixture(scope="session")
def closed_server(electric_server: StartServer) -> ElectricServer:
    """A server that wants a secret."""
    return electric_server(CLOSED, before_start=TABLES)
