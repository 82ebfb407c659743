/*
 * The ledger: one file per process that always holds the whole answer.
 *
 * Written by the shim inside the target through a shared mapping, read by the CLI at any moment,
 * also while the target runs and after it was killed. This header is all that the two sides share.
 *
 * It is state, not a log: a live buffer has a record while it lives; when it is released the
 * record is free again. A file grows with the peak of what lives, never with time.
 *
 *   offset 0      struct bl_header            4,096 bytes
 *   offset 4096   struct bl_extent [1024]    16,384 bytes, the first header.extents_used are valid
 *   then          the extents, each a multiple of 4,096 bytes
 *
 * A section is an array of fixed-size records (NAMES: of bytes) laid out over its extents in the
 * order of the directory; record number n is found by adding up the lengths. An extent never
 * moves or shrinks. All integers are little-endian and fixed-width; a reference is a record number
 * or an offset, never a pointer.
 *
 * Publication. The writer fills a record, then makes it reachable with a release store: of
 * header.published[section] (append-only sections), of bl_live.word (live slab), of
 * header.extents_used (directory). A reader loads those with acquire, and reads nothing that is not
 * published. Times are CLOCK_MONOTONIC nanoseconds of the machine that ran the target.
 *
 * Trust. The reader treats every count, offset and length as hostile: the file may be truncated,
 * foreign, or written by a process with a wild pointer.
 *
 * Memory in time. SERIES names what is followed: the process's memory, each class that has had a
 * buffer, the largest and fastest sites, request boundaries. SAMPLES holds what was seen, in blocks
 * of one kilobyte; a block belongs to one series and one level. Level 0 has a sample for each turn
 * of the helper thread (interval), level 1 one for each BL_SAMPLES_PER_LEVEL of those, with the
 * least and the most seen between, level 2 one for each BL_SAMPLES_PER_LEVEL of level 1. All levels
 * are written as time passes, so that growing older is nothing but the loss of the oldest
 * blocks: a day of turns, a month and a year of the coarser ones (BL_SERIES_TURNS), and
 * BL_SAMPLE_BLOCKS_MAX blocks in all, whatever is followed. When those are used up, the sites that
 * are least lose their oldest, down to BL_SITE_BLOCKS_KEPT, before any other loses one. The helper
 * thread is the only writer, and makes the snapshots too: in a snapshot they agree.
 *
 * Crash story. The kernel keeps a shared mapping's pages when a process dies by any signal, so the
 * ledger of a killed process is as its last instruction left it: at most one operation in flight
 * per thread is half done. A half-done alloc leaves a record without BL_LIVE_BIT (not counted); a
 * half-done release leaves a block recorded that is about to be freed, or freed and not yet
 * counted. A sample is there when its block's `head` says so: of a process that was killed the
 * series ends at most one interval before it. A mark is there when its serial is not 0. A forked
 * child starts with neither. Space is reserved by posix_fallocate before it is mapped, so a full
 * disk is an error code in the writer and never SIGBUS. What could not be placed in the file is
 * held in the target's private memory instead: its extent has BL_EXTENT_PRIVATE, occupies its
 * record numbers, and cannot be read. After power loss the file is as the filesystem kept it: pages
 * that were not written are zeros, and it may end early. What lies outside it, or where the
 * directory was lost, is as if it had not been published; the rest is read.
 */
#ifndef BL_LEDGER_FORMAT_H
#define BL_LEDGER_FORMAT_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define BL_MAGIC          "BUFLEAK" /* 8 bytes with the NUL */
#define BL_VERSION_FORMAT 4u

#define BL_PAGE         4096u
#define BL_EXTENTS_MAX  1024u
#define BL_CLASSES_MAX  64u
#define BL_SHARDS       32u /* counters of one class are spread over this many cache lines */
#define BL_LOSSES_MAX   64u
#define BL_SECTIONS_MAX 32u
#define BL_BUILD_ID_MAX 32u
#define BL_MARK_NAME    48u /* bytes with the NUL */

/* incompatible_flags: a reader that does not know a set bit must refuse the file */
#define BL_INCOMPAT_KNOWN 0u

enum bl_section {
    BL_SECTION_NAMES = 0,    /* bytes; see struct bl_name */
    BL_SECTION_MODULES = 1,  /* struct bl_module; number 0 = unknown module */
    BL_SECTION_FRAMES = 2,   /* struct bl_frame, the stack trie; number 0 = root, the empty stack */
    BL_SECTION_THREADS = 3,  /* struct bl_thread; number 0 = unknown thread */
    BL_SECTION_CLASSES = 4,  /* struct bl_class */
    BL_SECTION_COUNTERS = 5, /* struct bl_counters, the same number as the class */
    BL_SECTION_LIVE = 6,     /* struct bl_live; number 0 is never used */
    BL_SECTION_HOOKS = 7,    /* struct bl_hook */
    BL_SECTION_OBJECTS = 8,  /* struct bl_object; number 0 is never used */
    BL_SECTION_EVENTS = 9,   /* struct bl_event; number 0 is never used */
    BL_SECTION_LIFECYCLES = 10,  /* struct bl_lifecycle; number 0 is never used */
    BL_SECTION_SERIES = 11,      /* struct bl_series; number 0 is never used */
    BL_SECTION_SAMPLES = 12,     /* struct bl_samples; number 0 is never used */
    BL_SECTION_MARKS = 13,       /* struct bl_mark */
    BL_SECTION_BOUNDARIES = 14,  /* struct bl_boundary */
    BL_SECTION_FREE_PATHS = 15,  /* struct bl_free_path; number 0 is never used */
    BL_SECTION_REACH = 16,       /* struct bl_reach, the same number as the live buffer */
    BL_SECTION_REACH_ROOTS = 17, /* struct bl_reach_root; number 0 is never used */
    BL_SECTION_REACH_RUN = 18,   /* struct bl_reach_run; number 0, the latest */
    BL_SECTION_ASSEMBLIES = 19,  /* struct bl_assembly; number 0 is never used */
    BL_SECTION_COUNT = 20,
};

/* Causes of loss: X(name in JSON, what it means to the person who reads the report, after a number:
 * "{one|many}" as that says). Append only: the position is the index into header.losses. */
