from .config.job import JobConfig
from .errors import StreamBPError
from .job.job import Job
from .metrics.prequential import PrequentialEvaluator
from .nn.learner import Learner
from .persistence.checkpoints import Checkpointer, load
from .persistence.snapshot import Snapshot

__all__ = [
    "Checkpointer",
    "Job",
    "JobConfig",
    "Learner",
    "PrequentialEvaluator",
    "Snapshot",
    "StreamBPError",
    "load",
]

__version__: str
