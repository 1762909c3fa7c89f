"""useShape of @electric-sql/react: what is rendered is what a SELECT says."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.clients.test_clients import MakeTable, insert, rows
from tests.support.node import NodeProcess
from tests.support.server import ElectricServer

pytestmark = [pytest.mark.client, pytest.mark.slow]


def test_components_follow_their_shapes(
    start_driver: Callable[[str], NodeProcess], server: ElectricServer, table: MakeTable
) -> None:
    issues = table(server)
    server.sql(insert(issues, 1, 30))
    page = start_driver("react")
    url = f"{server.url}/v1/shape"

    def part(component: str, name: str, **params: str) -> dict[str, object]:
        return {
            "component": component,
            "id": name,
            "url": url,
            "initial": {"table": issues, **params},
        }

    assert page.call("preload", url=url, params={"table": issues}) == 30
    parts = [part("List", "all"), part("List", "three", where="project = 3"), part("Done", "done")]
    page.call("render", parts=parts)
    page.expect(rows(server, issues), part="all")
    page.expect(rows(server, issues, "project = 3"), part="three")
    server.sql(
        f"UPDATE {issues} SET done = true WHERE id < 6",
        f"UPDATE {issues} SET project = 3 WHERE id = 7",
        f"DELETE FROM {issues} WHERE id = 3",
        insert(issues, 31, 33),
    )
    page.expect(rows(server, issues), part="all")
    page.expect(rows(server, issues, "project = 3"), part="three")
    done = str(len(rows(server, issues, "done")))
    assert page.call("text", part="done", wanted=done, timeout=20_000) == done
    # Other parameters, another shape; a component that goes takes nothing with it.
    page.call("set", part="three", params={"table": issues, "where": "project = 4"})
    page.expect(rows(server, issues, "project = 4"), part="three")
    page.call("render", parts=parts[1:])
    server.sql(f"UPDATE {issues} SET title = 'later', project = 4 WHERE id = 33")
    page.expect(rows(server, issues, "project = 4"), part="three")


def test_an_error_reaches_the_component(
    start_driver: Callable[[str], NodeProcess], server: ElectricServer
) -> None:
    page = start_driver("react")
    initial = {"table": "there_is_no_such_table"}
    part = {"component": "List", "id": "wrong", "url": f"{server.url}/v1/shape", "initial": initial}
    page.call("render", parts=[part])
    assert page.call("state", part="wrong", wanted="error 400", timeout=20_000) == "error 400"
