"""One job's settings: from flags, from a TOML file, into the checkpoint and back.

The command line is made from :class:`JobConfig`: every field is a flag and a TOML key of the same name, and its
description is the flag's help.
"""

import tomllib
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from connectors.errors import SchemaError
from connectors.formats.csv.dialect import Dialect
from stream_bp.choices import ACTIVATIONS, BACKENDS, DETECTORS, LOSSES, OPTIMIZERS, SCHEDULES, why_not_compiled
from stream_bp.config.fields import (
    Columns,
    Delimiter,
    Duration,
    Interval,
    Limit,
    OneOf,
    Settings,
    Sizes,
    Words,
    seconds,
)
from stream_bp.config.renamed import with_current_names
from stream_bp.errors import ConfigError

__all__ = ["DIALECT", "IDENTITY", "NETWORK", "SINGLE_ROWS", "JobConfig", "choose_backend", "read_toml"]

DIALECT = ("delimiter", "quote", "encoding", "null_values", "decimal")
"""How text is written."""

IDENTITY = (
    "target",
    "task",
    "features",
    "ignore",
    "categorical",
    "numeric",
    "max_categories",
    "hash_buckets",
    "missing",
    *DIALECT,
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
"""What makes a job that job: a checkpoint of other values belongs to another one."""

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
"""What is said of the network, its loss and its checkpoints: it means nothing to another model."""

SINGLE_ROWS = {"hidden_layers": (32,), "activation": "tanh", "optimizer": "rmsprop", "clip_norm": 1.0}
"""What learns well without tuning where rows are learned one by one: the defaults of estimators and comparisons."""

# Up to so many rows, and b² times the number of parameters, NumPy's calls cost more than its products save: they are as
# fast at b = 31 with 418 parameters, at 14 with 2,114, at 4 with 85,002 (measured with tanh and Adam).
_FEW_ROWS, _SMALL = 16, 400_000


class JobConfig(Settings):
    """The settings of one training job.

    Raises
    ------
    ConfigError
        From :meth:`of`: one line that names the setting, what was found and what is expected.
    """

    source: Columns = Field((), description="files, folders or patterns to read, in this order")
    target: Columns = Field(min_length=1, description="column to predict; give it again for several")
    task: Literal["auto", "classification", "regression"] = Field("auto", description="what the target is")
    features: Columns = Field((), description="column to learn from; give it again for several [default: all others]")
    ignore: Columns = Field((), description="column to leave out; give it again for several")
    categorical: Columns = Field(
        (), description="column of categories, whatever its type is; give it again for several"
    )
    numeric: Columns = Field((), description="column of numbers, though they are words; give it again for several")
    max_categories: int = Field(
        1_000,
        ge=0,
        le=1_000_000,
        description="categories of a column that have an input each; what comes later is hashed",
    )
    hash_buckets: int = Field(
        64, ge=0, le=1_000_000, description="inputs that later categories share, by their hash; 0: they have none"
    )
    missing: Literal["mean-indicator", "mean", "drop-row", "error"] = Field(
        "mean-indicator",
        description="what becomes of a missing feature; impute: the mean, and an input that says so; mean: the mean "
        "alone; skip: the row is not learned; error: the job ends",
    )
    hidden_layers: Sizes = Field((64,), description="units of each hidden layer, as 64,32; '' for a linear model")
    activation: Annotated[str, OneOf(ACTIVATIONS)] = Field("relu", description="of the hidden layers")
    # Encoder and model know what each output means for the target: one that was registered is for a learner alone.
    output: Annotated[str, OneOf("auto", LOSSES.built_in)] = Field(
        "auto", description="output function; auto: softmax for one label, sigmoid for several, identity for values"
    )
    optimizer: Annotated[str, OneOf(OPTIMIZERS)] = Field("sgd", description="update rule")
    learning_rate: float | None = Field(
        None, gt=0, description="step size [default: the optimiser's own: sgd 0.03, for values 0.0075]"
    )
    lr_schedule: Annotated[str, OneOf(SCHEDULES)] = Field(
        "constant", description="how the learning rate changes with the step"
    )
    decay_steps: int = Field(10_000, ge=1, lt=2**63, description="steps in which the schedule decays")
    warmup_steps: int = Field(1_000, ge=1, lt=2**63, description="steps in which a warmup-… schedule climbs")
    batch_size: int = Field(32, ge=1, description="rows in a minibatch; 1 learns best where the stream drifts")
    clip_norm: float | None = Field(None, gt=0, description="largest norm of the gradient [default: not clipped]")
    weight_decay: float = Field(0.0, ge=0, description="pull of every weight (not bias) towards 0, per step and rate")
    scale_features: bool = Field(True, description="standardise numbers by their running mean and deviation")
    scale_target: bool = Field(True, description="standardise values to predict, while they are learned")
    drift_detector: Annotated[str, OneOf(DETECTORS, "none")] = Field(
        "adwin", description="what watches the prequential error; the features are watched with it"
    )
    on_drift: Literal["none", "boost-learning-rate", "reset-optimizer", "reset-head"] = Field(
        "none", description="what a network does when its error has grown"
    )
    new_columns: Literal["ignore", "learn"] = Field(
        "ignore", description="what becomes of columns that a later file has, and the first one had not"
    )
    delimiter: Delimiter | None = Field(
        None, description="what separates the fields of text; tab for a tab [default: told from the header]"
    )
    quote: Literal['"', "'", "none"] | None = Field(
        None, description="what encloses fields of text: \" or ' or none [default: told from the header]"
    )
    encoding: str | None = Field(
        None, description="of text, as utf-8, utf-16, latin-1 [default: told from the header, else utf-8]"
    )
    null_values: Words = Field(
        (),
        description="words of text that mean that there is no value, beside the usual ones, as ?,-9999; exactly as "
        "they stand there [default: the usual ones alone]",
    )
    decimal: str = Field(".", description="decimal mark of numbers in text, . or ,")
    on_bad_row: Literal["error", "skip", "quarantine"] = Field(
        "error",
        description="what becomes of a row that cannot be read; error: the job ends; skip: it is counted; "
        "quarantine: it is kept, too, in the run directory",
    )
    max_bad_rows: Limit | None = Field(
        None, description="end the job at more bad rows than this: a number, or a share as 1% [default: no limit]"
    )
    follow: bool = Field(
        False, description="go on with what comes: rows at the end of a file, files that land in a folder"
    )
    follow_order: Literal["name", "time"] = Field(
        "name", description="order of files that land in a folder; time: of their last change"
    )
    idle_timeout: Duration | None = Field(
        None, description="end a job that follows when nothing came for so long (30s, 5m) [default: never]"
    )
    linger: Duration | None = Field(
        None, description="learn a minibatch that is not full after so long (5s) [default: wait until it is]"
    )
    spool: str | None = Field(
        None,
        min_length=1,
        description="folder that keeps what comes from standard input (-) or a named pipe: so the job can be resumed "
        "exactly [default: nothing is kept]",
    )
    epochs: int = Field(1, ge=1, description="passes over the source")
    shuffle_window: int | None = Field(
        None, ge=2, description="shuffle within windows of this many rows (rounded up to minibatches) [default: no]"
    )
    max_rows: int | None = Field(
        None, ge=1, description="stop after this many rows, rounded up to a minibatch [default: no limit]"
    )
    max_minibatches: int | None = Field(None, ge=1, description="stop after this many minibatches [default: no limit]")
    stop_loss: float | None = Field(None, description="stop when the loss, over 1000 rows, is at or under this")
    stop_delta: float | None = Field(
        None, ge=0, description="stop when the loss, over 1000 rows, changes by this or less"
    )
    dtype: Literal["float32", "float64"] = Field("float32", description="floating point type of the weights")
    backend: Annotated[str, OneOf("auto", BACKENDS)] = Field(
        "auto",
        description="what computes; auto: compiled for small minibatches of small networks, where Numba is installed",
    )
    seed: int = Field(0, ge=0, description="seed of the initial weights and of the shuffle")
    run_dir: str | None = Field(
        None,
        min_length=1,
        description="folder for checkpoints and history; resumed if it holds this job [default: nothing is kept]",
    )
    predictions_dir: str | None = Field(
        None,
        min_length=1,
        description="folder for what was predicted for every row before it was learned, in Parquet; it takes a run "
        "directory [default: nothing is written]",
    )
    passthrough_columns: Columns = Field(
        (), description="column to copy beside the predictions; give it again for several [default: none]"
    )
    checkpoint_every: Interval = Field("30s", description="time (30s, 5m, 1h) or minibatches (500) between checkpoints")
    keep_checkpoints: int = Field(3, ge=1, description="checkpoints to keep")

    # Each validator raises the first thing that is wrong: an error is one line.
    @model_validator(mode="after")
    def _agree(self) -> "JobConfig":
        regression, identity = self.task == "regression", self.output == "identity"
        if self.task != "auto" and self.output != "auto" and regression != identity:
            raise ValueError(f"output {self.output!r} does not go with task {self.task!r}")
        if self.output == "softmax" and len(self.target) > 1:
            raise ValueError("output 'softmax' is for one target; several labels take 'sigmoid'")
        for role, names in (("target", self.target), ("feature", self.features)):
            if len(set(names)) < len(names):
                raise ValueError(f"a {role} column is given twice")
        if any("\0" in path for path in (*self.source, self.run_dir or "", self.predictions_dir or "")):
            raise ValueError("a path holds a NUL character")
        return self

    @model_validator(mode="after")
    def _can_be_written(self) -> "JobConfig":
        try:
            Dialect(**{name: getattr(self, name) for name in DIALECT})
        except SchemaError as error:
            raise ValueError(str(error)) from error
        return self

    @model_validator(mode="after")
    def _go_together(self) -> "JobConfig":
        if self.follow and (self.epochs > 1 or self.shuffle_window is not None):
            raise ValueError("follow: what does not end is read once, and in its order: no epochs, no shuffle_window")
        if self.backend == "compiled" and (reason := self._why_not_compiled()):
            raise ValueError(reason)
        if self.drift_detector == "none" and self.on_drift != "none":
            raise ValueError("on_drift: nothing watches the error; leave drift_detector at a detector")
        if self.new_columns == "learn" and self.features:
            raise ValueError("new_columns: with features named one by one, no others are learned; leave one out")
        if not self.follow and (self.idle_timeout or self.linger):
            raise ValueError("idle_timeout and linger go with --follow")
        if self.max_bad_rows is not None and self.on_bad_row == "error":
            raise ValueError("max_bad_rows: a bad row ends the job anyway; allow for some with --on-bad-row")
        if self.passthrough_columns and self.predictions_dir is None:
            raise ValueError(
                "passthrough_columns: they are copied beside predictions; name a folder with --predictions-dir"
            )
        return self

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
        """For how long the rows of a minibatch that is not full wait."""
        return None if self.linger is None else seconds(self.linger)

    @property
    def idle_timeout_s(self) -> float | None:
        """For how long a job that follows waits for rows."""
        return None if self.idle_timeout is None else seconds(self.idle_timeout)

    @property
    def most_bad_rows(self) -> int | None:
        """How many bad rows there may be, if that is a number."""
        limit = self.max_bad_rows
        return int(limit) if limit is not None and not limit.endswith("%") else None

    @property
    def most_bad_share(self) -> float | None:
        """How many there may be, if that is a share of all rows, 0 to 1."""
        limit = self.max_bad_rows
        return float(limit[:-1]) / 100 if limit is not None and limit.endswith("%") else None

    @property
    def source_settings(self) -> dict[str, Any]:
        """What :func:`connectors.open_source` takes beside the places."""
        given = self.model_dump(include={*DIALECT, "spool"})
        # A column that is copied beside predictions is read, though it is not learned from.
        unread = [name for name in self.ignore if name not in self.passthrough_columns]
        return {**given, "keeps_bad_rows": self.on_bad_row != "error", "ignore": unread}

    @property
    def encoder_settings(self) -> dict[str, Any]:
        """What :meth:`~stream_bp.preprocessing.column_plan.ColumnPlan.of` takes, but for the targets."""
        return self.model_dump(include={*_COLUMNS})

    @property
    def model_settings(self) -> dict[str, Any]:
        """What :class:`~stream_bp.models.mlp.MLPModel` takes, but for its columns and its output."""
        return {**self.model_dump(include={*_MODEL, "seed"}), "backend": self.backend_for(1)}

    def backend_for(self, n_inputs: int) -> str:
        """Return the name of the engine for a network with at least so many inputs."""
        if self.backend == "auto" and self._why_not_compiled() is not None:
            return "numpy"
        return choose_backend(self.backend, self.batch_size, (n_inputs, *self.hidden_layers, len(self.target)))

    def _why_not_compiled(self) -> str | None:
        return why_not_compiled(activation=self.activation, optimizer=self.optimizer, lr_schedule=self.lr_schedule)

    def difference(self, other: "JobConfig") -> str | None:
        """Name the first setting in which another configuration is another job, or return None."""
        for name in IDENTITY:
            mine, its = getattr(self, name), getattr(other, name)
            if mine != its:
                return f"{name} is {_shown(mine)} here and {_shown(its)} there"
        return None


def choose_backend(backend: str, batch_size: int, layer_sizes: Sequence[int]) -> str:
    """Return ``numpy`` or ``compiled``; for ``auto`` the one that is faster for such minibatches, where it is there.

    Parameters
    ----------
    backend
        What the settings say.
    batch_size
        Rows in a minibatch.
    layer_sizes
        n_0 … n_K, as far as they are known.

    Raises
    ------
    ConfigError
        If the compiled engine is asked for and Numba is not installed.
    """
    is_there = find_spec("numba") is not None
    if backend == "auto":
        n_parameters = sum((n_in + 1) * n_out for n_in, n_out in pairwise(layer_sizes))
        is_small = batch_size <= _FEW_ROWS and batch_size**2 * n_parameters <= _SMALL
        return "compiled" if is_there and is_small else "numpy"
    if backend == "compiled" and not is_there:
        raise ConfigError(
            "backend: the compiled one needs Numba, which is not installed: pip install 'stream-bp[fast]'"
        )
    return backend


def read_toml(path: str | Path) -> dict[str, Any]:
    """Read settings from a TOML file: its keys are the flags, with ``-`` or ``_``.

    Raises
    ------
    ConfigError
        If the file cannot be read, or is not TOML.
    """
    try:
        with Path(path).open("rb") as file:
            settings = tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None
    # A key is written as the flag is, or as the field.
    words = {key.replace("-", "_"): value for key, value in settings.items()}
    if len(words) < len(settings):
        raise ConfigError(f"{path}: a key is given twice, with - and with _")
    return with_current_names(words)


def _shown(value: Any) -> str:
    return ",".join(map(str, value)) or "none" if isinstance(value, tuple) else "none" if value is None else str(value)
