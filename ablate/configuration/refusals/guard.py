"""Calls tasks, Hydra's among them, and turns wrong input into one clear message and exit code 2."""

import os
import sys
import traceback
from collections.abc import Callable
from pickle import UnpicklingError
from typing import Any

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from ablate.configuration.refusals.wording import explained, in_one_line, is_no_option
from ablate.errors import InputError, bare, described, is_full
from ablate.process.exit_codes import DONE, FAILED, OUT_OF_TIME, WRONG_INPUT
from ablate.process.interrupt import LostError, OutOfTimeError


def guarded(task: Callable[..., Any], *arguments: Any) -> int:
    """Call `task`. If it raises, print one message for wrong input, or a traceback for a failure.

    Returns the exit code, which is the task's own if it returns a number. Interruptions are raised.
    """
    try:
        code = task(*arguments)
        return code if isinstance(code, int) else DONE
    except OutOfTimeError as error:
        print(f"ablate: {bare(error)}", file=sys.stderr)
        return OUT_OF_TIME
    except LostError as error:
        print(f"ablate: {bare(error)}", file=sys.stderr)
        return FAILED
    except Exception as error:
        if is_full(error):
            print(f"ablate: {bare(error)}. Make room, then run the same command again: it resumes.", file=sys.stderr)
            return FAILED
        known = InputError | HydraException | OmegaConfBaseException | YAMLError
        if not isinstance(error, known) and not is_no_option(error):
            print(bare(described(error)), file=sys.stderr)
            return FAILED
        if os.environ.get("ABLATE_TRACEBACK") == "1":
            traceback.print_exc()
        print(f"ablate: {bare(explained(error))}", file=sys.stderr)
        return WRONG_INPUT


def by_hydra(task: Callable[[], Any]) -> None:
    """Call `task`, a function of Hydra's that handles a run's failures itself.

    Raises InputError where Hydra raises one of Python's errors, for example for a folder that it cannot create or a
    file that does not exist.
    """
    try:
        task()
    except (OSError, ValueError, EOFError, UnpicklingError) as error:
        if isinstance(error, BrokenPipeError | HydraException | OmegaConfBaseException) or is_no_option(error):
            raise
        if isinstance(error, OSError) and error.filename:
            raise InputError(f"{error.filename}: {error.strerror}: set runs_dir to a folder of yours.") from error
        raise InputError(in_one_line(str(error))) from error
