/* A maze as lines of text. */
#ifndef DRAW_H
#define DRAW_H

#include <stdio.h>

#include "solve.h"

/* Draws the maze, with the path marked when there is one. False when memory is out. */
bool draw(FILE *out, const struct maze *maze, const struct path *path);

#endif
