/* The unit tests of the maze library: prints a line for each, and ends with 1 when one fails. */
#define _POSIX_C_SOURCE 200809L /* open_memstream */

#include <stdlib.h>
#include <string.h>

#include "draw.h"
#include "random.h"

static int failures;

static void check(bool holds, const char *what)
{
    printf("%s %s\n", holds ? "ok    " : "FAILED", what);
    failures += !holds;
}

static struct maze carved(size_t width, size_t height, uint64_t seed)
{
    struct maze maze;
    if (!maze_carve(&maze, width, height, seed))
        abort();
    return maze;
}

static size_t count_doors(const struct maze *maze)
{
    size_t doors = 0;
    for (size_t cell = 0; cell < maze_cells(maze); cell++)
        for (enum direction direction = NORTH; direction < DIRECTIONS; direction++)
            doors += maze_has_door(maze, cell, direction);
    return doors / 2;
}

static bool doors_open_both_ways(const struct maze *maze)
{
    for (size_t cell = 0; cell < maze_cells(maze); cell++)
        for (enum direction direction = NORTH; direction < DIRECTIONS; direction++) {
            if (!maze_has_door(maze, cell, direction))
                continue;
            const size_t next = maze_neighbour(maze, cell, direction);
            if (next >= maze_cells(maze) || !maze_has_door(maze, next, opposite(direction)))
                return false;
        }
    return true;
}

static bool are_connected(const struct maze *maze, size_t from, size_t to)
{
    for (enum direction direction = NORTH; direction < DIRECTIONS; direction++)
        if (maze_has_door(maze, from, direction) && maze_neighbour(maze, from, direction) == to)
            return true;
    return false;
}

static bool reaches_every_cell(const struct maze *maze)
{
    for (size_t goal = 0; goal < maze_cells(maze); goal++) {
        struct path path;
        if (!solve(maze, 0, goal, &path))
            abort();
        bool walkable = path.cells[0] == 0 && path.cells[path.length - 1] == goal;
        for (size_t step = 1; step < path.length; step++)
            walkable = walkable && are_connected(maze, path.cells[step - 1], path.cells[step]);
        path_free(&path);
        if (!walkable)
            return false;
    }
    return true;
}

static void test_random(void)
{
    struct random one = random_from_seed(7), same = random_from_seed(7), other = random_from_seed(8);
    bool equal = true, differs = false, in_range = true;
    size_t seen[6] = { 0 };
    for (int draw_number = 0; draw_number < 6000; draw_number++) {
        const uint32_t drawn = random_below(&one, 6);
        equal = equal && drawn == random_below(&same, 6);
        differs = differs || drawn != random_below(&other, 6);
        in_range = in_range && drawn < 6;
        if (drawn < 6)
            seen[drawn]++;
    }
    check(equal, "the same seed gives the same numbers");
    check(differs, "another seed gives other numbers");
    check(in_range, "numbers stay below the limit");
    bool even = true;
    for (size_t face = 0; face < 6; face++)
        even = even && seen[face] > 850 && seen[face] < 1150;
    check(even, "a die of 6000 throws shows each face about 1000 times");
}

static void test_shape(void)
{
    static const size_t sides[][2] = { { 2, 2 }, { 2, 40 }, { 40, 2 }, { 17, 13 } };
    bool tree = true, symmetric = true, connected = true;
    for (size_t at = 0; at < sizeof sides / sizeof *sides; at++)
        for (uint64_t seed = 0; seed < 20; seed++) {
            struct maze maze = carved(sides[at][0], sides[at][1], seed);
            tree = tree && count_doors(&maze) == maze_cells(&maze) - 1;
            symmetric = symmetric && doors_open_both_ways(&maze);
            connected = connected && reaches_every_cell(&maze);
            maze_free(&maze);
        }
    check(tree, "a maze of n cells has n - 1 doors");
    check(symmetric, "a door opens both ways and never leads outside");
    check(connected, "a walkable path leads to every cell");
}

static void test_seed(void)
{
    struct maze one = carved(20, 20, 5), same = carved(20, 20, 5), other = carved(20, 20, 6);
    check(memcmp(one.doors, same.doors, 400) == 0, "the same seed gives the same maze");
    check(memcmp(one.doors, other.doors, 400) != 0, "another seed gives another maze");
    maze_free(&one);
    maze_free(&same);
    maze_free(&other);
}

static void test_drawing(void)
{
    uint8_t doors[4] = { 1 << EAST | 1 << SOUTH, 1 << WEST, 1 << NORTH | 1 << EAST, 1 << WEST };
    const struct maze maze = { .width = 2, .height = 2, .doors = doors };
    struct path path;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (out == NULL || !solve(&maze, 0, 3, &path) || !draw(out, &maze, &path) || fclose(out) != 0)
        abort();
    check(strcmp(text, "+---+---+\n"
                       "| o     |\n"
                       "+   +---+\n"
                       "| o   o |\n"
                       "+---+---+\n") == 0,
          "a drawing shows walls, doors and the path");
    path_free(&path);
    free(text);
}

int main(void)
{
    test_random();
    test_shape();
    test_seed();
    test_drawing();
    printf("%s\n", failures == 0 ? "all tests passed" : "some tests failed");
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
