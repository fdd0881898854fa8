#include "solve.h"

#include <assert.h>
#include <stdlib.h>

/* Fills `came_from` for each cell, in waves from `start`, until `goal` is reached. */
static void flood(const struct maze *maze, size_t start, size_t goal, size_t *came_from, size_t *queue)
{
    const size_t cells = maze_cells(maze);
    for (size_t cell = 0; cell < cells; cell++)
        came_from[cell] = cells;
    size_t head = 0, tail = 0;
    queue[tail++] = start;
    came_from[start] = start;
    while (head < tail && came_from[goal] == cells) {
        const size_t cell = queue[head++];
        for (enum direction direction = NORTH; direction < DIRECTIONS; direction++) {
            if (!maze_has_door(maze, cell, direction))
                continue;
            const size_t next = maze_neighbour(maze, cell, direction);
            if (came_from[next] == cells) {
                came_from[next] = cell;
                queue[tail++] = next;
            }
        }
    }
    assert(came_from[goal] != cells);
}

/* Follows `came_from` back from the goal; the result is written from its end. */
static bool trace(const size_t *came_from, size_t start, size_t goal, struct path *path)
{
    path->length = 1;
    for (size_t cell = goal; cell != start; cell = came_from[cell])
        path->length++;
    path->cells = calloc(path->length, sizeof *path->cells);
    if (path->cells == NULL)
        return false;
    size_t cell = goal;
    for (size_t left = path->length; left > 0; left--) {
        path->cells[left - 1] = cell;
        cell = came_from[cell];
    }
    return true;
}

bool solve(const struct maze *maze, size_t start, size_t goal, struct path *path)
{
    const size_t cells = maze_cells(maze);
    size_t *came_from = calloc(cells, sizeof *came_from);
    size_t *queue = calloc(cells, sizeof *queue);
    bool solved = false;
    if (came_from != NULL && queue != NULL) {
        flood(maze, start, goal, came_from, queue);
        solved = trace(came_from, start, goal, path);
    }
    free(came_from);
    free(queue);
    return solved;
}

void path_free(struct path *path)
{
    free(path->cells);
    path->cells = NULL;
}
