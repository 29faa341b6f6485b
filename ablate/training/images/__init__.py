"""Image files, batches and loaders, and whether the files are as they were.

Part of `ablate.training`; what a configuration names stands above, in data.py and sources.py.
"""
