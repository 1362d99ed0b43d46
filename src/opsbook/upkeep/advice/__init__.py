"""What the machine and the load say of settings, sizes and numbers: advice, each with the figure that it is made of."""
