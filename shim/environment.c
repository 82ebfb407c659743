#include "environment.h"
#include "sigsafe.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#define OWN_LIBRARY "libbufleak"

enum variable { PRELOAD, DIRECTORY, OPTIONS, VARIABLES };

static struct {
    const char *prefix;
    char text[2048]; /* NAME=value as at the start; empty: was not set */
} variables[VARIABLES] = {
    [PRELOAD] = {.prefix = "LD_PRELOAD="},
    [DIRECTORY] = {.prefix = "BUFLEAK_DIR="},
    [OPTIONS] = {.prefix = "BUFLEAK_OPTIONS="},
};
static bool following;

static void remember(enum variable v, const char *value)
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

static bool is_missing(char *const envp[], enum variable v)
{
    const char *value = find(envp, variables[v].prefix);
    if (v == PRELOAD)
        return !value || !strstr(value, OWN_LIBRARY);
    return variables[v].text[0] && !value;
}

size_t bl_environment_size(char *const envp[])
{
    size_t n = 0;
    bool missing = false;
    if (!following)
        return 0;
    for (enum variable v = 0; v < VARIABLES; v++)
        missing = missing || is_missing(envp, v);
    while (envp && envp[n])
        n++;
    return missing ? n + VARIABLES + 1 : 0;
}

/* Ours first, then what the program has. */
static char *join_preload(const char *others, char text[BL_ENVIRONMENT_TEXT])
{
    struct bl_text t;
    if (!others || !*others ||
        strlen(others) + strlen(variables[PRELOAD].text) + 2 > BL_ENVIRONMENT_TEXT)
        return variables[PRELOAD].text;
    bl_text_init(&t, text, BL_ENVIRONMENT_TEXT);
    bl_text_str(&t, variables[PRELOAD].text);
    bl_text_str(&t, ":");
    bl_text_str(&t, others);
    return text;
}

void bl_environment_fill(char *const envp[], char **ret_envp, char text[BL_ENVIRONMENT_TEXT])
{
    const char *preload = variables[PRELOAD].prefix;
    bool preload_missing = is_missing(envp, PRELOAD);
    size_t n = 0;
    for (size_t i = 0; envp && envp[i]; i++) {
        if (!preload_missing || strncmp(envp[i], preload, strlen(preload)) != 0)
            ret_envp[n++] = envp[i];
    }
    if (preload_missing)
        ret_envp[n++] = join_preload(find(envp, preload), text);
    for (enum variable v = DIRECTORY; v < VARIABLES; v++) {
        if (is_missing(envp, v))
            ret_envp[n++] = variables[v].text;
    }
    ret_envp[n] = NULL;
}
