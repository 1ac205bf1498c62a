"""What a job came to, as it is told at its end."""

import contextlib
import resource
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stream_bp.job.state import JobState

__all__ = ["Summary", "peak_rss_bytes", "summarize"]


@dataclass(frozen=True, slots=True)
class Summary:
    """What a job came to.

    Attributes
    ----------
    rows, minibatches, completed_epochs
        Learned, over all runs of the job; passes whose end was reached.
    stop_reason
        ``end_of_stream``, ``max_rows``, ``max_minibatches``, ``stop_loss``, ``stop_delta``, ``SIGINT``, ``SIGTERM`` or
        ``SIGHUP``.
    loss
        Mean loss of a row over the last thousand rows or so.
    metrics, rolling, baselines, targets
        Prequential metrics over all rows, over the last 1000, of the baselines, and of each target.
    quality
        Problems of the rows: ``missing``, ``clipped_values`` and ``rows_without_target`` by column, and how many rows
        were ``skipped``.
    model
        What learned: ``layers 9-32-2``, or a model of somebody else as it calls itself.
    layers
        Size of δ and of the gradient, layer by layer; none of another model than the network.
    rows_per_second, seconds, peak_rss_bytes
        Of this process.
    weights_sha256
        Digest of θ; ``None`` of another model than the network.
    checkpoint
        The newest checkpoint file; ``None`` without a run directory, or of a model that cannot be resumed.
    resumed_from
        The checkpoint that this process went on from.
    numerics
        What decides the last bits.
    numerics_changes
        Where the job went on under other numerics: after how many ``rows``, and the ``change``.
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
        The name of the signal that stopped it, if one did.
    run_rows, seconds
        Rows learned by this process, and how long that took.
    checkpoint
        The newest checkpoint.
    resumed_from
        The one that this process resumed from.
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
        quality=state.quality.to_json(),
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
    """Return the most memory this process has held; ``ru_maxrss`` may be that of the process that started it."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024
    # macOS has bytes here, Linux KiB.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
