"""Image files, batches and loaders, and whether files have changed.

Part of `ablate.training`. The classes and functions that a configuration names are in data.py and sources.py there.
"""
