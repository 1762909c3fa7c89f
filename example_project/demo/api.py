"""The demo's issues through Django REST framework and Django Ninja, each with a live shape beside it.

Both are extras of django_electric: where one of them is not installed, `urls` leaves these routes out.
"""

from __future__ import annotations

from typing import ClassVar

from django.db.models import QuerySet
from django.http import HttpRequest
from ninja import NinjaAPI
from ninja.security import django_auth
from rest_framework.authentication import SessionAuthentication
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import JSONRenderer
from rest_framework.routers import SimpleRouter
from rest_framework.serializers import ModelSerializer
from rest_framework.viewsets import ReadOnlyModelViewSet

from django_electric.contrib.drf import ShapeActionMixin
from django_electric.contrib.ninja import shape
from example_project.demo.models import Issue


class IssueSerializer(ModelSerializer):  # type: ignore[misc]  # it has no types
    """What the API shows of an issue, and what its shape sends."""

    class Meta:
        model = Issue
        fields = ("id", "project", "title", "status", "priority", "assignee")


class IssueViewSet(ShapeActionMixin, ReadOnlyModelViewSet):  # type: ignore[misc]  # it has no types
    """``issues/`` once, ``issues/shape/`` live: the same rows for the same people."""

    serializer_class = IssueSerializer
    authentication_classes: ClassVar = [SessionAuthentication]
    permission_classes: ClassVar = [IsAuthenticated]
    renderer_classes: ClassVar = [JSONRenderer]

    def get_queryset(self) -> QuerySet[Issue]:
        """Those that are assigned to whoever asks."""
        return Issue.objects.filter(assignee=self.request.user.get_username())


router = SimpleRouter()
router.register("issues", IssueViewSet, basename="api-issue")

ninja_api = NinjaAPI(urls_namespace="demo-ninja", docs_url=None)


@shape(
    ninja_api, "projects/{project_id}/issues/shape", auth=django_auth, columns=("title", "status")
)
def issues_of_project(request: HttpRequest, project_id: int) -> QuerySet[Issue]:
    """The issues of a project, live."""
    return Issue.objects.filter(project_id=project_id)
