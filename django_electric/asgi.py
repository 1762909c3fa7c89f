"""What a project's ``asgi.py`` uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django_electric.web.shapes_first import AsgiApplication, ShapesFirst

__all__ = ["shapes_first"]


def shapes_first(application: AsgiApplication) -> ShapesFirst:
    """Wrap the project's ASGI application so that shapes are served without Django in the way::

        from django.core.asgi import get_asgi_application
        from django_electric.asgi import shapes_first

        application = shapes_first(get_asgi_application())

    A shape request still goes through the project's middleware, URLs and decorators first, which decide
    whether it is answered. Then it leaves Django: no thread and no connection is held while it waits,
    and equal requests are answered directly for the time of the setting ``GRANT_TTL``. All other requests go through unchanged.
    A server that says that it begins and ends is answered by *application*, or by the wrapper if that has no answer, as
    Django has none.
    Put it outermost; other ASGI applications, such as Channels' ``ProtocolTypeRouter``, go inside.
    """
    # A project imports this module before it has set Django up.
    from django_electric.web.shapes_first import ShapesFirst

    return ShapesFirst(application)
