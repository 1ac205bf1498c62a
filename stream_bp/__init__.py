"""Train a neural network on a stream of rows. A job resumes with bit-identical results.

The packages: :mod:`connectors` reads rows, this one learns from them. The usual way in is the command ``stream-bp``;
from Python it is :class:`Job`, or :class:`Learner` alone.

What it exports is listed in ``__init__.pyi``, and imported when it is asked for: the numeric core starts without Arrow,
pydantic or River.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

__version__ = "0.3.0"
