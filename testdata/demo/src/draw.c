#include "draw.h"

#include <stdlib.h>

static void draw_wall_above(FILE *out, const struct maze *maze, size_t row)
{
    for (size_t column = 0; column < maze->width; column++) {
        const bool door = row > 0 && maze_has_door(maze, row * maze->width + column, NORTH);
        fputs(door ? "+   " : "+---", out);
    }
    fputs("+\n", out);
}

static void draw_row(FILE *out, const struct maze *maze, size_t row, const uint8_t *marked)
{
    for (size_t column = 0; column < maze->width; column++) {
        const size_t cell = row * maze->width + column;
        fputs(maze_has_door(maze, cell, WEST) ? "  " : "| ", out);
        fputs(marked[cell] ? "o " : "  ", out);
    }
    fputs("|\n", out);
}

bool draw(FILE *out, const struct maze *maze, const struct path *path)
{
    uint8_t *marked = calloc(maze_cells(maze), sizeof *marked);
    if (marked == NULL)
        return false;
    for (size_t step = 0; path != NULL && step < path->length; step++)
        marked[path->cells[step]] = 1;
    for (size_t row = 0; row < maze->height; row++) {
        draw_wall_above(out, maze, row);
        draw_row(out, maze, row, marked);
    }
    for (size_t column = 0; column < maze->width; column++)
        fputs("+---", out);
    fputs("+\n", out);
    free(marked);
    return true;
}
