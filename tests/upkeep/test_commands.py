"""The commands by which an installation is looked after: what they print, and how they end."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import httpx
import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from django_electric.conf import ElectricSettings
from django_electric.management import command as command_module
from django_electric.models import Shape
from django_electric.replication.heartbeat import Heart, Vitals
from django_electric.storage import FileStorage
from django_electric.upkeep.examine import examine
from tests.support.server import ElectricServer
from tests.support.waiting import eventually
from tests.upkeep.shapes import register, register_reader


def run(*arguments: str, code: int = 0) -> str:
    """What the command prints; it must end with *code*."""
    out, err = io.StringIO(), io.StringIO()
    ended = 0
    try:
        call_command(*arguments, stdout=out, stderr=err)
    except SystemExit as end:
        ended = int(str(end.code))
    assert ended == code, (out.getvalue(), err.getvalue())
    return out.getvalue() + err.getvalue()


def beat(settings: ElectricSettings) -> None:
    """A worker has just been heard of."""
    Heart(settings.root).beat(0.0, Vitals(900, 800, 1_000, 7, 2))


COMMANDS = ("electric_doctor", "electric_status", "electric_clear", "electric_cleanup")


@pytest.mark.parametrize("name", [*COMMANDS, "electric_shapes"])
def test_an_alias_without_settings_is_a_wrong_argument(
    settings_of_test: ElectricSettings, name: str
) -> None:
    more = ["list"] if name == "electric_shapes" else []
    with pytest.raises(CommandError, match=r'ELECTRIC\["other"\] is missing') as caught:
        call_command(name, "--database", "other", *more)
    assert caught.value.returncode == 2


# --- electric_doctor ------------------------------------------------------------------------------


def test_the_doctor_names_what_is_wrong_and_the_remedy(in_use: ElectricSettings) -> None:
    register(in_use, "items")
    text = run("electric_doctor", code=1)
    assert "error: No worker is at work" in text
    assert "Start it: manage.py run_electric_replication" in text
    assert 'hear nothing: "public"."items". (electric.W028)' in text
    assert "--fix does it." in text


def test_the_doctor_does_what_is_safe_and_looks_again(in_use: ElectricSettings) -> None:
    register(in_use, "items")
    found = json.loads(run("electric_doctor", "--fix", "--json", code=1))
    assert found["fixed"] == [
        '"public"."items" is in the publication',
        '1 shapes of "public"."items" are rotated',
    ]
    assert [one["id"] for one in found["findings"]] == ["electric.W031", "electric.I026"]
    assert found["facts"]["slot"]["name"] == in_use.slot_name


def test_where_nothing_is_wrong_the_doctor_says_so(
    in_use: ElectricSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    beat(in_use)
    text = run("electric_doctor")
    assert "error" not in text
    assert "warning" not in text
    assert text.startswith("note: max_slot_wal_keep_size")


@pytest.mark.django_db
def test_the_doctor_reports_what_the_system_checks_find(
    postgres_cluster: object, settings_of_test: ElectricSettings
) -> None:
    values = {"STORAGE_DIR": settings_of_test.storage_dir, "INSECURE": True, "WAKEUP": "channels"}
    with override_settings(ELECTRIC={"default": values}, CHANNEL_LAYERS={}):
        (finding,) = json.loads(run("electric_doctor", "--json", code=1))["findings"]
    assert (finding["id"], finding["severity"]) == ("electric.E006", "error")
    assert finding["remedy"].startswith("Add the layer to CHANNEL_LAYERS")
    assert "docs/" not in finding["remedy"]
    assert finding["docs"] == "docs/reference/checks.md#electric.e006"


# --- electric_status ------------------------------------------------------------------------------


def test_status_tells_of_an_installation_at_rest(in_use: ElectricSettings) -> None:
    text = run("electric_status", code=1)
    assert "worker:   absent" in text
    assert f"{in_use.slot_name}, not read, reserved" in text


def test_status_tells_of_a_worker_at_work(in_use: ElectricSettings) -> None:
    register(in_use, "items")
    beat(in_use)
    found = json.loads(run("electric_status", "--json"))
    assert (found["worker"], found["shapes"], found["behind"]) == ("active", 1, 100)
    assert found["slot"]["is_active"] is False
    assert "100 bytes of WAL behind" in run("electric_status")


# --- electric_clear, electric_cleanup -------------------------------------------------------------


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """What a person answers when asked."""
    return lambda text: monkeypatch.setattr(command_module, "input", lambda _: text, raising=False)


def test_clear_asks_before_it_deletes(
    in_use: ElectricSettings, answer: Callable[[str], None]
) -> None:
    register(in_use, "items")
    answer("no")
    assert "Nothing was deleted" in run("electric_clear", code=1)
    assert Shape.objects.count() == 1
    answer("yes")
    assert "1 shapes deleted" in run("electric_clear")
    assert Shape.objects.count() == 0


def test_clear_can_be_told_not_to_ask(in_use: ElectricSettings) -> None:
    register(in_use, "items")
    assert json.loads(run("electric_clear", "--noinput", "--json")) == {"shapes": 1, "files": True}


def test_cleanup_asks_before_it_drops(
    in_use: ElectricSettings, answer: Callable[[str], None]
) -> None:
    answer("")
    assert "Nothing was dropped" in run("electric_cleanup", code=1)
    assert examine(in_use).slot is not None
    found = json.loads(run("electric_cleanup", "--noinput", "--json"))
    assert found == {"slot": in_use.slot_name, "publication": in_use.publication_name}
    assert examine(in_use).slot is None
    assert "neither was there" in run("electric_cleanup", "--noinput")


# --- electric_shapes ------------------------------------------------------------------------------


def test_shapes_are_listed_with_what_is_known_of_them(in_use: ElectricSettings) -> None:
    one, two = register(in_use, "items", where="id = 1"), register(in_use, "others")
    text = run("electric_shapes", "list")
    assert one.handle in text
    assert 'public.items where "id" = ' in text
    assert two.handle in text
    found = json.loads(run("electric_shapes", "list", "--table", "items", "--json"))
    assert [shape["handle"] for shape in found] == [one.handle]
    assert (found[0]["road"], found[0]["bytes"], found[0]["clients"]) == ("index", None, 0)


def test_a_shape_is_shown_with_the_end_of_its_log(in_use: ElectricSettings) -> None:
    shape = register(in_use, "items", where="id = 1")
    storage = FileStorage(in_use.root)
    writer = storage.writer(shape.handle)
    writer.snapshot().finish()
    writer.append(4242, [0, 2], [b',{"key":"a"}\n', b',{"key":"b"}\n'])
    storage.publish()
    storage.close()
    found = json.loads(run("electric_shapes", "show", shape.handle, "--entries", "1", "--json"))
    assert (found["offset"], found["entries"]) == ("4242_2", [{"key": "b"}])
    assert found["explanation"]["road"] == "index"
    text = run("electric_shapes", "show", shape.handle, "--entries", "2")
    assert '{"key": "a"}\n{"key": "b"}' in text
    assert "found by an index" in text


def test_shapes_are_deleted_by_handle_by_table_or_all(in_use: ElectricSettings) -> None:
    one, two = register(in_use, "items", where="id = 1"), register(in_use, "items")
    run("electric_shapes", "delete", one.handle)
    assert [shape.handle for shape in Shape.objects.all()] == [two.handle]
    other = register(in_use, "others")
    run("electric_shapes", "delete", "--table", "public.items")
    assert [shape.handle for shape in Shape.objects.all()] == [other.handle]
    assert json.loads(run("electric_shapes", "delete", "--all", "--json")) == {
        "deleted": [other.handle]
    }


def test_the_shapes_of_a_table_are_also_those_whose_subqueries_read_it(
    in_use: ElectricSettings,
) -> None:
    register(in_use, "items")
    readers = {register_reader(in_use, "items", "others").handle, register(in_use, "others").handle}
    listed = json.loads(run("electric_shapes", "list", "--table", "others", "--json"))
    assert {shape["handle"] for shape in listed} == readers


def test_a_rotated_shape_has_its_definition_under_a_new_handle(in_use: ElectricSettings) -> None:
    shape = register(in_use, "items", where="id = 1")
    rotated = json.loads(run("electric_shapes", "rotate", shape.handle, "--json"))["rotated"]
    new = Shape.objects.get()
    assert rotated == {shape.handle: new.handle}
    assert new.handle != shape.handle
    assert new.to_definition() == shape.to_definition()
    assert new.status == Shape.Status.REGISTERED


@pytest.mark.parametrize("verb", ["show", "delete", "rotate"])
def test_a_handle_that_no_shape_has_is_refused(in_use: ElectricSettings, verb: str) -> None:
    with pytest.raises(CommandError, match="no shape has the handle 1-2") as caught:
        call_command("electric_shapes", verb, "1-2")
    assert caught.value.returncode == 1


@pytest.mark.parametrize("arguments", [[], ["1-2", "--all"], ["--table", "items", "--all"]])
@pytest.mark.parametrize("verb", ["delete", "rotate"])
def test_one_says_in_exactly_one_way_which_shapes_are_meant(
    settings_of_test: ElectricSettings, verb: str, arguments: list[str]
) -> None:
    with pytest.raises(CommandError, match="say handles, or --table, or --all") as caught:
        call_command("electric_shapes", verb, *arguments)
    assert caught.value.returncode == 2


# --- On a running installation --------------------------------------------------------------------


def test_a_running_installation_is_healthy_and_a_rotated_shape_is_filled_anew(
    server: ElectricServer,
) -> None:
    server.sql(
        "CREATE TABLE looked_after (id int PRIMARY KEY)", "INSERT INTO looked_after VALUES (1)"
    )
    query = {"table": "looked_after", "offset": "-1"}
    first = get(server, query).headers["electric-handle"]
    server.manage("electric_doctor")
    server.manage("electric_shapes", "rotate", first)
    new = eventually(lambda: _filled(server, first), "the worker fills the new one")
    again = get(server, query)
    assert again.headers["electric-handle"] == new["handle"]
    assert '"id":"1"' in again.text


def get(server: ElectricServer, query: dict[str, str]) -> httpx.Response:
    return httpx.get(f"{server.url}/v1/shape", params=query, timeout=30)


def _shapes(server: ElectricServer) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(
        server.manage("electric_shapes", "list", "--table", "looked_after", "--json")
    )
    return found


def _filled(server: ElectricServer, old: str) -> dict[str, object] | None:
    return next(
        (s for s in _shapes(server) if s["handle"] != old and s["status"] == "active"), None
    )
