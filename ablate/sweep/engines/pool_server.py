"""Imported once by the server process from which a pool's workers are forked. Imports what every worker needs.

A forked worker starts at once, and shares the memory of all imports. Nothing here may use a GPU: a process that has
done so cannot be forked.
"""

import gc
import os
import signal

from ablate.process import lightning
from ablate.process.garbage import collect_rarely

# By default waiting threads spin, which slows down all other workers. torch reads this when it is imported.
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
os.setpgid(0, 0)  # signals such as Ctrl-C go to the sweep's process group; the sweep passes them to its workers
signal.signal(signal.SIGTERM, signal.SIG_IGN)  # this process ends after the sweep and all workers; those handle signals

collect_rarely()
lightning.load()
import matplotlib.backends.backend_agg  # noqa: E402, F401
import matplotlib.figure  # noqa: E402, F401
from wandb.apis import public  # noqa: E402, F401

from ablate.runs import cell  # noqa: E402, F401

gc.freeze()  # collecting garbage in these objects would copy the memory that workers share
