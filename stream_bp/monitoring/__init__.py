"""Observers of a job: a terminal, a log, Prometheus over HTTP."""

__all__: list[str] = []
