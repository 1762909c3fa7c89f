"""Every key of the ``ELECTRIC`` setting: its name, its environment variable, its type, its default.

``ELECTRIC`` is a dict of database aliases, as ``DATABASES`` is::

    ELECTRIC = {"default": {"STORAGE_DIR": BASE_DIR / "electric", "SECRET": env("ELECTRIC_SECRET")}}

A key left out has the default given here. The names mean what they mean in Electric
(PROTOCOL section 13). The module can be imported before Django is configured, so that a settings
file may call `from_environment`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

ALIAS = "default"
ROADS = ("socket", "notify", "channels")
ROW_FILTERS = ("off", "auto")
_DURATION = re.compile(r"^(\d+(?:\.\d+)?)\s*(ms|msec|s|sec|m|min)?$")
_UNIT_MS = {None: 1, "ms": 1, "msec": 1, "s": 1000, "sec": 1000, "m": 60_000, "min": 60_000}
_TRUE, _FALSE = {"true", "1", "yes", "on"}, {"false", "0", "no", "off", ""}


@dataclass(frozen=True, slots=True)
class Setting:
    """One key of the setting: what it is called, how it is read, what it means."""

    name: str
    env: str
    read: Callable[[object], object]
    default: object
    help: str


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """How many requests of each kind may be under way in one web process (PROTOCOL section 7.7)."""

    initial: int = 300
    existing: int = 10_000


def _text(value: object) -> str | None:
    text = str(value).strip() if value is not None else ""
    return text or None


def _boolean(value: object) -> bool:
    text = str(value).strip().lower()
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError("must be true or false")


def _positive(value: object) -> int:
    number = int(str(value))
    if number <= 0:
        raise ValueError("must be a whole number greater than 0")
    return number


def _positive_or_none(value: object) -> int | None:
    return None if value is None or not str(value).strip() else _positive(value)


def _seconds(value: object) -> int:
    number = int(str(value))
    if number < 0:
        raise ValueError("must be a whole number of seconds, 0 or more")
    return number


def _milliseconds(value: object) -> int:
    match = _DURATION.match(str(value).strip().lower())
    milliseconds = round(float(match[1]) * _UNIT_MS[match[2]]) if match else 0
    if milliseconds <= 0:
        raise ValueError("must be a duration in ms greater than 0, such as 20000 or 20s")
    return milliseconds


def _milliseconds_or_none(value: object) -> int:
    return 0 if str(value).strip() == "0" else _milliseconds(value)


def _identifier(value: object) -> str:
    text = str(value).strip().lower()
    if not re.fullmatch(r"[a-z_][a-z0-9_$]{0,39}", text):
        raise ValueError("must be an unquoted identifier of at most 40 letters, digits and _")
    return text


def _path(value: object) -> Path:
    if value is None or not str(value).strip():
        raise ValueError("must name a directory that worker and web processes share")
    return Path(str(value)).expanduser().absolute()


def _road(value: object) -> str:
    text = str(value).strip().lower()
    if text not in ROADS:
        raise ValueError(f"must be one of {', '.join(ROADS)}")
    return text


def _row_filter(value: object) -> str:
    text = str(value).strip().lower()
    if text not in ROW_FILTERS:
        raise ValueError(f"must be one of {', '.join(ROW_FILTERS)}")
    return text


def _keys(value: object) -> tuple[str, ...]:
    """A list, or text with commas, which no key has; a key of several lines may be written in one."""
    given = value.split(",") if isinstance(value, str) else value or ()
    if not isinstance(given, list | tuple) or not all(isinstance(key, str) for key in given):
        raise ValueError("must be a list of keys, or text with commas between them")
    return tuple(text for key in given if (text := key.replace("\\n", "\n").strip()))


def _callable(value: object) -> str | None:
    path = _text(value)
    if path is not None and not re.fullmatch(r"\w+(\.\w+)+", path):
        raise ValueError("must be the dotted path of an async callable")
    return path


def _layer(value: object) -> str:
    text = _text(value)
    if text is None:
        raise ValueError("must name one of CHANNEL_LAYERS")
    return text


def _limits(value: object) -> AdmissionLimits:
    given = json.loads(value) if isinstance(value, str) else value
    if isinstance(given, AdmissionLimits):
        return given
    if not isinstance(given, Mapping) or set(given) != {"initial", "existing"}:
        raise ValueError('must be {"initial": 300, "existing": 10000}: both keys, nothing else')
    return AdmissionLimits(_positive(given["initial"]), _positive(given["existing"]))


SETTINGS: tuple[Setting, ...] = (
    Setting("STORAGE_DIR", "ELECTRIC_STORAGE_DIR", _path, "electric-storage",
            "Directory of the shape logs; the worker and every web process must see it."),
    Setting("REPLICATION_STREAM_ID", "ELECTRIC_REPLICATION_STREAM_ID", _identifier, "default",
            "Suffix of the names of the replication slot and the publication."),
    Setting("SECRET", "ELECTRIC_SECRET", _text, None,
            "API secret that a request must carry as the parameter `secret`."),
    Setting("SECRET_PREVIOUS", "ELECTRIC_SECRET_PREVIOUS", _text, None,
            "The secret before `SECRET`: good as well while clients change over to the new one."),
    Setting("INSECURE", "ELECTRIC_INSECURE", _boolean, False,
            "Serve every table to everyone without a secret: for development only."),
    Setting("ENABLE_INTEGRATION_TESTING", "ELECTRIC_ENABLE_INTEGRATION_TESTING", _boolean, False,
            "Allow DELETE /v1/shape."),
    Setting("LONG_POLL_TIMEOUT", "ELECTRIC_LONG_POLL_TIMEOUT", _milliseconds, 20_000,
            "How long a live request waits for news, in ms."),
    Setting("SHAPE_CHUNK_BYTES_THRESHOLD", "ELECTRIC_SHAPE_CHUNK_BYTES_THRESHOLD", _positive,
            10_485_760, "Size at which a chunk of a log is closed, in bytes."),
    Setting("MAX_CONCURRENT_REQUESTS", "ELECTRIC_MAX_CONCURRENT_REQUESTS", _limits,
            AdmissionLimits(), "Requests under way at once in one web process, by kind."),
    Setting("MAX_SHAPES", "ELECTRIC_MAX_SHAPES", _positive_or_none, None,
            "Shapes above this number are removed once a minute, those first that were read longest ago; their"
            " clients start again. Without it all stay."),
    Setting("MANUAL_TABLE_PUBLISHING", "ELECTRIC_MANUAL_TABLE_PUBLISHING", _boolean, False,
            "Never alter the publication or a table's replica identity."),
    Setting("PUBLICATION_ROW_FILTER", "ELECTRIC_PUBLICATION_ROW_FILTER", _row_filter, "off",
            "`auto`: Postgres 15 and later leaves rows that no shape wants out of the stream, where the conditions of"
            " a table are few and plain; or `off`."),
    Setting("CACHE_MAX_AGE", "ELECTRIC_CACHE_MAX_AGE", _seconds, 60,
            "max-age of answers that are not live, in seconds."),
    Setting("CACHE_STALE_AGE", "ELECTRIC_CACHE_STALE_AGE", _seconds, 300,
            "stale-while-revalidate of answers that are not live, in seconds."),
    Setting("GRANT_TTL", "ELECTRIC_GRANT_TTL", _milliseconds_or_none, 5_000,
            "How long `shapes_first` answers requests equal to one that Django has let through, in ms; 0 to"
            " ask Django every time."),
    Setting("GATEKEEPER_KEYS", "ELECTRIC_GATEKEEPER_KEYS", _keys, None,
            "Keys of the gatekeeper's tokens: the first one signs, all of them verify. A text of 32 characters or"
            " more (HS256), or the PEM of an RSA (RS256) or P-256 key (ES256)."),
    Setting("TOKEN_TTL", "ELECTRIC_TOKEN_TTL", _milliseconds, 300_000,
            "How long a token of the gatekeeper is good, in ms."),
    Setting("AUTHORIZE", "ELECTRIC_AUTHORIZE", _callable, None,
            "Dotted path of an async callable `(request, shape)` that decides in place of the policies who may"
            " read a table."),
    Setting("POLL_INTERVAL", "ELECTRIC_POLL_INTERVAL", _milliseconds, 1_000,
            "What a missed wake-up costs at most, in ms."),
    Setting("WAKEUP", "ELECTRIC_WAKEUP", _road, "socket",
            "How the worker wakes web processes: `socket` (a Unix socket in STORAGE_DIR), `notify` (Postgres) or"
            " `channels` (a channel layer)."),
    Setting("CHANNEL_LAYER", "ELECTRIC_CHANNEL_LAYER", _layer, "default",
            "The one of CHANNEL_LAYERS that wakes, if WAKEUP is `channels`."),
    Setting("SNAPSHOT_CONNECTIONS", "ELECTRIC_DB_POOL_SIZE", _positive, 8,
            "Snapshots that the worker takes at once, each on a connection of its own."),
    Setting("WORKER_IN_RUNSERVER", "ELECTRIC_WORKER_IN_RUNSERVER", _boolean, False,
            "`runserver` runs the worker too: for development."),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ElectricSettings:
    """The settings of one database alias, checked and typed."""

    alias: str
    storage_dir: Path
    replication_stream_id: str
    secret: str | None
    secret_previous: str | None
    insecure: bool
    enable_integration_testing: bool
    long_poll_timeout: int
    shape_chunk_bytes_threshold: int
    max_concurrent_requests: AdmissionLimits
    manual_table_publishing: bool
    cache_max_age: int
    cache_stale_age: int
    grant_ttl: int
    gatekeeper_keys: tuple[str, ...]
    token_ttl: int
    authorize: str | None
    poll_interval: int
    wakeup: str
    channel_layer: str
    snapshot_connections: int
    publication_row_filter: str
    max_shapes: int | None = None
    worker_in_runserver: bool = False

    @property
    def slot_name(self) -> str:
        return f"electric_slot_{self.replication_stream_id}"

    @property
    def publication_name(self) -> str:
        return f"electric_publication_{self.replication_stream_id}"

    @property
    def root(self) -> Path:
        """Everything of this stream lies below this directory."""
        return self.storage_dir / self.replication_stream_id

    @property
    def filters_rows(self) -> bool:
        """Whether the publication may be given row filters."""
        return self.publication_row_filter == "auto" and not self.manual_table_publishing

    @property
    def secrets(self) -> tuple[str, ...]:
        """All that a request may carry."""
        return tuple(secret for secret in (self.secret, self.secret_previous) if secret)

    @property
    def is_open(self) -> bool:
        """Whether anything is served at all: exactly one of secret and insecure is set."""
        return self.insecure != bool(self.secret)


def from_environment(environ: Mapping[str, str]) -> dict[str, object]:
    """The ``ELECTRIC_*`` variables that are set, as keys of the ``ELECTRIC`` setting."""
    return {s.name: environ[s.env] for s in SETTINGS if environ.get(s.env, "").strip()}


def aliases() -> tuple[str, ...]:
    """The database aliases that the ``ELECTRIC`` setting names."""
    from django.conf import settings  # settings.py itself imports this module

    whole = getattr(settings, "ELECTRIC", {})
    return tuple(whole) if isinstance(whole, Mapping) else ()


def problems(alias: str = ALIAS) -> Iterator[str]:
    """What is wrong with ``ELECTRIC[alias]``, one sentence each; nothing if all is well."""
    _, errors = _read(alias)
    yield from errors


@cache
def electric_settings(alias: str = ALIAS) -> ElectricSettings:
    """The settings of *alias*. Raises ImproperlyConfigured naming the key and the remedy."""
    values, errors = _read(alias)
    if errors:
        raise ImproperlyConfigured(" ".join(errors))
    names = {field.name for field in fields(ElectricSettings)}
    given = {key.lower(): value for key, value in values.items()}
    return ElectricSettings(alias=alias, **{k: v for k, v in given.items() if k in names})  # type: ignore[arg-type]  # read by table


def _read(alias: str) -> tuple[dict[str, object], list[str]]:
    from django.conf import settings  # settings.py itself imports this module

    whole = getattr(settings, "ELECTRIC", {})
    if not isinstance(whole, Mapping) or alias not in whole:
        return {}, [
            f'ELECTRIC["{alias}"] is missing: add ELECTRIC = {{"{alias}": {{…}}}} to the settings.'
        ]
    given = whole[alias]
    if not isinstance(given, Mapping):
        return {}, [f'ELECTRIC["{alias}"] must be a dictionary of settings.']
    values: dict[str, object] = {}
    errors = [
        f'ELECTRIC["{alias}"]["{key}"] is not a setting; it may be one of '
        + ", ".join(s.name for s in SETTINGS) + "."
        for key in given if key not in {s.name for s in SETTINGS}
    ]  # fmt: skip
    for setting in SETTINGS:
        try:
            values[setting.name] = setting.read(given.get(setting.name, setting.default))
        except (ValueError, TypeError) as error:
            errors.append(f'ELECTRIC["{alias}"]["{setting.name}"] ({setting.env}) {error}.')
    return values, errors
