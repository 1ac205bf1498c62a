from .checkpoint import Checkpointer, load
from .config import JobConfig
from .errors import StreamBPError
from .evaluation import Evaluation
from .job import Job
from .learner import Learner
from .snapshot import Snapshot

__all__ = [
    "Checkpointer",
    "Evaluation",
    "Job",
    "JobConfig",
    "Learner",
    "Snapshot",
    "StreamBPError",
    "load",
]

__version__: str
