"""What clients hear when first rows cannot be read (PROTOCOL section 7.5), of a worker that may not do everything.

Its role has REPLICATION, but owns nothing except what it made itself.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Mapping

import httpx
import psycopg
import pytest

from example_project.embedded_postgres import Cluster
from tests.support.server import ElectricServer
from tests.support.waiting import eventually

pytestmark = pytest.mark.xdist_group("snapshot-errors")


class GuestServer(ElectricServer):
    """Its processes connect as such a role; the tests as the superuser."""

    def __init__(self, cluster: Cluster, env: Mapping[str, str] | None = None) -> None:
        self.role = f"guest_{uuid.uuid4().hex[:8]}"
        super().__init__(
            cluster,
            env,
            before_start=(
                f"CREATE ROLE {self.role} LOGIN REPLICATION",
                f"GRANT ALL ON SCHEMA public TO {self.role}",
            ),
        )
        self.before_start += (f"GRANT CREATE ON DATABASE {self.database} TO {self.role}",)
        self.env["DATABASE_URL"] = self.database_url.replace("postgres@", f"{self.role}@")
        self.publication = f"electric_publication_{self.stream_id}"

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        with psycopg.connect(self.cluster.dsn("postgres"), autocommit=True) as connection:
            connection.execute(f"DROP ROLE {self.role}")  # type: ignore[call-overload]


@pytest.fixture(scope="module")
def guest(postgres_cluster: Cluster) -> Iterator[GuestServer]:
    with GuestServer(postgres_cluster) as server:
        yield server


@pytest.fixture(scope="module")
def manual(postgres_cluster: Cluster) -> Iterator[GuestServer]:
    """The same, which may not alter anything; the publication is somebody else's."""
    server = GuestServer(postgres_cluster, {"ELECTRIC_MANUAL_TABLE_PUBLISHING": "true"})
    server.before_start += (f"CREATE PUBLICATION {server.publication}",)
    with server:
        yield server


@pytest.fixture
def table(guest: GuestServer) -> str:
    return make_table(guest)


def make_table(guest: GuestServer) -> str:
    """A table of somebody else, with one row."""
    name = f"items_{uuid.uuid4().hex[:8]}"
    guest.sql(
        f"CREATE TABLE {name} (id int PRIMARY KEY, v text)", f"INSERT INTO {name} VALUES (1, 'a')"
    )
    return name


def ask(server: ElectricServer, table: str, **query: str) -> httpx.Response:
    parameters = {"table": table, "offset": "-1", **query}
    return httpx.get(f"{server.url}/v1/shape", params=parameters, timeout=60)


def refusal(server: ElectricServer, table: str, **query: str) -> str:
    """The message of a 503 that says when to come back, and that may not be cached."""
    answer = ask(server, table, **query)
    assert answer.status_code == 503, answer.text
    assert answer.headers["retry-after"] == "10"
    assert answer.headers["electric-internal-known-error"] == "true"
    assert answer.headers["cache-control"] == answer.headers["surrogate-control"] == "no-store"
    assert not {"electric-handle", "electric-offset", "etag"} & set(answer.headers)
    assert list(answer.json()) == ["message"]
    return str(answer.json()["message"])


def test_one_thing_after_the_other_is_missing_and_then_it_works(
    guest: GuestServer, table: str
) -> None:
    unable = "Unable to create initial snapshot: "
    assert refusal(guest, table) == f"{unable}must be owner of table {table}"
    guest.sql(f"ALTER PUBLICATION {guest.publication} ADD TABLE {table}")
    assert refusal(guest, table) == (
        f'Database table "public.{table}" does not have its replica identity set to FULL'
    )
    guest.sql(f"ALTER TABLE {table} REPLICA IDENTITY FULL")
    assert refusal(guest, table) == f"{unable}permission denied for table {table}"
    guest.sql(f"GRANT SELECT ON {table} TO {guest.role}")
    answer = ask(guest, table)
    assert answer.status_code == 200
    assert [m["value"] for m in answer.json()[:1]] == [{"id": "1", "v": "a"}]


