"""What may be written to the demo's tables, and what is wrong with what may not."""

from __future__ import annotations

from django import forms
from django.utils import timezone

from example_project.demo.models import Comment, Issue


class IssueForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    """A new issue, or one with some of its fields changed."""

    # Spelled out, because Django offers a blank choice where the default is the database's.
    status = forms.ChoiceField(choices=Issue.Status.choices, initial=Issue.Status.TODO)
    priority = forms.TypedChoiceField(
        choices=Issue.Priority.choices, coerce=int, initial=Issue.Priority.NONE
    )

    class Meta:
        model = Issue
        fields = ("project", "title", "description", "status", "priority", "assignee")

    def save(self, commit: bool = True) -> Issue:
        self.instance.updated = timezone.now()
        issue: Issue = super().save(commit)
        return issue


class CommentForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    """A new comment."""

    class Meta:
        model = Comment
        fields = ("author", "body")
