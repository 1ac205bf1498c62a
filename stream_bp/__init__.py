"""Train a neural network on a stream of rows, minibatch by minibatch, with exact resume.

The package :mod:`connectors` reads rows, and this package learns from them. Start with the command ``stream-bp``, or
from Python with :class:`Job`. :class:`Learner` is the network alone.

The exports are listed in ``__init__.pyi``. Each is imported at its first use. So the numeric core starts without Arrow,
pydantic or River.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

__version__ = "0.4.0"