def test_who_publishes_by_hand_is_told_of_the_tables_that_subqueries_read(
    manual: GuestServer,
) -> None:
    outer, inner = make_table(manual), make_table(manual)
    for table in (outer, inner):
        manual.sql(f"GRANT SELECT ON {table} TO {manual.role}")
    manual.sql(
        f"ALTER PUBLICATION {manual.publication} ADD TABLE {outer}",
        f"ALTER TABLE {outer} REPLICA IDENTITY FULL",
    )
    where = f"id IN (SELECT id FROM {inner} WHERE v = 'a')"
    assert refusal(manual, outer, where=where) == (
        f'Database table "public.{inner}" is missing from the publication "{manual.publication}" and '
        "the ELECTRIC_MANUAL_TABLE_PUBLISHING setting prevents Electric from adding it"
    )
    manual.sql(f"ALTER PUBLICATION {manual.publication} ADD TABLE {inner}")
    assert refusal(manual, outer, where=where) == (
        f'Database table "public.{inner}" does not have its replica identity set to FULL'
    )
    manual.sql(f"ALTER TABLE {inner} REPLICA IDENTITY FULL")
    assert ask(manual, outer, where=where).status_code == 200


def test_who_publishes_by_hand_is_told_what_is_left_to_do(manual: GuestServer) -> None:
    table = make_table(manual)
    assert refusal(manual, table) == (
        f'Database table "public.{table}" is missing from the publication "{manual.publication}" and '
        "the ELECTRIC_MANUAL_TABLE_PUBLISHING setting prevents Electric from adding it"
    )
    manual.sql(f"ALTER PUBLICATION {manual.publication} ADD TABLE {table}")
    assert refusal(manual, table) == (
        f'Database table "public.{table}" does not have its replica identity set to FULL'
    )
    manual.sql(f"ALTER TABLE {table} REPLICA IDENTITY FULL")
    denied = f"Unable to create initial snapshot: permission denied for table {table}"
    assert refusal(manual, table) == denied
    manual.sql(f"GRANT SELECT ON {table} TO {manual.role}")
    first = ask(manual, table)
    assert first.status_code == 200
    manual.sql(f"INSERT INTO {table} VALUES (2, 'b')")
    handle = first.headers["electric-handle"]
    live = ask(manual, table, offset="0_inf", handle=handle, live="true")
    assert live.json()[0]["value"] == {"id": "2", "v": "b"}
    # Nobody takes it out again, with the last shape least of all.
    manual.sql(f"DELETE FROM django_electric_shape WHERE handle = '{handle}'")
    log = manual.storage / manual.stream_id / "shapes" / handle
    eventually(lambda: not log.exists(), "the worker has heard of it")
    assert manual.query(
        "SELECT tablename FROM pg_publication_tables WHERE pubname = %s", [manual.publication]
    ) == [(table,)]
    assert ask(manual, table).status_code == 200


def last_words(guest: GuestServer, stream_id: str) -> str:
    """Of a worker of another stream, which has to give up."""
    here = guest.env["ELECTRIC_REPLICATION_STREAM_ID"]
    guest.env["ELECTRIC_REPLICATION_STREAM_ID"] = stream_id
    try:
        worker = guest.start(stream_id, "manage.py", "run_electric_replication")
    finally:
        guest.env["ELECTRIC_REPLICATION_STREAM_ID"] = here
    assert worker.wait(30) == 3, guest.log(stream_id)
    assert "Traceback" not in guest.log(stream_id)
    return guest.log(stream_id).strip().splitlines()[-1]


def test_a_worker_without_a_publication_that_it_can_use_gives_up(guest: GuestServer) -> None:
    database = f"DATABASE {guest.database}"
    guest.sql(f"REVOKE CREATE ON {database} FROM {guest.role}")
    try:
        missing = last_words(guest, "missing")
    finally:
        guest.sql(f"GRANT CREATE ON {database} TO {guest.role}")
    assert "The database role may not create a publication" in missing
    assert "CREATE PUBLICATION electric_publication_missing;" in missing
    guest.sql("CREATE PUBLICATION electric_publication_part WITH (publish = 'insert')")
    assert (
        'Publication "electric_publication_part" does not publish all required operations: '
        "INSERT, UPDATE, DELETE, TRUNCATE. Run ALTER PUBLICATION"
    ) in last_words(guest, "part")


