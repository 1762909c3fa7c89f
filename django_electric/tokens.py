"""Tokens of the gatekeeper: JSON Web Tokens that say which shape their bearer may read, and until when.

What a token names is the whole shape, so whoever has the key, this server or a proxy before it, can tell
without a database whether a request asks for exactly that.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from django_electric.errors import ConfigurationError, ElectricError
from django_electric.protocol.access import Access
from django_electric.protocol.identifiers import columns_text, parse_table, table_text
from django_electric.protocol.params import ShapeParams

try:
    import jwt
except ImportError:  # the extra `jwt` is not installed
    jwt = None  # type: ignore[assignment]

TYPE: Final = "electric+jwt"
"""``typ``: no token made for anything else is taken for one of ours, nor one of ours for theirs (RFC 8725)."""
ISSUER: Final = "django_electric"
LEEWAY_SECONDS: Final = 2
"""How far the clocks of two servers may be apart."""
SHORTEST_SECRET: Final = 32
"""Characters."""
SHORTEST_RSA: Final = 2048
"""Bits."""
LONGEST_TOKEN: Final = 7_000
"""Characters: servers and proxies take headers of 8 kB."""

_CLAIMS: Final = ("iss", "aud", "iat", "exp", "shape")


class TokenInvalid(ElectricError):
    """The token is not valid"""


class TokenExpired(TokenInvalid):
    """The token has expired"""


class TokenMismatch(ElectricError):
    """The token is for another shape"""

    def __init__(self, fields: Iterable[str]) -> None:
        super().__init__()
        self.fields = tuple(fields)
        """The parameters that differ."""


class TokenTooLong(ElectricError):
    """The shape is too long for a token: declare a shape of these rows, or narrow less."""


@dataclass(frozen=True, slots=True)
class TokenShape:
    """The shape that a token is good for: as the request must name it."""

    table: str
    """As `table` names it, schema included."""
    where: str | None = None
    params: tuple[tuple[str, str], ...] = ()
    """By number, in order: ``(("1", "x"),)``."""
    columns: tuple[str, ...] | None = None
    name: str | None = None
    """That of the declared shape; None for the table's own endpoint."""

    @classmethod
    def of_request(cls, shape: ShapeParams, name: str | None) -> TokenShape:
        """What a request for *shape* at the endpoint of *name* asks for."""
        params = sorted(shape.params or (), key=lambda item: (len(item[0]), item[0]))
        return cls(table_text(shape.table), shape.where, tuple(params), shape.columns, name)

    def to_access(self, user: str | None) -> Access:
        """What a token for this shape allows. Raises `TokenInvalid`."""
        try:
            table = parse_table(self.table)
        except ValueError:
            raise TokenInvalid from None
        values = tuple(value for _, value in self.params)
        return Access(table, self.where, values, self.columns, user=user)

    def to_query(self) -> dict[str, str]:
        """The parameters by which a request asks for it."""
        query = {"table": self.table}
        if self.where is not None:
            query["where"] = self.where
        if self.columns is not None:
            query["columns"] = columns_text(self.columns)
        return {**query, **{f"params[{number}]": value for number, value in self.params}}

    def to_claim(self) -> dict[str, object]:
        """A value that JSON can hold; `of_claim` reads it back."""
        columns = None if self.columns is None else list(self.columns)
        return {
            "table": self.table,
            "where": self.where,
            "params": dict(self.params),
            "columns": columns,
            "name": self.name,
        }

    @classmethod
    def of_claim(cls, claim: object) -> TokenShape:
        """Raises `TokenInvalid` for what `to_claim` cannot have written."""
        if not isinstance(claim, Mapping):
            raise TokenInvalid
        table, where, name = (claim.get(key) for key in ("table", "where", "name"))
        if not isinstance(table, str) or not all(isinstance(v, str | None) for v in (where, name)):
            raise TokenInvalid
        return cls(table, where, _params(claim.get("params")), _columns(claim.get("columns")), name)


@dataclass(frozen=True, slots=True)
class Token:
    """What a token says. Times are seconds since 1970."""

    shape: TokenShape
    user: str | None
    """Key of the user, as `Access.user`; None for one who has not signed in."""
    issued: float
    expires: float


@dataclass(frozen=True, slots=True)
class _Key:
    """One of the keys; its kind alone says which algorithm it is used with."""

    id: str
    algorithm: str
    signing: Any
    """None for a public key, which only verifies."""
    verifying: Any


