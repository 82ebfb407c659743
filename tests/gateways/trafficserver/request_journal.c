/*
 * A plugin for Apache Traffic Server that keeps a journal of requests and marks each answer, and
 * that forgets two things on two paths. The tests load it into the distribution's traffic_server
 * and ask bufleak which.
 *
 * The journal is in a few hundred long-lived buffers, one for each place that a request's path can
 * hash to. A request takes a reader of its buffer, writes its path there, and at its end sees by
 * the reader what was written meanwhile, and frees it. The mark is a field of a header that was
 * made once: each answer looks it up and gets a copy.
 *
 * It also calls what else of the API gives and takes references, and gives all of that back: at its
 * start what makes headers, URLs and readers, and for each answer what walks the fields of what was
 * sent to the origin and came from there.
 *
 * The defects. A client that sends "Cache-Control: no-store" does not want to be journaled: the
 * plugin returns without freeing the reader. One that sends "X-Plain" wants no mark: the plugin
 * returns without releasing the field that it has looked up. Buffer and header live as long as the
 * server, so nothing ends either. With REQUEST_JOURNAL_FIXED both are given back there.
 *
 * Runs in all of the server's threads; one lock for what they share.
 */
#include <ts/ts.h>

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#define PLUGIN_NAME "request_journal"
#define MARK        "X-Journaled"
#define PLACES      1024 /* a buffer has five readers at most */
#define TRIALS      10   /* of what makes headers, URLs and readers */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* all below */
static TSIOBuffer journal[PLACES];
static TSMBuffer marks;
static TSMLoc marks_header;
static int reader_index; /* of a transaction's argument */

/* ---- requests ---- */

static bool has_field(TSMBuffer buffer, TSMLoc header, const char *name, const char *value)
{
    TSMLoc field = TSMimeHdrFieldFind(buffer, header, name, -1);
    bool has = field != TS_NULL_MLOC;

    if (has && value != NULL) {
        int length;
        const char *text = TSMimeHdrFieldValueStringGet(buffer, header, field, 0, &length);
        has = text != NULL && length == (int)strlen(value) &&
              strncasecmp(text, value, (size_t)length) == 0;
    }
    if (field != TS_NULL_MLOC) {
        TSHandleMLocRelease(buffer, header, field);
    }
    return has;
}

static bool client_says(TSHttpTxn txn, const char *name, const char *value)
{
    TSMBuffer buffer;
    TSMLoc header;
    bool says;

    if (TSHttpTxnClientReqGet(txn, &buffer, &header) != TS_SUCCESS) {
        return false;
    }
    says = has_field(buffer, header, name, value);
    TSHandleMLocRelease(buffer, TS_NULL_MLOC, header);
    return says;
}

/* Paths that end in a number have the place of that number. */
static unsigned place_of(const char *path, int length)
{
    unsigned place = 0;

    for (int i = 0; i < length; i++) {
        place = path[i] >= '0' && path[i] <= '9' ? place * 10 + (unsigned)(path[i] - '0') : 0;
    }
    return place % PLACES;
}

static TSIOBufferReader enter(const char *path, int length)
{
    TSIOBufferReader reader;
    TSIOBuffer buffer;

    pthread_mutex_lock(&lock);
    buffer = journal[place_of(path, length)];
    reader = TSIOBufferReaderAlloc(buffer); /* reader born here */
    TSIOBufferWrite(buffer, path, length);
    pthread_mutex_unlock(&lock);
    return reader;
}

static void begin_request(TSHttpTxn txn)
{
    TSMBuffer buffer;
    TSMLoc header;
    TSMLoc url;

    if (TSHttpTxnClientReqGet(txn, &buffer, &header) != TS_SUCCESS) {
        return;
    }
    if (TSHttpHdrUrlGet(buffer, header, &url) == TS_SUCCESS) {
        int length;
        const char *path = TSUrlPathGet(buffer, url, &length);
        TSUserArgSet(txn, reader_index, enter(path, length));
        TSHandleMLocRelease(buffer, header, url);
    }
    TSHandleMLocRelease(buffer, TS_NULL_MLOC, header);
}

static void leave(TSIOBufferReader reader)
{
    pthread_mutex_lock(&lock);
    TSIOBufferReaderConsume(reader, TSIOBufferReaderAvail(reader));
    TSIOBufferReaderFree(reader); /* reader freed here */
    pthread_mutex_unlock(&lock);
}

static void end_request(TSHttpTxn txn)
{
    TSIOBufferReader reader = TSUserArgGet(txn, reader_index);

    if (reader == NULL) {
        return;
    }
    if (client_says(txn, "Cache-Control", "no-store")) {
#ifdef REQUEST_JOURNAL_FIXED
        leave(reader);
#endif
        return;
    }
    leave(reader);
}

/* ---- answers ---- */

static void copy_mark(TSMBuffer buffer, TSMLoc header, TSMLoc mark)
{
    TSMLoc field;

    if (TSMimeHdrFieldCreate(buffer, header, &field) != TS_SUCCESS) {
        return;
    }
    TSMimeHdrFieldCopy(buffer, header, field, marks, marks_header, mark);
    TSMimeHdrFieldAppend(buffer, header, field);
    TSHandleMLocRelease(buffer, header, field);
}

