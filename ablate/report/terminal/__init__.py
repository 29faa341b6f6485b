"""What the commands show on the terminal. Part of `ablate.report`."""
