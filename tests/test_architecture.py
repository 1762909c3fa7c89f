"""The house stands on its floors (CONTRIBUTING), and its core needs neither Django nor a driver."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import django_electric

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = Path(django_electric.__file__).parent
CORE = ("postgres", "where", "shapes", "protocol")


def modules(*folders: str) -> Iterator[Path]:
    for folder in folders or ("",):
        yield from sorted((PACKAGE / folder).rglob("*.py"))


def name_of(path: Path) -> str:
    parts = ("django_electric", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


_LINT = """
import sys
from importlinter.cli import lint_imports
sys.exit(lint_imports(config_filename=sys.argv[1], no_cache=True, no_logo=True))
"""


def test_every_floor_knows_only_the_floors_below_it() -> None:
    """In a process of its own: the linter looks at modules, and here some of them are loaded."""
    result = subprocess.run(
        [sys.executable, "-c", _LINT, str(ROOT / "pyproject.toml")],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 broken" in result.stdout


_IMPORT = """
import importlib, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ImportError(f"{{name}} is blocked")

sys.meta_path.insert(0, Blocked())
for name in {names!r}:
    importlib.import_module(name)
"""


def import_without(blocked: set[str], names: list[str]) -> subprocess.CompletedProcess[str]:
    code = _IMPORT.format(blocked=blocked, names=names)
    return subprocess.run(
        [
            sys.executable,
            "-I",
            "-c",
            f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r})\n{code}",
        ],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_core_and_the_storage_are_imported_without_django_and_without_a_driver() -> None:
    names = [name_of(path) for path in modules(*CORE, "storage")]
    assert len(names) > 25
    result = import_without(
        {"django", "asgiref", "channels", "daphne", "psycopg", "environ"}, names
    )
    assert result.returncode == 0, result.stderr


def test_only_what_reads_where_clauses_needs_their_parser() -> None:
    result = import_without(
        {"django", "psycopg", "pglast"}, [name_of(path) for path in modules("postgres")]
    )
    assert result.returncode == 0, result.stderr
    assert import_without({"pglast"}, ["django_electric.where.parser"]).returncode != 0


@pytest.mark.parametrize("path", list(modules()), ids=name_of)
def test_every_module_opens_with_a_sentence(path: Path) -> None:
    source = path.read_text()
    if source.strip() and "migrations" not in path.parts:
        opening = ast.get_docstring(ast.parse(source))
        assert opening
        assert opening.split("\n\n")[0].rstrip().endswith((".", "?"))


@pytest.mark.parametrize("path", list(modules(*CORE, "storage")), ids=name_of)
def test_the_core_reads_no_clock(path: Path) -> None:
    """``datetime`` may be imported to parse; nobody may ask it for the time (habit 10)."""
    asked = {
        node.func.attr
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    assert not asked & {"now", "utcnow", "today"}


def test_only_what_django_loads_before_it_is_ready_defers_an_import() -> None:
    """No import inside a function, except where Django asks for it."""
    deferred = {
        name_of(path)
        for path in modules()
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert deferred <= {"django_electric.apps", "django_electric.asgi", "django_electric.conf"}
