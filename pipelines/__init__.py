"""From raw text to an assistant: the pipeline around ``model``."""
