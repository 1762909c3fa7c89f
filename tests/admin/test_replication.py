"""The replication page of the admin."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from django.test import Client
from django.urls import reverse

from django_electric.admin import replication
from django_electric.models import Shape
from django_electric.replication.heartbeat import Sample
from django_electric.upkeep.facts import Facts
from tests.upkeep.world import BEAT, FINE, PUBLICATION, STORAGE, TABLE, without_worker

URL = "admin:django_electric_shape_replication"


@pytest.fixture
def page_of(admin: Client, shape: Shape, monkeypatch: pytest.MonkeyPatch) -> object:
    """The page for these facts."""

    def page(facts: Facts) -> str:
        monkeypatch.setattr(replication, "examine", lambda _: facts)
        return admin.get(reverse(URL)).content.decode()

    return page


def test_an_installation_that_works_is_told_of(page_of: object) -> None:
    page = page_of(FINE)  # type: ignore[operator]
    assert "Nothing is wrong." in page
    for said in (
        "electric_slot_default",
        "42 on here",
        "100 bytes",
        "electric_publication_default",
    ):
        assert said in page
    assert re.search(r'id="electric-worker">active<', page)


def test_what_is_wrong_stands_at_the_top_with_its_remedy(page_of: object) -> None:
    page = page_of(without_worker(FINE))  # type: ignore[operator]
    assert '<li class="electric-error">' in page
    assert "No worker is at work" in page
    assert "manage.py run_electric_replication" in page


def test_drift_of_the_publication_stands_out(page_of: object) -> None:
    drifted = replace(TABLE, is_published=False)
    page = page_of(replace(FINE, tables=(drifted,), publication=PUBLICATION))  # type: ignore[operator]
    assert page.count("electric-bad") == 1


def test_samples_are_drawn_as_two_charts(page_of: object) -> None:
    samples = tuple(Sample(1_000.0 + 5 * n, 1_024 * n, 3.0 * n) for n in range(10))
    beat = replace(BEAT, samples=samples)
    page = page_of(replace(FINE, storage=replace(STORAGE, heartbeat=beat)))  # type: ignore[operator]
    assert page.count("<polyline") == 2
    assert "9.0 KiB" in page
    assert ">00:16:40</text>" in page
    assert ">00:17:25</text>" in page
    without = page_of(replace(FINE, storage=replace(STORAGE, heartbeat=replace(BEAT, samples=()))))  # type: ignore[operator]
    assert "<polyline" not in without
    assert "No samples yet" in without


def test_nothing_on_the_page_needs_what_a_strict_policy_forbids(page_of: object) -> None:
    samples = tuple(Sample(1_000.0 + 5 * n, n, n) for n in range(3))
    page = page_of(
        replace(FINE, storage=replace(STORAGE, heartbeat=replace(BEAT, samples=samples)))
    )  # type: ignore[operator]
    assert not re.search(r"\sstyle=|\son\w+=|<style|javascript:", page)
    assert all("src=" in script for script in re.findall(r"<script[^>]*>", page))


def test_a_database_in_which_nothing_has_run_is_told_of(admin: Client, shape: Shape) -> None:
    page = admin.get(reverse(URL)).content.decode()
    assert "There is none: the worker makes it when it first runs." in page


def test_the_page_is_for_those_who_may_view_shapes(guest: Client, shape: Shape) -> None:
    assert guest.get(reverse(URL)).status_code == 403
