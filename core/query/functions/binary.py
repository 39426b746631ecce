"""Functions of bytes: parts, bits, hashes, and bytes as text."""
from __future__ import annotations

import base64
import binascii
import codecs
import hashlib
import re
from typing import Any

from phantomdb.core.query import casts
from phantomdb.core.query.errors import (
    ArraySubscriptError,
    CharacterNotInRepertoire,
    InvalidParameterValue,
    InvalidTextRepresentation,
)
from phantomdb.core.query.functions.numbers import scalar
from phantomdb.core.query.functions.strings import overlay, substring
from phantomdb.core.values import BIGINT, BYTES, INT, TEXT

scalar("||", (BYTES, BYTES), BYTES, lambda a, b: a + b, "({0} || {1})", "one after the other")
for _name in ("length", "octet_length"):
    scalar(_name, (BYTES,), INT, len, "CAST(octet_length({0}) AS INTEGER)", "number of bytes")
scalar("bit_length", (BYTES,), INT, lambda data: 8 * len(data), "CAST(8 * octet_length({0}) AS INTEGER)",
       "number of bits")
scalar("bit_count", (BYTES,), BIGINT, lambda data: int.from_bytes(data).bit_count(), None, "how many bits are set")
for _name in ("substring", "substr"):
    scalar(_name, (BYTES, INT, INT), BYTES, substring, None, "so many bytes from a place on", optional=1)
scalar("overlay", (BYTES, BYTES, INT, INT), BYTES, overlay, None, "a part replaced", optional=1)
scalar("position", (BYTES, BYTES), INT, lambda data, sought: data.find(sought) + 1, None,
       "where the second is in the first, 0 for nowhere")


def _trimmed(is_left: bool, is_right: bool) -> Any:
    def trim(data: bytes, unwanted: bytes) -> bytes:
        data = data.lstrip(unwanted) if is_left and unwanted else data
        return data.rstrip(unwanted) if is_right and unwanted else data
    return trim


for _name, _sides, _where in (("ltrim", (True, False), "the beginning"), ("rtrim", (False, True), "the end"),
                              ("btrim", (True, True), "both ends"), ("trim", (True, True), "both ends")):
    scalar(_name, (BYTES, BYTES), BYTES, _trimmed(*_sides), None, f"without the bytes given at {_where}")


def _check_index(index: int, count: int) -> int:
    if not 0 <= index < count:
        raise ArraySubscriptError(f"index {index} out of valid range, 0..{count - 1}")
    return index