#define BL_LOSSES(X)                                                                               \
    X(events_reentrant,                                                                            \
      "{operation|operations} by a signal handler that interrupted the shim, not recorded")        \
    X(buffers_no_memory, "{buffer|buffers} not recorded: no private memory for the index")         \
    X(buffers_no_space, "{buffer|buffers} not recorded: the live table is full")                   \
    X(buffers_replaced,                                                                            \
      "{buffer whose end was not seen: its|buffers whose end was not seen: their} address was "    \
      "given out again")                                                                           \
    X(blocks_before_start, "{block|blocks} allocated before tracking began, not recorded")         \
    X(frees_unknown, "{free of a block that was|frees of blocks that were} not recorded")          \
    X(stacks_truncated, "{stack|stacks} cut at the depth limit")                                   \
    X(stacks_unrooted, "{stack that ends|stacks that end} in code without unwind information")     \
    X(stacks_fallback, "{stack|stacks} taken by the slow unwinder")                                \
    X(stacks_dropped, "{stack|stacks} not recorded: the stack table is full or out of memory")     \
    X(modules_dropped, "{module|modules} not recorded: the module table is full or out of memory") \
    X(names_dropped, "{name|names} not recorded: the name pool is full or out of memory")          \
    X(threads_dropped, "{thread|threads} not recorded: the thread table is full or out of memory") \
    X(ledger_private_bytes,                                                                        \
      "{byte|bytes} of the ledger kept in private memory: no space in the file")                   \
    X(ledger_no_file, "{ledger|ledgers} without a file: the directory could not be used")          \
    X(snapshots_failed, "{snapshot|snapshots} that could not be written")                          \
    X(snapshots_inexact,                                                                           \
      "{snapshot|snapshots} copied without stopping writers: no memory for a pause")               \
    X(helper_missing, "helper {thread|threads} that could not be started: signals go unanswered")  \
    X(forks_unseen,                                                                                \
      "{fork|forks} that bypassed the C library: the child started with an empty ledger")          \
    X(inherited_dropped,                                                                           \
      "{buffer|buffers} of the parent that the forked child could not take over")                  \
    X(arena_failures, "private memory {mapping|mappings} refused by the system")                   \
    X(capture_busy, "{stack|stacks} not taken: a signal arrived inside the unwinder")              \
    X(signals_not_taken, "snapshot {signal|signals} that could not be hooked")                     \
    X(objects_dropped, "reference-counted {buffer|buffers} not recorded: no memory or no space")   \
    X(events_dropped,                                                                              \
      "reference {event|events} not recorded: calls nested too deep, or no memory "                \
      "or no space")                                                                               \
    X(events_overflow,                                                                             \
      "reference {event of a buffer|events of buffers} whose history is full: counted, not "       \
      "kept")                                                                                      \
    X(events_unknown,                                                                              \
      "{retain or release of a buffer|retains and releases of buffers} whose birth was not "       \
      "seen")                                                                                      \
    X(counts_drifted, "{buffer|buffers} whose own reference count differed from the one seen")     \
    X(lifecycles_dropped, "completed {lifecycle|lifecycles} not kept: their table is full")        \
    X(hooks_refused, "{function|functions} of a profile that could not be hooked; see hooks")      \
    X(sites_dropped, "{site|sites} not followed in time: too many different ones")                 \
    X(samples_dropped, "{sample|samples} of memory in time not recorded: no memory or no space")   \
    X(marks_dropped, "{mark|marks} dropped for newer ones, or not made: no memory or no space")    \
    X(free_paths_dropped,                                                                          \
      "{place|places} where sampled blocks were freed, not kept: their table is full")             \
    X(owners_unknown,                                                                              \
      "{buffer whose owner was not recorded: its|buffers whose owner was not recorded: their} "    \
      "end with it goes unseen")                                                                   \
    X(calls_refused,                                                                               \
      "{call|calls} of bufleak.h left undone: from a signal handler inside the shim, before it "   \
      "was ready, or without room")                                                                \
    X(profiles_broken, "{profile|profiles} with mistakes, or that could not be read; see hooks")   \
    X(execs_dropped,                                                                               \
      "{program|programs} started without the shim, whose {name was|names were} not kept")         \
    X(assemblies_dropped,                                                                          \
      "{place|places} where reactive chains were assembled, not kept: their table is full")        \
    X(releases_unmatched,                                                                          \
      "{release|releases} beyond what was taken, as far as seen, of buffers that lived: their "    \
      "profile may lack a function that retains or allocates; see hooks")

enum bl_loss {
#define BL_LOSS_ENUM(name, text) BL_LOSS_##name,
    BL_LOSSES(BL_LOSS_ENUM)
#undef BL_LOSS_ENUM
        BL_LOSS_COUNT,
};
static_assert(BL_LOSS_COUNT <= BL_LOSSES_MAX, "losses fit the header");

/* header.state */
enum bl_state {
    BL_STATE_RUNNING = 1, /* or killed: the reader asks the kernel whether the process is there */
    BL_STATE_EXITED = 2,  /* exit_kind and exit_status say how */
    BL_STATE_EXECED = 3,  /* replaced itself by another program, which has its own ledger if any */
};

/* header.exit_kind */
enum bl_exit_kind {
    BL_EXIT_NONE = 0,
    BL_EXIT_EXIT = 1,       /* exit() or return from main */
    BL_EXIT_UNDERSCORE = 2, /* _exit(), _Exit() */
    BL_EXIT_QUICK = 3,      /* quick_exit() */
    BL_EXIT_ABORT = 4,      /* abort() */
};

/* header.snapshot_reason; also JSON process.reason */
enum bl_reason {
    BL_REASON_LIVE = 0, /* not a snapshot: the ledger itself */
    BL_REASON_SIGNAL = 1,
    BL_REASON_DUMP = 2,
    BL_REASON_EXIT = 3,
    BL_REASON_LIMIT = 4,
};

/* header.limit_action */
enum bl_limit_action {
    BL_LIMIT_REPORT = 0, /* a snapshot is made */
    BL_LIMIT_FAIL = 1,   /* and allocations beyond the limit fail */
};

/* header.dump_flags: what a snapshot is to tell beside what is in the ledger anyway */
#define BL_DUMP_REACH      0x1u /* which heap blocks are lost, and what holds the others */
#define BL_DUMP_REACH_JAVA 0x2u /* the same of buffers that a virtual machine's objects hold */

/* header.flags */
#define BL_FLAG_FORKED    0x1u /* made at a fork: buffers born before forked_ns are inherited */
#define BL_FLAG_INEXACT   0x2u /* snapshot copied while writers went on */
#define BL_FLAG_NO_HELPER 0x4u /* nobody answers requests in this process */
#define BL_FLAG_QUIET     0x8u
#define BL_FLAG_AT_EXIT   0x10u
#define BL_FLAG_FOLLOW    0x20u
#define BL_FLAG_MMAP      0x40u /* class mmap is on */

/* How the stacks of Java threads were taken: recognised, but for these. Relaxed adds. */
struct bl_java_counts {
    uint64_t walks;   /* by the virtual machine: stacks that were new */
    uint64_t unkept;  /* of those, by threads whose stacks cannot be recognised */
    uint64_t checked; /* recognised ones that were compared with the machine's own walk */
    uint64_t wrong;   /* of those */
    /* the latest search for what the garbage collector took unreleased */
    uint64_t reach_ns;      /* when it began; release; 0 = there was none */
    uint64_t reach_gc_ns;   /* the collection took so long */
    uint64_t reach_walk_ns; /* and the program then stood still for so long */
    uint32_t reach_held;    /* buffers */
    uint32_t reach_lost;
};

/* What a Java program itself counts of its direct memory, as of the helper's latest look. */
enum bl_direct_kind {
    BL_DIRECT_NONE = 0,
    BL_DIRECT_NETTY = 1,      /* PlatformDependent.usedDirectMemory() of a copy of Netty */
    BL_DIRECT_NETTY_IDLE = 2, /* the same, and it does not count: the memory is in the pool below */
    BL_DIRECT_JDK = 3,        /* the buffer pool "direct" of java.lang.management */
};

