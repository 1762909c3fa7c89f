"""ElectricConfig: the Django app."""

from __future__ import annotations

from django.apps import AppConfig
from django.core.signals import setting_changed


def _forget_settings(*, setting: str, **_: object) -> None:
    from django_electric import conf

    if setting == "ELECTRIC":
        conf.electric_settings.cache_clear()


class ElectricConfig(AppConfig):
    """Registers the system checks, nothing else."""

    name = "django_electric"
    label = "django_electric"
    verbose_name = "Electric"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django_electric import checks

        checks.register()
        setting_changed.connect(_forget_settings, dispatch_uid="django_electric.conf")
