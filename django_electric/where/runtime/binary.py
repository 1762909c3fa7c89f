"""bytea (``varlena.c``, ``encode.c``)."""

from __future__ import annotations

import base64
import binascii
import hashlib

from django_electric.where.errors import Undecided

_LINE = 76
_HEXADECIMAL = frozenset(b"0123456789abcdefABCDEF")


def length(value: bytes) -> int:
    return len(value)


def bit_length(value: bytes) -> int:
    return 8 * len(value)


def concatenate(a: bytes, b: bytes) -> bytes:
    return a + b


def substring(value: bytes, start: int, count: int | None = None) -> bytes:
    """As for texts, in bytes.

    >>> substring(b"abc", 2, 1)
    b'b'
    """
    if count is None:
        return value[max(start, 1) - 1 :]
    if count < 0:
        raise ValueError("negative substring length not allowed")
    return value[max(start, 1) - 1 : max(start + count, 1) - 1]


def position(value: bytes, part: bytes) -> int:
    """Where *part* begins, from 1; 0 if nowhere."""
    return value.find(part) + 1


def get_byte(value: bytes, index: int) -> int:
    """From 0."""
    if not 0 <= index < len(value):
        raise ValueError("index out of valid range")
    return value[index]


def md5(value: bytes) -> str:
    return hashlib.md5(value, usedforsecurity=False).hexdigest()


def sha224(value: bytes) -> bytes:
    return hashlib.sha224(value).digest()


def sha256(value: bytes) -> bytes:
    return hashlib.sha256(value).digest()


def sha384(value: bytes) -> bytes:
    return hashlib.sha384(value).digest()


def sha512(value: bytes) -> bytes:
    return hashlib.sha512(value).digest()


def encode(value: bytes, form: str) -> str:
    r"""As hexadecimal or base64, the latter in lines of 76 characters.

    >>> encode(b"\x00\xff", "hex"), encode(b"a", "base64")
    ('00ff', 'YQ==')
    """
    match form.lower():
        case "hex":
            return value.hex()
        case "base64":
            text = base64.b64encode(value).decode()
            lines = [text[start : start + _LINE] for start in range(0, len(text), _LINE)]
            return "".join(line + "\n" if len(line) == _LINE else line for line in lines)
    raise Undecided(f"the form {form!r} is left to Postgres")


def decode(text: str, form: str) -> bytes:
    """
    >>> decode("00FF", "hex")
    b'\\x00\\xff'
    """
    if form.lower() != "hex" or not set(text.encode()) <= _HEXADECIMAL:
        raise Undecided("this form is left to Postgres")
    try:
        return binascii.unhexlify(text)
    except binascii.Error as error:
        raise ValueError(str(error)) from error