struct bl_direct {
    uint32_t kind;        /*  0 release: the name is there before */
    uint32_t name;        /*  4 in NAMES: of the class that counts */
    uint64_t bytes;       /*  8 */
    uint64_t limit_bytes; /* 16 0 = none */
    uint64_t read_ns;     /* 24 */
};
static_assert(sizeof(struct bl_direct) == 32, "direct layout");
#define BL_DIRECT_MAX 5u

/* Why a program that the process started, or became, goes without the shim. */
enum bl_exec_reason {
    BL_EXEC_TRACKED = 0, /* nothing speaks against it */
    BL_EXEC_STATIC = 1,  /* it asks for no loader, which alone obeys LD_PRELOAD */
    BL_EXEC_SECURE = 2,  /* set-user-ID, set-group-ID or file capabilities: AT_SECURE */
    BL_EXEC_CLASS = 3,   /* made for another word size or machine than the shim */
};

/* Programs of one file and reason. A slot is taken by claim (0 to 1, for ever), written, then
 * published by reason; count is added to afterwards, and taken back where the call failed. */
struct bl_exec {
    uint32_t claim;  /*  0 atomic */
    uint32_t reason; /*  4 enum bl_exec_reason, release; 0 = not there yet */
    uint32_t count;  /*  8 relaxed adds */
    uint32_t pid;    /* 12 of the first */
    char comm[16];   /* 16 the name of the file that was asked for: of the script, if it is one */
    char path[80]; /* 32 the end of the program file's path: of the interpreter, if there is one */
};
static_assert(sizeof(struct bl_exec) == 112, "exec layout");
#define BL_EXECS_MAX 20u

struct bl_header {
    char magic[8];               /*    0 */
    uint32_t version;            /*    8 BL_VERSION_FORMAT */
    uint32_t incompatible_flags; /*   12 */
    uint32_t header_size;        /*   16 sizeof(struct bl_header) */
    uint32_t flags;              /*   20 BL_FLAG_* */
    uint32_t pid;                /*   24 as the process sees itself */
    uint32_t ppid;               /*   28 */
    uint32_t uid;                /*   32 effective, at the start */
    uint32_t parent_pid;         /*   36 the process it was forked from, with BL_FLAG_FORKED */
    uint64_t pid_namespace;      /*   40 inode of /proc/self/ns/pid; 0 unknown */
    uint64_t proc_start_ticks;   /*   48 field 22 of /proc/PID/stat; 0 unknown */
    uint64_t start_realtime_ns;  /*   56 CLOCK_REALTIME when the ledger was made */
    uint64_t start_ns;           /*   64 CLOCK_MONOTONIC at the same moment */
    uint64_t forked_ns;          /*   72 */
    uint8_t boot_id[16];         /*   80 of the kernel; zero unknown */
    char comm[16];               /*   96 */
    char tool_version[16];       /*  112 */
    uint32_t exe_name;           /*  128 in NAMES */
    uint32_t cmdline_name;       /*  132 in NAMES, arguments separated by NUL */
    uint32_t options_name;       /*  136 in NAMES, BUFLEAK_OPTIONS as given */
    uint32_t depth_frames;       /*  140 */
    uint64_t sample_bytes;       /*  144 1 = every buffer */
    uint64_t interval_ns;        /*  152 */
    int32_t signal;              /*  160 0 = none */
    uint32_t reserved0;          /*  164 */

    /* how it ended */
    uint32_t state;        /*  168 enum bl_state, atomic */
    uint32_t exit_kind;    /*  172 */
    int32_t exit_status;   /*  176 */
    uint32_t reserved1;    /*  180 */
    uint64_t end_ns;       /*  184 */
    uint64_t heartbeat_ns; /*  192 the helper thread's last turn */

    /* a snapshot is a copy of the file with these set */
    uint32_t snapshot_number; /* 200 N of the file name; 0 in the ledger itself */
    uint32_t snapshot_reason; /* 204 enum bl_reason */
    uint64_t snapshot_ns;     /* 208 the moment the copy stands for */

    /* Control words. wake is a futex (shared) that the helper thread waits on: a requester adds one
     * to dump_requests, adds one to wake, and wakes. The helper makes the snapshot, stores its
     * outcome, then sets dump_served to the request count it answered, and wakes dump_served. */
    uint32_t wake;            /*  216 futex */
    uint32_t dump_requests;   /*  220 atomic, by anyone who may write the file */
    uint32_t dump_served;     /*  224 futex */
    uint32_t signal_requests; /*  228 atomic, by the signal handler */
    uint32_t signal_served;   /*  232 */
    uint32_t snapshots;       /*  236 the highest N written so far */
    int32_t snapshot_error;   /*  240 errno of the latest attempt, 0 = written */
    uint32_t extents_used;    /*  244 release */

    uint64_t published[BL_SECTIONS_MAX]; /* 248 records (NAMES: bytes) of each section, release */
    uint64_t losses[BL_LOSSES_MAX];      /* 504 enum bl_loss, relaxed adds */

    /* limit= in BUFLEAK_OPTIONS: of the live bytes of class heap */
    uint64_t limit_bytes;      /* 1016 0 = none */
    uint32_t limit_action;     /* 1024 enum bl_limit_action */
    uint32_t limit_snapshots;  /* 1028 made by itself, at the limit and at each further tenth */
    uint64_t limit_reached_ns; /* 1032 for the first time; 0 = not yet */
    uint64_t limit_refused;    /* 1040 allocations that failed for it, relaxed adds */
    uint32_t limit_stack;      /* 1048 of the first of those; 0 = none */
    uint32_t reserved2;        /* 1052 */

    /* limits of others, and what is used of them: as of the helper's latest look. 0 = none known */
    uint64_t cgroup_limit_bytes;        /* 1056 the least memory.max up to the root */
    uint64_t address_space_limit_bytes; /* 1064 RLIMIT_AS */
    uint64_t direct_limit_bytes;        /* 1072 of a JVM's direct buffers */
    uint64_t rss_bytes;                 /* 1080 */
    uint64_t address_space_bytes;       /* 1088 */
    uint64_t cgroup_bytes;              /* 1096 memory.current of the cgroup with that limit */
    uint64_t sampled_ns;                /* 1104 the latest turn that took samples */
    uint64_t round_ns;                  /* 1112 how long the latest whole look at all sites took */

    /* A requester from outside takes mark_owner (0 to its pid; the pid of a process that is gone
     * may be replaced), writes mark_name, adds one to mark_requests and to wake, and wakes. The
     * helper makes the mark, then sets mark_served to the count it answered, wakes it, and the
     * requester gives mark_owner back. */
    uint32_t mark_owner;          /* 1120 */
    uint32_t mark_requests;       /* 1124 */
    uint32_t mark_served;         /* 1128 futex */
    int32_t mark_error;           /* 1132 errno of the latest, 0 = made */
    char mark_name[BL_MARK_NAME]; /* 1136 NUL-terminated */

