#include "series.h"

#include "sample_code.h"
#include "text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A block and where it belongs. */
struct piece {
    const struct bl_samples *block;
    uint32_t series;
    uint32_t level;
    uint32_t count; /* samples in it */
    uint64_t serial;
};

struct pieces {
    struct piece *pieces;
    size_t count;
};

static bool is_kind(uint32_t kind)
{
    return kind >= BL_SERIES_RSS && kind <= BL_SERIES_DIRECT;
}

static bool has_class(uint32_t kind)
{
    return kind == BL_SERIES_CLASS || kind == BL_SERIES_SITE;
}

/* Fills in a line from its record; false when the record is unused or refers to nothing. */
static bool open_line(const struct bl_reader *reader, uint32_t number, struct bl_line *line,
                      uint64_t *damage)
{
    const struct bl_series *series = bl_reader_series(reader, number);
    if (!series || series->kind == BL_SERIES_UNUSED)
        return false;
    uint32_t frames = bl_reader_count(reader, BL_SECTION_FRAMES);
    *line = (struct bl_line){.kind = (enum bl_series_kind)series->kind,
                             .number = number,
                             .since_ns = series->since_ns,
                             .until_ns = series->until_ns,
                             .peak_bytes = series->peak_bytes,
                             .peak_ns = series->peak_ns};
    bool is_sound = is_kind(series->kind);
    if (has_class(series->kind)) {
        is_sound = is_sound && series->class_number < bl_reader_count(reader, BL_SECTION_CLASSES);
        line->class_number = series->class_number;
    }
    if (series->kind == BL_SERIES_SITE) {
        is_sound = is_sound && series->stack < frames && series->site < frames;
        line->stack = series->stack;
        line->site = series->site;
    }
    if (series->kind == BL_SERIES_BOUNDARY) {
        line->boundary = bl_reader_boundary(reader, series->stack);
        is_sound = is_sound && line->boundary;
    }
    if (series->kind == BL_SERIES_DIRECT) {
        line->direct = series->stack;
        is_sound = is_sound && series->stack < BL_DIRECT_MAX;
    }
    *damage += !is_sound;
    return is_sound;
}

static bool is_block(const struct bl_reader *reader, const struct bl_samples *block)
{
    return block->level < BL_LEVELS && block->unit_ns >= 1 &&
           block->series < bl_reader_count(reader, BL_SECTION_SERIES);
}

/* How many samples a block has, up to what cannot be read. */
static uint32_t count_samples(const struct bl_samples *block, uint64_t *damage)
{
    struct bl_coarse_sample samples[BL_SAMPLES_MAX];
    bool is_sound;
    uint32_t count = bl_samples_decode(block, samples, &is_sound);
    *damage += !is_sound;
    return count;
}

static int compare_pieces(const void *left, const void *right)
{
    const struct piece *a = left;
    const struct piece *b = right;
    if (a->series != b->series)
        return a->series < b->series ? -1 : 1;
    if (a->level != b->level)
        return a->level > b->level ? -1 : 1; /* coarse first: it reaches back further */
    return a->serial < b->serial ? -1 : a->serial > b->serial;
}

static int collect(const struct bl_reader *reader, struct pieces *pieces, uint64_t *damage,
                   struct bl_error *error)
{
    uint32_t count = bl_reader_count(reader, BL_SECTION_SAMPLES);
    pieces->pieces = calloc(count + 1u, sizeof(*pieces->pieces));
    if (!pieces->pieces)
        return bl_error_set(error, "not enough memory for %u blocks of samples", count);
    for (uint32_t i = 1; i < count; i++) {
        const struct bl_samples *block = bl_reader_samples(reader, i);
        if (!block || block->head == 0 || block->serial == 0)
            continue;
        if (!is_block(reader, block)) {
            ++*damage;
            continue;
        }
        pieces->pieces[pieces->count++] = (struct piece){
            block, block->series, block->level, count_samples(block, damage), block->serial};
    }
    qsort(pieces->pieces, pieces->count, sizeof(*pieces->pieces), compare_pieces);
    return 0;
}

static bool time_of(const struct bl_samples *block, const struct bl_sample *sample,
                    uint64_t *ret_t_ns)
{
    uint64_t after_ns;
    return !__builtin_mul_overflow(sample->after, block->unit_ns, &after_ns) &&
           !__builtin_add_overflow(block->base_ns, after_ns, ret_t_ns);
}

static struct bl_point make_point(const struct bl_samples *block, const struct bl_coarse_sample *s,
                                  bool *ret_sound)
{
    struct bl_point point = {.bytes = s->last.bytes,
                             .min_bytes = s->min_bytes,
                             .max_bytes = s->max_bytes,
                             .count = s->last.count,
                             .total = s->last.total};
    *ret_sound = time_of(block, &s->last, &point.t_ns) && s->min_bytes <= s->last.bytes &&
                 s->max_bytes >= s->last.bytes;
    return point;
}

