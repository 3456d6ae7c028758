"""Films are found alike on databases of every locale: nothing asks the database what a letter is."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from sqlalchemy.engine import make_url

from broker.database import Transaction, engine
from movies.commands import Search
from movies.storage import movies as storage
from movies.storage.search import search, suggest
from tests import titles
from tests.platforms import connect
from tests.processes import PROGRAMS, run
from tests.servers import ServerUrls

# As CREATE DATABASE takes them. In Turkish, I is the capital of the dotless ı.
LOCALES = {
    "C": "LOCALE 'C'",
    "C.UTF-8": "LOCALE 'C.UTF-8'",
    "Turkish": "LOCALE 'C' LOCALE_PROVIDER icu ICU_LOCALE 'tr-TR'",
}
TITLES = [
    "INCEPTION",
    "İstanbul Hatırası",
    "ΝΊΚΟΣ ο Βρυκόλακας",
    "Ирония судьбы",
    "千と千尋の神隠し",
    "Élan Vital",
]


@pytest.fixture(scope="module", params=LOCALES)
def catalogue(servers: ServerUrls, request: pytest.FixtureRequest) -> Iterator[Transaction]:
    """A database of this locale, with films of TITLES."""
    name = f"test_locale_{uuid.uuid4().hex[:12]}"
    administrator = connect(servers.postgres)
    with administrator.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' {LOCALES[request.param]}")
    url = make_url(servers.postgres).set(database=name).render_as_string(hide_password=False)
    ended = run([PROGRAMS / "alembic", "-n", "movies", "upgrade", "head"], {"MOVIES_DATABASE_URL": url})
    assert ended.returncode == 0, ended.stderr
    bind = engine(url, pool_size=1)
    transaction = Transaction(bind)
    with transaction() as session:
        for title in TITLES:
            storage.add(
                session,
                titles.fields(title, genre=f"{title} Genre", director=f"{title} Who"),
                None,
                titles.NOW,
            )
    yield transaction
    bind.dispose()
    with administrator.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
    administrator.close()


def found(catalogue: Transaction, **asked: str) -> list[str]:
    with catalogue.reading() as reader:
        return [row.title for row in search(reader, Search.model_validate(asked))[0]]


@pytest.mark.parametrize(
    ("typed", "title"),
    [
        ("inception", "INCEPTION"),
        ("Inceptıon", "INCEPTION"),
        ("i\u0307stanbul hatırası", "İstanbul Hatırası"),
        ("istanbul hatirasi", "İstanbul Hatırası"),
        ("νίκος ο", "ΝΊΚΟΣ ο Βρυκόλακας"),
        ("νικος βρυκολακας", "ΝΊΚΟΣ ο Βρυκόλακας"),
        ("ИРОНИЯ", "Ирония судьбы"),
        ("ирония судби", "Ирония судьбы"),
        ("ирныя судьбу", "Ирония судьбы"),
        ("千尋", "千と千尋の神隠し"),
        ("神隠", "千と千尋の神隠し"),
        ("E\u0301LAN", "Élan Vital"),
        ("elan vitla", "Élan Vital"),
    ],
)
def test_q_finds_it(catalogue: Transaction, typed: str, title: str) -> None:
    assert found(catalogue, q=typed) == [title]


@pytest.mark.parametrize("parameter", ["title", "director", "genre"])
@pytest.mark.parametrize(
    ("typed", "title"),
    [
        ("inception", "INCEPTION"),
        ("i\u0307STANBUL hatırası", "İstanbul Hatırası"),
        ("νίκοσ Ο ΒΡΥΚΌΛΑΚΑς", "ΝΊΚΟΣ ο Βρυκόλακας"),
        ("ИРОНИЯ СУДЬБЫ", "Ирония судьбы"),
        ("e\u0301lan VITAL", "Élan Vital"),
    ],
)
def test_a_filter_finds_it(catalogue: Transaction, parameter: str, typed: str, title: str) -> None:
    asked = f"{typed} genre" if parameter == "genre" else typed
    assert found(catalogue, **{parameter: asked}) == [title]


@pytest.mark.parametrize(
    ("typed", "title"),
    [("ирони", "Ирония судьбы"), ("νικ", "ΝΊΚΟΣ ο Βρυκόλακας"), ("千", "千と千尋の神隠し")],
)
def test_it_is_suggested(catalogue: Transaction, typed: str, title: str) -> None:
    with catalogue.reading() as reader:
        assert [row.title for row in suggest(reader, typed, 10)] == [title]


def test_titles_sort_by_their_letters_alone(catalogue: Transaction) -> None:
    assert found(catalogue, sort="title") == [TITLES[place] for place in (0, 1, 5, 2, 3, 4)]
