"""The one form of text: what is kept, and what is compared.

Python decides both, by the Unicode of its own `unicodedata`; no database and no locale is ever asked. What is
compared is stored beside what is shown, in a column of its own, under `COLLATE "C"`.
"""

import unicodedata


def kept(text: str) -> str:
    """`text` as it is stored and shown: in NFC, so that the same letters are the same bytes."""
    return unicodedata.normalize("NFC", text)


def folded(text: str) -> str:
    """The key under which `text` is compared: the same for whatever reads the same.

    NFKC and case folding until neither changes anything (Unicode's toNFKC_Casefold, but for the characters
    that it ignores), with each run of white space as one blank and none at the ends.
    https://www.unicode.org/versions/Unicode17.0.0/core-spec/chapter-3/#G34078
    """
    key = unicodedata.normalize("NFKC", unicodedata.normalize("NFD", text).casefold())
    key = unicodedata.normalize("NFKC", key.casefold())
    return " ".join(key.split())
