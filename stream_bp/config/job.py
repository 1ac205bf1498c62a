"""The settings of one job, as flags, as keys of a TOML file, and in a checkpoint.

The command line is generated from :class:`JobConfig`. Every field is a flag and a TOML key of the same name, and its
description is the help of the flag.
"""

from typing import Annotated, Any, Literal

from pydantic import model_validator

from connectors.errors import SchemaError
from connectors.formats.csv.dialect import Dialect
from stream_bp.choices import ACTIVATIONS, BACKENDS, DETECTORS, LOSSES, OPTIMIZERS, SCHEDULES, why_not_compiled
from stream_bp.config.backend import choose_backend
from stream_bp.config.contradictions import contradictions
from stream_bp.config.fields import (
    Columns,
    ColumnTypes,
    Delimiter,
    Duration,
    Interval,
    Limit,
    OneOf,
    Settings,
    Sizes,
    Words,
    seconds,
    setting,
)
from stream_bp.config.types import check_types, types_by_column

__all__ = ["DIALECT", "IDENTITY", "NETWORK", "READING", "SINGLE_ROWS", "JobConfig"]

DIALECT = (
    *("delimiter", "quote", "encoding", "null_values", "decimal"),
    *("names", "skip_rows", "comment", "escape", "short_rows"),
)
"""The settings for reading text."""

READING = (*DIALECT, "format")
"""The settings that decide what the files of a source mean."""

IDENTITY = (
    "target",
    "task",
    "features",
    "ignore",
    "categorical",
    "numeric",
    "types",
    "max_categories",
    "hash_buckets",
    "missing",
    *READING,
    "hidden_layers",
    "activation",
    "output",
    "optimizer",
    "learning_rate",
    "lr_schedule",
    "decay_steps",
    "warmup_steps",
    "batch_size",
    "clip_norm",
    "weight_decay",
    "scale_features",
    "scale_target",
    "shuffle_window",
    "drift_detector",
    "on_drift",
    "dtype",
    "seed",
)
"""The settings that identify a job. A checkpoint with other values belongs to another job."""

_COLUMNS = ("features", "ignore", "categorical", "numeric", "max_categories", "hash_buckets", "missing")

_MODEL = (
    "hidden_layers",
    "activation",
    "optimizer",
    "learning_rate",
    "lr_schedule",
    "decay_steps",
    "warmup_steps",
    "clip_norm",
    "weight_decay",
    "scale_features",
    "scale_target",
    "dtype",
    "backend",
)

NETWORK = (*_MODEL, "output", "on_drift", "stop_loss", "stop_delta", "keep_checkpoints")
"""The settings of the network, its loss and its checkpoints. They do not apply to a River model."""

SINGLE_ROWS = {"hidden_layers": (32,), "activation": "tanh", "optimizer": "rmsprop", "clip_norm": 1.0}
"""Defaults of estimators and comparisons, which learn row by row: these values learn well without tuning."""


