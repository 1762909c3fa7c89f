"""What can be set, checked, run or met with is documented."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import django_electric
from django_electric import checks, conf, gate_checks, shape_checks
from django_electric.upkeep import probes

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference"
PACKAGE = Path(django_electric.__file__).parent
COMMANDS = sorted(path.stem for path in (PACKAGE / "management" / "commands").glob("[!_]*.py"))
CHECKS = "".join(
    Path(module.__file__).read_text() for module in (checks, shape_checks, gate_checks, probes)
)
CHECK_IDS = sorted(set(re.findall(r'id="(electric\.[EWI]\d{3})"', CHECKS)))

pytestmark = pytest.mark.skipif(not REFERENCE.is_dir(), reason="there are no docs here to look at")


def page(name: str) -> str:
    return (REFERENCE / f"{name}.md").read_text()


def rows(text: str) -> dict[str, list[str]]:
    """First cell, without its backticks → the other cells, of every table in *text*."""
    cells = [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in text.splitlines()
        if line.startswith("| `")
    ]
    return {first.strip("| `"): rest for first, *rest in cells}


@pytest.mark.parametrize("setting", conf.SETTINGS, ids=lambda s: s.name)
def test_every_setting_is_documented_with_its_variable_its_default_and_its_sentence(
    setting: conf.Setting,
) -> None:
    variable, default, meaning = rows(page("settings"))[setting.name]
    assert variable == f"`{setting.env}`"
    assert meaning.strip(" |") == setting.help
    documented = default.strip("`")
    if setting.default is None:
        assert documented == "–"
    else:
        assert setting.read(documented) == setting.read(setting.default)


def test_no_setting_is_documented_that_does_not_exist() -> None:
    documented = {
        name for name, cells in rows(page("settings")).items() if cells[0].startswith("`ELECTRIC_")
    }
    assert documented == {setting.name for setting in conf.SETTINGS}


def test_there_are_checks() -> None:
    assert len(CHECK_IDS) >= 3


@pytest.mark.parametrize("identifier", CHECK_IDS)
def test_every_check_has_a_heading_that_its_hint_can_point_to(identifier: str) -> None:
    text = page("checks")
    assert f"({identifier.lower()})=" in text.splitlines()
    assert f"## {identifier}" in text.splitlines()


def test_no_check_is_documented_that_does_not_exist() -> None:
    headings = re.findall(r"^## (electric\.\w+)$", page("checks"), re.MULTILINE)
    assert sorted(headings) == CHECK_IDS


def test_no_check_is_spoken_of_in_the_code_that_does_not_exist() -> None:
    spoken_of = set(re.findall(r"electric\.[EWI]\d{3}", CHECKS))
    assert spoken_of == set(CHECK_IDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_documented_with_all_its_options(command: str) -> None:
    text = page("commands")
    assert f"## {command}" in text.splitlines()
    source = (PACKAGE / "management" / "commands" / f"{command}.py").read_text()
    for option in re.findall(r'"(--[a-z-]+)"', source):
        assert f"`{option}" in text, option


@pytest.mark.parametrize("name", django_electric.__all__)
def test_what_a_project_imports_is_there_and_is_explained(name: str) -> None:
    assert getattr(django_electric, name).__name__ == name
    text = (REFERENCE.parent / "how-to" / "auth.md").read_text()
    assert re.search(rf"(?:`|import |\(|, ){name}\b", text)


def test_nothing_else_is_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        django_electric.nothing  # type: ignore[attr-defined]  # noqa: B018  # that is the point
