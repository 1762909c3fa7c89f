"""The demo page, and the ordinary Django views that write for it.

No view here knows of shapes: each writes a row, answers and is done. The page hears of the change
from its shapes, as every other tab does, and as it hears of rows that psql or the admin wrote.
"""

from __future__ import annotations

from django import forms
from django.contrib.auth.decorators import login_required
from django.forms.models import model_to_dict
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_POST, require_safe

from example_project.demo.forms import CommentForm, IssueForm
from example_project.demo.models import Issue

# The page brings all it needs from its own origin: nothing inline, no frame around it.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)


@require_safe
@ensure_csrf_cookie
def page(request: HttpRequest) -> HttpResponse:
    """The page itself: no rows in it, they come as shapes."""
    response = render(
        request,
        "demo/page.html",
        {"statuses": Issue.Status.choices, "priorities": Issue.Priority.choices},
    )
    response["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    return response


@require_safe
@login_required
def mine(request: HttpRequest) -> HttpResponse:
    """The user's own open issues; what these are, `shapes` says."""
    response = render(request, "demo/mine.html")
    response["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    return response


@require_POST
def create_issue(request: HttpRequest) -> JsonResponse:
    """A new issue; what the form leaves out has its default."""
    given = {"status": Issue.Status.TODO, "priority": Issue.Priority.NONE, **request.POST.dict()}
    return _save(IssueForm(given), created=True)


@require_POST
def edit_issue(request: HttpRequest, pk: int) -> JsonResponse:
    """An issue with the given fields changed and the others as they are."""
    issue = get_object_or_404(Issue, pk=pk)
    given = {**model_to_dict(issue, fields=IssueForm.Meta.fields), **request.POST.dict()}
    return _save(IssueForm(given, instance=issue))


@require_POST
def delete_issue(request: HttpRequest, pk: int) -> JsonResponse:
    """An issue gone, its comments with it."""
    get_object_or_404(Issue, pk=pk).delete()
    return JsonResponse({"id": pk})


@require_POST
def add_comment(request: HttpRequest, pk: int) -> JsonResponse:
    """A new comment on an issue."""
    form = CommentForm(request.POST)
    form.instance.issue = get_object_or_404(Issue, pk=pk)
    return _save(form, created=True)


def _save(form: IssueForm | CommentForm, *, created: bool = False) -> JsonResponse:
    """The saved row's id, or 400 with every field that is wrong."""
    if not form.is_valid():
        return JsonResponse({"errors": _errors(form)}, status=400)
    return JsonResponse({"id": form.save().pk}, status=201 if created else 200)


def _errors(form: forms.BaseForm) -> dict[str, list[str]]:
    return {
        field: [str(message) for message in messages] for field, messages in form.errors.items()
    }
