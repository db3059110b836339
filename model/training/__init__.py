"""The training loop, its objectives, optimizers and state, and adapters for fine-tuning."""
