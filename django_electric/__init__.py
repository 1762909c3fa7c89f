"""Electric's shape sync, embedded in a Django project.

The house, read in the order in which a row travels from Postgres to a browser:

``postgres``      what Postgres says, decoded (no I/O)
``where``         the where-clause engine (no I/O)
``shapes``        what a shape is, and which changes belong in it (no I/O)
``protocol``      what the client says: the HTTP shape protocol (no I/O)
``storage``       shape logs in files
``conf`` ``models`` ``wakeup``  settings, the catalogue of shapes, who wakes whom
``replication``   the worker, the only writer of logs
``querysets`` ``policies`` ``declared`` ``registry`` ``authority``  who may read what: the project's own answer
``web``           the readers: the answers to ``/v1/shape``
``test``          shapes in the tests of a project

What a project uses stands here, and is imported when it is first used: by then Django has been set up.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from django_electric.declared import Shape
    from django_electric.policies import ModelPermissionPolicy, OwnerPolicy, ShapePolicy
    from django_electric.protocol.access import Access
    from django_electric.registry import policy
    from django_electric.revoking import revoke
    from django_electric.web.project_views import ShapeView, shape_view, sync_response

__version__ = "0.1.0"

__all__ = [
    "Access",
    "ModelPermissionPolicy",
    "OwnerPolicy",
    "Shape",
    "ShapePolicy",
    "ShapeView",
    "policy",
    "revoke",
    "shape_view",
    "sync_response",
]

_HOMES: Final = {
    "declared": ("Shape",),
    "policies": ("ModelPermissionPolicy", "OwnerPolicy", "ShapePolicy"),
    "protocol.access": ("Access",),
    "registry": ("policy",),
    "revoking": ("revoke",),
    "web.project_views": ("ShapeView", "shape_view", "sync_response"),
}
_HOME_OF: Final = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
