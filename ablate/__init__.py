"""One command trains one design, one file declares an ablation, one report says which choice mattered."""
