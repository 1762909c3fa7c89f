"""Routes of the demo: the pages, the four things that they write, and its APIs."""

from __future__ import annotations

from importlib.util import find_spec

from django.urls import URLPattern, URLResolver, include, path

from example_project.demo import views

app_name = "demo"

urlpatterns: list[URLPattern | URLResolver] = [
    path("", views.page, name="page"),
    path("mine/", views.mine, name="mine"),
    path("issues/", views.create_issue, name="create-issue"),
    path("issues/<int:pk>/", views.edit_issue, name="edit-issue"),
    path("issues/<int:pk>/delete/", views.delete_issue, name="delete-issue"),
    path("issues/<int:pk>/comments/", views.add_comment, name="add-comment"),
]

if find_spec("rest_framework") and find_spec("ninja"):
    from example_project.demo import api

    urlpatterns += [
        path("api/", include(api.router.urls)),
        path("ninja/", api.ninja_api.urls),
    ]
