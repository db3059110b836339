"""The parts of networks: attention, norms, positions, blocks, and the kernels below them."""
