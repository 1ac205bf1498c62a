"""Detect drift of the error and of the features. The job records it.

:class:`DriftMonitor` monitors a job; :class:`ErrorDrift` and :class:`FeatureDrift` are its parts. Detectors of the
error are in :data:`DETECTORS`, which has a method ``register``.

What it exports is listed in ``__init__.pyi``, and imported when it is asked for.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
