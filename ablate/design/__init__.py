"""What an ablation varies: the parts of a residual network, and the network built from them."""
