"""Bridges to other packages, with these packages: what the matrix does not ask."""

from __future__ import annotations

import pytest

from tests.access.conftest import Site
from tests.access.test_matrix import rows_of

pytestmark = [pytest.mark.postgres, pytest.mark.xdist_group("access")]


class TestNinja:
    def test_parameters_of_the_path(self, site: Site) -> None:
        for (project,) in site.server.query("SELECT id FROM demo_project ORDER BY id"):
            expected = site.server.query(
                f"SELECT id FROM demo_issue WHERE assignee = 'ann' AND project_id = {project}"
            )
            answer = site.ask("ann", f"/ninja/projects/{project}/issues")
            assert answer.status_code == 200
            found = {row["value"]["id"] for row in rows_of(answer)}
            assert found == {str(key) for (key,) in expected}

    def test_a_parameter_that_is_wrong_is_ninjas_affair(self, site: Site) -> None:
        answer = site.ask("ann", "/ninja/projects/x/issues")
        assert (answer.status_code, answer.json()["detail"][0]["type"]) == (422, "int_parsing")


class TestRestFramework:
    def test_the_other_routes_are_as_they_were(self, site: Site) -> None:
        listed = site.ask("ann", "/drf/issues/").json()
        assert len(listed) == 10
        assert set(listed[0]) == {"id", "title", "status"}
        one = site.ask("ann", f"/drf/issues/{listed[0]['id']}/").json()
        assert one == listed[0]

    def test_its_errors_are_its_own(self, site: Site) -> None:
        answer = site.ask("nobody", "/drf/issues/shape/")
        assert answer.json() == {"detail": "Authentication credentials were not provided."}
        assert site.ask("ann", "/drf/issues/shape/", method="PUT").status_code == 405

    @pytest.mark.parametrize("mount", ["first", "plain"])
    def test_server_sent_events(self, site: Site, mount: str) -> None:
        last, _ = site.read("ann", "/drf/issues/shape/")
        place = {
            "offset": last.headers["electric-offset"],
            "handle": last.headers["electric-handle"],
            "live": "true",
            "live_sse": "true",
        }
        client = site.client("ann")
        url, accept = f"{site.mounts[mount]}/drf/issues/shape/", {"accept": "text/event-stream"}
        with client.stream("GET", url, params=place, headers=accept) as answer:
            assert answer.headers["content-type"] == "text/event-stream"
            assert answer.headers["cache-control"] == "private, no-cache"
            site.server.sql(
                "UPDATE demo_issue SET title = title || '!' WHERE id ="
                " (SELECT min(id) FROM demo_issue WHERE assignee = 'ann')"
            )
            event = next(line for line in answer.iter_lines() if line.startswith("data:"))
            assert '"operation":"update"' in event


def test_a_permission_that_guardian_gives_later_is_another_shape(site: Site) -> None:
    path = "/shapes/granted-projects/"
    before, _ = site.read("eve", path, mount="plain")
    place = {
        "offset": before.headers["electric-offset"],
        "handle": before.headers["electric-handle"],
    }
    grant = (
        "from django.contrib.auth.models import User; from guardian.shortcuts import assign_perm;"
        "from example_project.demo.models import Project;"
        "assign_perm('view_project', User.objects.get(username='eve'), Project.objects.get(key='P2'))"
    )
    site.server.manage("shell", "-v0", "-c", grant)
    try:
        answer = site.ask("eve", path, mount="plain", **place)
        after, messages = site.read("eve", path, mount="plain")
    finally:
        taken = grant.replace("assign_perm", "remove_perm")
        site.server.manage("shell", "-v0", "-c", taken)
    assert answer.status_code == 409
    assert after.headers["electric-handle"] == answer.headers["electric-handle"]
    assert [m["value"]["key"] for m in messages if "key" in m] == ["P2"]