def test_a_publication_that_is_not_the_workers(guest: GuestServer, table: str) -> None:
    guest.sql(f"ALTER PUBLICATION {guest.publication} OWNER TO postgres")
    try:
        message = refusal(guest, table)
    finally:
        guest.sql(f"ALTER PUBLICATION {guest.publication} OWNER TO {guest.role}")
    assert message == (
        f'Database table "public.{table}" is missing from the publication "{guest.publication}" and '
        "Electric lacks privileges to add it"
    )


def test_a_publication_that_leaves_something_out(guest: GuestServer, table: str) -> None:
    guest.sql(f"ALTER PUBLICATION {guest.publication} SET (publish = 'insert, update, delete')")
    try:
        message = refusal(guest, table)
    finally:
        guest.sql(
            f"ALTER PUBLICATION {guest.publication} SET (publish = 'insert, update, delete, truncate')"
        )
    assert message == (
        f'Publication "{guest.publication}" does not publish all required operations: '
        "INSERT, UPDATE, DELETE, TRUNCATE"
    )


@pytest.mark.parametrize("query", [{}, {"where": "id = 1"}])
def test_a_table_that_is_not_logged(guest: GuestServer, query: dict[str, str]) -> None:
    """Its changes are not in the stream; the condition is not at fault."""
    name = f"unlogged_{uuid.uuid4().hex[:8]}"
    guest.sql(f"CREATE UNLOGGED TABLE {name} (id int PRIMARY KEY)")
    readable(guest, name)
    assert refusal(guest, name, **query) == (
        f'Unable to create initial snapshot: cannot add relation "{name}" to publication.'
        " This operation is not supported for unlogged tables"
    )


def test_a_temporary_table_of_another_session(guest: GuestServer) -> None:
    name = f"passing_{uuid.uuid4().hex[:8]}"
    with guest.connect() as connection:
        connection.execute(f"CREATE TEMPORARY TABLE {name} (id int PRIMARY KEY)")  # type: ignore[call-overload]
        connection.execute(f"ALTER TABLE {name} OWNER TO {guest.role}")  # type: ignore[call-overload]
        query = "SELECT relnamespace::regnamespace::text FROM pg_class WHERE relname = %s"
        ((schema,),) = connection.execute(query, [name]).fetchall()
        message = refusal(guest, f"{schema}.{name}")
    assert message.startswith("Unable to create initial snapshot: ")


def test_a_foreign_table_among_the_partitions(guest: GuestServer) -> None:
    name = f"parted_{uuid.uuid4().hex[:8]}"
    guest.sql(
        f"CREATE FOREIGN DATA WRAPPER {name}",
        f"CREATE SERVER {name} FOREIGN DATA WRAPPER {name}",
        f"CREATE TABLE {name} (id int) PARTITION BY RANGE (id)",
        f"CREATE FOREIGN TABLE {name}_1 PARTITION OF {name} FOR VALUES FROM (0) TO (9) SERVER {name}",
    )
    try:
        readable(guest, name)
        readable(guest, f"{name}_1")
        message = refusal(guest, name)
    finally:
        guest.sql(f"DROP FOREIGN DATA WRAPPER {name} CASCADE", f"DROP TABLE {name}")
    assert message.startswith("Unable to create initial snapshot: ")


def readable(guest: GuestServer, table: str) -> None:
    guest.sql(f"ALTER TABLE {table} OWNER TO {guest.role}")


