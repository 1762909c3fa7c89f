"""What is installed is the whole package and nothing else, and the commands that set a checkout up explain themselves."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from email.message import Message
from email.parser import HeaderParser
from importlib.metadata import requires, version
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "django_electric"
MADE_BY_TOOLS = {"__pycache__", ".mypy_cache", ".ruff_cache"}

needs_checkout = pytest.mark.skipif(
    not PACKAGE.exists(), reason="the package is installed; there is no checkout to build from"
)


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    destination = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(destination)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return zipfile.ZipFile(next(destination.glob("*.whl")))


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    name = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return HeaderParser().parsestr(wheel.read(name).decode())


def files_of_the_package() -> set[str]:
    return {
        str(path.relative_to(ROOT))
        for path in PACKAGE.rglob("*")
        if path.is_file() and not MADE_BY_TOOLS & set(path.parts)
    }


# --- The wheel ------------------------------------------------------------------------------------


@needs_checkout
def test_the_wheel_holds_every_file_of_the_package(wheel: zipfile.ZipFile) -> None:
    assert files_of_the_package() - set(wheel.namelist()) == set()


@needs_checkout
def test_the_wheel_holds_nothing_but_the_package(wheel: zipfile.ZipFile) -> None:
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"django_electric"}


@needs_checkout
@pytest.mark.parametrize(
    "name",
    [
        "django_electric/py.typed",
        "django_electric/migrations/0001_initial.py",
        "django_electric/management/commands/run_electric_replication.py",
    ],
)
def test_the_wheel_holds_what_is_easily_forgotten(wheel: zipfile.ZipFile, name: str) -> None:
    assert name in wheel.namelist()


@needs_checkout
def test_the_wheel_holds_the_licence(wheel: zipfile.ZipFile, metadata: Message) -> None:
    assert metadata["License-Expression"] == "Apache-2.0"
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())


@needs_checkout
def test_the_wheel_needs_no_postgres_of_its_own(metadata: Message) -> None:
    always = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert sorted(re.split(r"[\[><=]", line)[0] for line in always) == [
        "channels",
        "daphne",
        "django",
        "django-environ",
        "pglast",
        "psycopg",
    ]


# --- What the files say of themselves ---------------------------------------------------------------


def test_the_distribution_is_installed_under_its_name(project: dict[str, Any]) -> None:
    assert version("django-electric-sync") == project["project"]["version"]
    assert requires("django-electric-sync")


def test_the_changelog_begins_with_the_version(project: dict[str, Any]) -> None:
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest
    assert newest[1] == project["project"]["version"]


def test_the_tox_matrix_covers_the_pythons_of_the_classifiers(project: dict[str, Any]) -> None:
    named = [line.rpartition(" :: ")[2] for line in project["project"]["classifiers"]]
    pythons = {name.replace(".", "") for name in named if re.fullmatch(r"3\.\d+", name)}
    matrix = (ROOT / "tox.ini").read_text()
    assert pythons == set(re.findall(r"3\d\d", matrix.partition("lint")[0]))


def test_every_target_of_the_makefile_explains_itself() -> None:
    lines = (ROOT / "Makefile").read_text().splitlines()
    targets = [line for line in lines if re.match(r"[a-z]+:", line)]
    assert targets
    assert [line for line in targets if " ## " not in line] == []


# --- Setting up a checkout ------------------------------------------------------------------------


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with a space in its name that holds the script which makes the environment."""
    place = tmp_path / "a checkout"
    (place / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "venv", place / ".ci")
    (place / "pyproject.toml").write_text("[project]\nname = 'nothing'\n")
    return place


def set_up(checkout: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the script with a PATH that holds the system's small programs and no interpreter but ours."""
    path = {"PATH": f"{checkout / 'bin'}", **env}
    return subprocess.run(
        ["/bin/sh", str(checkout / ".ci" / "venv")], env=path, capture_output=True, text=True
    )


def provide(checkout: Path, *programs: str) -> None:
    folder = checkout / "bin"
    folder.mkdir(exist_ok=True)
    for program in programs:
        found = shutil.which(program)
        assert found, program
        (folder / program).symlink_to(found)


SMALL_PROGRAMS = ("dirname", "cat", "cksum", "rm")


def test_without_a_python_that_is_new_enough_it_says_what_is_missing(checkout: Path) -> None:
    provide(checkout, *SMALL_PROGRAMS)
    finished = set_up(checkout)
    assert finished.returncode == 1
    assert "No Python >= 3.11 found" in finished.stderr


def test_a_python_that_is_named_must_be_new_enough(checkout: Path) -> None:
    provide(checkout, *SMALL_PROGRAMS)
    finished = set_up(checkout, PYTHON="python2.7")
    assert finished.returncode == 1
    assert "PYTHON=python2.7 is not a Python >= 3.11" in finished.stderr


def test_a_python_that_cannot_make_environments_gets_one_line_of_remedy(checkout: Path) -> None:
    provide(checkout, *SMALL_PROGRAMS)
    python = checkout / "bin" / "python3"
    python.write_text(f'#!/bin/sh\n[ "$1" = -m ] && exit 1\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    finished = set_up(checkout)
    assert finished.returncode == 1
    assert "apt-get install python3-venv" in finished.stderr
    assert not (checkout / ".venv").exists()


@pytest.mark.slow
def test_an_environment_is_made_once_and_made_anew_after_a_move(checkout: Path) -> None:
    provide(checkout, *SMALL_PROGRAMS)
    (checkout / "bin" / "python3").symlink_to(sys.executable)
    python = sys.base_prefix + f"/bin/python3.{sys.version_info.minor}"
    first, second = set_up(checkout, PYTHON=python), set_up(checkout, PYTHON=python)
    assert (first.returncode, second.returncode) == (0, 0)
    assert "Making .venv" in first.stderr
    assert second.stderr == ""

    moved = checkout.rename(checkout.with_name("moved away"))
    assert "Making .venv" in set_up(moved, PYTHON=python).stderr
