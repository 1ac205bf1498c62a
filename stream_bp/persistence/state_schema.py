"""The schema of the state in a checkpoint, which is checked before use.

A digest proves that the bits are unchanged, not that they make sense. A wrong state ends in one line of a
:class:`~stream_bp.errors.CheckpointError`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from connectors import ConnectorError
from stream_bp._state import MALFORMED, malformed
from stream_bp.config.job import JobConfig
from stream_bp.config.renamed import with_current_names
from stream_bp.errors import CheckpointError, ConfigError
from stream_bp.persistence.prediction_parts import PART_NAME
from stream_bp.persistence.snapshot import Snapshot

__all__ = ["FROZEN", "fitting", "holds_job", "is_frozen", "saved_config", "saved_job"]

FROZEN = "frozen"
"""The key that only the state of a frozen model has. Its job predicts and does not learn."""

_Count = Annotated[int, Field(ge=0, lt=2**63)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Mark(_Strict):
    size: _Count
    sha256: str
    rows: _Count


class _PartsMark(_Strict):
    rows: _Count
    pending: list[Annotated[str, Field(pattern=f"^{PART_NAME}$")]]
    as_written: bool = False


class _NumericsChange(_Strict):
    rows: _Count
    change: str


class _ModelState(_Strict):
    """The keys of every checkpoint."""

    version: str
    config: dict[str, Any]
    model: dict[str, Any]


class _PortableState(_ModelState):
    """The keys of a model without a job."""

    names: list[str | int | float | bool]


class _JobState(_ModelState):
    """The keys of a job."""

    evaluation: dict[str, Any]
    stopping: dict[str, Any]
    position: dict[str, Any]
    rows: _Count
    minibatches: _Count
    mark: _Count
    reported_rows: _Count
    loss: Annotated[list[float], Field(min_length=2, max_length=2)]
    stop_reason: Literal["end_of_stream", "max_rows", "max_minibatches", "stop_loss", "stop_delta"] | None
    history: _Mark
    quarantine: _Mark | None = None  # release 0.1.0 has neither this nor the next five
    events: _Mark | None = None
    psi: _Mark | None = None
    changes: dict[str, Any] | None = None
    drift: dict[str, Any] | None = None
    predictions: _PartsMark | None = None
    quality: dict[str, Any] | None = None  # not in release 0.1.0, whose jobs can be inspected but not resumed
    numerics_changes: list[_NumericsChange]
    fingerprint: dict[str, Any]
    sources: list[str]


def saved_config(snapshot: Snapshot) -> JobConfig:
    """Return the settings of the model in a checkpoint.

    Raises
    ------
    CheckpointError
        If it is neither the checkpoint of a job nor that of an estimator.
    """
    with fitting("it is neither the checkpoint of a job nor that of an estimator"):
        # An estimator saves the same model without a job around it.
        kind: type[_ModelState] = _JobState if holds_job(snapshot) else _PortableState
        kind.model_validate(snapshot.state)
    with fitting():
        # The first checkpoints had one backend, no buckets, and no inputs for missing values.
        first = {"backend": "numpy", "hash_buckets": 0, "missing": "mean"}
        try:
            return JobConfig.of({**first, **with_current_names(snapshot.state["config"])})
        except ConfigError as error:  # such as an optimiser that is not registered in this process
            raise CheckpointError(f"the checkpoint's settings: {error}") from error


def holds_job(snapshot: Snapshot) -> bool:
    """Return whether a checkpoint is that of a job, which can resume. Otherwise it holds a model only."""
    return "names" not in snapshot.state


def is_frozen(snapshot: Snapshot) -> bool:
    """Return whether a checkpoint is that of a job that predicts and does not learn."""
    with fitting():
        return FROZEN in snapshot.state["model"]


def saved_job(snapshot: Snapshot, *, learns: bool = True) -> JobConfig:
    """Return the settings of the job that wrote a checkpoint.

    Parameters
    ----------
    snapshot
        The content of the checkpoint.
    learns
        Whether to expect a job that learns, or one that predicts.

    Raises
    ------
    CheckpointError
        If it is not the checkpoint of such a job.
    """
    if not holds_job(snapshot):
        raise CheckpointError(
            "the checkpoint holds a model without a job, so no job can resume from it; use it with predict, evaluate "
            "or an estimator"
        )
    if is_frozen(snapshot) == learns:
        found, expected = ("predicts", "learns") if learns else ("learns", "predicts")
        raise CheckpointError(
            f"the checkpoint is of a job that {found}, expected one that {expected}; resume with the command that "
            "started it, or choose another run directory"
        )
    return saved_config(snapshot)


@contextmanager
def fitting(what: str = "the checkpoint is inconsistent") -> Iterator[None]:
    """Turn every error of malformed content into a CheckpointError."""
    try:
        yield
    # These errors have a complete message already.
    except (CheckpointError, ConnectorError):
        raise
    except ValidationError as error:
        first = error.errors()[0]
        raise CheckpointError(f"{what}: {'.'.join(map(str, first['loc']))}: {first['msg'].lower()}") from error
    except MALFORMED as error:
        raise malformed(what, error) from error
