"""What a network reads at each step: pure functions of a seed and the step."""
