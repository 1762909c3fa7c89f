"""The example project with an app whose migrations do to a table whatever migrations do."""

from __future__ import annotations

from example_project.settings import *  # noqa: F403  # that is what the file is for
from example_project.settings import INSTALLED_APPS as _APPS

INSTALLED_APPS = [*_APPS, "tests.migrated"]
