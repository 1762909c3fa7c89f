"""text, varchar, bpchar, name, "char", uuid and bytea."""

from __future__ import annotations

import re

_UUID = re.compile(r"(\{)?[0-9a-fA-F]{4}(?:-?[0-9a-fA-F]{4}){7}(?(1)\})")
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
_NAME_BYTES = 63
_ESCAPES = re.compile(r"\\(?:(\\)|([0-3][0-7]{2}))|(\\)")


def is_text(text: str) -> bool:
    """Whether Postgres can hold it: no NUL, no half of a surrogate pair."""
    return _NO_TEXT.search(text) is None


def canonical_text(text: str) -> str:
    """Any text is its own."""
    if not is_text(text):
        raise ValueError(text)
    return text


def decode_bpchar(text: str) -> str:
    """Blanks at the end do not count: ``'a '::char(2) = 'a'::char(1)``."""
    return text.rstrip(" ")


def canonical_name(text: str) -> str:
    """At most 63 bytes; what is more is cut off, whole characters at a time.

    >>> canonical_name("é" * 40) == "é" * 31
    True
    """
    return canonical_text(text).encode()[:_NAME_BYTES].decode(errors="ignore")


def decode_char(text: str) -> str:
    r"""The one byte of ``"char"`` as a character; Postgres 16 and newer prints those above 127 in octal.

    >>> decode_char("a"), decode_char(""), decode_char("\\351")
    ('a', '', 'é')
    """
    return chr(int(text[1:], 8)) if len(text) == 4 else text


def encode_char(value: str) -> str:
    return value if value.isascii() else f"\\{ord(value):o}"


def canonical_char(text: str) -> str:
    """The first byte of an ASCII text; what a backslash means depends on the version.

    >>> canonical_char("abc")
    'a'
    """
    if not canonical_text(text).isascii() or text.startswith("\\"):
        raise ValueError(text)
    return text[:1]


def canonical_uuid(text: str) -> str:
    """Hexadecimal digits of either case, hyphens after any fourth, braces around.

    >>> canonical_uuid("{550E8400E29B41D4-a716446655440000}")
    '550e8400-e29b-41d4-a716-446655440000'
    """
    if not _UUID.fullmatch(text):
        raise ValueError(text)
    digits = text.strip("{}").replace("-", "").lower()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def decode_bytea(text: str) -> bytes:
    r"""What ``bytea_output = hex`` prints.

    >>> decode_bytea("\\x00ff")
    b'\x00\xff'
    """
    return bytes.fromhex(text[2:])


def encode_bytea(value: bytes) -> str:
    return "\\x" + value.hex()


def canonical_bytea(text: str) -> str:
    r"""The hex form (spaces between bytes are passed over) or, in ASCII, the escape form.

    >>> canonical_bytea("\\xDE ad"), canonical_bytea("a\\\\b\\000")
    ('\\xdead', '\\x615c6200')
    """
    if text.startswith("\\x"):
        digits = "".join(text[2:].split(" "))
        if not re.fullmatch(r"(?: *[0-9a-fA-F]{2})* *", text[2:]):
            raise ValueError(text)
        return "\\x" + digits.lower()
    if not canonical_text(text).isascii():
        raise ValueError(text)
    return encode_bytea(_ESCAPES.sub(_unescaped, text).encode("latin-1"))


def _unescaped(match: re.Match[str]) -> str:
    if match[3]:
        raise ValueError("invalid input syntax for type bytea")
    return "\\" if match[1] else chr(int(match[2], 8))
