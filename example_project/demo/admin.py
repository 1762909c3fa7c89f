"""The demo's models in Django's admin: one more place to write from, beside the page."""

from __future__ import annotations

from django.contrib import admin

from example_project.demo.models import Comment, Issue, Project


class CommentInline(admin.TabularInline):  # type: ignore[type-arg]  # generic in the stubs only
    model = Comment
    extra = 0


@admin.register(Project)
class ProjectAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # generic in the stubs only
    list_display = ("name", "key", "color")


@admin.register(Issue)
class IssueAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # generic in the stubs only
    list_display = ("title", "project", "status", "priority", "assignee", "updated")
    list_editable = ("status", "priority")
    list_filter = ("project", "status", "priority")
    list_select_related = ("project",)
    search_fields = ("title", "description", "assignee")
    inlines = (CommentInline,)


@admin.register(Comment)
class CommentAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # generic in the stubs only
    list_display = ("issue", "author", "body", "created")
    list_select_related = ("issue",)
    raw_id_fields = ("issue",)
