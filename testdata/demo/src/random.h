/* Random numbers that are the same on every machine for the same seed. */
#ifndef RANDOM_H
#define RANDOM_H

#include <stdint.h>

struct random {
    uint64_t state;
};

struct random random_from_seed(uint64_t seed);

/* The next number below `limit`, which is not 0. Every number is equally likely. */
uint32_t random_below(struct random *random, uint32_t limit);

#endif
