"""The RPC methods by which operators look at a service's dead letters, and decide about them."""

from typing import Any

from broker.arguments import checked
from broker.dead_letters import DeadLetters
from broker.rpc import rpc
from broker.validation import Limit, Plain


class DeadLetterMethods:
    """For a Nameko service to inherit, whichever it is: its dead letters are those of its name.

    Import the module and not the class: `nameko run` takes each class with entrypoints that a module of
    services has by name for a service.
    """

    dead = DeadLetters()

    @rpc
    @checked
    def dead_letters(self, limit: Limit = 100) -> list[dict[str, Any]]:
        """The messages that could not be read or handled, the oldest first; they stay there. For operators.

        `{"id", "queue", "error", "attempts", "died_at", "event", "properties"}` each: see
        `broker.dead_letters`. `limit`: 1 to 1,000.
        """
        return self.dead.listed(limit)

    @rpc
    @checked
    def replay_dead_letters(self, event_id: Plain | None = None) -> dict[str, Any]:
        """Give dead letters to their handlers again, all or the one with this id. For operators.

        `{"replayed": int, "left": [{"id", "queue", "reason"}], "more": bool}`: how many, which of them cannot
        go back and why, and whether there are more than there was time for.
        """
        return self.dead.replay(event_id)

    @rpc
    @checked
    def discard_dead_letters(self, event_id: Plain) -> int:
        """Forget the dead letters with this id; answers how many there were. For operators."""
        return self.dead.discard(event_id)
