"""The ways in which the example project can be served; all of them end in the same views."""

from __future__ import annotations

from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application

from example_project.asgi import application as wrapped

__all__ = ["plain", "without_asgi", "wrapped"]

plain = get_asgi_application()
without_asgi = get_wsgi_application()
