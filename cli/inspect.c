#include "inspect.h"

#include "text.h"

#include <regex.h>
#include <string.h>

struct filter {
    const struct bl_reader *reader;
    struct bl_symbols *symbols;
    regex_t regex;
};

static bool matches(const struct filter *filter, const struct bl_symbol *symbol)
{
    return (symbol->function && regexec(&filter->regex, symbol->function, 0, NULL, 0) == 0) ||
           (symbol->file && regexec(&filter->regex, symbol->file, 0, NULL, 0) == 0) ||
           regexec(&filter->regex, symbol->module, 0, NULL, 0) == 0;
}

static bool keep_matching(void *context, uint32_t stack)
{
    struct filter *filter = context;
    uint32_t frames[BL_MODEL_FRAMES_MAX];
    size_t count = bl_model_stack(filter->reader, stack, frames, BL_MODEL_FRAMES_MAX);
    for (size_t i = 0; i < count; i++) {
        size_t inlined = 0;
        const struct bl_symbol *symbols = bl_symbols_frame(filter->symbols, frames[i], &inlined);
        for (size_t k = 0; symbols && k < inlined; k++)
            if (matches(filter, &symbols[k]))
                return true;
    }
    return false;
}

static int make_model(struct bl_inspection *inspection, bool is_running,
                      const struct bl_inspect_options *options, struct bl_error *error)
{
    struct bl_model_options model_options = options->model;
    struct filter filter = {.reader = inspection->reader, .symbols = inspection->symbols};
    if (options->match) {
        if (regcomp(&filter.regex, options->match, REG_EXTENDED | REG_NOSUB) != 0)
            return bl_error_set(error, "--match does not accept \"%s\"", options->match);
        model_options.keep_stack = keep_matching;
        model_options.keep_context = &filter;
    }
    int outcome = bl_reaches_create(&inspection->reaches, inspection->reader, error);
    model_options.reaches = inspection->reaches;
    if (outcome == 0)
        outcome = bl_model_create(&inspection->model, inspection->reader, is_running,
                                  &model_options, error);
    if (outcome == 0)
        outcome = bl_series_create(&inspection->series, inspection->reader, error);
    if (outcome == 0)
        outcome = bl_growth_create(&inspection->growth, inspection->reader, inspection->series,
                                   inspection->model, options->per, error);
    if (outcome == 0 && options->judges && model_options.group_by == BL_GROUP_SITE)
        outcome = bl_pairing_create(&inspection->pairing, inspection->reader, inspection->symbols,
                                    inspection->growth, inspection->model, &model_options, error);
    if (outcome == 0)
        outcome = bl_growth_apply(inspection->growth, inspection->model, &model_options, error);
    if (outcome == 0 && options->judges && !options->no_siblings)
        outcome = bl_siblings_create(&inspection->siblings, inspection->reader, inspection->symbols,
                                     inspection->model, &model_options, error);
    if (outcome == 0 && options->balances)
        outcome = bl_balance_create(&inspection->balance, inspection->reader, inspection->model,
                                    &model_options, error);
    if (options->match)
        regfree(&filter.regex);
    return outcome;
}

static struct bl_view view_of(const struct bl_inspection *inspection,
                              const struct bl_target *target)
{
    const struct bl_header *header = bl_reader_header(inspection->reader);
    struct bl_view view = {
        .path = target->path,
        .header = header,
        .reader = inspection->reader,
        .model = inspection->model,
        .symbols = inspection->symbols,
        .reaches = inspection->reaches,
        .series = inspection->series,
        .growth = inspection->growth,
        .pid = target->is_running ? target->process.pid : (pid_t)header->pid,
    };
    bl_text_printable(view.comm, sizeof(view.comm), header->comm,
                      strnlen(header->comm, sizeof(header->comm)));
    return view;
}

int bl_inspect(struct bl_inspection *ret_inspection, const struct bl_target *target,
               const struct bl_inspect_options *options, struct bl_error *error)
{
    struct bl_inspection inspection = {.reader = NULL};
    const struct bl_proc *process = target->is_running ? &target->process : NULL;
    int outcome =
        bl_reader_create(&inspection.reader, target->fd, target->path, BL_READER_ALL, error);
    if (outcome == 0)
        outcome = bl_symbols_create(&inspection.symbols, inspection.reader, process, error);
    for (size_t i = 0; outcome == 0 && i < options->symbol_path_count; i++)
        bl_symbols_look_in(inspection.symbols, options->symbol_paths[i]);
    if (outcome == 0 && options->store)
        bl_symbols_share(inspection.symbols, options->store);
    if (outcome == 0)
        outcome = make_model(&inspection, target->is_running, options, error);
    if (outcome < 0) {
        bl_inspection_deinit(&inspection);
        return -1;
    }
    inspection.view = view_of(&inspection, target);
    *ret_inspection = inspection;
    return 0;
}

void bl_inspection_deinit(struct bl_inspection *inspection)
{
    bl_model_destroy(inspection->model);
    bl_growth_destroy(inspection->growth);
    bl_series_destroy(inspection->series);
    bl_siblings_destroy(inspection->siblings);
    bl_balance_destroy(inspection->balance);
    bl_pairing_destroy(inspection->pairing);
    bl_reaches_destroy(inspection->reaches);
    bl_symbols_destroy(inspection->symbols);
    bl_reader_destroy(inspection->reader);
    *inspection = (struct bl_inspection){.reader = NULL};
}
