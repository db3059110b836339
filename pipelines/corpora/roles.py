"""Who says a turn of a conversation: the roles, and the letter of each in a document."""

from __future__ import annotations

ROLES = SYSTEM, USER, ASSISTANT, TOOL = "system", "user", "assistant", "tool"
LETTERS = {SYSTEM: "S", USER: "A", ASSISTANT: "B", TOOL: "T"}
"""The letter with which a turn of a role begins in a document."""
UNLEARNED = "N"
"""The letter of a turn of the assistant that is read and not learned."""
REJECTED = "R"
"""The letter of a rejected reply. It is the last turn, behind the reply that was chosen."""
