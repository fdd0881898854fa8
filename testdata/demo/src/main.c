/* maze: draws a maze and the way from its upper left to its lower right corner. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "draw.h"

enum { EXIT_USAGE = 2 };

struct options {
    uint64_t seed;
    uint64_t width;
    uint64_t height;
};

/* Reads a whole number between `least` and `most`; anything else is an error, not a 0. */
static bool parse_number(const char *text, uint64_t least, uint64_t most, uint64_t *number)
{
    char *end;
    errno = 0;
    const unsigned long long value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value < least || value > most)
        return false;
    *number = value;
    return true;
}

static bool parse_option(const char *name, const char *value, struct options *options)
{
    if (strcmp(name, "--seed") == 0)
        return parse_number(value, 0, UINT64_MAX, &options->seed);
    if (strcmp(name, "--width") == 0)
        return parse_number(value, MAZE_SIDE_MIN, MAZE_SIDE_MAX, &options->width);
    if (strcmp(name, "--height") == 0)
        return parse_number(value, MAZE_SIDE_MIN, MAZE_SIDE_MAX, &options->height);
    return false;
}

static bool print_maze(const struct options *options)
{
    struct maze maze;
    if (!maze_carve(&maze, (size_t)options->width, (size_t)options->height, options->seed))
        return false;
    struct path path;
    bool printed = false;
    if (solve(&maze, 0, maze_cells(&maze) - 1, &path)) {
        printed = draw(stdout, &maze, &path);
        printf("seed %" PRIu64 ": %zu steps through %zu cells\n", options->seed, path.length - 1,
               maze_cells(&maze));
        path_free(&path);
    }
    maze_free(&maze);
    return printed;
}

int main(int argc, char **argv)
{
    struct options options = { .seed = 1, .width = 16, .height = 8 };
    for (int at = 1; at < argc; at += 2) {
        if (at + 1 == argc || !parse_option(argv[at], argv[at + 1], &options)) {
            fprintf(stderr, "maze: bad option `%s`\nusage: maze [--seed N] [--width %d..%d] [--height %d..%d]\n",
                    argv[at], MAZE_SIDE_MIN, MAZE_SIDE_MAX, MAZE_SIDE_MIN, MAZE_SIDE_MAX);
            return EXIT_USAGE;
        }
    }
    if (!print_maze(&options)) {
        fputs("maze: out of memory\n", stderr);
        return EXIT_FAILURE;
    }
    if (fflush(stdout) != 0) {
        perror("maze: stdout");
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
