"""From records to arrays: columns, vocabularies, encoding, scaling by minibatch."""

__all__: list[str] = []
