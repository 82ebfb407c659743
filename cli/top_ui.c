#include "top_ui.h"

#include "control.h"
#include "text.h"
#include "top_feed.h"

#define NCURSES_WIDECHAR 1
#include <curses.h>
#include <errno.h>
#include <langinfo.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wctype.h>

#define ANSWER_NS 3000000000ull /* how long to wait for a snapshot or a mark */
#define KEY_ESC   27
#define CTRL(c)   ((c)&0x1f)

enum input {
    INPUT_NONE,
    INPUT_FILTER,
    INPUT_MARK,
};

struct view {
    const struct bl_top_run *run;
    struct bl_top_feed *feed;
    struct bl_top_frame *frame; /* NULL: not yet */
    struct bl_top_wish wish;
    struct bl_top_ui ui;
    enum input input;
    char text[64]; /* being typed */
    bool has_colour;
    bool is_over;
    struct bl_error error; /* of the latest look; "" */
};

static volatile sig_atomic_t caught;

static void on_signal(int number)
{
    caught = number;
}

bool bl_top_ui_is_ascii(void)
{
    return strcmp(nl_langinfo(CODESET), "UTF-8") != 0;
}

/* ---- drawing ---- */

static attr_t attributes_of(const struct view *view, enum bl_style style)
{
    switch (style) {
    case BL_STYLE_BOLD:
        return A_BOLD;
    case BL_STYLE_DIM:
        return A_DIM;
    case BL_STYLE_BAD:
        return A_BOLD | (view->has_colour ? COLOR_PAIR(1) : 0);
    case BL_STYLE_PLAIN:
        break;
    }
    return A_NORMAL;
}

static void draw_canvas(const struct view *view, const struct bl_canvas *canvas)
{
    size_t count;
    const struct bl_canvas_piece *pieces = bl_canvas_pieces(canvas, &count);
    for (size_t i = 0; i < count; i++) {
        bool is_picked = bl_canvas_is_picked(canvas, pieces[i].row);
        attrset((int)(attributes_of(view, pieces[i].style)));
        mvaddstr((int)pieces[i].row, (int)pieces[i].column, pieces[i].text);
        if (is_picked)
            mvchgat((int)pieces[i].row, 0, -1, A_REVERSE, 0, NULL);
    }
    attrset(A_NORMAL);
}

static void draw(struct view *view)
{
    erase();
    if (!view->frame) {
        mvaddstr(0, 0, "reading the ledger");
        refresh();
        return;
    }
    struct bl_canvas *canvas = bl_canvas_create((size_t)COLS, (size_t)LINES);
    view->ui.prompt = view->input == INPUT_FILTER ? "filter: "
                      : view->input == INPUT_MARK ? "name of the mark: "
                                                  : NULL;
    view->ui.input = view->text;
    if (canvas) {
        bl_top_layout(canvas, view->frame, &view->ui);
        draw_canvas(view, canvas);
    }
    bl_canvas_destroy(canvas);
    refresh();
}

static void say(struct view *view, const char *text)
{
    snprintf(view->ui.status, sizeof(view->ui.status), "%s", text);
}

/* ---- what keys do ---- */

static void ask(struct view *view)
{
    view->wish.has_detail = view->ui.mode == BL_TOP_DETAIL;
    view->wish.detail = view->ui.picked;
    bl_top_feed_ask(view->feed, &view->wish);
}

/* Moves what is picked; from nothing, to the first or last place. */
static void move_pick(struct view *view, long by)
{
    size_t class_count;
    size_t count;
    const struct bl_top_row **rows = bl_top_list(view->frame, &view->ui, &class_count, &count);
    long at = -1;
    for (size_t i = 0; rows && i < count && view->ui.has_picked; i++)
        if (bl_top_key_equals(&rows[i]->key, &view->ui.picked))
            at = (long)i;
    if (rows && count > 0) {
        long to = at >= 0 ? at + by : (long)class_count + (by < 0 ? -1 : by > 1 ? by - 1 : 0);
        to = to < 0 ? 0 : to >= (long)count ? (long)count - 1 : to;
        view->ui.picked = rows[to]->key;
        if ((size_t)to < class_count)
            view->ui.first = 0; /* above the places */
        view->ui.has_picked = true;
    }
    free(rows);
}

