"""Wrong input, in one clear message: what is looked at before Hydra is called, the words for what Hydra refuses, and
the guard around every command, which prints them and returns the exit code."""