    /* BL_DUMP_*: a requester sets bits before it adds to dump_requests, the helper takes them all
     */
    uint32_t dump_flags; /* 1184 atomic */
    uint32_t test_name;  /* 1188 in NAMES: what the process is a test of, as its environment says */

    struct bl_direct direct[BL_DIRECT_MAX]; /* 1192 */

    /* limit_action=fail */
    uint64_t limit_refused_bytes; /* 1352 relaxed adds */
    uint64_t limit_first_bytes;   /* 1360 what the first of those asked for */

    /* Frames and threads that nothing refers to any more are given another meaning: see struct
     * bl_frame and struct bl_thread */
    uint32_t frame_reuse;      /* 1368 counts the times that some became free for it, release */
    uint32_t frame_sweeps;     /* 1372 */
    uint64_t frames_reclaimed; /* 1376 */

    uint64_t profiles_broken; /* 1384 hash of what is wrong with profile files; 0 = nothing */

    uint64_t options_broken; /* 1392 the same of BUFLEAK_OPTIONS */

    /* Stacks of Java's large blocks that were dropped from their table, see java_direct.h */
    uint64_t java_stacks_forgotten; /* 1400 relaxed adds */

    uint32_t tests_named; /* 1408 counts the records of THREADS that were given a test_name */

    uint8_t reserved3[380]; /* 1412 */

    struct bl_exec execs[BL_EXECS_MAX]; /* 1792 that go without the shim */

    struct bl_java_counts java; /* 4032 */
};
static_assert(offsetof(struct bl_header, limit_bytes) == 1016, "header layout");
static_assert(offsetof(struct bl_header, mark_owner) == 1120, "header layout");
static_assert(offsetof(struct bl_header, java) == 4032, "header layout");
static_assert(offsetof(struct bl_header, reserved3) == 1412, "header layout");
static_assert(offsetof(struct bl_header, execs) == 1792, "header layout");
static_assert(offsetof(struct bl_header, dump_flags) == 1184, "header layout");
static_assert(offsetof(struct bl_header, direct) == 1192, "header layout");
static_assert(offsetof(struct bl_header, state) == 168, "header layout");
static_assert(offsetof(struct bl_header, wake) == 216, "header layout");
static_assert(offsetof(struct bl_header, losses) == 504, "header layout");
static_assert(sizeof(struct bl_header) == BL_PAGE, "header is one page");

#define BL_EXTENT_PRIVATE 0x1u /* held in the target's memory; offset is 0 */

struct bl_extent {
    uint64_t offset;  /* 0 in the file, a multiple of BL_PAGE */
    uint32_t pages;   /* 8 length in BL_PAGE */
    uint16_t section; /* 12 enum bl_section */
    uint16_t flags;   /* 14 BL_EXTENT_* */
};
static_assert(sizeof(struct bl_extent) == 16, "extent layout");

#define BL_EXTENTS_OFFSET BL_PAGE
#define BL_EXTENTS_END    (BL_EXTENTS_OFFSET + BL_EXTENTS_MAX * 16u)

/* A name is referred to by the offset of this struct in NAMES; 0 = no name. Entries are 4-byte
 * aligned and never cross an extent; gaps are skipped because nothing refers to them. */
struct bl_name {
    uint32_t length; /* of text, without the NUL that follows it */
    char text[];
};
static_assert(sizeof(struct bl_name) == 4, "name layout");

#define BL_MODULE_MAIN    0x1u /* the executable */
#define BL_MODULE_SHIM    0x2u /* libbufleak.so itself: its frames are not shown */
#define BL_MODULE_VDSO    0x4u
#define BL_MODULE_MANAGED 0x8u /* a package of Java classes; path_name is its name */

struct bl_module {
    uint32_t path_name;                /*  0 in NAMES */
    uint32_t generation;               /*  4 counts unloads before this module was seen */
    uint8_t build_id[BL_BUILD_ID_MAX]; /*  8 */
    uint32_t build_id_length;          /* 40 0 = none */
    uint32_t flags;                    /* 44 BL_MODULE_* */
    uint64_t map_start;                /* 48 */
    uint64_t map_end;                  /* 56 */
    uint64_t load_bias;                /* 64 address = load_bias + ELF virtual address */
    uint64_t first_seen_ns;            /* 72 */
    uint64_t unloaded_ns;              /* 80 0 = still there, as far as known */
    uint64_t reserved;                 /* 88 */
};
static_assert(sizeof(struct bl_module) == 96, "module layout");

#define BL_FRAME_MODULE_MASK 0x00ffffffu
#define BL_FRAME_EXACT       0x01000000u /* the address itself; else it is a return address */
#define BL_FRAME_TRUNCATED   0x02000000u /* outermost recorded frame, there were more (depth) */
#define BL_FRAME_UNROOTED    0x04000000u /* outermost recorded frame, unwinding stopped here */

#define BL_FRAME_MANAGED                                                                           \
    0x08000000u /* of a Java method: the offset's lower half is in NAMES, "CLASS.METHOD\0FILE"     \
                 * with the class's full name, its upper half the line, 0 = unknown */
/* In the upper half: not a line, but the bytecode's index, of a method whose class file has no
 * lines (jlink --strip-debug, ProGuard). Without it all calls in such a method would be one place.
 */
#define BL_FRAME_BYTECODE 0x80000000u

/* One node of the stack trie. A stack is named by its innermost frame; the parent is the caller.
 * A frame means the same for as long as any record of the ledger refers to it, and for a while
 * longer; then its number may be given to another. A reader that copies records first and frames
 * afterwards has the right ones if header.frame_reuse was the same before and after: what became
 * free for use before it began, no record referred to any more. */
struct bl_frame {
    uint32_t parent; /* 0 frame number, always lower than this one's; 0 = outermost */
    uint32_t module; /* 4 module number and BL_FRAME_* */
    uint64_t offset; /* 8 ELF virtual address in the module; absolute where the module is 0 */
};
static_assert(sizeof(struct bl_frame) == 16, "frame layout");

#define BL_THREAD_ENDED 0x1u
/* a thread that has another record, while it ran the test that the program named: what is born then
 * has this number */
#define BL_THREAD_TEST 0x2u

/* The number of one that has ended and that no record names is given to another thread:
 * header.frame_reuse counts the times that some became free for it. */
struct bl_thread {
    uint32_t tid;       /*  0 */
    uint32_t flags;     /*  4 */
    uint64_t start_ns;  /*  8 when first seen */
    char name[16];      /* 16 as of the last look */
    uint64_t end_ns;    /* 32 with BL_THREAD_ENDED */
    uint32_t test_name; /* 40 in NAMES: the test it runs, or was started by; 0 = none */
    uint32_t reserved[5];
};
static_assert(sizeof(struct bl_thread) == 64, "thread layout");

#define BL_CLASS_REFCOUNTED 0x1u /* its buffers are in OBJECTS, not in LIVE */
#define BL_CLASS_RELEASED   0x2u /* it has functions that end its buffers, not owners alone */
/* the profile's count field showed another number at the first birth: it is not used */
#define BL_CLASS_FIELD_DROPPED 0x4u
/* some of its functions are not seen wherever they are called from: references may have been taken
 * or given back unseen */
