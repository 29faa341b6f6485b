"""Sources of runs: this tool's folders, and what others left in tables and trackers, all as one table of runs."""
