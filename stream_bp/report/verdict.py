"""Compares the scores of a run with those of the baselines."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from stream_bp._arrays import Floats
from stream_bp.monitoring.formatting import HEADLINES, show
from stream_bp.report.run import Record

__all__ = ["BASELINES", "PERCENT", "Scores", "Verdict", "last", "rows_learned", "scores_of", "stretches", "verdict"]

Metrics = Mapping[str, float | None]

BASELINES = {
    "no_change": "no change (last target)",
    "prior": "prior (most frequent class)",
    "mean": "mean so far",
}
"""The baselines, with what each predicts."""

PERCENT = "\u00a0%"  # with a no-break space

_EARLY = 200  # rows; before them there is no verdict

_SURE = 2.0  # standard errors; a smaller difference may be chance


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores of a run.

    Attributes
    ----------
    rows
        The row count of the scores.
    metrics, baselines
        Metrics over all rows.
    recent, recent_baselines
        Metrics over the last ``window`` rows.
    """

    rows: int
    metrics: Metrics
    baselines: Mapping[str, Metrics]
    recent: Metrics
    recent_baselines: Mapping[str, Metrics]
    window: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a run learns.

    Attributes
    ----------
    kind
        ``ahead``, ``even``, ``behind`` or ``early``.
    title
        The verdict in one line.
    text
        The verdict in full sentences.
    """

    kind: str
    title: str
    text: str


def scores_of(record: Record) -> Scores | None:
    """Return the newest scores: those of the checkpoint, or of the last history line."""
    if record.saved is not None:
        content, window = record.saved.content, record.saved.window
        recent = record.saved.recent_baselines
        return Scores(content["rows"], content["metrics"], content["baselines"], content["rolling"], recent, window)
    if not len(record.history):
        return None
    line = {name: last(record.history.numbers(name)) for name in record.history.columns}
    metrics = [name.removeprefix("rolling_") for name in line if name.startswith("rolling_")]
    by_baseline = {
        name: {metric: line[f"{name}_{metric}"] for metric in metrics if f"{name}_{metric}" in line}
        for name in BASELINES
        if any(column.startswith(f"{name}_") for column in line)
    }
    headline = HEADLINES[record.task][0]
    return Scores(
        int(line["rows"] or 0),
        {name: line[name] for name in metrics},
        by_baseline,
        {name: line[f"rolling_{name}"] for name in metrics},
        {name: {headline: last(stretches(record, f"{name}_{headline}"))} for name in by_baseline},
        1000,
    )


def rows_learned(record: Record) -> int:
    """Return how many rows a run has learned by its timeline. The recorded scores may cover fewer."""
    scores = scores_of(record)
    return max(scores.rows if scores is not None else 0, int(last(record.timeline.numbers("rows")) or 0))


def stretches(record: Record, column: str) -> Floats:
    """Convert a history column of means over all rows to means over the rows since the line before.

    Parameters
    ----------
    record
        The run.
    column
        An accuracy or a mean absolute error.

    Returns
    -------
    Floats
        Shape (n,), a value for each history line.
    """
    history = record.history
    targets = 1 if record.saved is None else max(1, len(record.saved.outcomes))
    counts = history.numbers("rows") - np.nan_to_num(history.numbers("skipped"))
    # The column is a sum over the targets, and the metric is their mean.
    counts = np.maximum(counts - np.nan_to_num(history.numbers("rows_without_target")) / targets, 0)
    sums = history.numbers(column) * counts
    with np.errstate(divide="ignore", invalid="ignore"):
        means: Floats = np.diff(sums, prepend=0.0) / np.diff(counts, prepend=0.0)
    # A difference of two large sums has rounding errors, which could push a mean out of its bounds.
    means[np.isinf(means)] = np.nan
    return np.clip(means, 0.0, 1.0 if column.endswith("accuracy") else None)


def verdict(record: Record) -> Verdict:
    """Return whether a run beats the best baseline, over all rows and lately."""
    scores = scores_of(record)
    leads = [] if scores is None else list(_leads(record.task, scores))
    learned = rows_learned(record)
    if scores is None or not leads:
        told = "No row with a target has been predicted so far."
        if learned:
            told = f"{learned:,} rows are learned. The next checkpoint will have scores."
        return Verdict("early", "No scores yet", told)
    overall, lately = leads[0], leads[-1]
    text = overall.sentence("over all rows")
    if len(leads) > 1:
        text += " " + lately.sentence(f"over the last {min(scores.window, scores.rows):,} rows")
    if learned > scores.rows:
        text += f" These scores are as of row {scores.rows:,}, the last row that a checkpoint covers."
    if record.task == "regression" and record.saved is not None and len(record.saved.outcomes) > 1:
        text += " Errors of several targets are averaged without scaling, so the largest unit weighs most: see Targets."
    if scores.rows < _EARLY:
        return Verdict("early", f"Too early to judge, after {scores.rows:,} rows", text)
    kind = "even" if abs(lately.sigmas) < _SURE else "ahead" if lately.difference > 0 else "behind"
    title = f"{overall.claim()}; lately {lately.claim(is_short=lately.says_as(overall))}"
    return Verdict(kind, title[0].upper() + title[1:], text)


@dataclass(frozen=True, slots=True)
class _Lead:
    """The lead of a run over the best baseline, over some rows."""

    metric: str
    value: float
    baseline: str
    reached: float
    error: float

    @property
    def difference(self) -> float:
        """How much better the run is, in the unit of the metric; negative if it is worse."""
        return self.value - self.reached if self.metric == "accuracy" else self.reached - self.value

    @property
    def sigmas(self) -> float:
        return self.difference / self.error if self.error else math.copysign(math.inf, self.difference)

    @property
    def amount(self) -> str:
        if self.metric == "accuracy":
            return f"{_figure(100 * abs(self.difference))} points"
        if not self.reached:
            return show(abs(self.difference))
        return f"{_figure(100 * abs(self.difference) / self.reached)}{PERCENT}"

    @property
    def _name(self) -> str:
        return f"the {self.baseline.replace('_', '-')} baseline"

    def claim(self, *, is_short: bool = False) -> str:
        """Return the lead in a few words, without the baseline if ``is_short``."""
        than, by = "" if is_short else f" than {self._name}", f" by {self.amount}"
        if abs(self.sigmas) < _SURE:
            return f"no better{than}"
        if self.difference > 0:
            return by.lstrip() if is_short else f"better{than}{by}"
        return f"worse{than}{by}"

    def says_as(self, other: "_Lead") -> bool:
        """Return whether baseline and sign are those of another lead, so that the short claim is clear."""
        signs = [0 if abs(one.sigmas) < _SURE else math.copysign(1, one.difference) for one in (self, other)]
        return self.baseline == other.baseline and (signs[0] == signs[1] or signs[0] != 1)

    def sentence(self, where: str) -> str:
        """Return a sentence with both figures."""
        if self.metric == "accuracy":
            own, other = f"{100 * self.value:.1f}{PERCENT}", f"{100 * self.reached:.1f}{PERCENT}"
            text = f"{where[0].upper()}{where[1:]} the model predicted {own} correctly, {self._name} {other}"
        else:
            own, other = show(self.value), show(self.reached)
            text = f"{where[0].upper()}{where[1:]} the mean absolute error is {own}; {self._name} has {other}"
        return text + (" (the difference may be chance)." if abs(self.sigmas) < _SURE else ".")


def _leads(task: str, scores: Scores) -> Iterator[_Lead]:
    """Yield the leads over all rows and over the last rows, if they are known."""
    metric, _ = HEADLINES[task]
    for metrics, baselines, n in (
        (scores.metrics, scores.baselines, scores.rows),
        (scores.recent, scores.recent_baselines, min(scores.window, scores.rows)),
    ):
        value = metrics.get(metric)
        found = {name: other for name, of in baselines.items() if (other := of.get(metric)) is not None}
        if value is None or not found:
            continue
        best = max(found, key=lambda name: found[name] if metric == "accuracy" else -found[name])
        # As if the two errors were independent: they are of the same rows, so this rather overstates the error.
        errors = [_error(metric, value, metrics), _error(metric, found[best], baselines[best])]
        yield _Lead(metric, value, best, found[best], math.hypot(*errors) / math.sqrt(max(n, 1)))


def _error(metric: str, value: float, metrics: Metrics) -> float:
    """Return the standard deviation of the values whose mean is the metric."""
    if metric == "accuracy":
        return math.sqrt(max(value * (1 - value), 0.0))
    # The mean of the squares minus the square of the mean, of the absolute errors.
    rmse = metrics.get("rmse")
    return math.sqrt(max(rmse * rmse - value * value, 0.0)) if rmse is not None else 0.0


def _figure(value: float) -> str:
    """Format a percentage or points."""
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}" if value >= 1 else f"{value:.2g}"


def last(values: Floats) -> float | None:
    """Return the last value that is not NaN."""
    found = values[~np.isnan(values)]
    return float(found[-1]) if len(found) else None
