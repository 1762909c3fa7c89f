"""The example project with a middleware that compresses what it can get hold of."""

from __future__ import annotations

from example_project.settings import *  # noqa: F403  # that is what the file is for
from example_project.settings import MIDDLEWARE as _MIDDLEWARE

MIDDLEWARE = ["django.middleware.gzip.GZipMiddleware", *_MIDDLEWARE]
