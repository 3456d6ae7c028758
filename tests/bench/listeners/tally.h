/* Who has heard which broadcast, and when. Times are CLOCK_MONOTONIC in nanoseconds. */
#include <stdint.h>

enum { MOST_NUMBERS = 8192 };

struct hearing { /* of one listener */
    unsigned char heard[MOST_NUMBERS / 8];
    int last; /* the number heard last, -1 for none */
};

struct counts {
    long twice;     /* heard again by a listener */
    long backwards; /* heard after a higher number */
    long strays;    /* of another room, or of no number that is kept */
};

/* Broadcast n is for room n % rooms, where room r has the listeners r, r + rooms, r + 2 rooms, ... */
void tally_expect(int listeners, int rooms);

void tally_hear(struct hearing *by, int room, long number, int64_t at);

/* A line for each broadcast that some have heard and others not. */
void tally_print_partly(void);

struct counts tally_counts(void);
