"""The columns that a film is found by, made from what is shown of it.

Whoever changes what `movies.words` makes of a text writes a migration that makes the keys of all films anew.
"""

from typing import Any

from broker.text import folded
from movies import domain, words

# What the keys are made from.
SOURCES = ("title", "director", "description", "genre")
LEXEMES = ("title_words", "name_words", "all_words")


def keys(title: str, director: str, description: str, genre: str) -> dict[str, Any]:
    """The columns by name. Those of LEXEMES are lists of lexemes, for `array_to_tsvector`."""
    of_title, of_director = words.words(title), words.words(director)
    titles = of_title + words.written_otherwise(title)
    names = titles + of_director + words.written_otherwise(director)
    return {
        "title_key": folded(title),
        "director_key": folded(director),
        "genres": [folded(member) for member in domain.genres(genre)],
        "title_joined": words.joined(of_title, title),
        "title_bare": words.joined(words.without_articles(of_title), title),
        "title_words": words.lexemes(titles),
        "name_words": words.lexemes(names),
        "all_words": words.lexemes(names + words.words(description)),
        "slips": words.slips(of_title, title, of_director),
        "spelling": words.spelling(of_title + of_director),
    }
