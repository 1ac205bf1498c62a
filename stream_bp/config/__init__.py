"""Settings of a job, and of the process that runs it. Each field is a flag, and a key of a TOML file."""

__all__: list[str] = []
