"""What commands share: how Hydra reads their words, and what --help says."""
