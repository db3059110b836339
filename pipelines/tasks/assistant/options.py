"""An assistant's section of a recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from pipelines.examples.options import ChatsTaken, PairsTaken
from pipelines.tasks.options import TaskOptions
from pipelines.training.options import FineTuning

if TYPE_CHECKING:
    from pipelines.corpora.sources.kind import SourceOptions


class AssistantTask(TaskOptions, PairsTaken):
    """Fine-tuning on conversations: the replies in them are learned."""

    kind: Literal["assistant"]
    replies: Literal["everyone", "assistant"] | None = None
    """assistant: the replies of the assistant (B), all of a conversation in one example.
    everyone: every reply of a conversation between people, each an example with up to
    ``context_turns`` turns before it. Default: assistant if the source of the corpus has roles (its
    fields map messages, a target, or a chosen reply), and everyone otherwise."""
    training: FineTuning

    def taken(self) -> PairsTaken | ChatsTaken:
        """The options of its examples."""
        if self.replies == "assistant":
            return ChatsTaken(max_chats=self.max_pairs)
        return self.part(PairsTaken)

    def learning_from(self, source: SourceOptions) -> Self:
        """A copy that says whose replies are learned."""
        if self.replies is not None:
            return self
        replies = "assistant" if source.has_roles() else "everyone"
        return self.model_copy(update={"replies": replies})