static void mark_answer(TSHttpTxn txn)
{
    bool is_plain = client_says(txn, "X-Plain", NULL);
    TSMBuffer buffer;
    TSMLoc header;
    TSMLoc mark;

    pthread_mutex_lock(&lock);
    mark = TSMimeHdrFieldFind(marks, marks_header, MARK, -1); /* mark looked up here */
    if (is_plain) {
#ifdef REQUEST_JOURNAL_FIXED
        TSHandleMLocRelease(marks, marks_header, mark);
#endif
        pthread_mutex_unlock(&lock);
        return;
    }
    if (TSHttpTxnClientRespGet(txn, &buffer, &header) == TS_SUCCESS) {
        copy_mark(buffer, header, mark);
        TSHandleMLocRelease(buffer, TS_NULL_MLOC, header);
    }
    TSHandleMLocRelease(marks, marks_header, mark); /* mark released here */
    pthread_mutex_unlock(&lock);
}

/* ---- the rest of the API ---- */

static unsigned walk_fields(TSMBuffer buffer, TSMLoc header)
{
    TSMLoc field = TSMimeHdrFieldGet(buffer, header, 0);
    unsigned count = 0;

    while (field != TS_NULL_MLOC) {
        TSMLoc next = TSMimeHdrFieldNext(buffer, header, field);
        TSMLoc same = TSMimeHdrFieldNextDup(buffer, header, field);
        if (same != TS_NULL_MLOC) {
            TSHandleMLocRelease(buffer, header, same);
        }
        TSHandleMLocRelease(buffer, header, field);
        field = next;
        count++;
    }
    return count;
}

static void look_around(TSHttpTxn txn)
{
    TSMBuffer buffer;
    TSMLoc part;

    if (TSHttpTxnServerReqGet(txn, &buffer, &part) == TS_SUCCESS) {
        if (walk_fields(buffer, part) == 0) {
            TSError("[%s] a request without fields was sent", PLUGIN_NAME);
        }
        TSHandleMLocRelease(buffer, TS_NULL_MLOC, part);
    }
    if (TSHttpTxnServerRespGet(txn, &buffer, &part) == TS_SUCCESS) {
        walk_fields(buffer, part);
        TSHandleMLocRelease(buffer, TS_NULL_MLOC, part);
    }
    if (TSHttpTxnPristineUrlGet(txn, &buffer, &part) == TS_SUCCESS) {
        TSHandleMLocRelease(buffer, TS_NULL_MLOC, part);
    }
}

static void make_and_end(void)
{
    TSMBuffer buffer = TSMBufferCreate();
    TSIOBuffer journey = TSIOBufferCreate();
    TSIOBufferReader reader = TSIOBufferReaderAlloc(journey); /* ends with its buffer */
    TSMLoc parts[4] = {TSHttpHdrCreate(buffer)};

    TSIOBufferReaderFree(TSIOBufferReaderClone(reader));
    TSIOBufferDestroy(journey);
    TSHttpHdrTypeSet(buffer, parts[0], TS_HTTP_TYPE_REQUEST);
    TSHttpHdrClone(buffer, buffer, parts[0], &parts[1]);
    TSUrlCreate(buffer, &parts[2]);
    TSUrlClone(buffer, buffer, parts[2], &parts[3]);
    for (unsigned i = 0; i < 4; i++) {
        TSHandleMLocRelease(buffer, TS_NULL_MLOC, parts[i]);
    }
    TSMBufferDestroy(buffer);
}

static int on_event(TSCont continuation, TSEvent event, void *data)
{
    TSHttpTxn txn = data;

    (void)continuation;
    if (event == TS_EVENT_HTTP_READ_REQUEST_HDR) {
        begin_request(txn);
    } else if (event == TS_EVENT_HTTP_SEND_RESPONSE_HDR) {
        mark_answer(txn);
        look_around(txn);
    } else if (event == TS_EVENT_HTTP_TXN_CLOSE) {
        end_request(txn);
    }
    TSHttpTxnReenable(txn, TS_EVENT_HTTP_CONTINUE);
    return 0;
}

/* ---- start ---- */

static bool make_mark(void)
{
    TSMLoc field;

    marks = TSMBufferCreate();
    if (TSMimeHdrCreate(marks, &marks_header) != TS_SUCCESS ||
        TSMimeHdrFieldCreateNamed(marks, marks_header, MARK, -1, &field) != TS_SUCCESS) {
        return false;
    }
    TSMimeHdrFieldValueStringSet(marks, marks_header, field, -1, "yes", 3);
    TSMimeHdrFieldAppend(marks, marks_header, field);
    TSHandleMLocRelease(marks, marks_header, field);
    return true;
}

void TSPluginInit(int argc, const char *argv[])
{
    TSPluginRegistrationInfo info = {PLUGIN_NAME, "bufleak", "bufleak"};
    TSCont continuation;

    (void)argc;
    (void)argv;
    if (TSPluginRegister(&info) != TS_SUCCESS || !make_mark() ||
        TSUserArgIndexReserve(TS_USER_ARGS_TXN, PLUGIN_NAME, "the request's reader",
                              &reader_index) != TS_SUCCESS) {
        TSError("[%s] cannot start", PLUGIN_NAME);
        return;
    }
    for (unsigned i = 0; i < PLACES; i++) {
        journal[i] = TSIOBufferSizedCreate(TS_IOBUFFER_SIZE_INDEX_128);
    }
    for (unsigned i = 0; i < TRIALS; i++) {
        make_and_end();
    }
    continuation = TSContCreate(on_event, NULL);
    TSHttpHookAdd(TS_HTTP_READ_REQUEST_HDR_HOOK, continuation);
    TSHttpHookAdd(TS_HTTP_SEND_RESPONSE_HDR_HOOK, continuation);
    TSHttpHookAdd(TS_HTTP_TXN_CLOSE_HOOK, continuation);
}
