"""The signals that stop a job: which, what they do to a job, and the exit code of each."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from stream_bp.job.signals import EXIT_CODES, SIGNALS, StopSignals, exit_code


def handlers() -> dict[signal.Signals, object]:
    """Return what is installed for each signal."""
    return {number: signal.getsignal(number) for number in SIGNALS}


@pytest.fixture(autouse=True)
def _former_handlers() -> Iterator[None]:
    """Leave no handler behind, whatever a test installs."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_the_exit_code_of_a_signal_is_a_shells() -> None:
    """128 and the number; every other stop reason is success."""
    assert EXIT_CODES == {"SIGHUP": 129, "SIGINT": 130, "SIGTERM": 143}
    assert set(EXIT_CODES) == {number.name for number in SIGNALS}
    assert [exit_code(reason) for reason in ("SIGINT", "end_of_stream", "max_rows", "")] == [130, 0, 0, 0]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_a_request(number: signal.Signals) -> None:
    """It is remembered, raises nothing, and outlives the context."""
    with StopSignals() as stop:
        assert (stop.is_requested, stop.first, stop.reason) == (False, None, None)
        signal.raise_signal(number)
        assert stop.is_requested
    assert (stop.is_requested, stop.first, stop.reason) == (True, number, number.name)


def test_the_first_signal_counts() -> None:
    """Others that follow change nothing, unless they are SIGINT."""
    with StopSignals() as stop:
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGTERM, signal.SIGHUP):
            signal.raise_signal(number)
    assert stop.first is signal.SIGHUP


@pytest.mark.parametrize("first", SIGNALS)
def test_sigint_after_any_signal_interrupts(first: signal.Signals) -> None:
    """Who presses Ctrl-C while the checkpoint is written wants no checkpoint."""
    stop, before = StopSignals(), handlers()
    with stop:
        signal.raise_signal(first)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert stop.first is first
    assert handlers() == before


def test_the_former_handlers_return() -> None:
    """After an error, too; and the context may be entered again."""
    heard: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    before, stop = handlers(), StopSignals()

    def fail() -> None:
        with stop:
            assert all(handlers()[number] != before[number] for number in SIGNALS)
            raise LookupError

    for _ in range(2):
        with pytest.raises(LookupError):
            fail()
        assert handlers() == before
    signal.raise_signal(signal.SIGTERM)
    assert heard == [signal.SIGTERM]
    assert not stop.is_requested


def test_an_ignored_signal_stays_ignored() -> None:
    """As under nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with StopSignals() as stop:
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        signal.raise_signal(signal.SIGHUP)
    assert not stop.is_requested
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_another_thread_installs_nothing() -> None:
    """Python lets only the main thread install handlers; a job in another thread runs without."""
    before, seen, stop = handlers(), [], StopSignals()

    def enter() -> None:
        with stop:
            seen.append(handlers())

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [before]
    assert not stop.is_requested


def test_the_module_is_cheap() -> None:
    """The command line installs handlers before anything heavy is imported."""
    code = "import stream_bp.job.signals, sys; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert "stream_bp" in loaded
    assert not {*loaded} & {"numpy", "pyarrow", "pydantic", "river", "rich", "typer", "connectors"}
