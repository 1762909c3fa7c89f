"""ElectricClient and AsyncElectricClient: clients that speak the protocol, through Django's test clients.

A request passes the project's middleware and URLs like any other of a test, so that what refuses it in
production refuses it here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from asgiref.sync import async_to_sync
from django.http.response import HttpResponseBase, StreamingHttpResponse
from django.test import AsyncClient, Client

from django_electric.declared import Shape
from django_electric.postgres.relation import quote_identifier
from django_electric.test.addresses import declared_url, table_url
from django_electric.test.following import Following, Message, Row

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser

Params = Mapping[str, object]


class _FollowedShape:
    """What a client has of one shape; all values are Postgres's text, as the protocol carries them."""

    def __init__(self, url: str, params: Params) -> None:
        """*params* as in `ElectricClient.shape`."""
        parts = urlsplit(url)
        self.url = url
        self._path = parts.path
        self._params = {**dict(parse_qsl(parts.query, keep_blank_values=True)), **as_query(params)}
        self._following = Following(has_first_rows=self._params.get("log") != "changes_only")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url} {self._params} handle={self.handle} offset={self.offset})"

    @property
    def rows(self) -> list[Row]:
        """The rows as of the last answer, in the order of their keys."""
        return [row for _, row in sorted(self._following.rows.items())]

    @property
    def messages(self) -> list[Message]:
        """Every message that came, control messages too."""
        return self._following.messages

    @property
    def changes(self) -> list[Message]:
        """The messages that are inserts, updates and deletes."""
        return [message for message in self.messages if "operation" in message["headers"]]

    @property
    def schema(self) -> dict[str, dict[str, Any]]:
        """Column → its description, as the header ``electric-schema`` has it."""
        return self._following.schema

    @property
    def handle(self) -> str:
        return self._following.handle

    @property
    def offset(self) -> str:
        return self._following.offset

    @property
    def refetches(self) -> int:
        """How often the server said must-refetch."""
        return self._following.refetches

    def _query(self) -> dict[str, str]:
        return {**self._params, **self._following.query}

    def _take(self, response: HttpResponseBase, body: bytes) -> list[Message]:
        headers = {name.lower(): value for name, value in response.headers.items()}
        return self._following.take(response.status_code, headers, body)


class ClientShape(_FollowedShape):
    """A shape that an `ElectricClient` follows."""

    def __init__(self, http: Client, url: str, params: Params) -> None:
        super().__init__(url, params)
        self._http = http

    def sync(self) -> list[Message]:
        """Ask until there is nothing more; the messages that were new. Raises ShapeRefused."""
        news = self._ask()
        while not self._following.is_up_to_date:
            news += self._ask()
        return news

    def _ask(self) -> list[Message]:
        response = self._http.get(self._path, self._query())
        body = async_to_sync(_body_of)(response) if response.streaming else response.content
        return self._take(response, body)


class AsyncClientShape(_FollowedShape):
    """A shape that an `AsyncElectricClient` follows."""

    def __init__(self, http: AsyncClient, url: str, params: Params) -> None:
        super().__init__(url, params)
        self._http = http

    async def sync(self) -> list[Message]:
        """As `ClientShape.sync`."""
        news = await self._ask()
        while not self._following.is_up_to_date:
            news += await self._ask()
        return news

    async def _ask(self) -> list[Message]:
        response = await self._http.get(self._path, self._query())
        return self._take(response, await _body_of(response))


class ElectricClient:
    """A client of the project, perhaps logged in as a user.

    >>> client = ElectricClient(user=alice)  # doctest: +SKIP
    >>> client.shape(table="shop_order", where="total > $1", params=["100"]).rows  # doctest: +SKIP
    """

    def __init__(
        self,
        user: AbstractBaseUser | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        http: Client | None = None,
    ) -> None:
        """*headers* go with every request; *http* is a test client to ask with, instead of a new one."""
        self.http = http or Client(headers=headers)
        if user is not None:
            self.http.force_login(user)  # type: ignore[arg-type]  # whatever the model

    def shape(self, url: str | Shape | None = None, /, **params: object) -> ClientShape:
        """Follow a declared shape, or the one at *url*, and fetch it; without either the table-named endpoint's.

        *params* are the protocol's; ``columns`` and ``params`` may be lists. Raises ShapeRefused.
        """
        shape = ClientShape(self.http, _address(url), params)
        shape.sync()
        return shape


class AsyncElectricClient:
    """The same for tests that are coroutines."""

    def __init__(
        self,
        user: AbstractBaseUser | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        http: AsyncClient | None = None,
    ) -> None:
        self.http = http or AsyncClient(headers=headers)
        self._user = user

    async def shape(self, url: str | Shape | None = None, /, **params: object) -> AsyncClientShape:
        """As `ElectricClient.shape`."""
        if self._user is not None:
            await self.http.aforce_login(self._user)  # type: ignore[arg-type]  # whatever the model
            self._user = None
        shape = AsyncClientShape(self.http, _address(url), params)
        await shape.sync()
        return shape


def _address(url: str | Shape | None) -> str:
    if url is None:
        return table_url()
    return url if isinstance(url, str) else declared_url(url)


def as_query(params: Params) -> dict[str, str]:
    """Parameters as they stand in a query string.

    >>> as_query({"columns": ["id", "Größe"], "params": ["x"], "replica": "full"})
    {'columns': '"id","Größe"', 'params[1]': 'x', 'replica': 'full'}
    """
    query: dict[str, str] = {}
    for name, value in params.items():
        if name == "columns" and not isinstance(value, str):
            assert isinstance(value, Iterable), "columns is a list of names"
            query[name] = ",".join(quote_identifier(column) for column in value)
        elif isinstance(value, Mapping):
            query |= {f"{name}[{key}]": str(inner) for key, inner in value.items()}
        elif isinstance(value, Sequence) and not isinstance(value, str):
            query |= {f"{name}[{at}]": str(inner) for at, inner in enumerate(value, 1)}
        else:
            query[name] = str(value)
    return query


async def _body_of(response: HttpResponseBase) -> bytes:
    if isinstance(response, StreamingHttpResponse):
        return b"".join([piece async for piece in response])
    content: bytes = response.content  # type: ignore[attr-defined]  # every other response has it
    return content
