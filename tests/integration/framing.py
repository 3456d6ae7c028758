"""Requests as RFC 9112 wants them, as it does not, and as smugglers send them: one table for both doors.

Every case is sent on a connection of its own, most with one more whole request (`PROBE`) behind it. Where the
case is refused, the probe must not be answered: what follows what could not be understood is no request.
"""

from __future__ import annotations

from dataclasses import dataclass

PROBE = b"GET /health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
LIVE = b"GET /health/live HTTP/1.1\r\nHost: a\r\n"
GET = LIVE + b"\r\n"
POST = b"POST /nowhere HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
LAST = b"0\r\n\r\n"
HELLO = b"5\r\nhello\r\n"

OK = frozenset({200})
NOWHERE = frozenset({404, 405})  # what a POST to no address is answered once its body has been read
BAD = frozenset({400})
CODING = frozenset({400, 501})
VERSION = frozenset({400, 505})
TOO_LARGE = frozenset({400, 413})
# With one of these the connection ends: nobody can say where the next request would begin.
ENDS = frozenset({400, 408, 413, 414, 431, 501, 505})


@dataclass(frozen=True)
class Case:
    """`first`: what the case may be answered; `rest`: what then comes on the same connection, probe included.

    `rest` is None where the server may end the connection instead. `silent`: no answer at all is right too.
    `behind` is sent behind the case; with None the client says instead that nothing more comes.
    """

    name: str
    sent: bytes
    first: frozenset[int] = BAD
    rest: tuple[int, ...] | None = ()
    silent: bool = False
    behind: bytes | None = PROBE
    method: str = "GET"


def accepted(name: str, sent: bytes, first: frozenset[int] = OK, *rest: int, method: str = "GET") -> Case:
    """And so is the probe after it."""
    return Case(name, sent, first, (*rest, 200), method=method)


def either(name: str, sent: bytes, first: frozenset[int]) -> Case:
    """RFC 9112 leaves it to the server."""
    return Case(name, sent, first, None)


def _header(name: str, line: bytes, first: frozenset[int] = BAD) -> Case:
    return Case(name, LIVE + line + b"\r\n\r\n", first)


def _host(name: str, value: bytes) -> Case:
    return Case(f"Host: {name}", b"GET /health/live HTTP/1.1\r\nHost: " + value + b"\r\n\r\n")


def _line(name: str, line: bytes, first: frozenset[int] = BAD) -> Case:
    return Case(f"request line: {name}", line + b"\r\nHost: a\r\n\r\n", first)


def _target(name: str, target: bytes, first: frozenset[int] = BAD) -> Case:
    return _line(f"target, {name}", b"GET " + target + b" HTTP/1.1", first)


def _size(name: str, size: bytes, first: frozenset[int] = BAD) -> Case:
    return Case(f"chunk size: {name}", CHUNKED + size + b"\r\nhello\r\n" + LAST, first)


def _chunks(name: str, chunks: bytes, first: frozenset[int] = BAD) -> Case:
    return Case(f"chunks: {name}", CHUNKED + chunks, first)


def _length(name: str, lines: bytes, first: frozenset[int] = BAD) -> Case:
    return Case(f"Content-Length: {name}", POST + lines + b"\r\n\r\nhello", first)


def _coding(name: str, lines: bytes, first: frozenset[int] = CODING) -> Case:
    return Case(f"Transfer-Encoding: {name}", POST + lines + b"\r\n\r\n" + HELLO + LAST, first)


