"""What networks are built of: attention, norms, positions, blocks, and the kernels below them."""
