"""Settings of the example project, from the environment alone.

``DATABASE_URL`` is required. The ``ELECTRIC_*`` variables mean what they mean in Electric and are
listed in ``django_electric.conf``; ``DJANGO_SECRET_KEY``, ``DJANGO_DEBUG`` and
``DJANGO_ALLOWED_HOSTS`` are Django's own.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured
from django.core.management.utils import get_random_secret_key

from django_electric import conf

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()


def _database() -> dict[str, object]:
    """``DATABASE_URL`` as an entry of ``DATABASES``."""
    if not env.str("DATABASE_URL", default="").strip():
        raise ImproperlyConfigured(
            "DATABASE_URL is not set: it names the PostgreSQL database whose tables are synced, "
            "for example DATABASE_URL=postgres://user:password@localhost:5432/app"
        )
    database: dict[str, object] = env.db_url("DATABASE_URL")
    if database.get("ENGINE") != "django.db.backends.postgresql":
        raise ImproperlyConfigured(
            "DATABASE_URL must name a PostgreSQL database, "
            "for example postgres://user:password@localhost:5432/app"
        )
    return database


def _secret_key(*, development: bool) -> str:
    """``DJANGO_SECRET_KEY``, or what can stand in for it without being guessable from outside."""
    if given := env.str("DJANGO_SECRET_KEY", default=""):
        return str(given)
    if development:
        return "insecure-key-for-development-only-set-DJANGO_SECRET_KEY"
    if secret := env.str("ELECTRIC_SECRET", default=""):
        # One secret is enough to run: the key is derived from it, the same in every process.
        return hashlib.sha256(f"django secret key from {secret}".encode()).hexdigest()
    # Without ELECTRIC_SECRET or ELECTRIC_INSECURE only who signs in is served, and this process has to be
    # the only one: sessions are signed with the key.
    return get_random_secret_key()


DEBUG = env.bool("DJANGO_DEBUG", default=False)
_INSECURE = env.bool("ELECTRIC_INSECURE", default=False)
SECRET_KEY = _secret_key(development=DEBUG or _INSECURE)
ALLOWED_HOSTS = env.list(
    "DJANGO_ALLOWED_HOSTS",
    default=["localhost", "127.0.0.1", "[::1]", *(["*"] if _INSECURE else [])],
)

INSTALLED_APPS = [
    "daphne",  # first: it replaces runserver by one that speaks ASGI
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "django_electric",
    "example_project.demo",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "example_project.urls"
ASGI_APPLICATION = "example_project.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASES = {"default": _database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

ELECTRIC = {
    "default": {"STORAGE_DIR": BASE_DIR / "electric-storage", **conf.from_environment(os.environ)}
}

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

STATIC_URL = "static/"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "loggers": {
        "django_electric": {"handlers": ["console"], "level": "INFO", "propagate": False},
        # Django logs errors to the console only while DEBUG is on. A demo without a log is a riddle.
        "django.request": {"handlers": ["console"], "level": "ERROR", "propagate": False},
    },
}