HOSTS = [
    Case("Host: none", b"GET /health/live HTTP/1.1\r\n\r\n"),
    Case("Host: none, and a body", b"POST /nowhere HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello"),
    Case("Host: two", LIVE + b"Host: b\r\n\r\n"),
    Case("Host: the same twice", LIVE + b"Host: a\r\n\r\n"),
    Case("Host: none, HTTP/1.0", b"GET /health/live HTTP/1.0\r\n\r\n", OK, behind=b""),
    either("Host: empty", b"GET /health/live HTTP/1.1\r\nHost:\r\n\r\n", OK | BAD),
    _host("userinfo", b"user@a"),
    _host("blank", b"a b"),
    _host("list", b"a, b"),
    _host("path", b"a/b"),
    _host("port that is none", b"a:x"),
    _host("bracket left open", b"[::1"),
    _host("brackets around a name", b"[a]"),
    _host("quote", b'a"b'),
    _host("backslash", b"a\\b"),
    _host("query", b"a?b"),
    _host("angle brackets", b"<a>"),
    _host("8-bit", b"\xe9"),
    _host("tab", b"a\tb"),
    _host("NUL", b"a\0b"),
    accepted("Host: IPv6", b"GET /health/live HTTP/1.1\r\nHost: [::1]:8000\r\n\r\n"),
    accepted("Host: underscore", b"GET /health/live HTTP/1.1\r\nHost: movies_gateway:8000\r\n\r\n"),
    accepted("Host: blanks around", b"GET /health/live HTTP/1.1\r\nHost: \t a \t\r\n\r\n"),
]
HEADERS = [
    _header("value: NUL", b"X-A: a\0b"),
    _header("value: bare CR", b"X-A: a\rb"),
    _header("value: bare CR and a header", b"X-A: a\rContent-Length: 5"),
    _header("value: SOH", b"X-A: a\x01b"),
    _header("value: ESC", b"X-A: a\x1b[31mb"),
    _header("value: DEL", b"X-A: a\x7fb"),
    _header("value: VT", b"X-A: \x0ba"),
    accepted("value: tab", LIVE + b"X-A: a\tb\r\n\r\n"),
    accepted("value: 8-bit", LIVE + b"X-A: a\xe9b\r\n\r\n"),
    accepted("value: empty", LIVE + b"X-A:\r\n\r\n"),
    _header("name: NUL", b"X\0A: a"),
    _header("name: control", b"X\x01A: a"),
    _header("name: bare CR", b"X\rA: a"),
    _header("name: blank inside", b"X A: a"),
    _header("name: blank before the colon", b"X-A : a"),
    _header("name: tab before the colon", b"X-A\t: a"),
    _header("name: empty", b": a"),
    _header("name: parentheses", b"X(A): a"),
    _header("name: quote", b'"X": a'),
    _header("name: 8-bit", b"X\xe9A: a"),
    Case("blank before a length's colon", POST + b"Content-Length : 5\r\n\r\nhello"),
    Case("blank before a coding's colon", POST + b"Transfer-Encoding : chunked\r\n\r\n" + HELLO + LAST),
    _header("no colon", b"nothing"),
    Case("no colon, then a length", POST + b"nothing\r\nContent-Length: 5\r\n\r\nhello"),
    Case("no colon, then a coding", POST + b"nothing\r\nTransfer-Encoding: chunked\r\n\r\n" + HELLO + LAST),
    _header("folded by a blank", b"X-A: a\r\n b"),
    _header("folded by a tab", b"X-A: a\r\n\tb"),
    Case("folded length", POST + b"Content-Length:\r\n 5\r\n\r\nhello"),
    Case("folded coding", POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n" + HELLO + LAST),
    Case("first line starts with a blank", b"GET /health/live HTTP/1.1\r\n Host: a\r\nHost: a\r\n\r\n"),
    Case("first line starts with a tab", b"GET /health/live HTTP/1.1\r\n\tX-A: a\r\nHost: a\r\n\r\n"),
    Case("a line of a blank ends the headers", LIVE + b" \r\n\r\n"),
    either("bare LF after the lines", b"GET /health/live HTTP/1.1\nHost: a\n\n", OK | BAD),
    Case("CR CR LF after a line", b"GET /health/live HTTP/1.1\r\r\nHost: a\r\n\r\n"),
    # An application that takes `_` for `-` would read a coding here.
    accepted(
        "underscore in a coding's name",
        POST + b"Transfer_Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello",
        NOWHERE,
    ),
    _header("one of 100 KB", b"X-Long: " + b"x" * 100_000, frozenset({431})),
    _header("a name of 100 KB", b"x" * 100_000 + b": a", frozenset({400, 431})),
    _header("9,000", b"\r\n".join([b"X-Many: y"] * 9000), frozenset({431})),
    either("150 headers", LIVE + b"X-Many: y\r\n" * 150 + b"\r\n", OK | {400, 431}),
]
CHUNKS = [
    accepted("chunks", CHUNKED + HELLO + LAST, NOWHERE),
    accepted("chunks: capitals", CHUNKED + b"A\r\n0123456789\r\n" + LAST, NOWHERE),
    accepted("chunks: leading zeros", CHUNKED + b"0005\r\nhello\r\n" + LAST, NOWHERE),
    accepted("chunks: extension", CHUNKED + b"5;a=b\r\nhello\r\n" + LAST, NOWHERE),
    accepted("chunks: trailer", CHUNKED + HELLO + b"0\r\nX-A: a\r\n\r\n", NOWHERE),
    _size("0x5", b"0x5"),
    _size("+5", b"+5"),
    _size("-5", b"-5"),
    _size("-0", b"-0"),
    _size("0_5", b"0_5"),
    _size("blank before", b" 5"),
    _size("blank after", b"5 "),
    _size("tab after", b"5\t"),
    _size("blank inside", b"0 5"),
    _size("empty", b""),
    _size("no digit", b"xyz"),
    _size("a digit, then none", b"5g"),
    _size("wide digit", "５".encode()),
    _size("NUL", b"5\0"),
    _size("20 digits", b"F" * 20, TOO_LARGE),
    _size("2**64 and 5", b"10000000000000005", TOO_LARGE),
    _size("2**32 and 5", b"100000005", TOO_LARGE | NOWHERE | {408}),
    # Within the bound on what a body's framing takes; far beyond it, it is refused.
    either(
        "chunk size: extension of 100 KB",
        CHUNKED + b"5;" + b"x" * 100_000 + b"\r\nhello\r\n" + LAST,
        NOWHERE | {400, 413, 431},
    ),
    _size("extension with NUL", b"5;a=\0"),
    _size("extension with bare CR", b"5;a\rb"),
    _size("extension with bare LF", b"5;a\nb"),
    _chunks("longer than they say", b"5\r\nhello, world\r\n" + LAST),
    _chunks("shorter than they say", b"5\r\nabc\r\n" + LAST),
    _chunks("bare LF after the size", b"5\nhello\r\n" + LAST),
    _chunks("bare LF after the data", b"5\r\nhello\n" + LAST),
    _chunks("bare CR after the size", b"5\rhello\r\n" + LAST),
    _chunks("nothing after the data", b"5\r\nhello" + LAST),
    _chunks("bare LF after the last", HELLO + b"0\n\n"),
    _chunks("trailer without a colon", HELLO + b"0\r\nnothing\r\n\r\n"),
    _chunks("trailer with a blank before the colon", HELLO + b"0\r\nX-A : a\r\n\r\n"),
    _chunks("trailer with NUL", HELLO + b"0\r\nX-A: \0\r\n\r\n"),
    either(
        "chunks: trailer of 100 KB",
        CHUNKED + HELLO + b"0\r\nX-A: " + b"x" * 100_000 + b"\r\n\r\n",
        BAD | NOWHERE | {413, 431},
    ),
    _chunks("9,000 trailers", HELLO + b"0\r\n" + b"X-A: a\r\n" * 9000 + b"\r\n", BAD | {413, 431}),
]
LENGTHS = [
    accepted("Content-Length: 5", POST + b"Content-Length: 5\r\n\r\nhello", NOWHERE),
    accepted("Content-Length: blanks around", POST + b"Content-Length: \t5 \r\n\r\nhello", NOWHERE),
    accepted("Content-Length: 0", POST + b"Content-Length: 0\r\n\r\n", NOWHERE),
    either("Content-Length: leading zeros", POST + b"Content-Length: 0005\r\n\r\nhello", NOWHERE | BAD),
    either(
        "Content-Length: the same twice",
        POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        NOWHERE | BAD,
    ),
    either("Content-Length: the same in a list", POST + b"Content-Length: 5, 5\r\n\r\nhello", NOWHERE | BAD),
    _length("two", b"Content-Length: 5\r\nContent-Length: 6"),
    _length("two, the other way round", b"Content-Length: 6\r\nContent-Length: 5"),
    _length("two in a list", b"Content-Length: 5, 6"),
    _length("one and none", b"Content-Length: 5\r\nContent-Length:"),
    _length("+5", b"Content-Length: +5"),
    _length("-5", b"Content-Length: -5"),
    _length("5 5", b"Content-Length: 5 5"),
    _length("0x5", b"Content-Length: 0x5"),
    _length("0_5", b"Content-Length: 0_5"),
    _length("5.0", b"Content-Length: 5.0"),
    _length("empty", b"Content-Length:"),
    _length("no digit", b"Content-Length: five"),
    _length("wide digit", "Content-Length: ５".encode()),
    _length("superscript", b"Content-Length: \xb2"),
    _length("VT before", b"Content-Length: \x0b5"),
    _length("25 digits", b"Content-Length: " + b"9" * 25, TOO_LARGE),
    _length("2**64 and 5", b"Content-Length: 18446744073709551621", TOO_LARGE),
    _length("10 GB", b"Content-Length: 10000000000", TOO_LARGE | NOWHERE),
    _length("and a coding", b"Content-Length: 5\r\nTransfer-Encoding: chunked"),
    _length("behind a coding", b"Transfer-Encoding: chunked\r\nContent-Length: 5"),
]
CODINGS = [
    accepted(
        "Transfer-Encoding: Chunked", POST + b"Transfer-Encoding: Chunked\r\n\r\n" + HELLO + LAST, NOWHERE
    ),
    _coding("chunked, chunked", b"Transfer-Encoding: chunked, chunked"),
    _coding("chunked twice", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
    _coding("gzip, chunked", b"Transfer-Encoding: gzip, chunked"),
    _coding("chunked, gzip", b"Transfer-Encoding: chunked, gzip"),
    _coding("chunked, then identity", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"),
    _coding("identity, then chunked", b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked"),
    _coding("chunked;q=1", b"Transfer-Encoding: chunked;q=1"),
    _coding("identity", b"Transfer-Encoding: identity"),
    _coding("gzip", b"Transfer-Encoding: gzip"),
    _coding("xchunked", b"Transfer-Encoding: xchunked"),
    _coding("chunkedx", b"Transfer-Encoding: chunkedx"),
    _coding("quoted", b'Transfer-Encoding: "chunked"'),
    _coding("empty", b"Transfer-Encoding:"),
    either(
        "Transfer-Encoding: comma first",
        POST + b"Transfer-Encoding: ,chunked\r\n\r\n" + HELLO + LAST,
        CODING | NOWHERE,
    ),
    _coding("VT before", b"Transfer-Encoding: \x0bchunked"),
    _coding("VT after", b"Transfer-Encoding: chunked\x0b"),
    _coding("long s", "Transfer-Encoding: chunKed".replace("K", "\u212a").encode()),
    either(
        "Transfer-Encoding: tab before",
        POST + b"Transfer-Encoding:\tchunked\r\n\r\n" + HELLO + LAST,
        CODING | NOWHERE,
    ),
    Case(
        "Transfer-Encoding: HTTP/1.0",
        b"POST /nowhere HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n"
        + HELLO
        + LAST,
        CODING | NOWHERE,
    ),
]
LINES = [
    _line("HTTP/0.9", b"GET /health/live", VERSION),
    _line("HTTP/2.0", b"GET /health/live HTTP/2.0", VERSION),
    _line("HTTP/9.9", b"GET /health/live HTTP/9.9", VERSION),
    _line("HTTP/0.9 by name", b"GET /health/live HTTP/0.9", VERSION),
    either("request line: HTTP/1.2", b"GET /health/live HTTP/1.2\r\nHost: a\r\n\r\n", OK | VERSION),
    _line("http/1.1", b"GET /health/live http/1.1", VERSION),
    _line("HTTP/1.10", b"GET /health/live HTTP/1.10", VERSION),
    _line("HTTP/01.1", b"GET /health/live HTTP/01.1", VERSION),
    _line("HTTP/1.", b"GET /health/live HTTP/1.", VERSION),
    _line("HTTP/1,1", b"GET /health/live HTTP/1,1", VERSION),
    _line("HTTP/+1.1", b"GET /health/live HTTP/+1.1", VERSION),
    _line("HTTPS/1.1", b"GET /health/live HTTPS/1.1", VERSION),
    _line("junk behind", b"GET /health/live HTTP/1.1 junk", VERSION),
    _line("blank behind", b"GET /health/live HTTP/1.1 ", VERSION),
    _line("blank before", b" GET /health/live HTTP/1.1"),
    either("request line: two blanks", b"GET  /health/live HTTP/1.1\r\nHost: a\r\n\r\n", OK | BAD),
    either("request line: two blanks later", b"GET /health/live  HTTP/1.1\r\nHost: a\r\n\r\n", OK | VERSION),
    either("request line: tabs", b"GET\t/health/live\tHTTP/1.1\r\nHost: a\r\n\r\n", OK | BAD),
    _line("VT", b"GET\x0b/health/live HTTP/1.1"),
    _line("blank in the target", b"GET /health/live x HTTP/1.1", VERSION),
    _line("no method", b"/health/live HTTP/1.1"),
    _line("method with parentheses", b"G(T) /health/live HTTP/1.1"),
    _line("method with NUL", b"GE\0T /health/live HTTP/1.1"),
    _line("method of 8-bit", b"G\xc9T /health/live HTTP/1.1", BAD | {501}),
    either("method in small letters", b"get /health/live HTTP/1.1\r\nHost: a\r\n\r\n", BAD | {405, 501}),
    either("method of nobody", b"BREW /health/live HTTP/1.1\r\nHost: a\r\n\r\n", BAD | {405, 501}),
    Case("HTTP/2's preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", VERSION),
    Case("TLS", b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + bytes(range(64)) + b"\r\n\r\n"),
    Case("SSH", b"SSH-2.0-OpenSSH_9.2\r\n\r\n", VERSION),
    _target("none", b"", VERSION),
    _target("without a slash", b"health/live"),
    _target("fragment", b"/health/live#x"),
    _target("NUL", b"/health/live?\0"),
    _target("control", b"/health/live?\x01"),
    _target("DEL", b"/health/live?\x7f"),
    # Our leniency: people type letters that are not ASCII into curl.
    either("request line: target, 8-bit", b"GET /health/live?\xff HTTP/1.1\r\nHost: a\r\n\r\n", BAD | OK),
    either(
        "request line: target, UTF-8", "GET /health/live?é HTTP/1.1\r\nHost: a\r\n\r\n".encode(), BAD | OK
    ),
    _target("bare CR", b"/health/live?\rx", VERSION),
    _target("of an authority", b"a:80"),
    _target("20 KB", b"/api/movies?title=" + b"x" * 20_000, frozenset({414})),
    either("CONNECT", b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", NOWHERE | CODING),
    either("GET *", b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", BAD | NOWHERE),
    accepted("OPTIONS *", b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", frozenset({200, 204}), method="OPTIONS"),
    either("target, two slashes", b"GET //evil.example/x HTTP/1.1\r\nHost: a\r\n\r\n", NOWHERE | {308, 400}),
    either("target, %00", b"GET /nowhere%00 HTTP/1.1\r\nHost: a\r\n\r\n", NOWHERE | BAD),
    either("target, %zz", b"GET /nowhere%zz HTTP/1.1\r\nHost: a\r\n\r\n", NOWHERE | BAD),
    accepted("absolute form", b"GET http://a/health/live HTTP/1.1\r\nHost: a\r\n\r\n"),
    accepted("absolute form, another Host", b"GET http://a/health/live HTTP/1.1\r\nHost: b\r\n\r\n"),
    accepted("absolute form, capitals", b"GET HTTP://A:80/health/live?x=1 HTTP/1.1\r\nHost: a\r\n\r\n"),
    accepted("absolute form, https", b"GET https://a/health/live HTTP/1.1\r\nHost: a\r\n\r\n"),
    Case("absolute form, no Host", b"GET http://a/health/live HTTP/1.1\r\n\r\n"),
    either("absolute form, userinfo", b"GET http://u@a/health/live HTTP/1.1\r\nHost: a\r\n\r\n", OK | BAD),
    accepted("an empty line first", b"\r\n" + GET),
    either("two empty lines first", b"\r\n\r\n" + GET, OK | BAD),
    either("a bare LF first", b"\n" + GET, OK | BAD),
    accepted("an empty line after a body", POST + b"Content-Length: 5\r\n\r\nhello\r\n", NOWHERE),
    Case("100,000 empty lines first", b"\r\n" * 100_000 + GET, frozenset({400, 408, 431}), silent=True),
]
MANY = 50
EXCHANGES = [
    accepted("two at once", GET + b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n", OK, 404),
    accepted(f"{MANY} at once", GET * MANY, OK, *[200] * (MANY - 1)),
    accepted("two bodies at once", (POST + b"Content-Length: 5\r\n\r\nhello") * 2 + GET, NOWHERE, 0, 200),
    accepted("HEAD", b"HEAD /health/live HTTP/1.1\r\nHost: a\r\n\r\n", method="HEAD"),
    Case("Connection: close", LIVE + b"Connection: close\r\n\r\n", OK, behind=b""),
    Case("Connection: Close, in a list", LIVE + b"Connection: x, Close\r\n\r\n", OK, behind=b""),
    Case("Connection: close, and more behind it", LIVE + b"Connection: close\r\n\r\n", OK | BAD),
    Case("HTTP/1.0", b"GET /health/live HTTP/1.0\r\nHost: a\r\n\r\n", OK, behind=b""),
    either("GET with a body", LIVE + b"Content-Length: 5\r\n\r\nhello", OK | BAD),
    either("GET with a request for a body", LIVE + b"Content-Length: %d\r\n\r\n" % len(GET) + GET, OK | BAD),
    either("GET with chunks", LIVE + b"Transfer-Encoding: chunked\r\n\r\n" + HELLO + LAST, OK | BAD),
    either(
        "Expect: 100-continue",
        POST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
        NOWHERE | {417},
    ),
    either(
        "Expect: something else",
        POST + b"Expect: the-unexpected\r\nContent-Length: 5\r\n\r\nhello",
        NOWHERE | {400, 417},
    ),
    Case(
        "Upgrade: h2c",
        LIVE
        + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
        frozenset({200}),
    ),
    accepted(
        "Upgrade: websocket, where there is none",
        LIVE
        + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        + b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n",
    ),
]
NOT_WHOLE = BAD | {408}
HALVES = [
    Case("half: nothing", b"", NOT_WHOLE, silent=True, behind=None),
    Case("half: a request line", b"GET /health/li", NOT_WHOLE, silent=True, behind=None),
    Case("half: headers", LIVE + b"X-A: a\r\n", NOT_WHOLE, silent=True, behind=None),
    Case("half: a header", LIVE + b"X-A: ", NOT_WHOLE, silent=True, behind=None),
    Case(
        "half: a body", POST + b"Content-Length: 9\r\n\r\nhel", NOT_WHOLE | NOWHERE, silent=True, behind=None
    ),
    Case("half: a chunk", CHUNKED + b"5\r\nhel", NOT_WHOLE | NOWHERE, silent=True, behind=None),
    Case("half: no last chunk", CHUNKED + HELLO, NOT_WHOLE | NOWHERE, silent=True, behind=None),
    Case(
        "half: no end of the last", CHUNKED + HELLO + b"0\r\n", NOT_WHOLE | NOWHERE, silent=True, behind=None
    ),
]
CASES = [*HOSTS, *HEADERS, *CHUNKS, *LENGTHS, *CODINGS, *LINES, *EXCHANGES, *HALVES]