#define BL_CLASS_PARTIAL 0x8u
/* its buffers are those that the program asked to ignore, or whose bytes are another class's */
#define BL_CLASS_HIDDEN 0x10u
/* references are taken and given back where no call is seen: of a buffer its birth is known, and
 * where the last reference was given back */
#define BL_CLASS_INLINED 0x20u
/* releases came when none was left that was seen, and the library took them for the last: functions
 * that retain or allocate are not in its profile */
#define BL_CLASS_LACKS 0x40u

#define BL_BLOCKS_SHIFT 16

struct bl_class {
    uint32_t name;          /*  0 in NAMES */
    uint32_t flags;         /*  4 BL_CLASS_* */
    uint64_t settled_bytes; /*  8 live bytes that the shards have reported so far, see below */
    uint64_t peak_bytes;    /* 16 highest settled_bytes: at most 2 % below the true peak */
    uint32_t own_modules;   /* 24 in NAMES: file name patterns of the class's library, separated by
                             * blanks; their frames are not the caller's own code */
    uint32_t profile_name;  /* 28 in NAMES: the profile it came from */
    uint64_t
        ended_blocks; /* 32 class heap with sample=: how many blocks the recorded ones that ended
                       * stand for, each by its own size, in 1/2^BL_BLOCKS_SHIFT; atomic */
    uint8_t reserved[24];
};
static_assert(sizeof(struct bl_class) == 64, "class layout");

/* One cache line; a shard is written under that shard's lock only. Sums wrap modulo 2^64. */
struct bl_counter {
    uint64_t allocs;        /*  0 buffers recorded */
    uint64_t alloc_bytes;   /*  8 */
    uint64_t frees;         /* 16 recorded buffers ended */
    uint64_t free_bytes;    /* 24 live bytes = alloc_bytes - free_bytes */
    uint64_t retains;       /* 32 */
    uint64_t releases;      /* 40 */
    uint64_t over_releases; /* 48 */
    int64_t unsettled;      /* 56 live bytes not yet added to bl_class.settled_bytes */
};
static_assert(sizeof(struct bl_counter) == 64, "counter layout");

struct bl_counters {
    struct bl_counter shard[BL_SHARDS];
};
static_assert(sizeof(struct bl_counters) == 2048, "counters layout");

/* bl_live.word: bit 0 live, bits 1-7 generation, bits 8-14 class, bit 15 the program asked to
 * ignore it (what it points to is held all the same), bits 16-63 size in bytes. A reader that loads
 * the same word before and after the other fields has a whole record. */
#define BL_LIVE_BIT              1ull
#define BL_LIVE_GENERATION_SHIFT 1
#define BL_LIVE_GENERATION_MASK  0x7full
#define BL_LIVE_CLASS_SHIFT      8
#define BL_LIVE_CLASS_MASK       0x7full
#define BL_LIVE_IGNORED          0x8000ull
#define BL_LIVE_SIZE_SHIFT       16
#define BL_LIVE_SIZE_MAX         0xffffffffffffull

struct bl_live {
    uint64_t word;     /*  0 release store last when it is born, first when it ends */
    uint64_t address;  /*  8 */
    uint64_t birth_ns; /* 16 in clock ticks of at most 4 ms, so a birth may seem to precede a fork
                        * that it followed: the threads tell, a forked child's own begin with the
                        * first whose tid is the pid */
    uint32_t stack;    /* 24 frame number; 0 = none. In a free record: the next free one */
    uint32_t thread;   /* 28 thread number */
};
static_assert(sizeof(struct bl_live) == 32, "live layout");

/* A live buffer of a reference-counted class. Its operations are a list of events, newest first.
 * The word is as in bl_live and is published the same way; events and counts of a live object
 * change while it is read: a reader that finds the same word afterwards has a whole record, whose
 * latest event may be missing. */
struct bl_object {
    uint64_t word;           /*  0 as bl_live.word */
    uint64_t address;        /*  8 the handle */
    uint64_t birth_ns;       /* 16 */
    uint32_t stack;          /* 24 of the birth. In a free record: the next free one */
    uint32_t thread;         /* 28 */
    int32_t refs;            /* 32 references seen taken, less those seen given back */
    uint32_t events;         /* 36 event number, newest; 0 = none */
    uint8_t event_count;     /* 40 distinct events kept */
    uint8_t event_bits[3];   /* 41 for the shim: a bit of each of them, see history.c; without any,
                              * how deep in the stack the birth was told, see ref_index.h */
    uint16_t event_overflow; /* 44 operations that found the history full, UINT16_MAX: or more */
    uint16_t flags;          /* 46 BL_OBJECT_* */
    uint32_t owner;          /* 48 object that it ends with, 0 = none known */
    uint32_t serial;         /* 52 counts the buffers that the record has stood for */
    uint32_t birth;          /* 56 which of the process's births it was, modulo 2^32 */
    /* 60 the object's own count at its latest event, if the profile knows it; or the lower half of
     * the handle of a buffer of its class that holds it */
    int32_t field;
};
static_assert(sizeof(struct bl_object) == 64, "object layout");

#define BL_OBJECT_FIELD   0x1u /* field is valid */
#define BL_OBJECT_DRIFTED 0x2u /* field and refs differed at its latest event */
/* not live: released again after its end; both releases are its events */
#define BL_OBJECT_GHOST 0x4u
#define BL_OBJECT_HELD  0x8u /* the heap block at its address ends it */
/* it was allocated in an owner whose birth was not seen, so neither will its end be */
#define BL_OBJECT_OWNER_UNKNOWN 0x10u
#define BL_OBJECT_ENDING        0x20u  /* a destroy is under way */
#define BL_OBJECT_REPLACING     0x40u  /* a call is under way that may release it */
#define BL_OBJECT_HOLDER        0x80u  /* field names the one that holds it */
#define BL_OBJECT_CLEARING      0x100u /* a call is under way that ends what it owns */
#define BL_OBJECT_MOVING        0x800u /* a call is under way that may give it another address */
/* by the latest search that it was there for, see bl_java_counts; or neither */
#define BL_OBJECT_REACHED 0x200u
#define BL_OBJECT_LOST    0x400u
/* Of a ghost: how it looked when it was released again. HELD: it was gone. KEPT: the heap block
 * that it had was still there. AGAIN: there was another one at its address. None of them: unknown.
 */
#define BL_OBJECT_KEPT  0x1000u
#define BL_OBJECT_AGAIN 0x2000u

enum bl_op {
    BL_OP_ALLOC = 1,
    BL_OP_RETAIN = 2,
    BL_OP_RELEASE = 3,
    BL_OP_END = 4,          /* the final release, or the destroy */
    BL_OP_OVER_RELEASE = 5, /* release of a dead or unknown handle */
    BL_OP_RESIZE = 6,
    BL_OP_TRANSFER = 7,  /* became part of another buffer, which answers for it */
    BL_OP_OWNER_END = 8, /* ended with its owner; no release of its own was seen */
    /* pairs of a retain and a release in one and the same call, which left a full history; its
     * `folded` counts them, it has no stack and no thread */
    BL_OP_BALANCED = 9,
    BL_OP_FREED = 10, /* its heap block was freed while references were left, as far as seen */
};

