"""The one table of exit codes."""

import pytest

from connectors import errors as connector_errors
from stream_bp import errors
from stream_bp.cli.exit_codes import exit_codes
from stream_bp.job import signals

ERRORS = [
    thing
    for module in (errors, connector_errors)
    for thing in vars(module).values()
    if isinstance(thing, type) and issubclass(thing, Exception)
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_the_code_of_every_error_is_in_the_table(error: type[Exception]) -> None:
    """An error of a source has no code of its own: it is 1."""
    code = errors.exit_code(error.__new__(error))
    assert code in errors.EXIT_CODES
    assert code == 1 or issubclass(error, errors.StreamBPError)


def test_the_table_holds_no_code_that_nothing_ends_with() -> None:
    """Each is of an error, of a signal, or of success; none has two meanings."""
    of_errors = {errors.exit_code(error.__new__(error)) for error in ERRORS}
    of_signals = set(signals.EXIT_CODES.values())
    assert set(exit_codes()) == {0} | of_errors | of_signals
    assert len(exit_codes()) == 1 + len(of_errors) + len(of_signals)
