"""Routes of the example project: Electric's, the demo's pages, the admin, a login; for the rest Electric's 404."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.views import LoginView
from django.urls import include, path, re_path
from django.views.generic import RedirectView

from django_electric.web.views import not_found
from example_project import views

urlpatterns = [
    # Empty segments are ignored.
    re_path(r"^(?:/)*\Z", views.root, name="root"),
    path("", include("django_electric.urls")),
    path("demo/", include("example_project.demo.urls")),
    path("admin/", admin.site.urls),
    path("accounts/login/", LoginView.as_view(template_name="admin/login.html"), name="login"),
    # The route below answers every path, so Django cannot tell that a slash is all that is missing.
    path("demo", RedirectView.as_view(pattern_name="demo:page")),
    path("admin", RedirectView.as_view(pattern_name="admin:index")),
    # Not handler404 alone: with DEBUG on, Django answers unknown paths with a page of its own.
    re_path(r"", not_found),
]

handler404 = not_found