/* Equal operations (same op, stack and delta) of one buffer fold into one event. An event is also a
 * step of a completed lifecycle's exemplar. */
struct bl_event {
    uint64_t time_ns;    /*  0 of the latest of the folded ones */
    uint32_t next;       /*  8 older event; 0 = none. In a free record: the next free one */
    uint32_t stack;      /* 12 */
    uint32_t thread;     /* 16 of the latest */
    int32_t delta;       /* 20 change of the count by one operation */
    uint32_t folded;     /* 24 how many operations this stands for, at least 1 */
    uint16_t op;         /* 28 enum bl_op */
    int16_t count_after; /* 30 references after the latest, clamped */
};
static_assert(sizeof(struct bl_event) == 32, "event layout");

#define BL_LIFETIME_BUCKETS 16u
#define BL_LAG_BUCKETS      14u

/* How often buffers of one class lived through the same operations (op, stack, delta and how often,
 * in any order) and ended well. */
struct bl_lifecycle {
    uint64_t hash;                           /*  0 of the multiset of operations */
    uint64_t count;                          /*  8 buffers; 0 = unused record */
    uint64_t bytes;                          /* 16 */
    uint64_t min_ns;                         /* 24 lifetimes */
    uint64_t max_ns;                         /* 32 */
    uint64_t total_ns;                       /* 40 */
    uint64_t last_ns;                        /* 48 when the latest of them ended */
    uint32_t events;                         /* 56 exemplar: event number, newest first */
    uint32_t event_count;                    /* 60 */
    uint32_t class_number;                   /* 64 */
    uint32_t overflow;                       /* 68 operations of the exemplar that were not kept */
    uint32_t histogram[BL_LIFETIME_BUCKETS]; /* 72 bucket i: lifetimes below 4^i microseconds, the
                                                last all others */
    uint32_t alloc_stack;
    uint32_t lived_least; /* 140 see lived */
    uint64_t first_ns;    /* 144 when the first of them ended; 0 unknown */
    uint64_t ends_ns;     /* 152 sum of the times from there to each end; 0 unknown */
    /* The order of births and ends, which no clock tells of a fast program: births are numbered
     * through the process, modulo 2^32 (struct bl_object.birth). */
    uint64_t newest_ns; /* 160 when the youngest of them was born */
    uint64_t span;      /* 168 births of the process from the first of them to the youngest */
    uint64_t outlasted; /* 176 of those born on the same stack, ended between their birth and
                               their end */
    uint32_t newest;    /* 184 birth of the youngest of them */
    uint32_t lag_most;  /* 188 see lags */
    /* 192 by how many births of the process the youngest that was born on the same stack, and had
     * ended before, was younger: bucket 0: none was, bucket i: fewer than 4^i, the last all others
     */
    uint32_t lags[BL_LAG_BUCKETS];
    uint64_t lived; /* 248 sum of the births of the process that each lived through */
};
static_assert(offsetof(struct bl_lifecycle, histogram) == 72, "lifecycle layout");
static_assert(offsetof(struct bl_lifecycle, lags) == 192, "lifecycle layout");
static_assert(sizeof(struct bl_lifecycle) == 256, "lifecycle layout");

/* bl_series.kind */
enum bl_series_kind {
    BL_SERIES_UNUSED = 0,
    BL_SERIES_RSS = 1,           /* bytes: resident */
    BL_SERIES_ADDRESS_SPACE = 2, /* bytes: mapped; only under RLIMIT_AS */
    BL_SERIES_CGROUP = 3,        /* bytes: memory.current */
    BL_SERIES_CLASS = 4,         /* bytes and count of what lives; total: allocs */
    BL_SERIES_SITE = 5,          /* the same of one site; total: births that were seen alive */
    BL_SERIES_BOUNDARY = 6,      /* total: requests completed */
    BL_SERIES_DIRECT = 7,        /* bytes: bl_header.direct */
};

#define BL_SERIES_MAX        256u /* records of SERIES */
#define BL_LEVELS            3u
#define BL_SAMPLES_PER_LEVEL 60u
/* How far back a series reaches at each level, in turns of the helper; blocks that it may have for
 * that, which is enough for samples of 24, 40 and 40 bytes; and those that a site does not have to
 * give up, about an hour of turns, a day and a month of the others. Samples take 8 to 16 bytes: so
 * BL_SAMPLE_BLOCKS_MAX is enough for all that of sixteen sites, six classes and the process beside
 * what the other sites keep, while everything changes at every turn. */
#define BL_SERIES_TURNS                                                                            \
    {                                                                                              \
        86400ull, 43200ull * 60, 8760ull * 3600                                                    \
    }
#define BL_SERIES_BLOCKS                                                                           \
    {                                                                                              \
        2160, 1800, 365                                                                            \
    }
#define BL_SITE_BLOCKS_KEPT                                                                        \
    {                                                                                              \
        60, 36, 18                                                                                 \
    }
#define BL_SAMPLE_BLOCKS_MAX 49152u

/* A site is the innermost frame of a stack that is in no runtime library (BL_RUNTIME_MODULES) and
 * not in its class's own, by module and offset; `stack` is one of the stacks that pass it. Of a
 * stack of Java methods that are all its class's own it is the innermost of another package than
 * the first, where the class is reference-counted, else the innermost that is not in
 * BL_JAVA_PACKAGES; else it is the innermost there is. */
struct bl_series {
    uint32_t kind;         /*  0 release: the rest is filled in before */
    uint32_t class_number; /*  4 of a class, a site */
    uint32_t stack;        /*  8 of a site; a boundary's number; a counter's in bl_header.direct */
    uint32_t site;         /* 12 frame number in that stack */
    uint64_t since_ns;     /* 16 */
    uint64_t until_ns;     /* 24 given up for another site; 0 = followed */
    uint64_t peak_bytes;   /* 32 the most that was sampled, ever */
    uint64_t peak_ns;      /* 40 when */
    uint64_t reserved[2];  /* 48 */
};
static_assert(sizeof(struct bl_series) == 64, "series layout");

/* What one sample says. `total` is since the start of the series and only rises; what was released
 * is the change of total less the change of count. */
struct bl_sample {
    uint64_t bytes;
    uint64_t total;
    uint32_t count;
    uint32_t after; /* time since bl_samples.base_ns, in its units */
};

/* Of levels 1 and 2: the same at the end of its span, and the extremes within. */
struct bl_coarse_sample {
    struct bl_sample last;
    uint64_t min_bytes;
    uint64_t max_bytes;
};

/* Blocks of one series and level are in time order of their serials. A block that is used again has
 * `head` 0 first, then a new serial. How samples are written into `code` is in sample_code.h. */
