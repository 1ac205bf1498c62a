"""The registry of every choice that a setting offers, by its name on the command line.

The command line, :class:`~stream_bp.config.job.JobConfig`, both backends and the documentation read these tables. A
built-in choice is one line here, which names its class or function. Another choice is one call, made in every process
that uses it::

    from stream_bp.nn import OPTIMIZERS

    OPTIMIZERS.register("lion", Lion())

A built-in choice is imported at its first use. Names alone import nothing. So a help text needs no NumPy, and the
configuration knows the drift detectors without importing them.
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
    """The location of a built-in choice.

    Attributes
    ----------
    module, attribute
        What to import.
    is_class
        Whether to instantiate it. Otherwise the imported object is the choice.
    is_compiled
        Whether :mod:`stream_bp.nn.numba_backend` has a compiled form.
    """

    module: str
    attribute: str
    is_class: bool = False
    is_compiled: bool = False


class Choices(Mapping[str, T]):
    """The choices of one setting: a mapping of names to the objects that do the work.

    Parameters
    ----------
    setting
        The name of the setting, as in :class:`~stream_bp.config.job.JobConfig`.
    built_in
        The choices that stream-bp has.

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
        """The names of the built-in choices."""
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
        """Return the choice with a name.

        Raises
        ------
        ConfigError
            If no choice has this name. The message lists all names.
        """
        if name not in self:
            raise ConfigError(f"{self.setting}: expected one of {', '.join(self)}, found {name!r}")
        return self[name]

    def is_compiled(self, name: str) -> bool:
        """Return whether the compiled backend has a form of a choice. It has none of a registered choice."""
        return name in self._built_in and self._built_in[name].is_compiled

    def register(self, name: str, thing: T) -> None:
        """Add a choice in this process.

        Parameters
        ----------
        name
            ASCII letters, digits and hyphens. A checkpoint keeps the name, so a process that resumes must register it.
        thing
            The object, of the same type as the built-in ones.

        Raises
        ------
        ConfigError
            If the name is taken, or has other characters.
        """
        if not (name.isascii() and name.replace("-", "").isalnum()):
            raise ConfigError(f"{self.setting}: a name has ASCII letters, digits and hyphens, found {name!r}")
        # Settings reserve these two words for "stream-bp chooses" and "nothing".
        if name in self or name in {"auto", "none"}:
            raise ConfigError(f"{self.setting}: the name {name!r} is taken; choose another")
        self._registered[name] = thing

    def unregister(self, name: str) -> None:
        """Remove a registered choice. Built-in ones cannot be removed.

        Raises
        ------
        ConfigError
            If no such name was registered.
        """
        if name not in self._registered:
            raise ConfigError(f"{self.setting}: {name!r} was not registered")
        del self._registered[name]


class Schedules(Choices[T]):
    """Schedules: each decay is offered as NAME and, after a warm-up, as ``warmup-NAME``."""

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
        """Add a decay, and its ``warmup-`` form. See :meth:`Choices.register`."""
        if name.startswith(self.WARMUP):
            raise ConfigError(f"{self.setting}: register {name.removeprefix(self.WARMUP)!r}, which also adds {name!r}")
        super().register(name, thing)


# Any: the types of the choices are in nn and drift, which may not be imported here. They annotate these tables.
ACTIVATIONS: Choices[Any] = Choices(
    "activation",
    {
        "relu": BuiltIn("stream_bp.nn.activations", "ReLU", is_class=True, is_compiled=True),
        "sigmoid": BuiltIn("stream_bp.nn.activations", "Sigmoid", is_class=True, is_compiled=True),
        "tanh": BuiltIn("stream_bp.nn.activations", "Tanh", is_class=True, is_compiled=True),
        "identity": BuiltIn("stream_bp.nn.activations", "Identity", is_class=True, is_compiled=True),
    },
)
"""Activation functions ψ of the hidden layers, each an :class:`~stream_bp.nn.activations.Activation`."""

LOSSES: Choices[Any] = Choices(
    "output",
    {
        "softmax": BuiltIn("stream_bp.nn.losses", "CrossEntropy", is_class=True, is_compiled=True),
        "sigmoid": BuiltIn("stream_bp.nn.losses", "BinaryCrossEntropy", is_class=True, is_compiled=True),
        "identity": BuiltIn("stream_bp.nn.losses", "SquaredError", is_class=True, is_compiled=True),
    },
)
"""Output functions, each a :class:`~stream_bp.nn.losses.Loss`. A job accepts the built-in ones only."""

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
"""Backends: classes that make a :class:`~stream_bp.nn.backend.Backend`."""

DETECTORS: Choices[Any] = Choices(
    "drift_detector",
    {
        "adwin": BuiltIn("stream_bp.drift.detectors", "adwin"),
        "page-hinkley": BuiltIn("stream_bp.drift.detectors", "page_hinkley"),
        "kswin": BuiltIn("stream_bp.drift.detectors", "kswin"),
    },
)
"""Functions that make a :class:`~stream_bp.drift.detectors.Detector`, given how many rows one value stands for."""

_COMPILED = {table.setting: table for table in (ACTIVATIONS, LOSSES, OPTIMIZERS, SCHEDULES)}


def why_not_compiled(**chosen: str) -> str | None:
    """Return in one line why the compiled backend cannot learn with some choices, or None if it can.

    Parameters
    ----------
    chosen
        Names, by setting: ``activation``, ``output``, ``optimizer``, ``lr_schedule``.

    Examples
    --------
    >>> why_not_compiled(optimizer="adam", lr_schedule="warmup-cosine")
    >>> why_not_compiled(optimizer="lion")
    "backend: compiled has no optimizer 'lion'; use numpy"
    """
    for setting, name in chosen.items():
        if not _COMPILED[setting].is_compiled(name):
            return f"backend: compiled has no {setting} {name!r}; use numpy"
    return None
