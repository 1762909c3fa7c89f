"""@electric-sql/experimental: a change is waited for, and several shapes come as one stream."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.clients.test_clients import MakeTable, insert, rows
from tests.support.node import NodeProcess
from tests.support.server import ElectricServer

pytestmark = [pytest.mark.client, pytest.mark.slow]


def test_a_change_is_matched_in_the_stream(
    start_driver: Callable[[str], NodeProcess], server: ElectricServer, table: MakeTable
) -> None:
    issues = table(server)
    server.sql(insert(issues, 1, 5))
    node = start_driver("experimental")
    node.call("subscribe", name="all", url=f"{server.url}/v1/shape", params={"table": issues})

    def match(number: int, operation: str, column: str, value: object, ms: int = 20_000) -> None:
        node.call(
            "match", name="all", number=number, operations=[operation], column=column, value=value, timeout=ms
        )  # fmt: skip

    match(1, "insert", "title", "issue 4")
    assert node.call("matched", number=1)["value"] == rows(server, issues, "id = 4")[0]
    match(2, "insert", "title", "issue 7")
    match(3, "update", "project", 99)
    match(4, "insert", "title", "nobody writes this", 500)
    server.sql(insert(issues, 6, 8), f"UPDATE {issues} SET project = 99 WHERE id = 2")
    assert node.call("matched", number=2)["value"] == rows(server, issues, "id = 7")[0]
    updated = node.call("matched", number=3)
    assert updated["operation"] == "update"
    assert updated["value"] == {"id": "2", "project": "99"}
    assert "timed out" in node.call("matched", number=4)["refused"]


@pytest.mark.parametrize("kind", ["MultiShapeStream", "TransactionalMultiShapeStream"])
def test_several_shapes_as_one_stream(
    start_driver: Callable[[str], NodeProcess],
    server: ElectricServer,
    table: MakeTable,
    kind: str,
) -> None:
    first, second = table(server), table(server)
    server.sql(insert(first, 1, 5), insert(second, 1, 3))
    node = start_driver("experimental")
    url = f"{server.url}/v1/shape"
    node.call("join", name="both", kind=kind, url=url, tables=[first, second])
    for name in (first, second):
        node.expect(rows(server, name), name="both", table=name)
    before = len(node.call("batches", name="both"))
    with server.connect() as connection, connection.transaction():
        connection.execute(f"UPDATE {first} SET title = 'together' WHERE id = 1")  # type: ignore[arg-type]
        connection.execute(f"DELETE FROM {second} WHERE id = 2")  # type: ignore[arg-type]
        connection.execute(f"UPDATE {first} SET done = true WHERE id = 2")  # type: ignore[arg-type]
    for name in (first, second):
        node.expect(rows(server, name), name="both", table=name)
    batches = node.call("batches", name="both")[before:]
    changes = [f"update {first} 1", f"delete {second} 2", f"update {first} 2"]
    if kind == "TransactionalMultiShapeStream":
        assert batches == [changes], "one transaction, one batch, in the order of the writes"
    else:
        assert sorted(change for batch in batches for change in batch) == sorted(changes)
