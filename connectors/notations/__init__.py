"""How people write values in text: numbers with marks and units, and dates in a format.

A `Notation` converts the cells of a text column. Its `spec` describes it in one short text, such as
``number:$1,234.5`` or ``date:%d/%m/%Y``. Settings, checkpoints and the metadata of a field hold the spec.
"""

from __future__ import annotations

from connectors.notations.base import Notation
from connectors.notations.dates import DateNotation
from connectors.notations.numbers import NumberNotation
from connectors.notations.specs import KINDS, Declared, declared, notation_of

__all__ = ["KINDS", "DateNotation", "Declared", "Notation", "NumberNotation", "declared", "notation_of"]
