"""Types of settings: how each is read from a flag or a TOML file, and the message for a wrong value."""

import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Annotated, Any, Self, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, GetCoreSchemaHandler, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from connectors.notations.kinds import KINDS
from connectors.suggestions import nearest
from stream_bp.config.renamed import RENAMED, with_current_names
from stream_bp.config.sections import SECTIONS
from stream_bp.errors import ConfigError

__all__ = [
    "ColumnTypes",
    "Columns",
    "Delimiter",
    "Duration",
    "Interval",
    "Limit",
    "OneOf",
    "Settings",
    "Sizes",
    "Words",
    "choices_of",
    "seconds",
    "section_of",
    "setting",
]

_NEXT_TYPE = re.compile(rf",(?=[^,]*=(?:{'|'.join(KINDS)})(?:[:,]|$))")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def _split(value: Any) -> Any:
    """Read ``a,b`` as a list, and a single name or number as a list of one."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    if isinstance(value, int) and not isinstance(value, bool):
        return (value,)
    return value


def _words(value: Any) -> Any:
    """Read the name of a column as a list of one. Names may contain commas, so they are not split."""
    return (value,) if isinstance(value, str) else value


def _parts(value: Any) -> Any:
    """Read ``a,b``, alone or in a list, as several words. Blanks belong to the words."""
    given = (value,) if isinstance(value, str) else value
    if not isinstance(given, list | tuple):
        return given
    return tuple(part for one in given for part in (one.split(",") if isinstance(one, str) else (one,)) if part != "")


def _column_types(value: Any) -> Any:
    """Read ``a=number,b=text``, a list of such texts, or a mapping of columns to types, as one text for each."""
    if isinstance(value, Mapping):
        return tuple(f"{name}={spec}" for name, spec in value.items())
    given = (value,) if isinstance(value, str) else value
    if not isinstance(given, list | tuple):
        return given
    # A type may hold a comma, as in number:1,234.5; a comma before COLUMN=KIND begins the next one.
    return tuple(one for text in given for one in (_NEXT_TYPE.split(text) if isinstance(text, str) else (text,)))


def _interval(value: Any) -> Any:
    """Keep ``500`` (minibatches) or ``30s`` (time) as written, and refuse anything else."""
    text = str(value).strip()
    number, unit = (text[:-1], text[-1]) if text[-1:] in _SECONDS else (text, "")
    try:
        amount = float(number) if unit else int(number)
    except ValueError:
        amount = 0
    if not 0 < amount < 1e12:
        raise ValueError("expected a number of minibatches (500) or a time (30s, 5m, 1h)")
    return text if unit else str(amount)


def _limit(value: Any) -> Any:
    """Keep ``100`` (rows) or ``1%`` (of all rows) as written, and refuse anything else."""
    text = str(value).strip()
    try:
        amount = float(text.removesuffix("%")) if text.endswith("%") else int(text)
    except ValueError:
        amount = -1
    if not 0 <= amount < (100.1 if text.endswith("%") else 2**63):
        raise ValueError("expected a number of rows (100) or a share of them (1%)")
    return text


def _tab(value: Any) -> Any:
    r"""Read ``\t`` and ``tab`` as a tab, which is hard to type."""
    return "\t" if value in {"\\t", "tab"} else value


def _duration(value: Any) -> Any:
    """Keep ``30s`` as written, and refuse anything that does not name a time."""
    with suppress(ValueError):
        if not (text := _interval(value)).isdigit():
            return text
    raise ValueError("expected a time (30s, 5m, 1h)")


Columns = Annotated[tuple[str, ...], BeforeValidator(_words)]
ColumnTypes = Annotated[tuple[str, ...], BeforeValidator(_column_types)]
Words = Annotated[tuple[str, ...], BeforeValidator(_parts)]
Sizes = Annotated[tuple[Annotated[int, Field(ge=1, le=1_000_000)], ...], BeforeValidator(_split)]
Interval = Annotated[str, BeforeValidator(_interval)]
Duration = Annotated[str, BeforeValidator(_duration)]
Delimiter = Annotated[str, BeforeValidator(_tab)]
Limit = Annotated[str, BeforeValidator(_limit)]


class OneOf:
    """A choice from a registry, in an annotation: a ``Literal`` whose words are looked up each time.

    Parameters
    ----------
    words
        Words and registries, in the order of the message that lists them.

    Notes
    -----
    A choice that is registered later is accepted and listed from then on.
    """

    def __init__(self, *words: str | Iterable[str]) -> None:
        self._words = words

    @property
    def words(self) -> list[str]:
        """The words that are accepted now."""
        return [word for given in self._words for word in ([given] if isinstance(given, str) else given)]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._check, handler(source))

    def _check(self, value: Any) -> Any:
        if value not in self.words:
            # The name that pydantic gives to this error, so that both kinds have one message.
            raise PydanticCustomError("literal_error", "Input should be {expected}", {"expected": self.words})
        return value


class Settings(BaseModel):
    """Settings that are checked when they are created, and cannot be changed."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def of(cls, settings: Mapping[str, Any], spelled: Callable[[str], str] = str) -> Self:
        """Check settings.

        Parameters
        ----------
        settings
            Values by name; former names are accepted.
        spelled
            Returns how the user writes a setting, for messages: a flag, or a key with its file and line.

        Raises
        ------
        ConfigError
            One line for the first setting that is wrong.
        """
        for key in settings:
            if RENAMED.get(key, key) not in cls.model_fields:
                written = spelled(key)
                if key in RENAMED:
                    raise ConfigError(f"{written} is now called {RENAMED[key]}")
                raise ConfigError(f"{written}: unknown setting{_meant(written.split()[-1], cls.model_fields)}")
        try:
            return cls(**with_current_names(settings))
        except ValidationError as error:
            raise ConfigError(_first_line(error, cls.model_fields, spelled)) from None


