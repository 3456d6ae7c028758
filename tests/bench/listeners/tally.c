#include "tally.h"

#include <stdio.h>

struct broadcast {
    int count;
    int64_t first, median, last;
};

static struct broadcast broadcasts[MOST_NUMBERS];
static struct counts counts;
static int listeners, rooms;

void tally_expect(int all, int in_rooms) {
    listeners = all;
    rooms = in_rooms;
}

static int size_of(int room) {
    return (listeners - room + rooms - 1) / rooms;
}

static void print(const char *kind, long number, const struct broadcast *b) {
    printf("{\"%s\":%ld,\"count\":%d,\"first\":%lld,\"median\":%lld,\"last\":%lld}\n", kind, number, b->count,
           (long long)b->first, (long long)b->median, (long long)b->last);
    fflush(stdout);
}

void tally_hear(struct hearing *by, int room, long number, int64_t at) {
    if (number < 0 || number >= MOST_NUMBERS || number % rooms != room) {
        counts.strays++;
        return;
    }
    unsigned char bit = 1 << number % 8;
    if (by->heard[number / 8] & bit) {
        counts.twice++;
        return;
    }
    by->heard[number / 8] |= bit;
    if (number < by->last) counts.backwards++;
    by->last = number;
    struct broadcast *b = &broadcasts[number];
    int size = size_of(room);
    if (b->count++ == 0) b->first = at;
    if (b->count == (size + 1) / 2) b->median = at;
    b->last = at;
    if (b->count == size) print("heard", number, b);
}

void tally_print_partly(void) {
    for (long number = 0; number < MOST_NUMBERS; number++) {
        const struct broadcast *b = &broadcasts[number];
        if (b->count && b->count < size_of(number % rooms)) print("partly", number, b);
    }
}

struct counts tally_counts(void) {
    return counts;
}
