"""The gatekeeper's tokens: what they say, who can have said it, and what is never believed."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from dataclasses import replace

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from django_electric.errors import ConfigurationError
from django_electric.protocol.access import Access
from django_electric.protocol.identifiers import TableName
from django_electric.protocol.params import nest, parse, parse_definition
from django_electric.tokens import (
    ISSUER,
    LEEWAY_SECONDS,
    LONGEST_TOKEN,
    TYPE,
    Keyring,
    Token,
    TokenExpired,
    TokenInvalid,
    TokenShape,
    TokenTooLong,
    bearer_of,
    header_of,
    now,
)

NEW, OLD = "n" * 64, "o" * 64
MINE = TokenShape(
    "public.notes", "owner = $1 AND title <> $2", (("1", "7"), ("2", "")), ("id", "title"), "mine"
)


def pems(private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> tuple[str, str]:
    """The private key, then the public one."""
    secret = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return secret.decode(), public.decode()


RSA, RSA_PUBLIC = pems(rsa.generate_private_key(65537, 2048))
EC, EC_PUBLIC = pems(ec.generate_private_key(ec.SECP256R1()))
SMALL_RSA, _ = pems(rsa.generate_private_key(65537, 1024))
OTHER_CURVE, _ = pems(ec.generate_private_key(ec.SECP384R1()))


def ring(*keys: str, audience: str = "default") -> Keyring:
    return Keyring(keys or (NEW,), audience)


def token(**changes: object) -> Token:
    moment = now()
    made = Token(MINE, "auth.User:7", moment, moment + 60)
    return replace(made, **changes)  # type: ignore[arg-type]


def forged(key: object = NEW, algorithm: str = "HS256", **changes: object) -> str:
    """A token as ours, with other claims or another header; a value of None leaves it out."""
    claims: dict[str, object] = {
        "iss": ISSUER,
        "aud": "default",
        "sub": "auth.User:7",
        "iat": now(),
        "exp": now() + 60,
        "shape": MINE.to_claim(),
    }
    header = {"typ": TYPE, "kid": header_of(ring().sign(token()))["kid"]}
    for name, value in changes.items():
        (header if name in ("kid", "typ") else claims)[name] = value
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, key, algorithm=algorithm, headers=header)  # type: ignore[arg-type]


class TestRoundTrip:
    @pytest.mark.parametrize(
        ("keys", "algorithm"), [((NEW,), "HS256"), ((RSA,), "RS256"), ((EC,), "ES256")]
    )
    def test_what_is_signed_is_read_back(self, keys: tuple[str, ...], algorithm: str) -> None:
        said = token()
        text = ring(*keys).sign(said)
        assert ring(*keys).verify(text) == said
        assert header_of(text)["alg"] == algorithm
        assert header_of(text)["typ"] == TYPE

    def test_the_moment_of_issue_is_exact_to_the_microsecond(self) -> None:
        said = token(issued=1_795_705_311.572131)
        text = ring().sign(said)
        assert ring().verify(text).issued == said.issued

    def test_who_has_not_signed_in_has_no_subject(self) -> None:
        assert ring().verify(ring().sign(token(user=None))).user is None

    @pytest.mark.parametrize(
        ("private", "public"), [(RSA, RSA_PUBLIC), (EC, EC_PUBLIC)], ids=["RSA", "EC"]
    )
    def test_others_verify_with_the_public_key(self, private: str, public: str) -> None:
        text = ring(private).sign(token())
        assert ring(NEW, public).verify(text).shape == MINE

    def test_a_shape_that_is_too_long_is_refused_before_a_proxy_refuses_it(self) -> None:
        with pytest.raises(TokenTooLong):
            ring().sign(token(shape=replace(MINE, where="x" * LONGEST_TOKEN)))


class TestRotation:
    def test_tokens_of_the_old_key_are_good_until_it_goes(self) -> None:
        text = ring(OLD).sign(token())
        assert ring(NEW, OLD).verify(text).shape == MINE
        with pytest.raises(TokenInvalid):
            ring(NEW).verify(text)

    def test_the_first_key_signs(self) -> None:
        text = ring(NEW, OLD).sign(token())
        assert ring(NEW).verify(text).shape == MINE

    def test_the_algorithm_may_change_with_the_key(self) -> None:
        old, new = ring(OLD).sign(token()), ring(EC, OLD).sign(token())
        assert [ring(EC, OLD).verify(text).shape for text in (old, new)] == [MINE, MINE]


class TestRefusals:
    def test_an_expired_token_says_so(self) -> None:
        text = ring().sign(token(expires=now() - LEEWAY_SECONDS - 2))
        with pytest.raises(TokenExpired):
            ring().verify(text)

    def test_clocks_may_differ_a_little(self) -> None:
        text = ring().sign(token(issued=now() + 1, expires=now() - 0.2))
        assert ring().verify(text).shape == MINE

    @pytest.mark.parametrize(
        "changes",
        [
            {"iat": 9_999_999_999},
            {"iat": None},
            {"exp": None},
            {"exp": "soon"},
            {"aud": None},
            {"aud": "other"},
            {"aud": ["default"]},
            {"iss": None},
            {"iss": "somebody"},
            {"shape": None},
            {"shape": "public.notes"},
            {"shape": {"where": "true"}},
            {"shape": {**MINE.to_claim(), "where": 1}},
            {"shape": {**MINE.to_claim(), "params": ["7"]}},
            {"shape": {**MINE.to_claim(), "params": {"2": "7"}}},
            {"shape": {**MINE.to_claim(), "params": {"1": 7}}},
            {"shape": {**MINE.to_claim(), "columns": "id"}},
            {"sub": 7},
            {"kid": "another"},
        ],
        ids=str,
    )
    def test_a_token_that_lacks_something_is_not_believed(self, changes: dict[str, object]) -> None:
        assert ring().verify(forged()).shape == MINE, "but for the change it is good"
        with pytest.raises(TokenInvalid) as refused:
            ring().verify(forged(**changes))
        assert not isinstance(refused.value, TokenExpired)

    def test_what_nobody_signed_is_not_believed(self) -> None:
        header, claims, _ = forged().split(".")
        unsigned = json.dumps({**header_of(forged()), "alg": "none"}).encode()
        for text in (
            f"{header}.{claims}.",
            f"{base64.urlsafe_b64encode(unsigned).rstrip(b'=').decode()}.{claims}.",
            f"{header}.{claims}.{forged(key=OLD).rpartition('.')[2]}",
            forged(algorithm="HS512"),
            header,
            "",
        ):
            with pytest.raises(TokenInvalid):
                ring().verify(text)

    def test_a_public_key_is_no_secret(self) -> None:
        """The classical confusion: what RS256 publishes, used as the secret of HS256."""
        head = {"typ": TYPE, "kid": header_of(ring(RSA).sign(token()))["kid"], "alg": "HS256"}
        claims = forged().split(".")[1]
        text = base64.urlsafe_b64encode(json.dumps(head).encode()).rstrip(b"=").decode()
        signer = jwt.get_algorithm_by_name("HS256")
        signature = signer.sign(f"{text}.{claims}".encode(), RSA_PUBLIC.encode())
        whole = f"{text}.{claims}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
        for keys in ((RSA,), (NEW, RSA_PUBLIC)):
            with pytest.raises(TokenInvalid):
                ring(*keys).verify(whole)

    def test_a_token_is_for_one_stream(self) -> None:
        with pytest.raises(TokenInvalid):
            ring(audience="staging").verify(ring().sign(token()))


class TestKeys:
    @pytest.mark.parametrize(
        ("keys", "remedy"),
        [
            ((), "must be able to sign"),
            ((RSA_PUBLIC, NEW), "must be able to sign"),
            (("short",), "Key 1 .* shorter than 32"),
            ((NEW, SMALL_RSA), "Key 2 .* 2048 bits"),
            ((OTHER_CURVE,), "Key 1 .* P-256"),
            (("-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----",), "Key 1 "),
        ],
    )
    def test_one_that_cannot_be_used_is_named(self, keys: tuple[str, ...], remedy: str) -> None:
        with pytest.raises(ConfigurationError, match=remedy):
            Keyring(keys, "default")

    def test_the_name_of_a_key_is_that_of_its_public_half(self) -> None:
        for private, public in ((RSA, RSA_PUBLIC), (EC, EC_PUBLIC)):
            kid = header_of(ring(private).sign(token()))["kid"]
            assert kid in ring(NEW, public)._by_id

    def test_without_the_extra_it_is_named(self) -> None:
        code = (
            "import sys; sys.modules['jwt'] = None\n"
            "from django_electric.tokens import Keyring\n"
            "try: Keyring(('x' * 32,), 'default')\n"
            "except Exception as error: print(type(error).__name__, error)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert done.stdout.startswith("ConfigurationError GATEKEEPER_KEYS needs PyJWT: pip install")
        assert "django-electric-sync[jwt]" in done.stdout


class TestBearer:
    def test_our_tokens_are_found_however_the_scheme_is_written(self) -> None:
        text = forged()
        for header in (f"Bearer {text}", f"bearer  {text} ", f"BEARER {text}"):
            assert bearer_of(header) == text

    @pytest.mark.parametrize(
        "header",
        [None, "", "Bearer", "Bearer abc", "Bearer a.b.c", "Basic abc", "Token abc", "Bearer é"],
    )
    def test_others_are_the_projects_affair(self, header: str | None) -> None:
        assert bearer_of(header) is None

    def test_so_are_json_web_tokens_of_another_type(self) -> None:
        assert bearer_of(f"Bearer {forged(typ='JWT')}") is None
        assert bearer_of(f"Basic {forged()}") is None


class TestShape:
    def request(self, access: Access | None = None, **query: str) -> TokenShape:
        shape = parse_definition(nest(list(query.items())), access)
        return TokenShape.of_request(shape, None)

    def test_it_is_the_requests_own_words(self) -> None:
        params = {f"params[{n}]": str(n) for n in range(1, 12)}
        shape = self.request(table="Notes", where="a = $11", columns='id,"T"', **params)
        assert shape.table == "public.notes"
        assert shape.columns == ("id", "T")
        assert [number for number, _ in shape.params] == [str(n) for n in range(1, 12)]
        assert TokenShape.of_claim(shape.to_claim()) == shape

    def test_a_request_made_from_it_asks_for_it(self) -> None:
        shape = replace(MINE, table='"My".notes', params=(), where="owner = 7", name=None)
        assert self.request(**shape.to_query()) == shape

    def test_a_request_that_repeats_what_is_allowed_narrows_nothing(self) -> None:
        shape = replace(MINE, name=None)
        access = shape.to_access("auth.User:7")
        assert access == Access(
            TableName("public", "notes"),
            MINE.where,
            ("7", ""),
            ("id", "title"),
            user="auth.User:7",
        )
        query = [*shape.to_query().items(), ("offset", "-1")]
        repeated = parse(nest(query), access).shape
        assert repeated == parse(nest([("offset", "-1")]), access).shape
        other = parse(nest([*query, ("params[1]", "8")]), access).shape
        assert other.where == MINE.where

    def test_a_claim_whose_table_is_none_allows_nothing(self) -> None:
        with pytest.raises(TokenInvalid):
            replace(MINE, table="a.b.c").to_access(None)
