"""Every way to serve a shape, each by the rule that people read the issues assigned to them and staff all."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt
from ninja import NinjaAPI
from ninja.security import django_auth
from rest_framework.permissions import IsAuthenticated
from rest_framework.routers import SimpleRouter
from rest_framework.serializers import ModelSerializer
from rest_framework.viewsets import ModelViewSet

from django_electric import ShapeView, shape_view, sync_response
from django_electric.contrib.drf import ShapeActionMixin
from django_electric.contrib.ninja import shape
from example_project.demo.models import Issue
from example_project.demo.shapes import my_issues

COLUMNS = ("id", "title", "status")


def issues_of(user: Any) -> Any:
    return Issue.objects.all() if user.is_staff else Issue.objects.filter(assignee=user.username)


class Issues(LoginRequiredMixin, ShapeView):
    raise_exception = True

    def get_queryset(self) -> Any:
        return issues_of(self.request.user)

    def get_columns(self) -> Any:
        return COLUMNS


class Permitted(ShapeView):
    permission_classes = (IsAuthenticated,)
    get_queryset = Issues.get_queryset
    get_columns = Issues.get_columns


@csrf_exempt
async def computed(request: HttpRequest) -> HttpResponseBase:
    user = await request.auser()
    return await sync_response(request, issues_of(user), columns=COLUMNS)


class IssueSerializer(ModelSerializer[Issue]):
    class Meta:
        model = Issue
        fields = (*COLUMNS, "position")
        extra_kwargs = {"position": {"write_only": True}}


class IssueViewSet(ShapeActionMixin, ModelViewSet[Issue]):
    queryset = Issue.objects.select_related("project").order_by("title")
    serializer_class = IssueSerializer
    permission_classes = (IsAuthenticated,)

    def get_queryset(self) -> Any:
        return super().get_queryset() & issues_of(self.request.user)


router = SimpleRouter()
router.register("issues", IssueViewSet, basename="issue")
api = NinjaAPI(urls_namespace="ninja")


@shape(api, "/issues/shape", auth=django_auth, columns=COLUMNS)
def issues(request: HttpRequest) -> Any:
    return issues_of(request.user)


@shape(api, "/projects/{project}/issues", auth=django_auth)
def issues_of_project(request: HttpRequest, project: int) -> Any:
    return issues_of(request.user).filter(project=project)


urlpatterns = [
    path("class/", Issues.as_view()),
    path("permitted/", Permitted.as_view()),
    path("computed/", login_required(computed)),
    path("decorated/", login_required(shape_view(my_issues))),
    path("drf/", include(router.urls)),
    path("ninja/", api.urls),
    path("accounts/", include("django.contrib.auth.urls")),
    path("", include("example_project.urls")),
]
