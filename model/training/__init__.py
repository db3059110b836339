"""The one training loop, what it asks for, and what it moves."""
