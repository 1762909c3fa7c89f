"""``/v1/shape`` and ``/v1/health``, relative to where the host project includes them.

Empty segments are ignored, as Electric does: ``/v1/shape/`` and ``/v1//shape`` are the shape route.
Authentication is part of the view, so no spelling of the path gets around it.
"""

from __future__ import annotations

from django.urls import re_path

from django_electric.web import views

app_name = "django_electric"

urlpatterns = [
    re_path(r"^(?:/)*v1/+shape/*\Z", views.shape, name="shape"),
    re_path(r"^(?:/)*v1/+health/*\Z", views.health, name="health"),
]
