"""The embedded PostgreSQL: a real server out of a wheel, its data in a folder, reached by a local socket.

The wheel gives the programs. Its Python stays unused: it believes any postmaster.pid, and ends processes by
what their command lines say.
"""

from .data_folder import alone_on
from .keeper import EmbeddedPostgres
from .supervisor import Lost

__all__ = ["EmbeddedPostgres", "Lost", "alone_on"]
