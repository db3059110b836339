"""The batch of each step: a pure function of a seed and the step."""
