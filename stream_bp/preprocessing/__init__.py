"""From records to arrays: columns, vocabularies, encoding, and scaling by minibatch."""

__all__: list[str] = []
