"""Detect drift of the error and of the features.

:class:`DriftMonitor` watches a job with :class:`ErrorDrift` and :class:`FeatureDrift`. The detectors of the error are
in :data:`DETECTORS`. Add your own with ``register``. The job writes down what they find.

The exports are listed in ``__init__.pyi``. Each is imported at its first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
