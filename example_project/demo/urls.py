"""Routes of the demo: the page, and the four things that it writes."""

from __future__ import annotations

from django.urls import path

from example_project.demo import views

app_name = "demo"

urlpatterns = [
    path("", views.page, name="page"),
    path("issues/", views.create_issue, name="create-issue"),
    path("issues/<int:pk>/", views.edit_issue, name="edit-issue"),
    path("issues/<int:pk>/delete/", views.delete_issue, name="delete-issue"),
    path("issues/<int:pk>/comments/", views.add_comment, name="add-comment"),
]
