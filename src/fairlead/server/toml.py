"""TOML text to a typed struct, with errors that say where and what is allowed instead."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, TypeVar

import msgspec

T = TypeVar("T", bound=msgspec.Struct)


class ConfigError(Exception):
    """A file that can't be used; its text is one plain sentence."""


def read_text(path: Path) -> str:
    """The text of a file. Raises `ConfigError`."""
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text") from None


def decode(text: str, name: str, shape: type[T]) -> T:
    """A TOML text (or a JSON object) as a struct. Raises `ConfigError`: line, key, remedy."""
    try:
        if text.lstrip().startswith("{"):  # no TOML begins so: another program wrote it
            return msgspec.json.decode(text, type=shape)
        return msgspec.toml.decode(text, type=shape)
    except msgspec.ValidationError as error:
        raise ConfigError(_explain(str(error), text, name, shape)) from None
    except msgspec.DecodeError as error:
        raise ConfigError(f"{name} is not TOML: {error}") from None


_UNKNOWN = re.compile(r"Object contains unknown field `(?P<key>[^`]+)`")
_PLACE = re.compile(r" - at `\$(?P<path>[^`]*)`$")


def _explain(message: str, text: str, name: str, shape: type[msgspec.Struct]) -> str:
    place = _PLACE.search(message)
    path = place["path"] if place else ""
    steps = re.findall(r"[A-Za-z_]\w*", path)
    names = _names(path, text, shape)
    unknown = _UNKNOWN.search(message)
    if unknown:
        key = unknown["key"]
        allowed = ", ".join(_fields(shape, steps))
        where = f"[{'.'.join(names)}]" if names else "the file"
        line = _line(text, key, names)
        return f"{name}{line}: {where} has no key {key!r}; it may have {allowed}"
    plain = message[: place.start()] if place else message
    if plain.startswith("Invalid enum value"):
        plain += f"; it may be {', '.join(_choices(shape, steps))}"
    key = ".".join(names)
    line = _line(text, names[-1], names[:-1]) if names else ""
    plain = plain[0].lower() + plain[1:]
    return f"{name}{line}: {key + ': ' if key else ''}{plain.replace('`', '')}"


def _names(path: str, text: str, shape: Any) -> list[str]:
    """The keys on the way to what is wrong. Of tables of any name, which a path does not name, it
    is the first that can't be read."""
    json = text.lstrip().startswith("{")
    value: Any = msgspec.json.decode(text) if json else msgspec.toml.decode(text)
    names = []
    for key, index in re.findall(r"([A-Za-z_]\w*)|\[(\.\.\.|\d+)\]", path):
        if index == "...":
            shape = shape.__args__[1]
            wrong = next((k for k, v in value.items() if not _reads(v, shape)), None)
            if wrong is None:
                break
            names.append(wrong)
            value = value[wrong]
        elif index:
            shape = _inner(shape)
            value = value[int(index)]
        else:
            shape = _field(shape, key)
            names.append(key)
            value = value.get(key) if isinstance(value, dict) else None
    return names


def _reads(value: Any, shape: Any) -> bool:
    try:
        msgspec.convert(value, shape)
    except msgspec.ValidationError:
        return False
    return True


def _field(shape: Any, key: str) -> Any:
    if shape is None or not hasattr(shape, "__struct_fields__"):
        return None
    return {field.name: field.type for field in msgspec.structs.fields(shape)}.get(key)


def _inner(shape: Any) -> Any:
    """What a list, a table of any name or an optional thing is of."""
    inner = getattr(shape, "__args__", None)
    # A table of tables of any name has the type of its names first.
    return inner[-1 if getattr(shape, "__origin__", None) is dict else 0] if inner else shape


def _fields(shape: Any, steps: list[str]) -> list[str]:
    for step in steps:
        shape = _inner(_field(shape, step))
    return [field.name for field in msgspec.structs.fields(shape)]


def _choices(shape: Any, steps: list[str]) -> list[str]:
    *tables, key = steps
    for step in tables:
        shape = _inner(_field(shape, step))
    choice = _field(shape, key)
    if type(None) in choice.__args__:
        choice = choice.__args__[0]
    return [repr(value) for value in choice.__args__]


def _line(text: str, key: str, table: list[str]) -> str:
    heading = ".".join(table)
    beneath = heading and f"{heading}."
    current = ""
    for number, line in enumerate(text.splitlines(), start=1):
        header = re.match(r"\s*\[+\s*([^\]]+?)\s*\]+", line)
        if header:
            current = header[1]
            if current == ".".join([*table, key]):
                return f", line {number}"
        elif (current == heading or (beneath and current.startswith(beneath))) and re.match(
            rf"\s*[\"']?{re.escape(key)}[\"']?\s*[=.]", line
        ):
            return f", line {number}"
    return ""
