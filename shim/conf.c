#include "conf.h"
#include "sigsafe.h"

#include <signal.h>
#include <string.h>

struct value {
    const char *text;
    size_t length;
};

void bl_conf_defaults(struct bl_conf *conf)
{
    *conf = (struct bl_conf){
        .depth_frames = BL_DEPTH_DEFAULT,
        .sample_bytes = 1,
        .interval_ns = 1000000000u,
        .signal = SIGUSR1,
        .follow = true,
        .at_exit = true,
        .java_blocks = 64u << 10,
        .java_check = 65536,
        .reach_signal = SIGRTMAX - 3,
    };
}

static bool equals(struct value v, const char *word)
{
    return strlen(word) == v.length && memcmp(v.text, word, v.length) == 0;
}

static bool parse_flag(struct value v, bool *ret_flag)
{
    bool on = equals(v, "1") || equals(v, "true") || equals(v, "yes") || equals(v, "on");
    bool off = equals(v, "0") || equals(v, "false") || equals(v, "no") || equals(v, "off");
    if (on || off)
        *ret_flag = on;
    return on || off;
}

struct unit {
    const char *name;
    uint64_t factor;
};

/* digits followed by one of the units */
static bool parse_scaled(struct value v, const struct unit *units, uint64_t *ret_value)
{
    const char *at = v.text;
    uint64_t number;
    if (!bl_parse_u64(&at, &number) || at > v.text + v.length)
        return false;
    struct value rest = {at, (size_t)(v.text + v.length - at)};
    for (; units->name; units++) {
        if (equals(rest, units->name))
            return !__builtin_mul_overflow(number, units->factor, ret_value);
    }
    return false;
}

static bool parse_size(struct value v, uint64_t *ret_bytes)
{
    static const struct unit units[] = {
        {"", 1},          {"B", 1},          {"K", 1 << 10},   {"k", 1 << 10}, {"KiB", 1 << 10},
        {"M", 1 << 20},   {"m", 1 << 20},    {"MiB", 1 << 20}, {"G", 1 << 30}, {"g", 1 << 30},
        {"GiB", 1 << 30}, {"T", 1ull << 40}, {NULL, 0},
    };
    return parse_scaled(v, units, ret_bytes);
}

static bool parse_time(struct value v, uint64_t *ret_ns)
{
    static const struct unit units[] = {
        {"ms", 1000000u},    {"s", 1000000000u},    {"", 1000000000u},
        {"m", 60000000000u}, {"h", 3600000000000u}, {NULL, 0},
    };
    return parse_scaled(v, units, ret_ns);
}

static bool starts_with(struct value *v, const char *prefix)
{
    size_t length = strlen(prefix);
    if (v->length < length || memcmp(v->text, prefix, length) != 0)
        return false;
    v->text += length;
    v->length -= length;
    return true;
}

static bool parse_number(struct value v, uint64_t high, uint64_t *ret_number)
{
    const char *at = v.text;
    uint64_t number;
    if (!bl_parse_u64(&at, &number) || at != v.text + v.length || number > high)
        return false;
    *ret_number = number;
    return true;
}

static bool parse_signal_name(struct value v, int *ret_signal)
{
    uint64_t distance = 0;
    int count = SIGRTMAX - SIGRTMIN;
    for (int n = 1; n < SIGRTMIN; n++) {
        const char *name = sigabbrev_np(n);
        if (name && equals(v, name)) {
            *ret_signal = n;
            return true;
        }
    }
    if (equals(v, "IO")) {
        *ret_signal = SIGIO;
    } else if (equals(v, "RTMIN") ||
               (starts_with(&v, "RTMIN+") && parse_number(v, (uint64_t)count, &distance))) {
        *ret_signal = SIGRTMIN + (int)distance;
    } else if (equals(v, "RTMAX") ||
               (starts_with(&v, "RTMAX-") && parse_number(v, (uint64_t)count, &distance))) {
        *ret_signal = SIGRTMAX - (int)distance;
    } else {
        return false;
    }
    return true;
}

/* A crash returns to the instruction that crashed: answered with a snapshot, it would never end. */
static bool ends_process(uint64_t number)
{
    static const int ends[] = {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE,
                               SIGILL,  SIGTRAP, SIGSYS,  SIGABRT};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        if (number == (uint64_t)ends[i])
            return true;
    }
    return false;
}

static bool parse_signal(struct value v, int *ret_signal)
{
    uint64_t number = 0;
    int named = 0;
    if (equals(v, "none")) {
        *ret_signal = 0;
        return true;
    }
    starts_with(&v, "SIG");
    if (!parse_number(v, (uint64_t)SIGRTMAX, &number)) {
        if (!parse_signal_name(v, &named))
            return false;
        number = (uint64_t)named;
    }
    bool of_libc = number > 31 && number < (uint64_t)SIGRTMIN;
    if (number == 0 || ends_process(number) || of_libc)
        return false;
    *ret_signal = (int)number;
    return true;
}

static bool parse_real_time_signal(struct value v, int *ret_signal)
{
    int number = 0;
    if (!parse_signal(v, &number) || (number != 0 && number < SIGRTMIN))
        return false;
    *ret_signal = number;
    return true;
}

static bool parse_count(struct value v, uint64_t low, uint64_t high, uint32_t *ret_count)
{
    uint64_t number = 0;
    if (!parse_number(v, high, &number) || number < low)
        return false;
    *ret_count = (uint32_t)number;
    return true;
}

