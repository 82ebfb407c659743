#include "run_env.h"

#include "ledgers.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_key(const char *item, size_t length, const char *key)
{
    size_t key_length = strlen(key);
    return length > key_length && strncmp(item, key, key_length) == 0 && item[key_length] == '=';
}

bool bl_run_env_has_option(const struct bl_run_env *env, const char *key)
{
    for (const char *item = env->options; *item;) {
        size_t length = strcspn(item, ":");
        if (is_key(item, length, key))
            return true;
        item += length + (item[length] == ':');
    }
    return false;
}

int bl_run_env_set_option(struct bl_run_env *env, const char *key, const char *value,
                          struct bl_error *error)
{
    char kept[sizeof(env->options)] = "";
    size_t used = 0;
    if (strchr(value, ':'))
        return bl_error_set(error, "the value of --%s must not contain ':': %s", key, value);
    for (const char *item = env->options; *item;) {
        size_t length = strcspn(item, ":");
        if (length > 0 && !is_key(item, length, key))
            used += (size_t)snprintf(kept + used, sizeof(kept) - used, "%.*s:", (int)length, item);
        item += length + (item[length] == ':');
    }
    size_t more = (size_t)snprintf(kept + used, sizeof(kept) - used, "%s=%s", key, value);
    if (used + more >= sizeof(kept))
        return bl_error_set(error, "BUFLEAK_OPTIONS would be longer than %zu bytes", sizeof(kept));
    memcpy(env->options, kept, sizeof(kept));
    return 0;
}

static bool take_shim(struct bl_run_env *env, const char *pattern)
{
    glob_t found = {0};
    bool taken = false;
    if (glob(pattern, 0, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc && !taken; i++)
            taken = realpath(found.gl_pathv[i], env->shim) != NULL;
    globfree(&found);
    return taken;
}

int bl_run_env_find_shim(struct bl_run_env *env, struct bl_error *error)
{
    static const char *const places[] = {"", "../shim/", "../lib/bufleak/", "../lib/*/bufleak/",
                                         "../lib64/bufleak/"};
    const char *given = getenv("BUFLEAK_SHIM");
    char home[PATH_MAX];
    char pattern[PATH_MAX + 64];
    bool taken = false;
    if (given && *given) {
        taken = realpath(given, env->shim) != NULL;
        if (!taken)
            return bl_error_set(error, "BUFLEAK_SHIM names %s: %s", given, strerror(errno));
    }
    ssize_t length = readlink("/proc/self/exe", home, sizeof(home) - 1);
    home[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(home, '/');
    if (slash)
        slash[1] = '\0';
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]) && !taken; i++) {
        snprintf(pattern, sizeof(pattern), "%s%slibbufleak.so", home, places[i]);
        taken = take_shim(env, pattern);
    }
    if (!taken)
        return bl_error_set(error,
                            "cannot find libbufleak.so beside %sbufleak: set BUFLEAK_SHIM to "
                            "its path",
                            home);
    if (strpbrk(env->shim, " :"))
        return bl_error_set(error,
                            "LD_PRELOAD cannot name %s: the loader splits at spaces and "
                            "colons; set BUFLEAK_SHIM to another path",
                            env->shim);
    return 0;
}

static int make_directory(const char *path)
{
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return -errno;
    int fd = bl_ledgers_open_directory(path);
    if (fd < 0)
        return fd;
    close(fd);
    return access(path, W_OK | X_OK) == 0 ? 0 : -errno;
}

int bl_run_env_find_directory(struct bl_run_env *env, struct bl_error *error)
{
    char path[PATH_MAX];
    if (bl_ledgers_directory(path, sizeof(path), error) < 0)
        return -1;
    int outcome = make_directory(path);
    const char *given = getenv("BUFLEAK_DIR");
    if (outcome < 0 && !(given && *given)) {
        /* XDG_RUNTIME_DIR of a user who is not logged in */
        snprintf(path, sizeof(path), "/tmp/bufleak-%u", (unsigned)geteuid());
        outcome = make_directory(path);
    }
    if (outcome < 0)
        return bl_error_set(error, "cannot use %s as the ledger directory: %s; set BUFLEAK_DIR",
                            path,
                            outcome == -EPERM ? "it belongs to another user" : strerror(-outcome));
    if (!realpath(path, env->directory))
        return bl_error_set(error, "cannot use %s as the ledger directory: %s", path,
                            strerror(errno));
    return 0;
}

int bl_run_env_apply(const struct bl_run_env *env)
{
    const char *preload = getenv("LD_PRELOAD");
    char *joined = NULL;
    if (asprintf(&joined, "%s%s%s", env->shim, preload && *preload ? ":" : "",
                 preload ? preload : "") < 0)
        return -1;
    int outcome = setenv("LD_PRELOAD", joined, 1) | setenv("BUFLEAK_DIR", env->directory, 1);
    if (*env->options)
        outcome |= setenv("BUFLEAK_OPTIONS", env->options, 1);
    free(joined);
    return outcome;
}