static void open_picked(struct view *view)
{
    if (!view->ui.has_picked)
        move_pick(view, 1);
    if (!view->ui.has_picked)
        return;
    view->ui.mode = BL_TOP_DETAIL;
    view->ui.detail_first = 0;
    ask(view);
}

static void next_window(struct view *view)
{
    static const uint64_t windows_s[] = {60, 600, 3600, 86400, 0};
    size_t next = 0;
    for (size_t i = 0; i < sizeof(windows_s) / sizeof(windows_s[0]); i++)
        if (view->wish.window_ns == windows_s[i] * 1000000000u)
            next = (i + 1) % (sizeof(windows_s) / sizeof(windows_s[0]));
    view->wish.window_ns = windows_s[next] * 1000000000u;
    char age[BL_TEXT_NUMBER];
    char text[128];
    snprintf(text, sizeof(text), "the latest %s are shown", bl_text_age(age, view->wish.window_ns));
    say(view, windows_s[next] > 0 ? text : "all the time there is is shown");
    ask(view);
}

static void pause_or_go_on(struct view *view)
{
    view->ui.is_paused = !view->ui.is_paused;
    bl_top_feed_pause(view->feed, view->ui.is_paused);
    say(view, view->ui.is_paused ? "held; p goes on" : "");
}

/* The target as it is now; false when nobody can be asked any more. */
static bool find_running(struct view *view, struct bl_target *ret_target)
{
    *ret_target = *view->run->target;
    ret_target->is_running = bl_proc_find_writer(&ret_target->header, &ret_target->process);
    if (ret_target->header.snapshot_number > 0)
        say(view, "this is a snapshot: nobody can be asked");
    else if (!ret_target->is_running)
        say(view, "the program has ended: nobody can be asked");
    return ret_target->is_running && ret_target->header.snapshot_number == 0;
}

static void take_snapshot(struct view *view)
{
    struct bl_target target;
    struct bl_error error = {""};
    char *path = NULL;
    if (!find_running(view, &target))
        return;
    say(view, "asking for a snapshot");
    draw(view);
    int outcome = bl_control_request(&target, 0, ANSWER_NS, &path, &error);
    if (outcome == BL_CONTROL_NO_ANSWER)
        outcome = bl_control_copy(&target, &path, &error);
    snprintf(view->ui.status, sizeof(view->ui.status), "%s%s",
             outcome == 0 ? "snapshot " : error.text, outcome == 0 ? path : "");
    free(path);
}

static void set_mark(struct view *view, const char *name)
{
    struct bl_target target;
    struct bl_error error = {""};
    if (!find_running(view, &target))
        return;
    if (!bl_control_is_mark_name(name)) {
        say(view, "a mark's name: at most 47 bytes, no @, no leading #, not a number");
        return;
    }
    say(view, "asking for a mark");
    draw(view);
    int outcome = bl_control_mark(&target, name, ANSWER_NS, &error);
    if (outcome == BL_CONTROL_NO_ANSWER)
        say(view, "the program did not answer");
    else if (outcome < 0)
        say(view, error.text);
    else
        snprintf(view->ui.status, sizeof(view->ui.status), "marked \"%s\"", name);
}

static void finish_input(struct view *view)
{
    enum input input = view->input;
    view->input = INPUT_NONE;
    if (input == INPUT_FILTER)
        memcpy(view->ui.filter, view->text, sizeof(view->ui.filter));
    else if (*view->text)
        set_mark(view, view->text);
}

static void append_character(struct view *view, wint_t character)
{
    char bytes[MB_LEN_MAX + 1];
    mbstate_t state = {0};
    size_t length = wcrtomb(bytes, (wchar_t)character, &state);
    size_t used = strlen(view->text);
    if (!iswprint(character) || length == (size_t)-1 || used + length >= sizeof(view->text))
        return;
    memcpy(view->text + used, bytes, length);
    view->text[used + length] = '\0';
}

static void remove_character(struct view *view)
{
    size_t used = strlen(view->text);
    while (used > 0 && ((unsigned char)view->text[--used] & 0xc0) == 0x80)
        continue;
    view->text[used] = '\0';
}