def _get_bit(data: bytes, index: int) -> int:
    _check_index(index, 8 * len(data))
    return data[index // 8] >> index % 8 & 1


def _set_bit(data: bytes, index: int, value: int) -> bytes:
    _check_index(index, 8 * len(data))
    if value not in (0, 1):
        raise InvalidParameterValue("new bit must be 0 or 1")
    changed = bytearray(data)
    changed[index // 8] = changed[index // 8] & ~(1 << index % 8) | value << index % 8
    return bytes(changed)


def _set_byte(data: bytes, index: int, value: int) -> bytes:
    changed = bytearray(data)
    changed[_check_index(index, len(data))] = value & 255
    return bytes(changed)


scalar("get_bit", (BYTES, BIGINT), INT, _get_bit, None, "the n-th bit, from 0")
scalar("get_byte", (BYTES, INT), INT, lambda data, index: data[_check_index(index, len(data))], None,
       "the n-th byte, from 0")
scalar("set_bit", (BYTES, BIGINT, INT), BYTES, _set_bit, None, "with the n-th bit set to 0 or 1")
scalar("set_byte", (BYTES, INT, INT), BYTES, _set_byte, None, "with the n-th byte set")
scalar("md5", (BYTES,), TEXT, lambda data: hashlib.md5(data, usedforsecurity=False).hexdigest(), "md5({0})",
       "MD5 in hexadecimal")
for _bits in (224, 256, 384, 512):
    scalar(f"sha{_bits}", (BYTES,), BYTES, lambda data, _bits=_bits: hashlib.new(f"sha{_bits}", data).digest(), None,
           f"SHA-{_bits}")


# -------------------------------------------------------------------- as text

def _wrapped(text: str) -> str:
    return "\n".join(text[start:start + 76] for start in range(0, len(text), 76))


def _escaped(data: bytes) -> str:
    return "".join("\\\\" if byte == 0x5C else chr(byte) if byte and byte < 0x80 else f"\\{byte:03o}" for byte in data)


def _unhex(text: str) -> bytes:
    return bytes(casts.read_bytes("\\x" + text))


def _unbase64(text: str) -> bytes:
    kept = re.sub(r"[ \t\n\r]", "", text)
    if wrong := re.search(r"[^A-Za-z0-9+/=]", kept):
        raise InvalidParameterValue(f'invalid symbol "{wrong.group()}" found while decoding base64 sequence')
    try:
        return base64.b64decode(kept, validate=True)
    except binascii.Error:
        raise InvalidParameterValue("invalid base64 end sequence") from None


def _unescape(text: str) -> bytes:
    if text.startswith("\\x"):                               # no hexadecimal here
        raise InvalidTextRepresentation("invalid input syntax for type bytea")
    return bytes(casts.read_bytes(text))


_ENCODERS: dict[str, Any] = {
    "hex": bytes.hex, "base64": lambda data: _wrapped(base64.b64encode(data).decode()), "escape": _escaped}
_DECODERS: dict[str, Any] = {"hex": _unhex, "base64": _unbase64, "escape": _unescape}


def _format(table: dict[str, Any], name: str) -> Any:
    found = table.get(name.lower())
    if found is None:
        raise InvalidParameterValue(f'unrecognized encoding: "{name}"')
    return found


def _codec(name: str) -> str:
    """Python's name of an encoding of PostgreSQL's."""
    plain = {"sql_ascii": "utf-8", "unicode": "utf-8", "mule_internal": ""}.get(name.lower(), name)
    plain = re.sub(r"^win(\d+)$", r"cp\1", plain, flags=re.IGNORECASE)
    plain = re.sub(r"^latin(\d+)$", r"latin_\1", plain, flags=re.IGNORECASE)
    try:
        return codecs.lookup(plain).name
    except LookupError:
        raise InvalidParameterValue(f'invalid encoding name "{name}"') from None


def _convert_from(data: bytes, encoding: str) -> str:
    try:
        text = data.decode(_codec(encoding))
    except UnicodeDecodeError as error:
        raise CharacterNotInRepertoire(f'invalid byte sequence for encoding "{encoding}": '
                                       f"0x{data[error.start:error.start + 1].hex()}") from None
    if "\0" in text:
        raise CharacterNotInRepertoire(f'invalid byte sequence for encoding "{encoding}": 0x00')
    return text


def _convert_to(text: str, encoding: str) -> bytes:
    try:
        return text.encode(_codec(encoding))
    except UnicodeEncodeError as error:
        raise CharacterNotInRepertoire(f'character "{text[error.start]}" has no equivalent in encoding "{encoding}"'
                                       ) from None


scalar("encode", (BYTES, TEXT), TEXT, lambda data, name: _format(_ENCODERS, name)(data), None,
       "as text: hex, base64, escape")
scalar("decode", (TEXT, TEXT), BYTES, lambda text, name: _format(_DECODERS, name)(text), None,
       "from text: hex, base64, escape")
scalar("convert_from", (BYTES, TEXT), TEXT, _convert_from, None, "text in an encoding")
scalar("convert_to", (TEXT, TEXT), BYTES, _convert_to, None, "the bytes of a text in an encoding")
scalar("convert", (BYTES, TEXT, TEXT), BYTES,
       lambda data, source, target: _convert_to(_convert_from(data, source), target), None,
       "from an encoding to another")