/* Adds the samples of one block that are later than all before them and earlier than `end_ns`. */
static void add_samples(struct bl_line *line, const struct bl_samples *block, uint64_t end_ns,
                        uint64_t *damage)
{
    struct bl_coarse_sample samples[BL_SAMPLES_MAX];
    bool is_sound;
    uint32_t count = bl_samples_decode(block, samples, &is_sound);
    for (uint32_t n = 0; n < count; n++) {
        struct bl_point point = make_point(block, &samples[n], &is_sound);
        uint64_t before = line->count > 0 ? line->points[line->count - 1].t_ns : line->since_ns;
        if (!is_sound || (line->count > 0 && point.t_ns < before)) {
            ++*damage;
            continue;
        }
        if (point.t_ns >= end_ns || (line->count > 0 && point.t_ns == before))
            continue;
        if (block->level > 0)
            point.span_ns = point.t_ns > before ? point.t_ns - before : 0;
        line->points[line->count++] = point;
    }
}

/* Of each level, only what is older than the beginning of the next finer one. */
static int fill_line(struct bl_line *line, const struct piece *pieces, size_t count,
                     uint64_t *damage, struct bl_error *error)
{
    size_t room = 0;
    for (size_t i = 0; i < count; i++)
        room += pieces[i].count;
    line->points = calloc(room + 1, sizeof(*line->points));
    if (!line->points)
        return bl_error_set(error, "not enough memory for %zu samples", room);
    for (size_t i = 0; i < count; i++) {
        uint64_t end_ns = UINT64_MAX;
        for (size_t k = i + 1; k < count; k++) {
            if (pieces[k].level == pieces[i].level)
                continue;
            end_ns = pieces[k].block->base_ns;
            break;
        }
        add_samples(line, pieces[i].block, end_ns, damage);
    }
    return 0;
}

static int fill_lines(struct bl_series_set *set, const struct pieces *pieces,
                      struct bl_error *error)
{
    size_t at = 0;
    size_t kept = 0;
    for (size_t i = 0; i < set->line_count; i++) {
        struct bl_line line = set->lines[i];
        while (at < pieces->count && pieces->pieces[at].series < line.number)
            at++;
        size_t first = at;
        while (at < pieces->count && pieces->pieces[at].series == line.number)
            at++;
        if (fill_line(&line, &pieces->pieces[first], at - first, &set->damage, error) < 0)
            return -1;
        if (line.count > 0)
            set->lines[kept++] = line;
        else
            free(line.points);
    }
    set->line_count = kept;
    return 0;
}

static int read_lines(struct bl_series_set *set, const struct bl_reader *reader,
                      struct bl_error *error)
{
    struct pieces pieces = {0};
    uint32_t count = bl_reader_count(reader, BL_SECTION_SERIES);
    set->lines = calloc(count + 1u, sizeof(*set->lines));
    if (!set->lines)
        return bl_error_set(error, "not enough memory for %u series", count);
    for (uint32_t i = 1; i < count; i++)
        if (open_line(reader, i, &set->lines[set->line_count], &set->damage))
            set->line_count++;
    int outcome = collect(reader, &pieces, &set->damage, error);
    if (outcome == 0)
        outcome = fill_lines(set, &pieces, error);
    free(pieces.pieces);
    return outcome;
}

static bool is_mark(const struct bl_mark *mark)
{
    return mark->kind >= BL_MARK_PLAIN && mark->kind <= BL_MARK_GREW &&
           memchr(mark->name, '\0', sizeof(mark->name)) && mark->class_count <= BL_CLASSES_MAX;
}

static int compare_marks(const void *left, const void *right)
{
    const struct bl_mark *a = *(const struct bl_mark *const *)left;
    const struct bl_mark *b = *(const struct bl_mark *const *)right;
    return a->serial < b->serial ? -1 : a->serial > b->serial;
}

static int read_marks(struct bl_series_set *set, const struct bl_reader *reader,
                      struct bl_error *error)
{
    uint32_t count = bl_reader_count(reader, BL_SECTION_MARKS);
    set->marks = calloc(count + 1u, sizeof(const struct bl_mark *));
    if (!set->marks)
        return bl_error_set(error, "not enough memory for %u marks", count);
    for (uint32_t i = 0; i < count; i++) {
        const struct bl_mark *mark = bl_reader_mark(reader, i);
        if (!mark || mark->serial == 0)
            continue;
        if (is_mark(mark))
            set->marks[set->mark_count++] = mark;
        else
            set->damage++;
    }
    qsort(set->marks, set->mark_count, sizeof(const struct bl_mark *), compare_marks);
    return 0;
}

