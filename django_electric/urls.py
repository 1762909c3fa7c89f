"""``/v1/shape``, ``/v1/health``, ``/shapes/<name>/`` and the gatekeeper, relative to where the host project includes them.

Empty segments are ignored, as Electric does: ``/v1/shape/`` and ``/v1//shape`` are the shape route.
Authentication is part of the view, so no spelling of the path gets around it.
"""

from __future__ import annotations

from django.urls import re_path

from django_electric.web import gate_check, gatekeeper, project_views, views

app_name = "django_electric"

urlpatterns = [
    re_path(r"^(?:/)*v1/+shape/*\Z", views.shape, name="shape"),
    re_path(r"^(?:/)*v1/+health/*\Z", views.health, name="health"),
    re_path(
        r"^(?:/)*shapes/+(?P<name>[-a-zA-Z0-9_]+)/*\Z",
        project_views.declared,
        name="declared-shape",
    ),
    re_path(r"^(?:/)*gatekeeper/+check/*\Z", gate_check.check, name="gatekeeper-check"),
    re_path(r"^(?:/)*gatekeeper/+(?P<name>[^/]+)/*\Z", gatekeeper.gatekeeper, name="gatekeeper"),
]
