"""Every choice that a setting offers, by its name on the command line: the one registry.

The command line, :class:`~stream_bp.config.job.JobConfig`, both backends and the documentation read these tables. A
built-in choice is one line here, next to the class or the function that the line names. A choice from outside is one
call, made in every process that uses it::

    from stream_bp.nn import OPTIMIZERS

    OPTIMIZERS.register("lion", Lion())

A built-in choice is imported when it is first asked for. Names alone import nothing: a help text needs no NumPy, and
the configuration knows the drift detectors without importing them.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, NamedTuple, TypeVar

from stream_bp.errors import ConfigError

__all__ = [
    "ACTIVATIONS",
    "BACKENDS",
    "DETECTORS",
    "LOSSES",
    "OPTIMIZERS",
    "SCHEDULES",
    "BuiltIn",
    "Choices",
    "Schedules",
    "why_not_compiled",
]

T = TypeVar("T")


class BuiltIn(NamedTuple):
    """Where a built-in choice is.

    Attributes
    ----------
    module, attribute
        What to import.
    is_class
        Whether the choice is an instance of what is imported; else it is what is imported.
    is_compiled
        Whether :mod:`stream_bp.nn.numba_backend` has a form of it.
    """

    module: str
    attribute: str
    is_class: bool = False
    is_compiled: bool = False


class Choices(Mapping[str, T]):
    """What one setting may be: names, each with the object that does the work.

    Parameters
    ----------
    setting
        The name of the setting, as in :class:`~stream_bp.config.job.JobConfig`.
    built_in
        The choices that the product brings.

    Examples
    --------
    >>> colors = Choices("color", {"pi": BuiltIn("math", "pi")})
    >>> colors.register("e", 2.72)
    >>> list(colors), colors["e"]
    (['pi', 'e'], 2.72)
    >>> colors.unregister("e")
    >>> colors.pick("blue")
    Traceback (most recent call last):
    stream_bp.errors.ConfigError: color: expected one of pi, found 'blue'
    """

    def __init__(self, setting: str, built_in: Mapping[str, BuiltIn]) -> None:
        self.setting = setting
        self._built_in = dict(built_in)
        self._loaded: dict[str, T] = {}
        self._registered: dict[str, T] = {}

    @property
    def built_in(self) -> tuple[str, ...]:
        """The names that the product brings."""
        return tuple(self._built_in)

    def __iter__(self) -> Iterator[str]:
        yield from self._built_in
        yield from self._registered

    def __len__(self) -> int:
        return len(self._built_in) + len(self._registered)

    def __contains__(self, name: object) -> bool:
        return name in self._built_in or name in self._registered

    def __getitem__(self, name: str) -> T:
        if name in self._registered:
            return self._registered[name]
        if name not in self._loaded:
            place = self._built_in[name]
            thing = getattr(import_module(place.module), place.attribute)
            self._loaded[name] = thing() if place.is_class else thing
        return self._loaded[name]

    def pick(self, name: str) -> T:
        """Return the choice of a name.

        Raises
        ------
        ConfigError
            If there is none: one line with the names that there are.
        """
        if name not in self:
            raise ConfigError(f"{self.setting}: expected one of {', '.join(self)}, found {name!r}")
        return self[name]

    def is_compiled(self, name: str) -> bool:
        """Return whether the compiled backend has a form of a choice. Of a registered one it has none."""
        return name in self._built_in and self._built_in[name].is_compiled

    def register(self, name: str, thing: T) -> None:
        """Add a choice to those of this process.

        Parameters
        ----------
        name
            ASCII letters, digits and hyphens. A checkpoint keeps it: the process that resumes registers it too.
        thing
            The object, of the type of the built-in ones.

        Raises
        ------
        ConfigError
            If the name is taken, or not such a word.
        """
        if not (name.isascii() and name.replace("-", "").isalnum()):
            raise ConfigError(f"{self.setting}: a name has ASCII letters, digits and hyphens, found {name!r}")
        # Settings use these two words for "chosen by the product" and "nothing".
        if name in self or name in {"auto", "none"}:
            raise ConfigError(f"{self.setting}: the name {name!r} is taken")
        self._registered[name] = thing

    def unregister(self, name: str) -> None:
        """Remove a choice that was registered; the built-in ones stay."""
        if name not in self._registered:
            raise ConfigError(f"{self.setting}: no {name!r} was registered")
        del self._registered[name]


class Schedules(Choices[T]):
    """Schedules: each decay is offered twice, as NAME and, after a climb, as ``warmup-NAME``."""

    WARMUP = "warmup-"

    def __iter__(self) -> Iterator[str]:
        yield from super().__iter__()
        for name in super().__iter__():
            yield self.WARMUP + name

    def __len__(self) -> int:
        return 2 * super().__len__()

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name.removeprefix(self.WARMUP))

    def __getitem__(self, name: str) -> T:
        return super().__getitem__(name.removeprefix(self.WARMUP))

    def is_compiled(self, name: str) -> bool:
        """Return whether the compiled backend has a form of a schedule."""
        return super().is_compiled(name.removeprefix(self.WARMUP))

    def register(self, name: str, thing: T) -> None:
        """Add a decay, and the schedule that climbs first; see :meth:`Choices.register`."""
        if name.startswith(self.WARMUP):
            raise ConfigError(f"{self.setting}: register {name.removeprefix(self.WARMUP)!r}; {name!r} comes with it")
        super().register(name, thing)


# The modules of nn and drift give these tables their types: they may not be imported here.
ACTIVATIONS: Choices[Any] = Choices(
    "activation",
    {
        "relu": BuiltIn("stream_bp.nn.activations", "ReLU", is_class=True, is_compiled=True),
        "sigmoid": BuiltIn("stream_bp.nn.activations", "Sigmoid", is_class=True, is_compiled=True),
        "tanh": BuiltIn("stream_bp.nn.activations", "Tanh", is_class=True, is_compiled=True),
        "identity": BuiltIn("stream_bp.nn.activations", "Identity", is_class=True, is_compiled=True),
    },
)
"""ψ of the hidden layers, each an :class:`~stream_bp.nn.activations.Activation`."""

LOSSES: Choices[Any] = Choices(
    "output",
    {
        "softmax": BuiltIn("stream_bp.nn.losses", "CrossEntropy", is_class=True, is_compiled=True),
        "sigmoid": BuiltIn("stream_bp.nn.losses", "BinaryCrossEntropy", is_class=True, is_compiled=True),
        "identity": BuiltIn("stream_bp.nn.losses", "SquaredError", is_class=True, is_compiled=True),
    },
)
"""Output functions, each with its loss: a :class:`~stream_bp.nn.losses.Loss`. A job takes the built-in ones only."""

OPTIMIZERS: Choices[Any] = Choices(
    "optimizer",
    {
        "sgd": BuiltIn("stream_bp.nn.optimizers", "SGD", is_class=True, is_compiled=True),
        "momentum": BuiltIn("stream_bp.nn.optimizers", "Momentum", is_class=True, is_compiled=True),
        "nesterov": BuiltIn("stream_bp.nn.optimizers", "Nesterov", is_class=True, is_compiled=True),
        "adagrad": BuiltIn("stream_bp.nn.optimizers", "AdaGrad", is_class=True, is_compiled=True),
        "rmsprop": BuiltIn("stream_bp.nn.optimizers", "RMSProp", is_class=True, is_compiled=True),
        "adam": BuiltIn("stream_bp.nn.optimizers", "Adam", is_class=True, is_compiled=True),
    },
)
"""Update rules, each an :class:`~stream_bp.nn.optimizers.Optimizer`."""

SCHEDULES: Schedules[Any] = Schedules(
    "lr_schedule",
    {
        "constant": BuiltIn("stream_bp.nn.schedules", "constant", is_compiled=True),
        "inverse-time": BuiltIn("stream_bp.nn.schedules", "inverse_time", is_compiled=True),
        "inverse-sqrt": BuiltIn("stream_bp.nn.schedules", "inverse_sqrt", is_compiled=True),
        "cosine": BuiltIn("stream_bp.nn.schedules", "cosine", is_compiled=True),
    },
)
"""Decays: functions from t/d, the step over ``decay_steps``, to a factor of the learning rate."""

BACKENDS: Choices[Any] = Choices(
    "backend",
    {
        "numpy": BuiltIn("stream_bp.nn.numpy_backend", "NumPyBackend"),
        "compiled": BuiltIn("stream_bp.nn.numba_backend", "NumbaBackend"),
    },
)
"""What computes: classes that make a :class:`~stream_bp.nn.backend.Backend`."""

DETECTORS: Choices[Any] = Choices(
    "drift_detector",
    {
        "adwin": BuiltIn("stream_bp.drift.detectors", "adwin"),
        "page-hinkley": BuiltIn("stream_bp.drift.detectors", "page_hinkley"),
        "kswin": BuiltIn("stream_bp.drift.detectors", "kswin"),
    },
)
"""Makers of a :class:`~stream_bp.drift.detectors.Detector`, given how many rows one value stands for."""

_COMPILED = {table.setting: table for table in (ACTIVATIONS, LOSSES, OPTIMIZERS, SCHEDULES)}


def why_not_compiled(**chosen: str) -> str | None:
    """Return why the compiled backend cannot learn under some choices, in one line, or None if it can.

    Parameters
    ----------
    chosen
        Names, by setting: ``activation``, ``output``, ``optimizer``, ``lr_schedule``.

    Examples
    --------
    >>> why_not_compiled(optimizer="adam", lr_schedule="warmup-cosine")
    >>> why_not_compiled(optimizer="lion")
    "backend: the compiled one has no optimizer 'lion'; numpy has"
    """
    for setting, name in chosen.items():
        if not _COMPILED[setting].is_compiled(name):
            return f"backend: the compiled one has no {setting} {name!r}; numpy has"
    return None