#define BL_SAMPLES_CODE 984u
struct bl_samples {
    uint64_t serial;  /*  0 counts the blocks of the process; 0 = never used */
    uint64_t base_ns; /*  8 of its first sample */
    uint64_t unit_ns; /* 16 at least 1 */
    uint32_t series;  /* 24 */
    uint32_t level;   /* 28 */
    /* 32 release: bytes of code, and in the upper half bl_sample.after of the latest sample. Two
     * equal samples in a row stand for all equal ones between: the later is moved on instead of a
     * third being added. */
    uint64_t head;
    uint8_t code[BL_SAMPLES_CODE]; /* 40 */
};
static_assert(offsetof(struct bl_samples, code) == 40, "samples layout");
static_assert(sizeof(struct bl_samples) == 1024, "samples layout");

/* bl_mark.kind */
enum bl_mark_kind {
    BL_MARK_PLAIN = 1,
    BL_MARK_CHECKPOINT = 2, /* by the program, which may ask for growth since */
    BL_MARK_GREW = 3,       /* bufleak_assert_no_growth did not hold: grown_bytes */
};

struct bl_mark_class {
    uint64_t live_bytes; /*  0 */
    uint64_t live_count; /*  8 */
    uint64_t allocs;     /* 16 */
    uint64_t ended;      /* 24 */
};
static_assert(sizeof(struct bl_mark_class) == 32, "mark layout");

/* A ring: mark n is the record n % BL_MARKS_MAX, counted from 0, and its serial is n + 1. */
#define BL_MARKS_MAX 512u
struct bl_mark {
    uint64_t serial;         /*   0 release, last; 0 while it is written */
    uint64_t time_ns;        /*   8 */
    uint32_t kind;           /*  16 enum bl_mark_kind */
    uint32_t thread;         /*  20 0 = asked from outside */
    uint32_t stack;          /*  24 where the program made it; 0 = none */
    uint32_t class_count;    /*  28 of classes, the others are zero */
    uint64_t rss_bytes;      /*  32 as of the latest sample */
    int64_t grown_bytes;     /*  40 */
    uint64_t since_serial;   /*  48 the checkpoint that grown_bytes counts from */
    uint64_t completed;      /*  56 requests of the boundary */
    uint32_t boundary;       /*  64 what per= names, else what had completed most, + 1; 0 = none */
    uint32_t reserved[3];    /*  68 */
    char name[BL_MARK_NAME]; /*  80 NUL-terminated */
    struct bl_mark_class classes[BL_CLASSES_MAX]; /* 128 by class number */
};
static_assert(offsetof(struct bl_mark, name) == 80, "mark layout");
static_assert(sizeof(struct bl_mark) == 2176, "mark layout");

/* A function whose return ends a request, or what else stands for one. */
#define BL_BOUNDARIES_MAX 64u
#define BL_BOUNDARY_ASKED 0x1u /* by per= */
struct bl_boundary {
    uint64_t completed;     /*  0 relaxed adds */
    uint32_t function_name; /*  8 in NAMES */
    uint32_t module_name;   /* 12 in NAMES */
    uint64_t flags;         /* 16 BL_BOUNDARY_* */
    uint64_t reserved[5];   /* 24 a cache line of its own */
};
static_assert(sizeof(struct bl_boundary) == 64, "boundary layout");

/* Libraries that allocate for others: patterns of file names, blank-separated; `*` stands for any
 * bytes (bl_profile_matches). */
#define BL_RUNTIME_MODULES                                                                         \
    "libc.so* libc-*.so* ld-linux* ld-2*.so* ld-musl* libstdc++.so* libc++.so* libc++abi* "        \
    "libpthread* libjemalloc* libtcmalloc* libmimalloc* libgcc_s* libm.so* libdl.so* libdl-*.so* " \
    "linux-vdso.so* [vdso]"

/* Packages of the Java platform. */
#define BL_JAVA_PACKAGES "java.* javax.* jdk.* sun.* com.sun.*"

/* Where heap blocks of one allocation stack are freed. Of the blocks of each stack a sample is
 * chosen at random when they are born: in each thread the first ones, then ever fewer, down to one
 * in 1,024; so counts compare within a stack, and say nothing about how many blocks there were. */
struct bl_free_path {
    uint32_t alloc_stack; /*  0 */
    uint32_t free_stack;  /*  4 */
    uint64_t count;       /*  8 sampled blocks; 0 = unused record */
    uint64_t bytes;       /* 16 */
    uint64_t max_ns;      /* 24 lifetimes */
    uint64_t total_ns;    /* 32 */
    uint64_t last_ns;     /* 40 when the latest of them was freed */
    uint32_t op;          /* 48 BL_OP_END, or BL_OP_RESIZE: realloc made another block of it */
    uint32_t check;       /* 52 bl_free_path_check: a reader that sees another one saw half a record
                           */
    uint64_t reserved;    /* 56 */
};
static_assert(sizeof(struct bl_free_path) == 64, "free path layout");

static inline uint32_t bl_free_path_check(uint32_t alloc_stack, uint32_t free_stack)
{
    return alloc_stack * 0x9e3779b1u ^ free_stack;
}

/* Who put the reactive chain together in which a Java stack was seen, by its own words: a
 * checkpoint's description, or operator, method and line. A stack was asked a few times. */
enum bl_assembly_relation {
    BL_ASSEMBLY_OF_OPERATOR = 1, /* it says this of the operator in which the event happened */
    BL_ASSEMBLY_OF_SOURCE = 2,   /* of the one before, which handed on to it */
};

struct bl_assembly {
    uint32_t stack;
    uint32_t name;     /*  4 in NAMES */
    uint32_t relation; /*  8 enum bl_assembly_relation */
    uint32_t count;    /* 12 how often it said so */
};
static_assert(sizeof(struct bl_assembly) == 16, "assembly layout");

/*
 * Reach: what a conservative mark phase found. The program's threads were stopped for the moment of
 * a clone, and a child marked what its memory was then: from module data, stacks, registers, TLS
 * and mapped regions, through the blocks themselves. REACH has a record for each live record
 * that is a heap block, as it was at that moment; it stands for the buffer only while
 * bl_reach_check of the live record is `check`. Results are the latest run's; they are written
 * while its outcome is BL_REACH_RUNNING, and count only when it is BL_REACH_DONE.
 */
enum bl_reach_grade {
    BL_REACH_NONE = 0,     /* not told */
    BL_REACH_EXACT = 1,    /* held: some pointer to its start is held itself */
    BL_REACH_INTERIOR = 2, /* held, but only by pointers into its middle */
    BL_REACH_LEADER = 3,   /* lost, and no other lost block leads to it, or it stands for a cycle */
    BL_REACH_INDIRECT = 4, /* lost with a leader, which its holders lead to */
};

struct bl_reach {
    uint32_t check;    /*  0 bl_reach_check */
    uint8_t grade;     /*  4 enum bl_reach_grade */
    uint8_t is_root;   /*  5 the holder is a root */
    uint16_t reserved; /*  6 */
    uint32_t holder;   /*  8 live record, or record of REACH_ROOTS; 0 = none */
    uint32_t inside;   /* 12 where in this block the pointer points, clamped */
    uint64_t slot;     /* 16 where in the holder the pointer is; of a root its address */
};
static_assert(sizeof(struct bl_reach) == 24, "reach layout");

