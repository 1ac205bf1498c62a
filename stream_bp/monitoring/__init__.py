"""Observers of a job: terminal panel, log, Prometheus metrics over HTTP."""

__all__: list[str] = []
