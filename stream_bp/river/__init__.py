"""Estimators for River: a classifier and a regressor that learn row by row.

The exports are listed in ``__init__.pyi``. Each is imported at its first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