static inline uint32_t bl_reach_check(const struct bl_live *live)
{
    uint64_t mixed = (live->word ^ live->address * 0x9e3779b97f4a7c15u) * 0xff51afd7ed558ccdu;
    return (uint32_t)(mixed >> 32) | 1u;
}

enum bl_root_kind {
    BL_ROOT_UNKNOWN = 0,
    BL_ROOT_GLOBAL = 1,   /* data of a module: offset is the ELF virtual address in it */
    BL_ROOT_STACK = 2,    /* offset: the code of the frame, in module; or module 0: unknown */
    BL_ROOT_REGISTER = 3, /* of a stopped thread */
    BL_ROOT_TLS = 4,      /* thread-local data, or what libc keeps for the thread */
    BL_ROOT_REGION = 5,   /* a mapped region: name, offset in it */
    BL_ROOT_LOADER = 6,   /* the block itself: allocated by the dynamic loader */
    BL_ROOT_MOVING = 7,   /* in a block that is being reallocated */
    BL_ROOT_EARLY = 8,    /* in a block from before tracking began */
    BL_ROOT_KERNEL = 9,   /* the kernel knows it: an alternate signal stack */
};

struct bl_reach_root {
    uint64_t slot;   /*  0 address */
    uint64_t offset; /*  8 as the kind says */
    uint32_t module; /* 16 module number, 0 = none */
    uint32_t thread; /* 20 thread number, 0 = none or unknown */
    uint32_t tid;    /* 24 the same as the kernel calls it */
    uint32_t kind;   /* 28 enum bl_root_kind */
    uint32_t name;   /* 32 in NAMES: of a region */
    uint32_t reserved;
};
static_assert(sizeof(struct bl_reach_root) == 40, "reach root layout");

enum bl_reach_outcome {
    BL_REACH_NOT_RUN = 0,
    BL_REACH_RUNNING = 1,
    BL_REACH_DONE = 2,
    BL_REACH_FAILED = 3, /* why_name says why: nothing is known, which is not the same as nothing
                            lost */
};

enum bl_reach_method {
    BL_REACH_BY_CLONE = 1,
    BL_REACH_IN_PROCESS = 2,
};

/* Heap blocks are alive that are not recorded: what they alone hold looks lost. No verdict. */
#define BL_REACH_INCOMPLETE 0x1u
/* The allocator is not the C library's: its memory is told from the program's by mapping only. */
#define BL_REACH_OTHER_ALLOCATOR 0x2u
/* Made at the end of the process: it is the ledger's own. Without it a run is that of the snapshot
 * whose snapshot_ns is not after its stopped_ns, and stale in all other pictures. */
#define BL_REACH_AT_EXIT 0x4u

struct bl_reach_run {
    uint32_t outcome;          /*   0 enum bl_reach_outcome, release */
    uint32_t method;           /*   4 enum bl_reach_method */
    uint32_t flags;            /*   8 BL_REACH_* */
    uint32_t why_name;         /*  12 in NAMES */
    uint64_t stopped_ns;       /*  16 when the picture was taken */
    uint64_t pause_ns;         /*  24 threads were stopped for so long */
    uint64_t locked_ns;        /*  32 allocations waited for so long, the pause included */
    uint64_t total_ns;         /*  40 until the result was there */
    uint32_t threads;          /*  48 other than the shim's own and the one that asked */
    uint32_t threads_stopped;  /*  52 with their registers */
    uint32_t threads_degraded; /*  56 not stopped: their stacks are seen, not all their registers;
                                  what looks lost may be held by those */
    int32_t child_status;  /*  60 of the marking child, as waitpid has it; -1 = there was none */
    int32_t error;         /*  64 errno behind `why`, 0 = none */
    uint32_t regions;      /*  68 scanned as roots */
    uint64_t root_bytes;   /*  72 */
    uint64_t heap_bytes;   /*  80 of the blocks that were scanned */
    uint64_t blocks;       /*  88 judged: held, interior, leaders and indirect are their sum */
    uint64_t held;         /*  96 by a pointer to the start */
    uint64_t interior;     /* 104 */
    uint64_t leaders;      /* 112 */
    uint64_t indirect;     /* 120 */
    uint64_t lost_bytes;   /* 128 of the latter two */
    uint64_t reserved[15]; /* 136 */
};
static_assert(sizeof(struct bl_reach_run) == 256, "reach run layout");

enum bl_hook_method {
    BL_HOOK_NONE = 0,
    BL_HOOK_SYMBOL = 1,
    BL_HOOK_ENTRY = 2,
    BL_HOOK_IMPORT = 3,
    BL_HOOK_BYTECODE = 4,
    BL_HOOK_LASTING = 5, /* no hook: what is made inside the function stays to the end */
    BL_HOOK_PROFILE = 6, /* no function: what is wrong with a profile file */
    BL_HOOK_WANTED = 7,  /* no function: a class that a profile file names */
};

#define BL_LASTING_BIRTHS 0x1u /* births only, no retains */

struct bl_hook {
    uint32_t function_name; /*  0 in NAMES */
    uint32_t class_number;  /*  4 */
    uint32_t method;        /*  8 enum bl_hook_method */
    uint32_t why_name;      /* 12 in NAMES: why it is not hooked or what is unseen; 0 = nothing */
    uint32_t module_name;   /* 16 in NAMES: file the function is in */
    /* of BL_HOOK_LASTING: */
    uint32_t code_start; /* 20 ELF virtual address in the module */
    uint32_t code_bytes; /* 24 */
    uint32_t flags;      /* 28 BL_LASTING_* */
    /* of BL_HOOK_PROFILE, whose module_name is the profile's file, and why_name its first mistake:
     * code_start is the line of that, 0 = none; code_bytes the column; flags how many there are */
    /* of BL_HOOK_WANTED: function_name is the class's, module_name the profile's file, why_name the
     * libraries it is for. It is tracked if CLASSES has one of that name and profile, with a
     * function that is hooked. */
};
static_assert(sizeof(struct bl_hook) == 32, "hook layout");
/* why_name of malloc, where another definition comes before the shim's */
#define BL_WHY_OTHER_MALLOC                                                                        \
    "the program brings a malloc of its own: only what that passes on is seen"
/* and of malloc or free, where a library has changed it while the program ran */
#define BL_WHY_REPLACED_MALLOC                                                                     \
    "a library has put functions of its own in the place of malloc's: blocks that go there are "   \
    "not seen, or seen to live for ever"

/* File names in the ledger directory. NAME is comm with every byte outside [A-Za-z0-9_+-] turned
 * into '_'; START is start_realtime_ns / 1000 in decimal. The file is created with O_EXCL.
 *   NAME.PID.START.ledger      the ledger
 *   NAME.PID.START.ledger.N    snapshot N, complete when it appears (written as .ledger.N.part)
 *   PID.START.spool/           ledgers and snapshots made after the process changed its user
 * A process that can use no directory keeps its ledger in a memfd named BL_MEMFD_NAME, which is
 * found in /proc/PID/fd while it runs. */
#define BL_MEMFD_NAME    "bufleak-ledger"
#define BL_LEDGER_SUFFIX ".ledger"
#define BL_SPOOL_SUFFIX  ".spool"

#endif