static void type(struct view *view, bool is_special, wint_t key)
{
    bool is_backspace = is_special ? key == KEY_BACKSPACE : key == 127 || key == '\b';
    bool is_enter = is_special ? key == KEY_ENTER : key == '\n' || key == '\r';
    if (is_backspace)
        remove_character(view);
    else if (is_enter)
        finish_input(view);
    else if (!is_special && key == KEY_ESC)
        view->input = INPUT_NONE;
    else if (!is_special && key == CTRL('u'))
        view->text[0] = '\0';
    else if (!is_special)
        append_character(view, key);
}

static void begin_input(struct view *view, enum input input, const char *text)
{
    view->input = input;
    snprintf(view->text, sizeof(view->text), "%s", text);
    say(view, "");
}

static void go_back(struct view *view)
{
    if (view->ui.mode == BL_TOP_LIST)
        view->ui.filter[0] = '\0';
    view->ui.mode = BL_TOP_LIST;
    view->wish.has_detail = false;
    say(view, "");
    ask(view);
}

static void sort_by(struct view *view, enum bl_top_sort sort)
{
    char text[64];
    view->ui.sort = sort;
    view->ui.first = 0;
    view->ui.has_picked = false;
    snprintf(text, sizeof(text), "by %s", bl_top_sort_name(sort));
    say(view, text);
}

static void scroll_detail(struct view *view, long by)
{
    long to = (long)view->ui.detail_first + by;
    view->ui.detail_first = to > 0 ? (size_t)to : 0;
}

static void navigate(struct view *view, wint_t key)
{
    long page = (long)bl_top_site_rows(view->frame, (size_t)LINES);
    long by = key == KEY_UP      ? -1
              : key == KEY_DOWN  ? 1
              : key == KEY_PPAGE ? -page
              : key == KEY_NPAGE ? page
              : key == KEY_HOME  ? -100000
              : key == KEY_END   ? 100000
                                 : 0;
    if (key == KEY_ENTER)
        open_picked(view);
    else if (key == KEY_BACKSPACE)
        go_back(view);
    else if (by != 0 && view->ui.mode == BL_TOP_DETAIL)
        scroll_detail(view, by);
    else if (by != 0 && view->ui.mode == BL_TOP_LIST)
        move_pick(view, by);
}

static void sort_key(struct view *view, wint_t key)
{
    static const char letters[BL_TOP_SORTS] = {'b', 'c', 'r', 'v', 'n'};
    for (int i = 0; i < BL_TOP_SORTS; i++)
        if (key == (wint_t)letters[i])
            sort_by(view, (enum bl_top_sort)i);
    if (key == 's')
        sort_by(view, (enum bl_top_sort)((view->ui.sort + 1) % BL_TOP_SORTS));
}

static void press(struct view *view, wint_t key)
{
    switch (key) {
    case 'q':
        view->is_over = true;
        break;
    case '\n':
    case '\r':
        navigate(view, KEY_ENTER);
        break;
    case KEY_ESC:
        go_back(view);
        break;
    case 'k':
        navigate(view, KEY_UP);
        break;
    case 'j':
        navigate(view, KEY_DOWN);
        break;
    case '/':
        view->ui.mode = BL_TOP_LIST;
        begin_input(view, INPUT_FILTER, view->ui.filter);
        break;
    case 'p':
    case ' ':
        pause_or_go_on(view);
        break;
    case 'w':
        next_window(view);
        break;
    case 'd':
        take_snapshot(view);
        break;
    case 'm':
        begin_input(view, INPUT_MARK, "");
        break;
    case 'h':
    case '?':
        view->ui.mode = BL_TOP_HELP;
        break;
    case CTRL('l'):
        clearok(stdscr, TRUE);
        break;
    default:
        if (view->ui.mode == BL_TOP_LIST)
            sort_key(view, key);
    }
}

/* Until a first frame is there, one can leave. */
static void take_keys(struct view *view)
{
    wint_t key;
    int kind;
    while (!view->is_over && (kind = get_wch(&key)) != ERR) {
        bool is_special = kind == KEY_CODE_YES;
        if (is_special && key == KEY_RESIZE)
            continue;
        if (!view->frame)
            view->is_over = !is_special && key == 'q';
        else if (view->input != INPUT_NONE)
            type(view, is_special, key);
        else if (is_special)
            navigate(view, key);
        else
            press(view, key);
    }
}

/* ---- waiting ---- */