class Keyring:
    """Signs with the first key, verifies with all of them.

    Raises ConfigurationError naming the key that cannot be used, or the extra that is missing.
    """

    def __init__(self, keys: Iterable[str], audience: str) -> None:
        if jwt is None:
            raise ConfigurationError(
                "GATEKEEPER_KEYS needs PyJWT: pip install 'django-electric-sync[jwt]'."
            )
        self._keys = [_read_key(text, place) for place, text in enumerate(keys, 1)]
        self._by_id = {key.id: key for key in self._keys}
        self._audience = audience
        if not self._keys or self._keys[0].signing is None:
            raise ConfigurationError("The first of GATEKEEPER_KEYS must be able to sign.")

    def sign(self, token: Token) -> str:
        """Raises `TokenTooLong`."""
        key = self._keys[0]
        claims = {
            "iss": ISSUER,
            "aud": self._audience,
            "iat": token.issued,
            "exp": token.expires,
            "shape": token.shape.to_claim(),
            **({} if token.user is None else {"sub": token.user}),
        }
        headers = {"typ": TYPE, "kid": key.id}
        text = jwt.encode(claims, key.signing, algorithm=key.algorithm, headers=headers)
        if len(text) > LONGEST_TOKEN:
            raise TokenTooLong
        return text

    def verify(self, text: str) -> Token:
        """What *text* says, if one of the keys has signed it. Raises `TokenExpired` or `TokenInvalid`."""
        key = self._by_id.get(str(header_of(text).get("kid")))
        if key is None:
            raise TokenInvalid
        try:
            # The algorithm is the key's, whatever the header says.
            claims = jwt.decode(
                text,
                key.verifying,
                algorithms=[key.algorithm],
                audience=self._audience,
                issuer=ISSUER,
                leeway=LEEWAY_SECONDS,
                options={"require": list(_CLAIMS), "strict_aud": True},
            )
        except jwt.ExpiredSignatureError:
            raise TokenExpired from None
        except jwt.InvalidTokenError:
            raise TokenInvalid from None
        return _token(claims)


@lru_cache(maxsize=4)
def keyring(keys: tuple[str, ...], audience: str) -> Keyring:
    """The keyring of these keys, made once."""
    return Keyring(keys, audience)


def header_of(text: str) -> Mapping[str, object]:
    """The header of *text*, nobody's word for it; empty if it is no JSON Web Token.

    >>> header_of("nonsense")
    {}
    """
    try:
        head = text.split(".", 1)[0].encode("ascii")
        header = json.loads(base64.urlsafe_b64decode(head + b"=" * (-len(head) % 4)))
    except (ValueError, RecursionError):
        return {}
    return header if isinstance(header, dict) else {}


def bearer_of(authorization: str | None) -> str | None:
    """The token of the gatekeeper in an ``Authorization`` header; None if it holds another kind, or none.

    The project may know bearer tokens of its own.
    """
    scheme, _, text = (authorization or "").strip().partition(" ")
    if scheme.lower() != "bearer" or len(text) > LONGEST_TOKEN:
        return None
    return text.strip() if header_of(text.strip()).get("typ") == TYPE else None


def now() -> float:
    """Seconds since 1970, as tokens and revocations compare them."""
    return time.time()


# --- Keys -----------------------------------------------------------------------------------------------


def _read_key(text: str, place: int) -> _Key:
    if "-----BEGIN" in text:
        return _read_pem(text, place)
    if len(text) < SHORTEST_SECRET:
        raise ConfigurationError(
            f"Key {place} of GATEKEEPER_KEYS is shorter than {SHORTEST_SECRET} characters: take a random one,"
            " such as python -c 'import secrets; print(secrets.token_urlsafe(48))' prints."
        )
    secret = text.encode()
    # Says which key it is, and nothing of what it is.
    name = hmac.digest(secret, b"kid of django_electric", "sha256").hex()[:16]
    return _Key(name, "HS256", secret, secret)


def _read_pem(text: str, place: int) -> _Key:
    for algorithm in ("RS256", "ES256"):
        try:
            key: Any = jwt.get_algorithm_by_name(algorithm).prepare_key(text)
        except NotImplementedError:
            raise ConfigurationError(
                "RSA and P-256 keys in GATEKEEPER_KEYS need cryptography:"
                " pip install 'django-electric-sync[jwt]'."
            ) from None
        except (jwt.InvalidKeyError, ValueError, TypeError):
            continue
        is_private = hasattr(key, "public_key")
        public = key.public_key() if is_private else key
        if algorithm == "RS256" and public.key_size < SHORTEST_RSA:
            raise ConfigurationError(
                f"Key {place} of GATEKEEPER_KEYS is shorter than {SHORTEST_RSA} bits."
            )
        return _Key(_public_id(algorithm, public), algorithm, key if is_private else None, public)
    raise ConfigurationError(
        f"Key {place} of GATEKEEPER_KEYS is no PEM of an RSA or a P-256 key without a password."
    )


def _public_id(algorithm: str, public: Any) -> str:
    """The same for the private key and for its public one."""
    jwk = jwt.get_algorithm_by_name(algorithm).to_jwk(public, as_dict=True)
    members = {
        name: jwk[name] for name in sorted(jwk) if name in ("kty", "n", "e", "crv", "x", "y")
    }
    text = json.dumps(members, separators=(",", ":")).encode()
    # RFC 7638: others can work it out from the public key.
    return base64.urlsafe_b64encode(hashlib.sha256(text).digest()).rstrip(b"=").decode()


# --- Claims ---------------------------------------------------------------------------------------------


def _token(claims: Mapping[str, Any]) -> Token:
    issued, expires, user = claims["iat"], claims["exp"], claims.get("sub")
    if not all(isinstance(moment, int | float) for moment in (issued, expires)):
        raise TokenInvalid
    return Token(TokenShape.of_claim(claims["shape"]), user, issued, expires)


def _params(value: object) -> tuple[tuple[str, str], ...]:
    if value is None:
        return ()
    if not isinstance(value, Mapping) or not all(isinstance(v, str) for v in value.values()):
        raise TokenInvalid
    numbers = [str(number) for number in range(1, len(value) + 1)]
    if set(numbers) != set(value):
        raise TokenInvalid
    return tuple((number, value[number]) for number in numbers)


def _columns(value: object) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise TokenInvalid
    return tuple(value)
