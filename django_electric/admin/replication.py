"""The replication page of the admin: slot, publication, worker, and what is wrong with them."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from django_electric.admin.chart import HEIGHT, WIDTH, Chart, chart
from django_electric.conf import ALIAS, electric_settings
from django_electric.replication.heartbeat import INTERVAL, Heartbeat, Sample
from django_electric.upkeep.examine import examine
from django_electric.upkeep.probes import findings, said_age, said_bytes
from django_electric.upkeep.status import status_of

if TYPE_CHECKING:
    from django_electric.models import Shape


def replication_page(admin: ModelAdmin[Shape], request: HttpRequest) -> HttpResponseBase:
    """For whoever may view shapes."""
    if not admin.has_view_permission(request):
        raise PermissionDenied
    settings = electric_settings(ALIAS)
    facts = examine(settings)
    beat = facts.storage.heartbeat
    context = {
        **admin.admin_site.each_context(request),
        "title": _("Replication"),
        "opts": admin.opts,
        "media": admin.media,
        "facts": facts,
        "status": status_of(facts, settings.root),
        "findings": findings(facts),
        "retained": said_bytes(facts.slot.retained) if facts.slot else "",
        "behind": said_bytes(facts.slot.behind) if facts.slot else "",
        "worker": _said_of_worker(beat, facts.storage.heartbeat_age),
        "charts": _charts(beat.samples if beat else ()),
        "times": _times(beat.samples if beat else ()),
        "width": WIDTH,
        "height": HEIGHT,
    }
    return TemplateResponse(request, "admin/django_electric/shape/replication.html", context)


def _said_of_worker(beat: Heartbeat | None, age: float | None) -> dict[str, str]:
    if beat is None or age is None:
        return {}
    return {
        "process": f"{beat.pid} on {beat.host}",
        "heard": said_age(age),
        "running": said_age(max(0.0, time.time() - beat.started_at)),
        "behind": said_bytes(beat.vitals.behind),
    }


def _charts(samples: tuple[Sample, ...]) -> list[tuple[str, Chart]]:
    gap = 3 * INTERVAL
    lag = [(sample.at, float(sample.behind)) for sample in samples]
    changes = [(sample.at, sample.changes) for sample in samples]
    return [
        (_("Lag: WAL that is not in the logs"), chart(lag, _as_bytes, gap, unit=1024)),
        (_("Throughput: changed rows a second"), chart(changes, _as_number, gap)),
    ]


def _times(samples: tuple[Sample, ...]) -> list[datetime]:
    """When the charts begin and end."""
    ends = samples[:1] + samples[-1:]
    return [datetime.fromtimestamp(sample.at, UTC) for sample in ends]


def _as_bytes(value: float) -> str:
    return said_bytes(round(value))


def _as_number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"
