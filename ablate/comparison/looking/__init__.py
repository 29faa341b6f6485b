"""Seeds that are added in rounds: the rules beside the runs, what they decide, and the ledger of judgements.

Part of `ablate.comparison`.
"""