/* Stores one option. Returns NULL, or what would have been accepted. */
static const char *set_option(struct bl_conf *conf, struct value key, struct value v)
{
    static const char flag[] = "0 or 1";
    uint64_t number = 0;
    if (equals(key, "depth"))
        return parse_count(v, 1, BL_DEPTH_MAX, &conf->depth_frames) ? NULL : "frames, 1 to 512";
    if (equals(key, "signal"))
        return parse_signal(v, &conf->signal) ? NULL
                                              : "a signal name or number (not of a crash), or none";
    if (equals(key, "sample")) {
        bool ok = parse_size(v, &number) && number >= 1 && number <= 1ull << 40;
        conf->sample_bytes = ok ? number : conf->sample_bytes;
        return ok ? NULL : "1 (every buffer) or a mean number of bytes, for example 512K";
    }
    if (equals(key, "per")) {
        bool ok = v.length > 0 && v.length < 64 && !memchr(v.text, ',', v.length);
        conf->per = ok ? v.text : conf->per;
        conf->per_length = ok ? v.length : conf->per_length;
        return ok ? NULL : "the name of one function";
    }
    if (equals(key, "limit")) {
        bool ok = parse_size(v, &number) && number >= 1 && number <= 1ull << 60;
        conf->limit_bytes = ok ? number : conf->limit_bytes;
        return ok ? NULL : "a size, for example 64M";
    }
    if (equals(key, "limit_action")) {
        bool ok = equals(v, "fail") || equals(v, "report");
        conf->limit_fails = ok ? equals(v, "fail") : conf->limit_fails;
        return ok ? NULL : "report or fail";
    }
    if (equals(key, "interval")) {
        bool ok = parse_time(v, &number) && number >= 10000000u && number <= 3600000000000u;
        conf->interval_ns = ok ? number : conf->interval_ns;
        return ok ? NULL : "a time from 10ms to 1h";
    }
    if (equals(key, "follow"))
        return parse_flag(v, &conf->follow) ? NULL : flag;
    if (equals(key, "at_exit"))
        return parse_flag(v, &conf->at_exit) ? NULL : flag;
    if (equals(key, "quiet"))
        return parse_flag(v, &conf->quiet) ? NULL : flag;
    if (equals(key, "mmap"))
        return parse_flag(v, &conf->mmap) ? NULL : flag;
    if (equals(key, "profiles")) {
        bool automatic = equals(v, "auto");
        conf->profiles = automatic ? NULL : v.text;
        conf->profiles_length = automatic ? 0 : v.length;
        return v.length > 0 ? NULL : "auto, none, or a comma-separated list of names and files";
    }
    if (equals(key, "reach")) {
        conf->reach_at_exit = equals(v, "exit");
        return conf->reach_at_exit || equals(v, "none") ? NULL : "exit or none";
    }
    if (equals(key, "reach_signal"))
        return parse_real_time_signal(v, &conf->reach_signal)
                   ? NULL
                   : "a real-time signal such as RTMAX-3, or none";
    if (equals(key, "java_blocks")) {
        bool ok = parse_size(v, &number) && number >= 1 && number <= 1ull << 60;
        conf->java_blocks = ok ? number : conf->java_blocks;
        return ok ? NULL : "a size, for example 64K";
    }
    if (equals(key, "java_check"))
        return parse_count(v, 1, 1000000000, &conf->java_check) ? NULL : "a count from 1";
    if (equals(key, "fault_arena"))
        return parse_count(v, 0, 1000000, &conf->fault_arena) ? NULL : "a count";
    return "depth, signal, sample, profiles, interval, limit, limit_action, per, follow, at_exit, "
           "quiet, mmap, reach, reach_signal";
}

/* The last text of the options that depend on another; NULL = not given. */
struct dependent {
    struct value signal;
    struct value limit_action;
};

static void note_dependent(struct dependent *d, struct value key, struct value option)
{
    if (equals(key, "signal"))
        d->signal = option;
    else if (equals(key, "limit_action"))
        d->limit_action = option;
}

/* What each option accepts, but not together. reach_signal is real-time: never the default signal.
 */
static int check_dependent(struct bl_conf *conf, const struct dependent *d, bl_conf_error_fn *error,
                           void *context)
{
    int errors = 0;
    if (d->signal.text && conf->signal != 0 && conf->signal == conf->reach_signal) {
        errors++;
        conf->signal = SIGUSR1;
        error(context, d->signal.text, d->signal.length, "a signal other than reach_signal");
    }
    if (d->limit_action.text && conf->limit_fails && conf->limit_bytes == 0) {
        errors++;
        conf->limit_fails = false;
        error(context, d->limit_action.text, d->limit_action.length,
              "fail only together with limit, for example limit=64M");
    }
    return errors;
}

int bl_conf_parse(struct bl_conf *conf, const char *options, bl_conf_error_fn *error, void *context)
{
    int errors = 0;
    struct dependent dependent = {.signal.text = NULL};
    const char *at = options ? options : "";
    while (*at) {
        size_t length = strcspn(at, ":");
        const char *equal = memchr(at, '=', length);
        const char *accepted = "key=value";
        if (equal) {
            struct value key = {at, (size_t)(equal - at)};
            struct value v = {equal + 1, length - key.length - 1};
            accepted = set_option(conf, key, v);
            if (!accepted)
                note_dependent(&dependent, key, (struct value){at, length});
        }
        if (length > 0 && accepted) {
            errors++;
            error(context, at, length, accepted);
        }
        at += length + (at[length] == ':');
    }
    return errors + check_dependent(conf, &dependent, error, context);
}
