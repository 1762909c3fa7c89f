"""What was allowed before a revocation is allowed no longer, in any process; what is allowed afterwards is."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from math import inf
from pathlib import Path

import pytest

from django_electric import revocations
from django_electric.revocations import (
    KEPT_SECONDS,
    LOOK_SECONDS,
    TRIAL_SECONDS,
    UNBOUND,
    RevocationLog,
    Revocations,
    kept_seconds,
    now,
)

ADA, BOB = "auth.User:1", "auth.User:2"


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def log(tmp_path: Path) -> RevocationLog:
    return RevocationLog(tmp_path / "stream")


@pytest.fixture
def known(tmp_path: Path) -> Revocations:
    return Revocations(tmp_path / "stream")


class TestLeave:
    def test_it_ends_with_a_revocation_and_others_go_on(
        self, log: RevocationLog, known: Revocations
    ) -> None:
        mine, theirs = known.leave(ADA, now()), known.leave(BOB, now())
        assert not mine.is_revoked
        log.append([ADA])
        known.look()
        assert mine.is_revoked
        assert not theirs.is_revoked

    def test_what_is_allowed_a_moment_later_is_good(
        self, log: RevocationLog, known: Revocations
    ) -> None:
        log.append([ADA])
        time.sleep(0.000_01)
        leave = known.leave(ADA, now())
        assert not leave.is_revoked

    def test_a_moment_that_is_the_same_is_not_later(
        self, log: RevocationLog, known: Revocations
    ) -> None:
        moment = now()
        log.append([ADA], moment)
        assert known.leave(ADA, moment).is_revoked
        assert not known.leave(ADA, moment + 1).is_revoked

    def test_soon_after_a_revocation_it_is_good_for_a_moment_only(
        self, log: RevocationLog, known: Revocations
    ) -> None:
        log.append([ADA])
        assert 0 < known.leave(ADA, now()).seconds <= TRIAL_SECONDS
        assert known.leave(BOB, now()).seconds == inf
        later = now() + int(TRIAL_SECONDS * 1_000_000)
        assert known.leave(ADA, later).seconds == inf

    def test_a_trial_that_is_over_leaves_nothing(
        self, log: RevocationLog, known: Revocations
    ) -> None:
        moment = now() - 5_000_000
        log.append([ADA], moment)
        assert known.leave(ADA, moment + 1).seconds == 0

    def test_nobodys_leave_cannot_be_revoked(self, known: Revocations) -> None:
        for leave in (UNBOUND, known.leave(None, now())):
            assert not leave.is_bound
            assert not leave.is_revoked
            assert leave.seconds == inf


class TestProcesses:
    def test_another_process_revokes(self, log: RevocationLog, known: Revocations) -> None:
        leave = known.leave(ADA, now())
        code = (
            "import sys; from pathlib import Path; from django_electric.revocations import *;"
            "RevocationLog(Path(sys.argv[1])).append(sys.argv[2:])"
        )
        subprocess.run([sys.executable, "-c", code, log.path.parent, ADA], check=True)
        known.look()
        assert leave.is_revoked

    def test_many_who_write_at_once_lose_nothing(
        self, log: RevocationLog, known: Revocations
    ) -> None:
        users = [f"auth.User:{number}" for number in range(200)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda user: RevocationLog(log.path.parent).append([user]), users))
        assert all(known.of(user) for user in users)

    def test_the_file_is_looked_at_no_oftener_than_needed(
        self, log: RevocationLog, tmp_path: Path
    ) -> None:
        clock = Clock()
        known = Revocations(tmp_path / "stream", clock=clock)
        assert known.of(ADA) is None
        log.append([ADA])
        clock.seconds += LOOK_SECONDS / 2
        assert known.of(ADA) is None
        assert known.of(ADA, max_age=0) is not None
        clock.seconds += LOOK_SECONDS
        log.append([BOB])
        clock.seconds += LOOK_SECONDS
        assert known.of(BOB) is not None

    def test_a_file_that_cannot_be_read_lets_nobody_in(
        self, log: RevocationLog, known: Revocations
    ) -> None:
        log.path.mkdir(parents=True)
        with pytest.raises(OSError):
            _ = known.leave(ADA, now()).is_revoked

    def test_what_is_known_is_kept_when_the_file_goes(
        self, log: RevocationLog, known: Revocations
    ) -> None:
        log.append([ADA])
        known.look()
        log.path.unlink()
        known.look()
        assert known.of(ADA) is not None
        log.append([BOB])
        known.look()
        assert known.of(ADA) is not None
        assert known.of(BOB) is not None


class TestFile:
    def test_keys_may_hold_anything(self, log: RevocationLog, known: Revocations) -> None:
        strange = 'shop.User:a "b"\n\\u2028é'
        log.append([strange])
        assert known.of(strange) is not None

    def test_a_line_that_was_never_finished_costs_no_other(
        self, log: RevocationLog, known: Revocations
    ) -> None:
        log.append([ADA])
        with log.path.open("ab") as file:
            file.write(b'["auth.User:9",17')
        known.look()
        log.append([BOB])
        known.look()
        assert known.of(ADA)
        assert known.of(BOB)
        fresh = Revocations(log.path.parent)
        assert fresh.of(ADA)
        assert fresh.of(BOB)

    def test_it_is_rewritten_without_what_is_too_old(
        self, log: RevocationLog, known: Revocations, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(revocations, "LARGEST", 200)
        old = now() - int((KEPT_SECONDS + 1) * 1_000_000)
        log.append([f"auth.User:old{number}" for number in range(20)], old)
        log.append([ADA])
        known.look()
        before = log.path.stat().st_size
        while log.path.stat().st_size >= before:
            log.append([ADA])
            log.append([BOB])
        assert b"old" not in log.path.read_bytes()
        known.look()
        assert known.of(ADA)
        assert known.of(BOB)
        assert known.of("auth.User:old1") is None

    def test_a_file_of_useful_lines_is_not_rewritten_again_and_again(
        self, log: RevocationLog, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(revocations, "LARGEST", 100)
        log.append([f"auth.User:{number}" for number in range(50)])
        heads = set()
        for number in range(20):
            log.append([f"auth.User:more{number}"])
            heads.add(log.path.read_bytes()[:34])
        assert len(heads) == 1

    def test_revocations_outlive_the_tokens(self) -> None:
        assert kept_seconds(300_000) == KEPT_SECONDS
        assert kept_seconds(7 * 86_400_000) > 7 * 86_400