int bl_series_create(struct bl_series_set **ret_set, const struct bl_reader *reader,
                     struct bl_error *error)
{
    struct bl_series_set *set = calloc(1, sizeof(*set));
    if (!set)
        return bl_error_set(error, "not enough memory for the series");
    if (read_lines(set, reader, error) < 0 || read_marks(set, reader, error) < 0) {
        bl_series_destroy(set);
        return -1;
    }
    *ret_set = set;
    return 0;
}

void bl_series_destroy(struct bl_series_set *set)
{
    if (!set)
        return;
    for (size_t i = 0; i < set->line_count; i++)
        free(set->lines[i].points);
    free(set->lines);
    free(set->marks);
    free(set);
}

const struct bl_line *bl_series_find(const struct bl_series_set *set, enum bl_series_kind kind,
                                     uint32_t class_number)
{
    for (size_t i = 0; i < set->line_count; i++)
        if (set->lines[i].kind == kind && set->lines[i].class_number == class_number)
            return &set->lines[i];
    return NULL;
}

const struct bl_line *bl_series_find_direct(const struct bl_series_set *set, uint32_t number)
{
    for (size_t i = 0; i < set->line_count; i++)
        if (set->lines[i].kind == BL_SERIES_DIRECT && set->lines[i].direct == number)
            return &set->lines[i];
    return NULL;
}

static const struct bl_mark *find_numbered(const struct bl_series_set *set, uint64_t serial)
{
    for (size_t i = 0; i < set->mark_count; i++)
        if (set->marks[i]->serial == serial)
            return set->marks[i];
    return NULL;
}

const struct bl_mark *bl_series_find_mark(const struct bl_series_set *set, const char *name)
{
    const struct bl_mark *grew = NULL; /* tells of a checkpoint of that name, which is meant */
    uint64_t serial;
    if (name[0] == '#' && bl_text_parse_number(name + 1, UINT64_MAX, &serial))
        return find_numbered(set, serial);
    for (size_t i = set->mark_count; i-- > 0;) {
        if (strcmp(set->marks[i]->name, name) != 0)
            continue;
        if (set->marks[i]->kind != BL_MARK_GREW)
            return set->marks[i];
        grew = grew ? grew : set->marks[i];
    }
    return grew;
}

/* Does it stand for nothing else after an @, and can it be typed as it is? */
static bool is_address(const char *name, const char *printable)
{
    uint64_t number;
    return *name != '\0' && *name != '#' && strcmp(name, printable) == 0 &&
           !bl_text_parse_number(name, UINT64_MAX, &number);
}

void bl_series_mark_text(const struct bl_series_set *set, size_t at, char *out, size_t size)
{
    const struct bl_mark *mark = set->marks[at];
    char name[4 * BL_MARK_NAME];
    bl_text_printable(name, sizeof(name), mark->name, strlen(mark->name));
    if (is_address(mark->name, name) && bl_series_find_mark(set, mark->name) == mark)
        snprintf(out, size, "%s", name);
    else
        snprintf(out, size, "#%" PRIu64 " \"%s\"", mark->serial, name);
}

const struct bl_point *bl_line_at(const struct bl_line *line, uint64_t t_ns)
{
    size_t low = 0;
    size_t high = line->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (line->points[middle].t_ns <= t_ns)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? &line->points[low - 1] : NULL;
}

static void join(struct bl_point *into, const struct bl_point *next)
{
    uint64_t from_ns = into->t_ns - into->span_ns;
    uint64_t low = into->min_bytes < next->min_bytes ? into->min_bytes : next->min_bytes;
    uint64_t high = into->max_bytes > next->max_bytes ? into->max_bytes : next->max_bytes;
    *into = *next;
    into->span_ns = next->t_ns - from_ns;
    into->min_bytes = low;
    into->max_bytes = high;
}

size_t bl_line_thin(const struct bl_line *line, uint64_t from_ns, struct bl_point *out, size_t max)
{
    size_t stored = 0;
    uint64_t last_slot = UINT64_MAX;
    size_t first = 0;
    while (first < line->count && line->points[first].t_ns < from_ns)
        first++;
    if (first == line->count || max == 0)
        return 0;
    uint64_t begin_ns = line->points[first].t_ns;
    uint64_t length_ns = line->points[line->count - 1].t_ns - begin_ns;
    bool fits = line->count - first <= max;
    for (size_t i = first; i < line->count; i++) {
        const struct bl_point *point = &line->points[i];
        double share = (double)(point->t_ns - begin_ns) / ((double)length_ns + 1);
        uint64_t slot = fits ? i : (uint64_t)(share * (double)max);
        if (slot == last_slot && stored > 0) {
            join(&out[stored - 1], point);
        } else if (stored < max) {
            out[stored++] = *point;
            last_slot = slot;
        }
    }
    return stored;
}
