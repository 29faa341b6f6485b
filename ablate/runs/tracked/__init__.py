"""What trackers are told of a run beside its numbers, and where its W&B files are found."""
