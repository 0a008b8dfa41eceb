"""Kinds of value that a config may hold: numbers, shares, counts, names, choices."""

import math
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
)
from pydantic_core import PydanticCustomError, core_schema

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.]*")
FRACTION = re.compile(r"\s*([^/\s]+)\s*/\s*([^/\s]+)\s*")


class Section(BaseModel):
    """A mapping of the config: knows all its keys, is never changed, guesses no types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def parse_number(given: Any) -> float:
    """Read a number, also from text such as `8/255` or `5e-4` (which YAML reads as text).

    Args:
        given: an int, a float, or text that spells a number or a fraction of two.

    Returns:
        The number, finite.

    Raises:
        PydanticCustomError: it is no number.
    """
    number = None
    if isinstance(given, int | float) and not isinstance(given, bool):
        number = float(given)
    elif isinstance(given, str):
        number = _number_in_text(given)
    if number is None or not math.isfinite(number):
        raise PydanticCustomError("number", "a number, such as 0.25, 5e-4 or 8/255")
    return number


def _number_in_text(text: str) -> float | None:
    """Return the number that `text` spells, None where it spells none."""
    ratio = FRACTION.fullmatch(text)
    try:
        if ratio:  # exact, so that 8/255 is the float nearest to it
            return float(Fraction(ratio[1]) / Fraction(ratio[2]))
        return float(text)
    except (ValueError, ZeroDivisionError, OverflowError):
        return None


def parse_integer(given: Any) -> int:
    """Read a whole number, also from text such as `1e3` (which YAML reads as text).

    Args:
        given: an int, a float without a fractional part, or text that spells one.

    Returns:
        The whole number.

    Raises:
        PydanticCustomError: it is no whole number.
    """
    if isinstance(given, int) and not isinstance(given, bool):
        return given
    try:
        number = parse_number(given)
    except PydanticCustomError:
        number = 0.5
    if number != int(number):
        raise PydanticCustomError("integer", "a whole number")
    return int(number)


def parse_resolution(given: Any) -> str:
    """Read a resolution: `native`, or pixels a side as a number or as text.

    Args:
        given: what the config holds.

    Returns:
        `native`, or the digits of a positive whole number.

    Raises:
        PydanticCustomError: it is neither.
    """
    if given == "native":
        return "native"
    is_count = isinstance(given, int) and not isinstance(given, bool)
    if (is_count or isinstance(given, str)) and re.fullmatch("[1-9][0-9]*", str(given)):
        return str(given)
    raise PydanticCustomError("resolution", "`native`, or pixels a side as a positive whole number")


def parse_name(given: str) -> str:
    """Refuse a name that would not make a plain folder name, or would break a file name apart.

    Args:
        given: the name.

    Returns:
        The same name.

    Raises:
        PydanticCustomError: it holds something else than letters, digits, _ and dots.
    """
    if not NAME.fullmatch(given):
        raise PydanticCustomError(
            "name", "letters, digits, _ and . only, no dot in front: a name becomes part of a path"
        )
    return given


def as_list(given: Any) -> Any:
    """Turn one value into a list of one; leave a list as it is."""
    return given if isinstance(given, list | dict | None) else [given]


class OneOf:
    """Annotation of a value that is one of a few words.

    Args:
        meanings: each word and what it stands for; an error message and an editor show them.
    """

    def __init__(self, meanings: Mapping[str, str]) -> None:
        self.meanings = dict(meanings)

    def check(self, given: Any) -> str:
        """Return the word itself; raise an error that holds the choices for any other value."""
        if not isinstance(given, str) or given not in self.meanings:
            raise PydanticCustomError("choice", "one of a few", {"meanings": self.meanings})
        return given

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"enum": list(self.meanings)}


def without_repeats(given: list[Any]) -> list[Any]:
    """Refuse a list that names one thing twice: it would be computed or counted twice.

    Args:
        given: the list.

    Returns:
        The same list.

    Raises:
        PydanticCustomError: an element stands in it twice.
    """
    for place, element in enumerate(given):
        if element in given[:place]:
            raise PydanticCustomError(
                "repeat", "each element once", {"element": element, "place": place}
            )
    return given


Number = Annotated[float, BeforeValidator(parse_number)]
NonNegative = Annotated[Number, Field(ge=0)]
Positive = Annotated[Number, Field(gt=0)]
Share = Annotated[Number, Field(ge=0, le=1)]
ShareBelowOne = Annotated[Number, Field(ge=0, lt=1)]
ProperShare = Annotated[Number, Field(gt=0, lt=1)]
Integer = Annotated[int, BeforeValidator(parse_integer)]
Count = Annotated[Integer, Field(ge=1)]
Several = Annotated[Integer, Field(ge=2)]
CountOrZero = Annotated[Integer, Field(ge=0)]
Seed = Annotated[Integer, Field(ge=0, lt=2**32)]  # what NumPy and torch both take
AttackName = Annotated[
    str,
    OneOf(
        {
            "pgd": "projected gradient descent: quick, and what the robust networks trained on",
            "apgd": "APGD-CE, then APGD-T on what still stands: the worst case of each image",
        }
    ),
]
Resolution = Annotated[str, BeforeValidator(parse_resolution)]
Name = Annotated[str, AfterValidator(parse_name)]
Unique = AfterValidator(without_repeats)
OneOrMore = BeforeValidator(as_list)
