#include "maze.h"

#include <assert.h>
#include <stdlib.h>

#include "random.h"

size_t maze_cells(const struct maze *maze)
{
    return maze->width * maze->height;
}

bool maze_has_door(const struct maze *maze, size_t cell, enum direction direction)
{
    return (maze->doors[cell] >> direction) & 1;
}

enum direction opposite(enum direction direction)
{
    return (enum direction)((direction + DIRECTIONS / 2) % DIRECTIONS);
}

size_t maze_neighbour(const struct maze *maze, size_t cell, enum direction direction)
{
    const size_t column = cell % maze->width;
    const size_t outside = maze_cells(maze);
    switch (direction) {
    case NORTH:
        return cell < maze->width ? outside : cell - maze->width;
    case EAST:
        return column + 1 == maze->width ? outside : cell + 1;
    case SOUTH:
        return cell + maze->width >= outside ? outside : cell + maze->width;
    case WEST:
        return column == 0 ? outside : cell - 1;
    case DIRECTIONS:
        break;
    }
    assert(!"a direction");
    return outside;
}

static void open_door(struct maze *maze, size_t from, enum direction direction)
{
    const size_t to = maze_neighbour(maze, from, direction);
    maze->doors[from] |= (uint8_t)(1u << direction);
    maze->doors[to] |= (uint8_t)(1u << opposite(direction));
}

/* A direction in which a closed cell lies, each equally likely, or DIRECTIONS when there is none. */
static enum direction towards_closed(const struct maze *maze, size_t cell, struct random *random)
{
    enum direction choices[DIRECTIONS];
    uint32_t count = 0;
    for (enum direction direction = NORTH; direction < DIRECTIONS; direction++) {
        const size_t next = maze_neighbour(maze, cell, direction);
        if (next < maze_cells(maze) && maze->doors[next] == 0)
            choices[count++] = direction;
    }
    return count == 0 ? DIRECTIONS : choices[random_below(random, count)];
}

/* Walks into closed cells while there are any, and back along its own trail where there are none. */
static void walk(struct maze *maze, size_t *trail, struct random *random)
{
    size_t length = 0;
    trail[length++] = random_below(random, (uint32_t)maze_cells(maze));
    while (length > 0) {
        const size_t cell = trail[length - 1];
        const enum direction direction = towards_closed(maze, cell, random);
        if (direction == DIRECTIONS) {
            length--;
        } else {
            open_door(maze, cell, direction);
            trail[length++] = maze_neighbour(maze, cell, direction);
        }
    }
}

bool maze_carve(struct maze *maze, size_t width, size_t height, uint64_t seed)
{
    assert(width >= MAZE_SIDE_MIN && width <= MAZE_SIDE_MAX);
    assert(height >= MAZE_SIDE_MIN && height <= MAZE_SIDE_MAX);
    maze->width = width;
    maze->height = height;
    maze->doors = calloc(width * height, sizeof *maze->doors);
    size_t *trail = calloc(width * height, sizeof *trail);
    if (maze->doors == NULL || trail == NULL) {
        free(trail);
        maze_free(maze);
        return false;
    }
    struct random random = random_from_seed(seed);
    walk(maze, trail, &random);
    free(trail);
    return true;
}

void maze_free(struct maze *maze)
{
    free(maze->doors);
    maze->doors = NULL;
}
