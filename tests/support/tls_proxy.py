"""TlsProxy: what a Postgres that insists on TLS is to its clients, in front of one that knows no TLS."""

from __future__ import annotations

import asyncio
import ssl
import struct
import threading
from collections.abc import Coroutine
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from example_project.embedded_postgres import Cluster

_SSL_REQUEST, _GSS_REQUEST = 80877103, 80877104
_REFUSAL = (
    b"SFATAL\0VFATAL\0C28000\0"
    b'Mno pg_hba.conf entry for host "127.0.0.1", user "postgres", database "app", no encryption\0\0'
)


class Authority:
    """A certificate that signs itself, and its key; both lie in *folder*."""

    def __init__(self, folder: Path, name: str) -> None:
        self.certificate, self.key = folder / f"{name}.crt", folder / f"{name}.key"
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(key, hashes.SHA256())
        )
        self.certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        self.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )


class TlsProxy:
    """Listens on a port of the loopback interface; used as a context manager."""

    def __init__(self, cluster: Cluster, authority: Authority) -> None:
        self._socket = cluster.socket_folder / f".s.PGSQL.{cluster.port}"
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(authority.certificate, authority.key)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.port = 0

    def url(self, database: str, **options: object) -> str:
        query = "&".join(f"{name}={value}" for name, value in options.items())
        return f"postgres://postgres@127.0.0.1:{self.port}/{database}?{query}"

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _end(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, ssl.SSLError, asyncio.IncompleteReadError):
            try:
                if await self._is_encrypted(reader, writer):
                    await self._carry(reader, writer)
            finally:
                writer.close()

    async def _is_encrypted(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        while True:
            _, code = struct.unpack(">II", await reader.readexactly(8))
            if code == _SSL_REQUEST:
                writer.write(b"S")
                await writer.start_tls(self._context)
                return True
            if code != _GSS_REQUEST:
                writer.write(b"E" + struct.pack(">I", len(_REFUSAL) + 4) + _REFUSAL)
                await writer.drain()
                return False
            writer.write(b"N")

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up, down = await asyncio.open_unix_connection(self._socket)
        try:
            tasks = [
                asyncio.ensure_future(_copy(reader, down)),
                asyncio.ensure_future(_copy(up, writer)),
            ]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            down.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
