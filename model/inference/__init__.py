"""Inference: sampling, beam search, and weights in eight bits."""
