"""The kinds of values that a setting can declare. This module imports nothing, since the help needs it."""

__all__ = ["KINDS"]

KINDS = {
    "number": "a number; number:$1,234.5 shows how it is written",
    "integer": "a whole number",
    "text": "text as it is written, such as 007 or 1.10",
    "boolean": "true or false",
    "date": "a date or a moment; date:%d/%m/%Y gives its format",
    "time": "a time of day",
}
"""The kinds that can be declared, with their meanings."""
