"""The player: a recording served as its venue would, so that a venue's own adapter reads it over websockets and REST and
cannot tell.

- ``recording`` what a recording is about, found in one pass over it
- ``seats`` who listens, and to what
- ``answers`` REST: definitions and books, by what the adapter's own client asks
- ``kept`` the books as they stand where the recording is, for who comes later
- ``player`` the server, and the recording's way through it
"""

from pipelines.player.player import NO_FAULTS, Faults, Player

__all__ = ["NO_FAULTS", "Faults", "Player"]