def test_a_query_that_an_administrator_cancels(guest: GuestServer, table: str) -> None:
    """A lock on the table holds the query up; nobody waits longer than it takes to cancel it."""
    readable(guest, table)
    assert ask(guest, table, where="id = 0").status_code == 200, "it is published"
    messages: list[str] = []
    with guest.connect() as locking, locking.transaction():
        locking.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")  # type: ignore[call-overload]
        # A request of its own shape: the catalogue can be read, the rows cannot.
        thread = threading.Thread(
            target=lambda: messages.append(refusal(guest, table, log="full", replica="full"))
        )
        thread.start()
        cancel = (
            "SELECT pg_cancel_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND query LIKE 'COPY (SELECT %' AND wait_event_type = 'Lock'"
        )
        eventually(lambda: guest.query(cancel), "the query waits for the lock")
        thread.join(30)
    assert messages == ["canceling statement due to user request"]


# What Postgres only finds out when there is a row.
BROKEN = {
    "id / 0 = 1": "division by zero",
    "10 / (id - 1) > 0": "division by zero",
    "v::int = 5": 'invalid input syntax for type integer: "a"',
    "length(repeat(v, 1073741823)) = 5": "requested length too large",
    "ARRAY[j] = ARRAY[j]": "could not identify an equality operator for type json",
    "c < p": "could not determine which collation to use for string comparison",
}


@pytest.mark.parametrize("where", BROKEN)
def test_a_condition_that_fails_on_a_row_is_an_invalid_request(
    guest: GuestServer, table: str, where: str
) -> None:
    """And not 500: no query string may give that."""
    guest.sql(
        f"""ALTER TABLE {table} ADD j json DEFAULT '{{}}', ADD c text COLLATE "C", ADD p text COLLATE "POSIX" """,
        f"UPDATE {table} SET c = 'a', p = 'b'",
    )
    readable(guest, table)
    answer = ask(guest, table, where=where)
    assert answer.status_code == 400, answer.text
    assert answer.json() == {"message": "Invalid request", "errors": {"where": [BROKEN[where]]}}
    assert answer.headers["cache-control"] == answer.headers["surrogate-control"] == "no-store"
    assert not {"electric-handle", "etag", "retry-after"} & set(answer.headers)
    guest.sql(f"DELETE FROM {table}")
    assert ask(guest, table, where=where).status_code == 200, "the next request begins anew"


def test_a_condition_that_fails_on_a_row_fails_a_subset_too(guest: GuestServer, table: str) -> None:
    readable(guest, table)
    guest.sql(f"DELETE FROM {table}")
    shape = {"where": "10 / (id - 1) > 0"}
    assert ask(guest, table, **shape).status_code == 200
    guest.sql(f"INSERT INTO {table} VALUES (1, 'a')")
    for members, errors in (
        ({"subset__where": ""}, {"where": ["division by zero"]}),
        ({"subset__order_by": "v"}, {"where": ["division by zero"]}),
        ({"subset__where": "id > 0"}, {"subset": {"where": "division by zero"}}),
    ):
        answer = ask(guest, table, **shape, **members)
        assert answer.status_code == 400, answer.text
        assert answer.json() == {"message": "Invalid request", "errors": errors}


def test_generated_columns_are_published_from_postgres_18_on(guest: GuestServer) -> None:
    """PROTOCOL section 4.9; before, they are refused by name."""
    name = f"generated_{uuid.uuid4().hex[:8]}"
    guest.sql(
        f"CREATE TABLE {name} (id int PRIMARY KEY, a int, twice int GENERATED ALWAYS AS (a * 2) STORED)",
        f"INSERT INTO {name} VALUES (1, 1)",
        f"ALTER TABLE {name} OWNER TO {guest.role}",
    )
    answer = ask(guest, name)
    with guest.connect() as connection:
        is_new = connection.info.server_version >= 180000
    if not is_new:
        assert answer.status_code == 400
        assert (
            "are generated and cannot be included in the shape: twice. You can exclude"
            in answer.text
        )
        return
    assert answer.json()[0]["value"] == {"id": "1", "a": "1", "twice": "2"}
    handle = answer.headers["electric-handle"]
    guest.sql(f"UPDATE {name} SET a = 5")
    live = ask(guest, name, offset="0_inf", handle=handle, live="true")
    assert live.json()[0]["value"] == {"id": "1", "a": "5", "twice": "10"}
