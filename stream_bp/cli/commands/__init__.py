"""The commands, a module each.

Its function ``run`` does what the command does, and returns the exit code of the process; errors are raised.
"""

__all__: list[str] = []
