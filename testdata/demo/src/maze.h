/* A maze: a grid of cells in which exactly one way leads from any cell to any other. */
#ifndef MAZE_H
#define MAZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MAZE_SIDE_MIN = 2, MAZE_SIDE_MAX = 1000 };

enum direction { NORTH, EAST, SOUTH, WEST, DIRECTIONS };

struct maze {
    size_t width;
    size_t height;
    /* One byte for a cell, row by row; bit D is set when one can leave in direction D. */
    uint8_t *doors;
};

/* Carves a maze. Sides lie between MAZE_SIDE_MIN and MAZE_SIDE_MAX. False when memory is out. */
bool maze_carve(struct maze *maze, size_t width, size_t height, uint64_t seed);
void maze_free(struct maze *maze);

size_t maze_cells(const struct maze *maze);
bool maze_has_door(const struct maze *maze, size_t cell, enum direction direction);

/* The cell next to `cell`, or `maze_cells` when the outer wall is there. */
size_t maze_neighbour(const struct maze *maze, size_t cell, enum direction direction);
enum direction opposite(enum direction direction);

#endif
