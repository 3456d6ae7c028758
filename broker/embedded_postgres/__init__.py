"""The embedded PostgreSQL: a real server out of a wheel, its data in a folder, reached by a local socket.

The wheel gives the programs. Its Python stays unused: it believes any postmaster.pid, and ends processes by
what their command lines say.
"""

from .keeper import EmbeddedPostgres

__all__ = ["EmbeddedPostgres"]
