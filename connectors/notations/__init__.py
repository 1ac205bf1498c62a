"""How people write values in text: numbers with marks and units, and dates in a format.

A `base.Notation` converts the cells of a text column. Its `spec` describes it in one short text, such as
``number:$1,234.5`` or ``date:%d/%m/%Y``. Settings, checkpoints and the metadata of a field hold the spec.
"""

__all__: list[str] = []
