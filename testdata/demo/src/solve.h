/* The way through a maze. */
#ifndef SOLVE_H
#define SOLVE_H

#include "maze.h"

struct path {
    /* The cells from start to goal, both included. */
    size_t *cells;
    size_t length;
};

/* Finds the shortest way from `start` to `goal`. False when memory is out. */
bool solve(const struct maze *maze, size_t start, size_t goal, struct path *path);
void path_free(struct path *path);

#endif