class JobConfig(Settings):
    """The settings of one training job, in the sections of the help.

    Raises
    ------
    ConfigError
        From :meth:`of`: one line with the setting, the value found and the values expected.
    """

    source: Columns = setting("Data", (), "Read these files, folders, patterns or addresses, in this order")
    delimiter: Delimiter | None = setting(
        "Data",
        None,
        "Split fields of text at this text; tab for a tab, whitespace for blanks [default: detected from the header]",
    )
    quote: Literal['"', "'", "none"] | None = setting(
        "Data", None, "Read fields of text in these quotes: \" or ' or none [default: detected from the header]"
    )
    encoding: str | None = setting(
        "Data", None, "Decode text as utf-8, utf-16, latin-1, … [default: detected from the header, else utf-8]"
    )
    decimal: str = setting("Data", ".", "Read numbers of text with this decimal mark, . or ,")
    null_values: Words = setting(
        "Data", (), "Read these words and values as missing, for example ?,-9999 [default: only the usual ones]"
    )
    on_bad_row: Literal["error", "skip", "quarantine"] = setting(
        "Data",
        "error",
        "Handle rows that cannot be parsed; error: stop; skip: leave out and count; quarantine: also keep in the run "
        "directory",
    )
    max_bad_rows: Limit | None = setting(
        "Data", None, "Stop after more bad rows than this number (100) or share (1%) [default: no limit]"
    )
    follow: bool = setting("Data", False, "Wait for new rows at the end of a file, and for new files in a folder")
    follow_order: Literal["name", "time"] = setting(
        "Data", "name", "Order the files of a followed folder by name, or by time of last change"
    )
    idle_timeout: Duration | None = setting(
        "Data", None, "Stop following after this time without new rows (30s, 5m) [default: never]"
    )
    linger: Duration | None = setting(
        "Data", None, "Learn an incomplete minibatch after this time (5s) [default: wait until it is full]"
    )
    spool: str | None = setting(
        "Data",
        None,
        "Save what a pipe (- or a named one) delivers in this folder, for exact resume [default: not saved]",
        min_length=1,
    )
    format: Literal["csv", "jsonl", "parquet", "arrow"] | None = setting(
        "Data", None, "Read every file in this format, whatever its name [default: by the ending of the name]"
    )
    names: Words = setting(
        "Data", (), "Name the columns of text without a header: x,z,y [default: the first line names them]"
    )
    skip_rows: int = setting("Data", 0, "Skip this many lines of text before the header", ge=0)
    comment: str | None = setting(
        "Data", None, "Skip lines of text that begin with this character [default: there are none]"
    )
    escape: str | None = setting(
        "Data", None, "Read a quote or delimiter after this character as text [default: there is none]"
    )
    short_rows: Literal["error", "pad"] = setting(
        "Data", "error", "Handle rows of text with too few fields; error: bad row; pad: read the others as missing"
    )

    target: Columns = setting("Columns", ..., "Predict this column; repeat for several", min_length=1)
    task: Literal["auto", "classification", "regression"] = setting("Columns", "auto", "Predict classes or numbers")
    features: Columns = setting("Columns", (), "Learn from this column; repeat for several [default: all others]")
    ignore: Columns = setting("Columns", (), "Leave out this column; repeat for several")
    categorical: Columns = setting("Columns", (), "Read this column as categories; repeat for several")
    numeric: Columns = setting("Columns", (), "Read this column of text as numbers; repeat for several")
    types: ColumnTypes = setting(
        "Columns",
        (),
        "Declare types of columns: price=number,code=text,day=date:%d/%m/%Y [default: inferred]",
    )
    max_categories: int = setting(
        "Columns", 1_000, "Give this many categories of a column an input each; hash later ones", ge=0, le=1_000_000
    )
    hash_buckets: int = setting(
        "Columns", 64, "Share this many inputs among the later categories of a column", ge=0, le=1_000_000
    )
    missing: Literal["mean-indicator", "mean", "drop-row", "error"] = setting(
        "Columns",
        "mean-indicator",
        "Handle missing features; mean: use the mean; mean-indicator: also add an input; drop-row: skip the row; "
        "error: stop",
    )
    new_columns: Literal["ignore", "learn"] = setting("Columns", "ignore", "Handle columns that a later file adds")
    scale_features: bool = setting("Columns", True, "Standardise numbers by their running mean and deviation")
    scale_target: bool = setting("Columns", True, "Standardise the numbers to predict while learning")

    hidden_layers: Sizes = setting(
        "Model", (64,), "Set the units of each hidden layer, for example 64,32; '' for a linear model"
    )
    activation: Annotated[str, OneOf(ACTIVATIONS)] = setting("Model", "relu", "Choose ψ of the hidden layers")
    # Only the built-in ones: encoder and model must know what an output means for the target.
    output: Annotated[str, OneOf("auto", LOSSES.built_in)] = setting(
        "Model",
        "auto",
        "Choose the output function; auto: softmax for a label, sigmoid for several, identity for numbers",
    )
    dtype: Literal["float32", "float64"] = setting("Model", "float32", "Choose the floating-point type of the weights")
    backend: Annotated[str, OneOf("auto", BACKENDS)] = setting(
        "Model",
        "auto",
        "Compute with numpy or compiled code; auto: compiled for small networks and minibatches, if Numba is installed",
    )
    seed: int = setting("Model", 0, "Seed the initial weights and the shuffle", ge=0)

    optimizer: Annotated[str, OneOf(OPTIMIZERS)] = setting("Learning", "sgd", "Choose the update rule")
    learning_rate: float | None = setting(
        "Learning", None, "Set the step size [default: the optimiser's own; sgd: 0.03, for numbers 0.0075]", gt=0
    )
    lr_schedule: Annotated[str, OneOf(SCHEDULES)] = setting(
        "Learning", "constant", "Change the learning rate with the step"
    )
    decay_steps: int = setting("Learning", 10_000, "Decay the learning rate over this many steps", ge=1, lt=2**63)
    warmup_steps: int = setting(
        "Learning", 1_000, "Raise the learning rate over this many steps in a warmup-… schedule", ge=1, lt=2**63
    )
    batch_size: int = setting("Learning", 32, "Learn this many rows at once; 1 is best where the stream drifts", ge=1)
    clip_norm: float | None = setting("Learning", None, "Limit the norm of the gradient [default: no limit]", gt=0)
    weight_decay: float = setting("Learning", 0.0, "Pull weights, not biases, towards 0, per step and rate", ge=0)
    epochs: int = setting("Learning", 1, "Read the source this many times", ge=1)
    shuffle_window: int | None = setting(
        "Learning", None, "Shuffle within windows of this many rows, in whole minibatches [default: no shuffle]", ge=2
    )
    max_rows: int | None = setting(
        "Learning", None, "Stop after this many rows, rounded up to a minibatch [default: no limit]", ge=1
    )
    max_minibatches: int | None = setting(
        "Learning", None, "Stop after this many minibatches [default: no limit]", ge=1
    )

    stop_loss: float | None = setting(
        "Evaluation", None, "Stop when the loss of the last 1000 rows is this or less [default: never]"
    )
    stop_delta: float | None = setting(
        "Evaluation", None, "Stop when the loss of the last 1000 rows changes by this or less [default: never]", ge=0
    )

    drift_detector: Annotated[str, OneOf(DETECTORS, "none")] = setting(
        "Drift", "adwin", "Detect that the error has grown, and that features have changed"
    )
    on_drift: Literal["none", "boost-learning-rate", "reset-optimizer", "reset-head"] = setting(
        "Drift", "none", "Change the network when its error has grown"
    )

    run_dir: str | None = setting(
        "Checkpoints",
        None,
        "Save checkpoints and history in this folder, and resume from it [default: not saved]",
        min_length=1,
    )
    checkpoint_every: Interval = setting(
        "Checkpoints", "30s", "Save a checkpoint after this time (30s, 5m, 1h) or this many minibatches (500)"
    )
    keep_checkpoints: int = setting("Checkpoints", 3, "Keep this many checkpoints", ge=1)

    predictions_dir: str | None = setting(
        "Output",
        None,
        "Save the prediction of every row in this folder, as Parquet; needs a run directory [default: not saved]",
        min_length=1,
    )
    passthrough_columns: Columns = setting(
        "Output", (), "Copy this column to the predictions; repeat for several [default: none]"
    )

    # Each validator raises the first error only: a message is one line.
    @model_validator(mode="after")
    def _agree(self) -> "JobConfig":
        regression, identity = self.task == "regression", self.output == "identity"
        if self.task != "auto" and self.output != "auto" and regression != identity:
            raise ValueError(f"{{output}} {self.output} does not fit {{task}} {self.task}")
        if self.output == "softmax" and len(self.target) > 1:
            raise ValueError("{output} softmax is for one target; several labels need sigmoid")
        for name in ("target", "features"):
            columns = getattr(self, name)
            if len(set(columns)) < len(columns):
                raise ValueError(f"{name}: a column is given twice")
        if any("\0" in path for path in (*self.source, self.run_dir or "", self.predictions_dir or "")):
            raise ValueError("a path contains a NUL character")
        return self

    @model_validator(mode="after")
    def _can_be_written(self) -> "JobConfig":
        try:
            Dialect(**{name: getattr(self, name) for name in DIALECT})
        except SchemaError as error:
            raise ValueError(str(error)) from error
        return self

    @model_validator(mode="after")
    def _are_types(self) -> "JobConfig":
        if self.types:
            check_types(self.types, {*self.categorical, *self.numeric})
        return self

    @model_validator(mode="after")
    def _go_together(self) -> "JobConfig":
        for is_wrong, message in contradictions(self):
            if is_wrong:
                raise ValueError(message)
        return self

    @property
    def declared_types(self) -> dict[str, str]:
        """The declared types, by column; `connectors.notations.specs.declared` reads each."""
        return types_by_column(self.types)

    @property
    def checkpoint_minibatches(self) -> int | None:
        """Minibatches between checkpoints, if they are counted in minibatches."""
        return int(self.checkpoint_every) if self.checkpoint_every.isdigit() else None

    @property
    def checkpoint_interval_s(self) -> float | None:
        """Seconds between checkpoints, if they are counted in time."""
        return None if self.checkpoint_every.isdigit() else seconds(self.checkpoint_every)

    @property
    def linger_s(self) -> float | None:
        """How long an incomplete minibatch waits for more rows, in seconds."""
        return None if self.linger is None else seconds(self.linger)

    @property
    def idle_timeout_s(self) -> float | None:
        """How long a job that follows waits for rows before it stops, in seconds."""
        return None if self.idle_timeout is None else seconds(self.idle_timeout)

    @property
    def most_bad_rows(self) -> int | None:
        """The largest number of bad rows, if the limit is a number."""
        limit = self.max_bad_rows
        return int(limit) if limit is not None and not limit.endswith("%") else None

    @property
    def most_bad_share(self) -> float | None:
        """The largest share of bad rows, 0 to 1, if the limit is a share."""
        limit = self.max_bad_rows
        return float(limit[:-1]) / 100 if limit is not None and limit.endswith("%") else None

    @property
    def source_settings(self) -> dict[str, Any]:
        """The arguments of :func:`connectors.open_source` besides the paths."""
        given = self.model_dump(include={*READING, "spool"})
        # A column that is copied to the predictions must be read, even if it is ignored for learning.
        unread = [name for name in self.ignore if name not in self.passthrough_columns]
        # The job's own output may lie in the folder that it reads.
        own = [folder for folder in (self.run_dir, self.predictions_dir) if folder is not None]
        return {**given, "keeps_bad_rows": self.on_bad_row != "error", "ignore": unread, "exclude": own}

    @property
    def encoder_settings(self) -> dict[str, Any]:
        """The arguments of :meth:`~stream_bp.preprocessing.column_plan.ColumnPlan.of`, without the targets."""
        return {**self.model_dump(include={*_COLUMNS}), "types": self.declared_types}

    @property
    def model_settings(self) -> dict[str, Any]:
        """The arguments of :class:`~stream_bp.models.mlp.MLPModel`, without columns and output."""
        return {**self.model_dump(include={*_MODEL, "seed"}), "backend": self.backend_for(1)}

    def backend_for(self, n_inputs: int) -> str:
        """Return the name of the backend for a network with at least this many inputs."""
        if self.backend == "auto" and self.why_not_compiled() is not None:
            return "numpy"
        return choose_backend(self.backend, self.batch_size, (n_inputs, *self.hidden_layers, len(self.target)))

    def why_not_compiled(self) -> str | None:
        """Return why the compiled backend cannot run these settings; None if it can."""
        return why_not_compiled(activation=self.activation, optimizer=self.optimizer, lr_schedule=self.lr_schedule)

    def difference(self, other: "JobConfig") -> str | None:
        """Return a line about the first setting that makes another configuration another job, or None."""
        for name in IDENTITY:
            mine, its = getattr(self, name), getattr(other, name)
            if mine != its:
                return f"{name} is {_shown(mine)} here and {_shown(its)} there"
        return None


def _shown(value: Any) -> str:
    return ",".join(map(str, value)) or "none" if isinstance(value, tuple) else "none" if value is None else str(value)