static void take_frame(struct view *view)
{
    struct bl_error error = {""};
    struct bl_top_frame *frame = bl_top_feed_take(view->feed, &error);
    if (*error.text) {
        view->error = error;
        say(view, error.text);
    }
    /* what was asked for of a held picture is still drawn */
    if (!frame)
        return;
    bl_top_frame_destroy(view->frame);
    view->frame = frame;
    view->error.text[0] = '\0';
}

/* False: the terminal is gone, or a signal says to end. */
static bool await(struct view *view, const sigset_t *while_waiting)
{
    struct pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                           {.fd = bl_top_feed_fd(view->feed), .events = POLLIN}};
    int ready = ppoll(fds, 2, NULL, while_waiting);
    if (caught)
        return false;
    if (ready < 0 && errno != EINTR)
        return false;
    if (ready > 0 && fds[0].revents & (POLLHUP | POLLERR | POLLNVAL))
        return false;
    if (ready > 0 && fds[1].revents & POLLIN)
        take_frame(view);
    /* after a signal, too: a new size arrives as a key */
    take_keys(view);
    return true;
}

static void restore_terminal(void)
{
    endwin();
}

static bool can_move_cursor(void)
{
    static char name[] = "cup";
    const char *how = tigetstr(name);
    return how && how != (const char *)-1; /* NOLINT(performance-no-int-to-ptr): its own words */
}

static bool open_terminal(struct view *view, SCREEN **ret_screen, struct bl_error *error)
{
    const char *no_colour = getenv("NO_COLOR");
    *ret_screen = newterm(NULL, stdout, stdin);
    /* A terminal whose cursor cannot be moved, such as "dumb", has an entry all the same. */
    if (*ret_screen && !can_move_cursor()) {
        endwin();
        delscreen(*ret_screen);
        *ret_screen = NULL;
    }
    if (!*ret_screen) {
        const char *kind = getenv("TERM");
        bl_error_set(error, "cannot use this terminal (TERM=%s); `bufleak top --once` needs none",
                     kind ? kind : "");
        return false;
    }
    cbreak();
    noecho();
    nonl();
    keypad(stdscr, TRUE);
    nodelay(stdscr, TRUE);
    set_escdelay(25);
    curs_set(0);
    view->has_colour = !(no_colour && *no_colour) && has_colors();
    if (view->has_colour) {
        start_color();
        use_default_colors();
        init_pair(1, COLOR_RED, -1);
    }
    bl_control_at_bus_error(restore_terminal);
    return true;
}

/* Signals are blocked but while it waits, so that none is missed in between. */
static void catch_signals(sigset_t *ret_old)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGWINCH);
    sigaddset(&blocked, SIGTSTP);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        sigaddset(&blocked, numbers[i]);
        sigaction(numbers[i], &action, NULL);
    }
    sigprocmask(SIG_BLOCK, &blocked, ret_old);
}

static int show(struct view *view, struct bl_error *error)
{
    SCREEN *screen;
    sigset_t old;
    catch_signals(&old);
    if (!open_terminal(view, &screen, error))
        return -1;
    do {
        draw(view);
        /* a ledger that cannot be read at all is no view */
        if (!view->frame && *view->error.text)
            view->is_over = true;
    } while (!view->is_over && await(view, &old));
    endwin();
    bl_control_at_bus_error(NULL);
    delscreen(screen);
    if (!view->frame && *view->error.text) {
        *error = view->error;
        return -1;
    }
    return caught == SIGINT ? 0 : caught;
}

int bl_top_ui_run(const struct bl_top_run *run, struct bl_error *error)
{
    struct view view = {.run = run,
                        .wish = {.window_ns = run->window_ns},
                        .ui = {.sort = run->sort, .is_ascii = bl_top_ui_is_ascii()}};
    int outcome = -1;
    if (run->filter)
        snprintf(view.ui.filter, sizeof(view.ui.filter), "%s", run->filter);
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
        bl_error_set(error, "top needs a terminal; `bufleak top --once` prints one frame");
    else if (bl_top_feed_create(&view.feed, run->target, run->model, run->interval_ns, &view.wish,
                                error) == 0)
        outcome = show(&view, error);
    bl_top_frame_destroy(view.frame);
    if (bl_top_feed_destroy(view.feed))
        bl_target_deinit(run->target);
    return outcome;
}
