"""manage.py electric_shapes explain: of a shape that exists, and of one that a request would make."""

from __future__ import annotations

import io
import json

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from django_electric.models import Shape
from tests.shapes.world import define


@pytest.fixture(autouse=True)
def table(postgres_cluster: object, db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE explained (id int PRIMARY KEY, place int, title text, r int4range)"
        )


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("electric_shapes", "explain", *arguments, stdout=out)
    return out.getvalue()


def test_a_shape_that_exists_is_named_by_its_handle() -> None:
    shape = Shape.objects.register(define(where="id = 7 AND text <> 'a'"), "default")
    assert run(shape.handle) == str(shape.explain()) + "\n"
    assert "found by an index" in run(shape.handle)


def test_a_request_is_explained_with_its_parameters() -> None:
    text = run("--table", "explained", "--where", "id = $1 AND title ILIKE $2", "--param", "1=7", "--param", "$2=%x%")  # fmt: skip
    assert "\"id\" equals '7', then \"title\" ILIKE '%x%'" in text
    assert Shape.objects.count() == 0


def test_what_only_postgres_can_evaluate_is_said_to_be_delegated() -> None:
    found = json.loads(run("--table", "explained", "--where", "int4range(place, 9) @> 3", "--json"))
    assert (found["road"], found["is_delegated"]) == ("evaluation", True)
    found = json.loads(
        run(
            "--table",
            "public.explained",
            "--where",
            "id = 3 AND r > '[1,2)'",
            "--json",
        )
    )
    assert (found["road"], found["is_delegated"]) == ("index", True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--table", "explained", "--where", "random() > 0.5"], "where: .*volatile"),
        (["--table", "explained", "--where", "nothing = 1"], "where: .*nothing"),
        (["--table", "no_such_table"], "table: Table .*no_such_table"),
        (["1-2"], "no shape has the handle 1-2"),
    ],
)
def test_what_is_refused_is_refused_by_name(arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message) as caught:
        run(*arguments)
    assert caught.value.returncode == 1


def test_a_refusal_can_be_read_by_programs() -> None:
    out = io.StringIO()
    with pytest.raises(CommandError):
        call_command(
            "electric_shapes", "explain", "--json", table="explained", where="id =", stdout=out
        )
    assert list(json.loads(out.getvalue())["refused"]) == ["where"]


@pytest.mark.parametrize(
    "arguments", [[], ["1-2", "--table", "explained"], ["--table", "explained", "--param", "1"]]
)
def test_wrong_arguments_have_a_code_of_their_own(arguments: list[str]) -> None:
    with pytest.raises(CommandError) as caught:
        run(*arguments)
    assert caught.value.returncode == 2
