"""Makes the people of the tests, their rows and their sessions; prints a session key for each, as JSON.

Run by ``manage.py shell``.
"""

from __future__ import annotations

import json

from django.contrib.auth.models import User
from django.test import Client
from guardian.shortcuts import assign_perm

from example_project.demo.models import Comment, Issue, Project

PASSWORD = "leo comes and goes"
STATUSES = ("todo", "done", "backlog")


def make() -> None:
    people = {name: User.objects.create_user(name) for name in ("ann", "bob", "eve")}
    people["staff"] = User.objects.create_user("staff", is_staff=True)
    people["leo"] = User.objects.create_user("leo", password=PASSWORD)
    people["root"] = User.objects.create_superuser("root")
    projects = [Project.objects.create(name=f"P{n}", key=f"P{n}") for n in range(3)]
    for number in range(30):
        owner = ("ann", "bob", "carol")[number % 3]
        issue = Issue.objects.create(
            project=projects[number % 2], title=f"{owner} {number}", status=STATUSES[number % 3 - number % 2],
            assignee=owner, description=f"only for {owner}", position=number,
        )  # fmt: skip
        Comment.objects.create(issue=issue, author=owner, body=f"said by {owner}")
    assign_perm("view_project", people["ann"], projects[1])
    sessions = {}
    for name, user in people.items():
        client = Client()
        client.force_login(user)
        sessions[name] = client.session.session_key
    print("\n" + json.dumps(sessions))
