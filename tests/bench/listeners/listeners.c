/* Many Socket.IO listeners in one thread.
 *
 *   listeners PORT CLIENTS DEFLATE [ROOM ...]
 *
 * CLIENTS WebSockets to 127.0.0.1:PORT, which offer permessage-deflate if DEFLATE is 1. Each says the
 * handshake and answers pings. Listener i joins the room i % (number of rooms) by `join_notification`; without
 * a ROOM it is for the server to put all into one. A broadcast is an event with "bench-<number>" somewhere in it,
 * and the number tells its room likewise. A compressed one is not read: it is taken for the next number.
 *
 * Prints JSON, a line each: {"ready": clients} once all are in their rooms; {"heard": number, count, first, median,
 * last} when the whole room has heard a broadcast; {"lost": listener, "at", "code"} for a connection that ends (code:
 * of the WebSocket's close frame, 0 without one). Once its standard input ends it prints {"partly": number, ...} for
 * each broadcast that only some have heard, then {"end": ...} with the counts. Times are CLOCK_MONOTONIC, ns.
 */
#include "tally.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { UNDER_WAY = 64, EVENTS = 512, BUFFER = 1 << 20, MOST_OF_A_PING = 20 };
enum { CONTINUATION = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };
enum stage { UPGRADING, OPENING, CONNECTING, JOINING, LISTENING, LOST };

static const char MARK[] = "bench-";

struct listener {
    enum stage stage;
    int fd, room;
    long pings, compressed;
    size_t kept; /* bytes of a frame that is not whole yet */
    unsigned char *rest;
    struct hearing hearing;
};

static struct listener *all;
static unsigned char buffer[BUFFER];
static char **rooms;
static int total, room_count, opened, ready, lost, port;

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void fail(const char *what, const void *shown, size_t size) {
    fprintf(stderr, "%s: %.*s\n", what, (int)size, (const char *)shown);
    exit(2);
}

static void lose(struct listener *l, int code) {
    if (l->stage != LISTENING) fail("a connection was closed before it was ready", strerror(errno), 80);
    l->stage = LOST;
    close(l->fd);
    lost++;
    printf("{\"lost\":%ld,\"at\":%lld,\"code\":%d}\n", (long)(l - all), (long long)now(), code);
    fflush(stdout);
}

static void send_frame(struct listener *l, int opcode, const void *body, size_t size) {
    unsigned char frame[512] = {0x80 | opcode};
    size_t head = size < 126 ? 2 : 4;
    if (head + 4 + size > sizeof frame) fail("too long to be sent", body, size);
    frame[1] = 0x80 | (size < 126 ? size : 126);
    if (head == 4) frame[2] = size >> 8, frame[3] = size & 255;
    memcpy(frame + head + 4, body, size); /* masked with four zeros, which is a valid mask */
    if (send(l->fd, frame, head + 4 + size, MSG_NOSIGNAL) < 0) lose(l, 0);
}

static void say(struct listener *l, const char *packet) {
    send_frame(l, TEXT, packet, strlen(packet));
}

static int starts(const unsigned char *body, size_t size, const char *with) {
    size_t length = strlen(with);
    return size >= length && !memcmp(body, with, length);
}

static void is_ready(struct listener *l) {
    l->stage = LISTENING;
    if (++ready == total) {
        printf("{\"ready\":%d}\n", total);
        fflush(stdout);
    }
}

static void join(struct listener *l) {
    char packet[256];
    snprintf(packet, sizeof packet, "420[\"join_notification\",{\"user_id\":\"bench\",\"room_id\":\"%s\"}]",
             rooms[l->room]);
    say(l, packet);
    l->stage = JOINING;
}

static void on_event(struct listener *l, const unsigned char *body, size_t size, int64_t at) {
    const unsigned char *end = body + size, *p = memmem(body, size, MARK, sizeof MARK - 1);
    if (!p) return; /* what people say in the room */
    long number = 0;
    for (p += sizeof MARK - 1; p < end && *p >= '0' && *p <= '9' && number < MOST_NUMBERS; p++)
        number = number * 10 + *p - '0';
    tally_hear(&l->hearing, l->room, number, at);
}

static void on_packet(struct listener *l, const unsigned char *body, size_t size, int64_t at) {
    if (size == 1 && *body == '2') {
        l->pings++;
        say(l, "3");
    } else if (l->stage == OPENING && starts(body, size, "0")) {
        say(l, "40");
        l->stage = CONNECTING;
    } else if (l->stage == CONNECTING && starts(body, size, "40")) {
        if (room_count) join(l);
        else is_ready(l);
    } else if (l->stage == JOINING && starts(body, size, "430[")) {
        if (memmem(body, size, "\"error\"", 7)) fail("not let into the room", body, size);
        is_ready(l);
    } else if (starts(body, size, "42")) {
        on_event(l, body, size, at);
    } else if (starts(body, size, "44")) {
        fail("not let in", body, size);
    }
}

