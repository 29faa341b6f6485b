"""What W&B shows of a comparison: the report, the workspace of its project, and the panels that both have.

They take the optional extra `wandb` (the library wandb-workspaces, a public preview).
"""
