"""How a process is watched while it works for a job: what it draws or writes, and what it serves."""

from typing import Literal

from pydantic import Field

from stream_bp.config.fields import Duration, Settings

__all__ = ["Watching"]


class Watching(Settings):
    """The settings of a process, not of its job: a job that is resumed may be watched in another way."""

    quiet: bool = Field(False, description="write no progress, only results and errors")
    log_format: Literal["text", "json"] = Field(
        "text", description="of the lines on standard error; json: an object each, and no panel"
    )
    metrics_port: int | None = Field(
        None,
        strict=True,
        ge=0,
        le=65535,
        description="port for Prometheus' /metrics, /healthz and /readyz [default: none]",
    )
    metrics_host: str = Field("127.0.0.1", min_length=1, description="address to serve them on; 0.0.0.0: on all")
    readiness_timeout: Duration = Field(
        "2m", description="how long /readyz calls a job ready that neither learns nor finds that nothing came"
    )