/* What it is, by what is due: nothing else comes of a server that has only broadcasts to send. */
static void on_compressed(struct listener *l, size_t size, int64_t at) {
    long step = room_count ? room_count : 1;
    if (l->stage == OPENING) on_packet(l, (const unsigned char *)"0", 1, at);
    else if (l->stage == CONNECTING) on_packet(l, (const unsigned char *)"40", 2, at);
    else if (l->stage == JOINING) on_packet(l, (const unsigned char *)"430[", 4, at);
    else if (size <= MOST_OF_A_PING) on_packet(l, (const unsigned char *)"2", 1, at);
    else tally_hear(&l->hearing, l->room, l->compressed++ * step + l->room, at);
}

static void on_frame(struct listener *l, int first, const unsigned char *body, size_t size, int64_t at) {
    int opcode = first & 15;
    if (opcode == PING) send_frame(l, PONG, body, size);
    else if (opcode == CLOSE) lose(l, size >= 2 ? body[0] << 8 | body[1] : 0);
    else if (opcode != TEXT || !(first & 0x80)) fail("a frame that no server of ours sends", "", 0);
    else if (first & 0x40) on_compressed(l, size, at);
    else on_packet(l, body, size, at);
}

/* How many of the `have` bytes are dealt with. */
static size_t on_data(struct listener *l, unsigned char *data, size_t have, int64_t at) {
    size_t done = 0;
    if (l->stage == UPGRADING) {
        unsigned char *end = memmem(data, have, "\r\n\r\n", 4);
        if (!end) return 0;
        if (!starts(data, have, "HTTP/1.1 101")) fail("not upgraded", data, have);
        l->stage = OPENING;
        done = end + 4 - data;
    }
    while (l->stage != LOST && have - done >= 2) {
        unsigned char *p = data + done;
        size_t size = p[1] & 127, head = size == 126 ? 4 : size == 127 ? 10 : 2;
        if (have - done < head) break;
        if (head > 2)
            for (size_t i = 2, n = size = 0; i < head; i++) size = n = n << 8 | p[i];
        if (head + size > BUFFER / 2) fail("a frame that is too long", "", 0);
        if (have - done < head + size) break;
        on_frame(l, p[0], p + head, size, at);
        done += head + size;
    }
    return done;
}

static void on_readable(struct listener *l) {
    memcpy(buffer, l->rest, l->kept);
    ssize_t got = recv(l->fd, buffer + l->kept, BUFFER - l->kept, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) {
        lose(l, 0);
        return;
    }
    size_t have = l->kept + got, done = on_data(l, buffer, have, now());
    l->kept = have - done;
    if (l->kept) {
        l->rest = realloc(l->rest, l->kept);
        memcpy(l->rest, buffer + done, l->kept);
    }
}

static void open_one(int poller, const char *request) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct listener *l = &all[opened];
    int yes = 1;
    l->room = room_count ? opened % room_count : 0;
    l->hearing.last = -1;
    opened++;
    l->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (l->fd < 0) fail("no socket", strerror(errno), 80);
    if (connect(l->fd, (struct sockaddr *)&to, sizeof to)) fail("cannot connect", strerror(errno), 80);
    setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (send(l->fd, request, strlen(request), MSG_NOSIGNAL) < 0) fail("cannot ask", strerror(errno), 80);
    struct epoll_event readable = {.events = EPOLLIN, .data.ptr = l};
    epoll_ctl(poller, EPOLL_CTL_ADD, l->fd, &readable);
}

static void print_end(void) {
    long pings = 0, fewest = -1;
    struct counts counts = tally_counts();
    for (struct listener *l = all; l < all + opened; l++) {
        pings += l->pings;
        if (l->stage == LISTENING && (fewest < 0 || l->pings < fewest)) fewest = l->pings;
    }
    tally_print_partly();
    printf("{\"end\":%d,\"lost\":%d,\"pings\":%ld,\"fewest_pings\":%ld,\"twice\":%ld,\"backwards\":%ld,"
           "\"strays\":%ld}\n",
           ready, lost, pings, fewest, counts.twice, counts.backwards, counts.strays);
}

int main(int argc, char **argv) {
    if (argc < 4) fail("usage", "listeners PORT CLIENTS DEFLATE [ROOM ...]", 80);
    port = atoi(argv[1]);
    total = atoi(argv[2]);
    rooms = argv + 4;
    room_count = argc - 4;
    tally_expect(total, room_count ? room_count : 1);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_max < (rlim_t)total + 16) fail("too few open files are allowed (ulimit -Hn)", "", 0);
    all = calloc(total, sizeof *all);
    char request[512];
    snprintf(request, sizeof request,
             "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\n"
             "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n%s\r\n",
             port, atoi(argv[3]) ? "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n" : "");
    int poller = epoll_create1(0);
    struct epoll_event input = {.events = EPOLLIN, .data.ptr = NULL}, events[EVENTS];
    epoll_ctl(poller, EPOLL_CTL_ADD, STDIN_FILENO, &input);
    for (;;) {
        while (opened < total && opened - ready < UNDER_WAY) open_one(poller, request);
        int count = epoll_wait(poller, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            struct listener *l = events[i].data.ptr;
            char ignored[64];
            if (l) {
                if (l->stage != LOST) on_readable(l);
            } else if (read(STDIN_FILENO, ignored, sizeof ignored) <= 0) {
                print_end();
                return 0;
            }
        }
    }
}
