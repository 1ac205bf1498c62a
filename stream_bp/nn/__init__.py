"""The numeric core: forward, backward and update of a network, in NumPy alone.

:class:`Learner` is the network. :class:`Scaler` standardises its inputs. What a learner may be made of is in
:data:`ACTIVATIONS`, :data:`LOSSES`, :data:`OPTIMIZERS`, :data:`SCHEDULES` and :data:`BACKENDS`; each has a method
``register``, which takes a subclass of :class:`Activation`, :class:`Loss` or :class:`Optimizer`, or a decay.

What it exports is listed in ``__init__.pyi``, and imported when it is asked for.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
