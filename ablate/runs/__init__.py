"""One run: checked, claimed, trained and recorded, and later found whole or damaged.

May import `ablate.training` and what that may import. Everything here is about a single run, never about several.
"""
