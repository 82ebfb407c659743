#include "html_flame.h"

#include "text.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_MAX 200  /* browsers give up on elements that are nested much deeper */
#define PARTS    1000 /* what is less than such a part of all is not drawn */

struct stack {
    const char *frames; /* outermost first, joined by ';' */
    uint64_t bytes;
};

struct flame {
    FILE *out;
    struct stack *stacks;
    uint64_t total;
};

void bl_html_text(FILE *out, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        switch (text[i]) {
        case '&':
            fputs("&amp;", out);
            break;
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '"':
            fputs("&quot;", out);
            break;
        case '\'':
            fputs("&#39;", out);
            break;
        default:
            fputc(text[i], out);
        }
    }
}

/* By frames, so that those that begin with the same frames stand together: the end of a frame comes
 * before all that a longer name may go on with. */
static int compare_stacks(const void *left, const void *right)
{
    const char *a = ((const struct stack *)left)->frames;
    const char *b = ((const struct stack *)right)->frames;
    while (*a && *a == *b) {
        a++;
        b++;
    }
    int a_rank = *a == ';' ? 1 : *a ? 1 + (unsigned char)*a : 0;
    int b_rank = *b == ';' ? 1 : *b ? 1 + (unsigned char)*b : 0;
    return a_rank - b_rank;
}

/* Of one name always the same, of the colours of fire. */
static unsigned hue_of(const char *name, size_t length)
{
    unsigned hash = 2166136261u;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)name[i]) * 16777619u;
    return 8 + hash % 48;
}

static void write_bar(const struct flame *flame, const char *name, size_t length, uint64_t bytes,
                      uint64_t of_bytes)
{
    char text[BL_TEXT_NUMBER];
    fprintf(flame->out,
            "<div style=\"width:%.3f%%\"><span style=\"background:hsl(%u 75%% 70%%)\" title=\"",
            100 * (double)bytes / (double)of_bytes, hue_of(name, length));
    bl_html_text(flame->out, name, length);
    fprintf(flame->out, ": %s, %.1f%%\">", bl_text_bytes(text, bytes),
            100 * (double)bytes / (double)flame->total);
    bl_html_text(flame->out, name, length);
    fputs("</span>", flame->out);
}

/* How many stacks from `first` on have the same frame at `at`, and their bytes. */
static size_t run_of(const struct flame *flame, size_t first, size_t end, size_t at, size_t length,
                     uint64_t *ret_bytes)
{
    const char *name = flame->stacks[first].frames + at;
    size_t i = first;
    *ret_bytes = 0;
    for (; i < end; i++) {
        const char *other = flame->stacks[i].frames + at;
        if (strncmp(name, other, length) != 0 || (other[length] != ';' && other[length] != '\0'))
            break;
        *ret_bytes += flame->stacks[i].bytes;
    }
    return i - first;
}

/* The stacks from `first` to `end` have the same frames before `at`, and of_bytes altogether. */
// NOLINTNEXTLINE(misc-no-recursion): at most ROWS_MAX deep
static void write_row(const struct flame *flame, size_t first, size_t end, size_t at, unsigned row,
                      uint64_t of_bytes)
{
    fputs("<div class=\"row\">", flame->out);
    while (first < end && row < ROWS_MAX) {
        size_t length = strcspn(flame->stacks[first].frames + at, ";");
        uint64_t bytes;
        size_t count = run_of(flame, first, end, at, length, &bytes);
        if (bytes >= flame->total / PARTS) {
            size_t deeper = first;
            write_bar(flame, flame->stacks[first].frames + at, length, bytes, of_bytes);
            while (deeper < first + count && !flame->stacks[deeper].frames[at + length])
                deeper++; /* these end here; they come first */
            if (deeper < first + count)
                write_row(flame, deeper, first + count, at + length + 1, row + 1, bytes);
            fputs("</div>\n", flame->out);
        }
        first += count;
    }
    fputs("</div>", flame->out);
}

/* One stack of each line. */
static size_t read_stacks(struct flame *flame, char *text)
{
    size_t count = 0;
    char *rest;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char *blank = strrchr(line, ' ');
        if (!blank)
            continue;
        *blank = '\0';
        flame->stacks[count].frames = line;
        flame->stacks[count].bytes = strtoull(blank + 1, NULL, 10);
        flame->total += flame->stacks[count++].bytes;
    }
    return count;
}

int bl_html_flame(FILE *out, char *stacks)
{
    size_t lines = 0;
    for (const char *at = stacks; *at; at++)
        lines += *at == '\n';
    struct flame flame = {.out = out, .stacks = calloc(lines + 1, sizeof(*flame.stacks))};
    if (!flame.stacks)
        return -1;
    size_t count = read_stacks(&flame, stacks);
    qsort(flame.stacks, count, sizeof(*flame.stacks), compare_stacks);
    fputs("<div class=\"flame\">\n", out);
    if (flame.total > 0)
        write_row(&flame, 0, count, 0, 0, flame.total);
    fputs("</div>\n", out);
    free(flame.stacks);
    return 0;
}
