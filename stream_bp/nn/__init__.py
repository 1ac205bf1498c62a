"""The numeric core: forward, backward and update of a network, in NumPy alone.

:class:`Learner` is the network, and :class:`Scaler` standardises its inputs. Five registries hold the choices:
:data:`ACTIVATIONS`, :data:`LOSSES`, :data:`OPTIMIZERS`, :data:`SCHEDULES` and :data:`BACKENDS`. Add your own with
``register``: a subclass of :class:`Activation`, :class:`Loss` or :class:`Optimizer`, or a decay function.

The exports are listed in ``__init__.pyi``. Each is imported at its first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
