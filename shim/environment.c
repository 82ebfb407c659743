#include "environment.h"
#include "sigsafe.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#define OWN_LIBRARY "libbufleak"

enum variable_name { PRELOAD, DIRECTORY, OPTIONS, TEST, VARIABLES };

static struct variable {
    const char *prefix;
    char text[2048]; /* NAME=value as at the start; empty: was not set */
} variables[VARIABLES] = {
    [PRELOAD] = {.prefix = "LD_PRELOAD="},
    [DIRECTORY] = {.prefix = "BUFLEAK_DIR="},
    [OPTIONS] = {.prefix = "BUFLEAK_OPTIONS="},
    [TEST] = {.prefix = "BUFLEAK_TEST="},
};
static bool following;

static void remember(enum variable_name v, const char *value)
{
    struct bl_text t;
    if (!value || strlen(value) + strlen(variables[v].prefix) >= sizeof variables[v].text)
        return;
    bl_text_init(&t, variables[v].text, sizeof variables[v].text);
    bl_text_str(&t, variables[v].prefix);
    bl_text_str(&t, value);
}

void bl_environment_init(bool follow)
{
    Dl_info info;
    if (!follow || !dladdr((void *)&bl_environment_init, &info) || !info.dli_fname ||
        info.dli_fname[0] != '/')
        return; /* a relative preload means another file after the next chdir */
    remember(PRELOAD, info.dli_fname);
    remember(DIRECTORY, getenv("BUFLEAK_DIR"));
    remember(OPTIONS, getenv("BUFLEAK_OPTIONS"));
    remember(TEST, getenv("BUFLEAK_TEST"));
    following = variables[PRELOAD].text[0] != '\0';
}

static const char *find(char *const envp[], const char *prefix)
{
    size_t length = strlen(prefix);
    for (size_t i = 0; envp && envp[i]; i++) {
        if (strncmp(envp[i], prefix, length) == 0)
            return envp[i] + length;
    }
    return NULL;
}

/* What was inherited from outside is not as exact as what the thread runs; what is another test's,
 * the caller has named. */
static bool is_test_missing(const char *value, const char *test)
{
    const struct variable *own = &variables[TEST];
    if (!value || strncmp(value, test, BL_ENVIRONMENT_TEST) == 0)
        return !value;
    return own->text[0] && strcmp(own->text + strlen(own->prefix), value) == 0;
}

static bool is_missing(char *const envp[], const char *test, enum variable_name v)
{
    const char *value = find(envp, variables[v].prefix);
    if (v == PRELOAD)
        return !value || !strstr(value, OWN_LIBRARY);
    if (v == TEST && test)
        return is_test_missing(value, test);
    return variables[v].text[0] && !value;
}

size_t bl_environment_size(char *const envp[], const char *test)
{
    size_t n = 0;
    bool missing = false;
    if (!following)
        return 0;
    for (enum variable_name v = 0; v < VARIABLES; v++)
        missing = missing || is_missing(envp, test, v);
    while (envp && envp[n])
        n++;
    return missing ? n + VARIABLES + 1 : 0;
}

/* Ours first, then what the program has. */
static char *join_preload(const char *others, char *text, size_t size)
{
    struct bl_text t;
    if (!others || !*others || strlen(others) + strlen(variables[PRELOAD].text) + 2 > size)
        return variables[PRELOAD].text;
    bl_text_init(&t, text, size);
    bl_text_str(&t, variables[PRELOAD].text);
    bl_text_str(&t, ":");
    bl_text_str(&t, others);
    return text;
}

/* Returns the bytes of text that it took. */
static size_t name_test(const char *test, char *text)
{
    struct bl_text t;
    bl_text_init(&t, text, strlen(variables[TEST].prefix) + BL_ENVIRONMENT_TEST);
    bl_text_str(&t, variables[TEST].prefix);
    bl_text_str(&t, test);
    return strlen(text) + 1;
}

static bool is_one_of(const char *entry, enum variable_name v)
{
    return strncmp(entry, variables[v].prefix, strlen(variables[v].prefix)) == 0;
}

void bl_environment_fill(char *const envp[], const char *test, char **ret_envp,
                         char text[BL_ENVIRONMENT_TEXT])
{
    bool missing[VARIABLES];
    size_t n = 0;
    size_t used = 0;
    for (enum variable_name v = 0; v < VARIABLES; v++)
        missing[v] = is_missing(envp, test, v);
    for (size_t i = 0; envp && envp[i]; i++) {
        bool replaced = (missing[PRELOAD] && is_one_of(envp[i], PRELOAD)) ||
                        (missing[TEST] && is_one_of(envp[i], TEST));
        if (!replaced)
            ret_envp[n++] = envp[i];
    }
    if (missing[TEST] && test) {
        used = name_test(test, text);
        ret_envp[n++] = text;
    } else if (missing[TEST]) {
        ret_envp[n++] = variables[TEST].text;
    }
    if (missing[PRELOAD])
        ret_envp[n++] = join_preload(find(envp, variables[PRELOAD].prefix), text + used,
                                     BL_ENVIRONMENT_TEXT - used);
    for (enum variable_name v = DIRECTORY; v <= OPTIONS; v++) {
        if (missing[v])
            ret_envp[n++] = variables[v].text;
    }
    ret_envp[n] = NULL;
}
