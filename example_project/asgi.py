"""The ASGI application, for uvicorn, daphne, granian or hypercorn.

``shapes_first`` answers shape requests without entering Django once Django has let them through.

``ASGIStaticFilesHandler`` serves the demo's own files through Django's finders, with ``DEBUG`` on or
off, so that the page works without a build step and without ``collectstatic``. A site that grows
beyond a demo puts a CDN or WhiteNoise in its place.
"""

from __future__ import annotations

import os

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application

from django_electric.asgi import shapes_first

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "example_project.settings")

application = shapes_first(ASGIStaticFilesHandler(get_asgi_application()))
