"""What Django tells of users, and `revoke`, reach the file of revocations: at commit, and never by accident."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import authenticate, update_session_auth_hash
from django.contrib.auth.models import AnonymousUser, Group, Permission, User
from django.core.management import call_command
from django.db import transaction
from django.test import Client, RequestFactory, override_settings

import django_electric
from django_electric.authority import user_key
from django_electric.conf import electric_settings
from django_electric.revocations import Revocations
from django_electric.revoking import revoke

pytestmark = pytest.mark.usefixtures("postgres_cluster", "transactional_db")

PASSWORD = "correct horse"
Revoked = Callable[[], "set[str]"]


class ProxyUser(User):
    class Meta:
        proxy = True
        app_label = "auth"


@pytest.fixture(autouse=True)
def storage(tmp_path: Path) -> Iterator[Path]:
    with override_settings(ELECTRIC={"default": {"INSECURE": True, "STORAGE_DIR": tmp_path}}):
        electric_settings.cache_clear()
        yield tmp_path
    electric_settings.cache_clear()


@pytest.fixture
def ann() -> User:
    return User.objects.create_user("ann", password=PASSWORD)


@pytest.fixture
def bob() -> User:
    return User.objects.create_user("bob", password=PASSWORD)


@contextmanager
def revoking(*users: User) -> Iterator[None]:
    """Exactly these, of all that there are, are revoked meanwhile."""

    def last() -> dict[str, int | None]:
        known = Revocations(electric_settings().root)
        return {user.username: known.of(f"auth.User:{user.pk}") for user in before_all}

    before_all = list(User.objects.all())
    before = last()
    yield
    after = last()
    changed = {name for name, at in after.items() if at != before[name]}
    assert changed == {user.username for user in users}


@pytest.fixture
def codename() -> Permission:
    return Permission.objects.get(codename="view_user")


class TestUsers:
    def test_a_logout_and_nothing_else_of_a_session(self, ann: User, bob: User) -> None:
        client = Client()
        with revoking():
            client.force_login(ann)
            assert client.login(username="ann", password=PASSWORD)
        with revoking(ann):
            client.logout()
        with revoking():
            client.logout()

    def test_a_password(self, ann: User, bob: User) -> None:
        ann.set_password("battery staple")
        with revoking(ann):
            ann.save()
        request = RequestFactory().get("/")
        request.user = ann
        request.session = Client().session  # type: ignore[attr-defined]  # as the middleware does
        with revoking():
            update_session_auth_hash(request, ann)
            assert authenticate(username="ann", password="battery staple")

    @pytest.mark.parametrize("field", ["is_active", "is_staff", "is_superuser"])
    def test_what_may_take_something_away(self, ann: User, bob: User, field: str) -> None:
        setattr(ann, field, not getattr(ann, field))
        with revoking(ann):
            ann.save(update_fields=[field])
        with revoking():
            ann.save()

    def test_what_takes_nothing_away(
        self, ann: User, django_assert_num_queries: Callable[[int], Any]
    ) -> None:
        ann.first_name = "Ann"
        with revoking():
            ann.save()
        with revoking(), django_assert_num_queries(1 + 1 + 0):
            assert User.objects.count() == 1
            ann.save(update_fields=["last_login"])
        with revoking():
            User.objects.create_user("carol")

    def test_a_user_who_is_deleted(self, ann: User, bob: User) -> None:
        with revoking(bob):
            bob.delete()
        with revoking(ann):
            User.objects.filter(username="ann").delete()

    def test_a_proxy_of_the_user_is_the_user(self, ann: User) -> None:
        proxy = ProxyUser.objects.get(pk=ann.pk)
        assert user_key(proxy) == user_key(ann)
        proxy.is_active = False
        with revoking(ann):
            proxy.save()

    def test_fixtures_are_loaded_as_they_are(self, ann: User, tmp_path: Path) -> None:
        file = tmp_path / "users.json"
        call_command("dumpdata", "auth.User", output=str(file), verbosity=0)
        file.write_text(file.read_text().replace('"is_active": true', '"is_active": false'))
        with revoking():
            call_command("loaddata", str(file), verbosity=0)


class TestPermissions:
    def test_those_of_a_user_from_both_ends(
        self, ann: User, bob: User, codename: Permission
    ) -> None:
        with revoking(ann):
            ann.user_permissions.add(codename)
        with revoking(bob):
            codename.user_set.add(bob)
        with revoking():
            codename.user_set.add(bob)
        with revoking(ann):
            ann.user_permissions.set([])
        with revoking(bob):
            codename.user_set.clear()
        with revoking(ann):
            ann.user_permissions.clear()

    def test_groups_from_both_ends(self, ann: User, bob: User) -> None:
        group = Group.objects.create(name="editors")
        with revoking(ann):
            ann.groups.add(group)
        with revoking(bob):
            group.user_set.add(bob)
        with revoking(bob):
            group.user_set.remove(bob)
        with revoking(ann):
            group.user_set.clear()

    def test_those_of_a_group_from_both_ends(
        self, ann: User, bob: User, codename: Permission
    ) -> None:
        group = Group.objects.create(name="editors")
        ann.groups.add(group)
        with revoking(ann):
            group.permissions.add(codename)
        with revoking(ann):
            codename.group_set.clear()
        with revoking(ann):
            codename.group_set.add(group)
        with revoking(ann):
            group.permissions.clear()

    def test_a_group_that_is_deleted(self, ann: User, bob: User) -> None:
        group = Group.objects.create(name="editors")
        ann.groups.add(group)
        with revoking(ann):
            group.delete()


class TestRevoke:
    def test_it_is_the_packages(self, ann: User, bob: User) -> None:
        assert django_electric.revoke is revoke
        with revoking(ann, bob):
            django_electric.revoke(ann, bob)

    def test_who_has_not_signed_in_has_nothing_to_lose(self, storage: Path) -> None:
        revoke(AnonymousUser())
        revoke()
        assert list(storage.iterdir()) == []

    def test_it_happens_when_the_transaction_commits(self, ann: User) -> None:
        with revoking(ann), transaction.atomic(), revoking():
            revoke(ann)
        with revoking(), transaction.atomic():
            ann.is_active = False
            ann.save()
            transaction.set_rollback(True)

    def test_the_command_revokes(self, ann: User, bob: User) -> None:
        with revoking(ann):
            call_command("electric_revoke", "ann", verbosity=0)


class TestStorageThatCannotBeWritten:
    @pytest.fixture
    def storage(self, tmp_path: Path) -> Iterator[Path]:
        """A file where the directory should be."""
        place = tmp_path / "file"
        place.touch()
        with override_settings(ELECTRIC={"default": {"INSECURE": True, "STORAGE_DIR": place}}):
            electric_settings.cache_clear()
            yield place

    def test_revoke_says_so(self, ann: User) -> None:
        with pytest.raises(OSError):
            revoke(ann)

    def test_a_logout_goes_on_and_the_log_says_so(
        self, ann: User, caplog: pytest.LogCaptureFixture
    ) -> None:
        client = Client()
        client.force_login(ann)
        with caplog.at_level(logging.ERROR):
            client.logout()
        assert "_auth_user_id" not in client.session
        assert f"users could not be revoked: auth.User:{ann.pk}" in caplog.text
