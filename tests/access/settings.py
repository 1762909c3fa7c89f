"""The example project with other packages' permissions and views beside it."""

from __future__ import annotations

from example_project.settings import *  # noqa: F403
from example_project.settings import INSTALLED_APPS as APPS

INSTALLED_APPS = [*APPS, "rest_framework", "guardian", "tests.access"]
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "guardian.backends.ObjectPermissionBackend",
]
ANONYMOUS_USER_NAME = None
ROOT_URLCONF = "tests.access.urls"
