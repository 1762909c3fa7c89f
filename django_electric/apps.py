"""ElectricConfig: the Django app."""

from __future__ import annotations

import os
import sys

from django.apps import AppConfig
from django.core.signals import setting_changed
from django.db.models.signals import pre_migrate


def _forget_settings(*, setting: str, **_: object) -> None:
    from django_electric import conf

    if setting == "ELECTRIC":
        conf.electric_settings.cache_clear()


class ElectricConfig(AppConfig):
    """Registers checks and what ``shapes.py`` declare, hears of users and migrations, keeps secrets out of access logs.

    Under ``runserver`` it starts the worker, if a setting says so.
    """

    name = "django_electric"
    label = "django_electric"
    verbose_name = "Electric"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django_electric import (
            access_logs,
            checks,
            gate_checks,
            registry,
            schema_changes,
            shape_checks,
            user_signals,
        )

        registry.discover()
        checks.register()
        shape_checks.register()
        gate_checks.register()
        user_signals.connect()
        access_logs.redact_access_logs()
        # Sent once for each app; once is enough.
        pre_migrate.connect(
            schema_changes.add_to_plan, sender=self, dispatch_uid="django_electric.schema_changes"
        )
        setting_changed.connect(_forget_settings, dispatch_uid="django_electric.conf")
        _start_development_workers()


def _start_development_workers() -> None:
    from django.conf import settings

    from django_electric import conf, development

    if development.serves(sys.argv, os.environ):
        for alias in getattr(settings, "ELECTRIC", {}):
            # A setting that cannot be read is for the system checks to complain of.
            if not list(conf.problems(alias)) and conf.electric_settings(alias).worker_in_runserver:
                development.DevelopmentWorker(alias).start()
