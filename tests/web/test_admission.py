"""PROTOCOL section 7.7: how many requests of each kind are under way."""

from __future__ import annotations

import pytest

from django_electric.conf import AdmissionLimits
from django_electric.web.admission import Admission, Overloaded


def test_a_request_over_the_limit_of_its_kind_is_refused() -> None:
    admission = Admission(AdmissionLimits(initial=1, existing=2))
    first = admission.admit("initial")
    with pytest.raises(Overloaded) as refused:
        admission.admit("initial")
    assert (refused.value.kind, refused.value.limit) == ("initial", 1)
    admission.admit("existing")
    first.release()
    admission.admit("initial")


def test_releasing_twice_counts_once() -> None:
    admission = Admission(AdmissionLimits(1, 1))
    permit = admission.admit("existing")
    permit.release()
    permit.release()
    assert admission.under_way == {"initial": 0, "existing": 0}


def test_an_initial_permit_is_exchanged_once_the_snapshot_has_started_limit_or_not() -> None:
    admission = Admission(AdmissionLimits(1, 1))
    admission.admit("existing")
    permit = admission.admit("initial")
    permit.becomes_existing()
    permit.becomes_existing()
    assert admission.under_way == {"initial": 0, "existing": 2}
    permit.release()
    assert admission.under_way == {"initial": 0, "existing": 1}


def test_whoever_wants_to_know_hears_of_the_release_once() -> None:
    permit = Admission(AdmissionLimits(1, 1)).admit("existing")
    heard: list[str] = []
    permit.on_release = lambda: heard.append("released")
    permit.release()
    permit.release()
    assert heard == ["released"]
