"""Simulated sweeps whose truth is known: how often the project's own verdicts are right.

Part of `ablate.comparison`.
"""
