"""How a process is watched while it works for a job: what it prints, and what it serves."""

from typing import Literal

from stream_bp.config.fields import Duration, Settings, setting

__all__ = ["Watching"]


class Watching(Settings):
    """The settings of a process, not of its job: a resumed job may be watched in another way."""

    quiet: bool = setting("Output", False, "Print only results and errors")
    log_format: Literal["text", "json"] = setting(
        "Monitoring", "text", "Write log lines as text, or as one JSON object each"
    )
    metrics_port: int | None = setting(
        "Monitoring",
        None,
        "Serve Prometheus metrics, /healthz and /readyz on this port [default: none]",
        strict=True,
        ge=0,
        le=65535,
    )
    metrics_host: str = setting("Monitoring", "127.0.0.1", "Serve them on this address; 0.0.0.0: all", min_length=1)
    readiness_timeout: Duration = setting(
        "Monitoring", "2m", "Report the job as not ready after this time without progress"
    )
