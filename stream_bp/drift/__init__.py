"""Drift of the error and of the features: it is found here, and written down by the job.

:class:`Drift` is the watch over a job; :class:`ErrorDrift` and :class:`FeatureDrift` are its parts. Detectors of the
error are in :data:`DETECTORS`, which has a method ``register``.

What it exports is listed in ``__init__.pyi``, and imported when it is asked for.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