def setting(section: str, default: Any, text: str, **limits: Any) -> Any:
    """Return a field of :class:`Settings`.

    Parameters
    ----------
    section
        One of :data:`~stream_bp.config.sections.SECTIONS`.
    default
        Its default; ``...`` if it is required.
    text
        The line of the help, verb first. It ends with ``[default: …]`` where the default needs words.
    **limits
        As for :func:`pydantic.Field`.
    """
    return Field(default, description=text, json_schema_extra={"section": section}, **limits)


def section_of(field: FieldInfo) -> str:
    """Return the section of the help that a setting belongs to."""
    extra = field.json_schema_extra
    return str(extra["section"]) if isinstance(extra, dict) else SECTIONS[-1]


def seconds(duration: str) -> float:
    """Return the seconds of a duration such as ``30s``."""
    return float(duration[:-1]) * _SECONDS[duration[-1]]


def _meant(key: str, fields: Iterable[str]) -> str:
    """Return which setting was probably meant, spelled as the key is; else all settings."""
    is_dashed = "-" in key
    names = [name.replace("_", "-") if is_dashed else name for name in fields]
    return nearest(key, names) or f"; the settings are {', '.join(names)}"


def _first_line(error: ValidationError, fields: Mapping[str, FieldInfo], spelled: Callable[[str], str]) -> str:
    first = error.errors()[0]
    message = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        # Our own validators: a message names settings in braces, or the one that it begins with.
        named = re.sub(r"^(\w+)(?=: )|\{(\w+)\}", lambda found: f"\0{found[1] or found[2]}\0", message)
        parts = named.split("\0")
        return "".join(spelled(part) if i % 2 and part in fields else part for i, part in enumerate(parts))
    # Only the first error: the others are often its consequences.
    name = str(first["loc"][0])
    if first["type"] == "missing" and name == "target":
        return "no target: name the column to predict with --target"
    if first["type"] == "missing":
        return f"{spelled(name)}: missing"
    if first["type"] == "literal_error":
        choices = choices_of(fields[name])
        hint = nearest(str(first["input"]), choices)
        return f"{spelled(name)}: expected one of {', '.join(choices)}; found {first['input']!r}{hint}"
    message = message.replace("Input should", "must")
    return f"{spelled(name)}: {message[0].lower() + message[1:]}; found {first['input']!r}"


def choices_of(field: FieldInfo) -> list[str]:
    """Return the choices of a setting; an empty list if any text is allowed."""
    return [word for given in field.metadata if isinstance(given, OneOf) for word in given.words] or _literals(
        field.annotation
    )


def _literals(annotation: Any) -> list[str]:
    inner = get_args(annotation)
    words = [word for word in inner if isinstance(word, str)]
    return words or [word for part in inner for word in _literals(part)]
