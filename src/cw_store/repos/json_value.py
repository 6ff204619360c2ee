"""The type of what a JSON column takes and gives."""

from typing_extensions import TypeAliasType

# An alias with a name of its own, because pydantic cannot follow one that is made of itself.
JsonValue = TypeAliasType(
    "JsonValue", "dict[str, JsonValue] | list[JsonValue] | str | int | float | bool | None"
)
