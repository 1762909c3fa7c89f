"""Views of a project that serve shapes of their own."""

from __future__ import annotations

from django.contrib.auth.mixins import LoginRequiredMixin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import include, path

from django_electric import ShapeView, sync_response
from example_project.demo.models import Issue, Project


class Mine(LoginRequiredMixin, ShapeView):
    def get_queryset(self) -> QuerySet[Issue]:
        return Issue.objects.filter(assignee=self.request.user.get_username())


async def by_key(request: HttpRequest, key: str) -> HttpResponseBase:
    return await sync_response(request, Project.objects.filter(key=key))


urlpatterns = [
    path("electric/", include("django_electric.urls")),
    path("mine/", Mine.as_view()),
    path("projects/<key>/", by_key),
]
