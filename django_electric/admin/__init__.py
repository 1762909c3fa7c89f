"""The shapes in Django's admin: to look at, to delete, to rotate; their logs; how replication is."""

from django_electric.admin.shapes import ShapeAdmin

__all__ = ["ShapeAdmin"]
