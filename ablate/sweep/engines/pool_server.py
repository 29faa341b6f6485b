"""Imported once by the process that a pool's workers are forked from: what every worker needs.

A worker that is forked starts at once and shares the memory of what is imported. Nothing here may compute on a GPU,
since a process that has begun to cannot be forked.
"""

import gc
import os
import signal

from ablate.process.garbage import collect_rarely

# Waiting threads that spin slow down all other workers. Read when torch is imported.
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
os.setpgid(0, 0)  # signals to the sweep's process group are for the sweep, which tells its workers
signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it ends when the sweep and all workers have; those listen themselves

collect_rarely()
import matplotlib.backends.backend_agg  # noqa: E402, F401
import matplotlib.figure  # noqa: E402, F401
import sklearn.datasets  # noqa: E402, F401
from wandb.apis import public  # noqa: E402, F401

from ablate.runs import cell  # noqa: E402, F401

gc.freeze()  # to look through it would copy the memory that workers share
