"""The summary of a job at its end."""

import contextlib
import resource
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stream_bp.job.state import JobState
from stream_bp.models.mlp import constant_columns

__all__ = ["Summary", "peak_rss_bytes", "summarize"]


@dataclass(frozen=True, slots=True)
class Summary:
    """The result of a job.

    Attributes
    ----------
    rows, minibatches, completed_epochs
        Rows and minibatches learned over all runs of the job, and complete passes.
    stop_reason
        ``end_of_stream``, ``max_rows``, ``max_minibatches``, ``stop_loss``, ``stop_delta``, ``SIGINT``, ``SIGTERM`` or
        ``SIGHUP``.
    loss
        Mean loss per row over about the last 1,000 rows.
    metrics, rolling, baselines, targets
        Prequential metrics over all rows, over the last 1,000 rows, of the baselines, and of each target.
    quality
        Problems of the rows: ``missing``, ``clipped_values`` and ``rows_without_target`` by column, how many rows were
        ``skipped``, and the features that never varied (``constant``).
    model
        The model: ``layers 9-32-2``, or the description of a model of River.
    layers
        Size of δ and of the gradient by layer. Empty for a model of River.
    rows_per_second, seconds, peak_rss_bytes
        Rate, time and memory of this process.
    weights_sha256
        Digest of the weights. ``None`` for a model of River.
    checkpoint
        The newest checkpoint file. ``None`` without a run directory, or for a model that cannot be resumed.
    resumed_from
        The checkpoint that this process resumed from.
    numerics
        The numerics that decide the last bits.
    numerics_changes
        Each resume under other numerics: the ``rows`` before it, and the ``change``.
    """

    task: str
    rows: int
    minibatches: int
    completed_epochs: int
    stop_reason: str
    loss: float | None
    metrics: dict[str, float | None]
    rolling: dict[str, float | None]
    baselines: dict[str, dict[str, float | None]]
    targets: dict[str, dict[str, float | None]]
    quality: dict[str, Any]
    model: str
    layers: list[dict[str, float]]
    rows_per_second: float
    seconds: float
    peak_rss_bytes: int
    weights_sha256: str | None
    checkpoint: str | None
    resumed_from: str | None
    numerics: dict[str, Any]
    numerics_changes: list[dict[str, Any]]

    def to_json(self) -> dict[str, Any]:
        """Return plain numbers, strings, lists and dicts."""
        return asdict(self)


def summarize(
    state: JobState,
    *,
    fingerprint: dict[str, Any],
    stopped_by: str | None,
    run_rows: int,
    seconds: float,
    checkpoint: Path | None,
    resumed_from: Path | None,
) -> Summary:
    """Return the summary of a job.

    Parameters
    ----------
    state
        Its state at the end.
    fingerprint
        The numerics that decide its bits.
    stopped_by
        The name of the signal that stopped it, if any.
    run_rows, seconds
        Rows learned by this process, and how long that took.
    checkpoint
        The newest checkpoint.
    resumed_from
        The checkpoint that this process resumed from.
    """
    evaluation, encoder = state.evaluation, state.model.encoder
    names = [column.name for column in encoder.targets]
    return Summary(
        task=encoder.task,
        rows=state.rows,
        minibatches=state.minibatches,
        completed_epochs=state.epoch + (state.stop_reason == "end_of_stream"),
        stop_reason=stopped_by or str(state.stop_reason),
        loss=state.stopping.loss,
        metrics=evaluation.metrics(),
        rolling=evaluation.rolling(),
        baselines=evaluation.baselines(),
        targets=dict(zip(names, evaluation.by_target(), strict=True)),
        quality={**state.quality.to_json(), "constant": constant_columns(state.model, state.rows)},
        model=state.model.description,
        layers=state.model.layers(),
        rows_per_second=run_rows / seconds if seconds > 0 else 0.0,
        seconds=seconds,
        peak_rss_bytes=peak_rss_bytes(),
        weights_sha256=state.model.digest,
        checkpoint=str(checkpoint) if checkpoint is not None else None,
        resumed_from=str(resumed_from) if resumed_from is not None else None,
        numerics=fingerprint,
        numerics_changes=state.numerics_changes,
    )


def peak_rss_bytes() -> int:
    """Return the peak memory of this process. Linux passes ``ru_maxrss`` on from the parent, so it is a fallback."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024
    # macOS has bytes here, Linux KiB.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
