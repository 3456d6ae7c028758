"""The sample catalogue: some 500 well-known films, for a first start."""

import json
from datetime import datetime
from pathlib import Path

from broker import outbox
from broker.database import Transaction
from broker.events import MovieCreated
from broker.validation import parse
from movies import commands, presentation
from movies.storage import movies as storage

CATALOGUE = Path(__file__).with_name("catalogue.json")


def load(transaction: Transaction, now: datetime) -> int:
    """Add the sample's films, all or none, where there are no movies yet; answers how many came in."""
    films = json.loads(CATALOGUE.read_text(encoding="utf-8"))["movies"]
    with transaction() as session:
        if not storage.is_empty(session):
            return 0
        for film in films:
            fields = parse(commands.CreateMovie, film).model_dump()
            row = storage.add(session, fields, None, now)
            outbox.record(session, presentation.movie_event(MovieCreated, row, row.version), now)
    return len(films)
