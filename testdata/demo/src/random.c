#include "random.h"

struct random random_from_seed(uint64_t seed)
{
    return (struct random){ .state = seed };
}

/* One step of a Weyl sequence, then a mix in which every bit of the state reaches every bit of the result. */
static uint64_t next(struct random *random)
{
    uint64_t mixed = random->state += UINT64_C(0x9e3779b97f4a7c15);
    mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
    return mixed ^ (mixed >> 31);
}

uint32_t random_below(struct random *random, uint32_t limit)
{
    /* Numbers past the last whole multiple of `limit` would favour the small remainders: draw again. */
    const uint64_t whole = UINT64_MAX - UINT64_MAX % limit;
    uint64_t drawn;
    do {
        drawn = next(random);
    } while (drawn >= whole);
    return (uint32_t)(drawn % limit);
}
