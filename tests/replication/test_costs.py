"""What the worker says that conditions cost, from a stream to the file that the admin reads."""

from __future__ import annotations

import httpx

from django_electric.shapes.costs import COSTS_FILE, Cost, read_costs
from django_electric.storage import state_file
from tests.support.server import ElectricServer
from tests.support.waiting import eventually


def test_a_condition_that_postgres_evaluates_is_measured_by_the_worker(
    server: ElectricServer,
) -> None:
    server.sql("CREATE TABLE costly (id int PRIMARY KEY, place int)")
    parameters = {"table": "costly", "offset": "-1", "where": "int4range(place, 9) @> 3"}
    answer = httpx.get(f"{server.url}/v1/shape", params=parameters, timeout=30)
    assert answer.status_code == 200
    handle = answer.headers["electric-handle"]
    server.sql("INSERT INTO costly SELECT g, g FROM generate_series(1, 10) g")
    path = server.storage / server.stream_id / COSTS_FILE

    def cost() -> Cost | None:
        return read_costs(state_file.read(path)).get(handle)

    eventually(lambda: cost() is not None, "the worker says what the condition cost")
    found = cost()
    assert found is not None
    assert (found.rows, found.is_delegated) == (10, True)
    assert found.ns > 0
