"""What is varied: the parts of a residual network and the network made of them."""
