package buffers;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufAllocator;
import io.netty.buffer.CompositeByteBuf;
import io.netty.buffer.PooledByteBufAllocator;
import io.netty.buffer.Unpooled;
import io.netty.buffer.UnpooledByteBufAllocator;
import io.netty.buffer.UnpooledHeapByteBuf;
import io.netty.util.IllegalReferenceCountException;
import io.opentelemetry.Observed;
import java.lang.reflect.Method;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.FutureTask;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.TimeUnit;

/**
 * Ways of keeping a buffer too long or giving it back too often, each in one request of ten, and ways
 * that only look so. The lines that are to be named end with a mark, which is the name of the case.
 * Says for each case how often it was wrong. Arguments: threads, "platform" or "virtual".
 */
public final class Corpus {
    static final int REQUESTS = 400;
    static final int BAD_EVERY = 10;

    private static final ByteBufAllocator ANY = ByteBufAllocator.DEFAULT;
    private static final ByteBufAllocator POOLED = PooledByteBufAllocator.DEFAULT;
    private static final ByteBufAllocator UNPOOLED = UnpooledByteBufAllocator.DEFAULT;
    /* constants, as Netty and its users have them */
    private static final ByteBuf CRLF = Unpooled.copiedBuffer(new byte[] {13, 10});
    private static final boolean OLD = Boolean.getBoolean("buffers.old");
    private static final ByteBuf SHARED = Unpooled.unreleasableBuffer(POOLED.directBuffer(16).writeInt(7));
    private static final Map<Integer, ByteBuf> SESSIONS = new HashMap<>();

    interface Case {
        void serve(int number, boolean bad) throws Exception;
    }

    // ---- wrong ----

    private static void retained(ByteBufAllocator from, boolean bad) {
        ByteBuf body = from.directBuffer(128).writeInt(1);
        ByteBuf again = body.retain(); // @retained
        if (!bad)
            again.release();
        body.release();
    }

    private static void pooledEarly(boolean bad) {
        ByteBuf body = POOLED.heapBuffer(200); // @pooled-early
        if (bad)
            return;
        body.release();
    }

    private static void unpooledEarly(boolean bad) {
        ByteBuf body = UNPOOLED.heapBuffer(201); // @unpooled-early
        if (bad)
            return;
        body.release();
    }

    private static void unpooledDirect(boolean bad) {
        ByteBuf body = UNPOOLED.directBuffer(202); // @unpooled-direct
        if (bad)
            return;
        body.release();
    }

    private static void wrapped(boolean bad) {
        ByteBuf body = Unpooled.wrappedBuffer(new byte[203]); // @wrapped
        if (bad)
            return;
        body.release();
    }

    private static void framework(boolean bad) {
        ByteBuf body = Observed.read(POOLED); // @framework
        if (bad)
            return;
        body.release();
    }

    private static void sliced(boolean bad) {
        ByteBuf body = POOLED.directBuffer(64).writeLong(1);
        ByteBuf part = body.retainedSlice(0, 4); // @sliced
        body.release();
        if (!bad)
            part.release();
    }

    private static void slicedUnpooled(boolean bad) {
        ByteBuf body = UNPOOLED.directBuffer(64).writeLong(1);
        ByteBuf part = body.retainedSlice(0, 4); // @sliced-unpooled
        body.release();
        if (!bad)
            part.release();
    }

    private static void duplicated(boolean bad) {
        ByteBuf body = ANY.directBuffer(64).writeLong(1);
        ByteBuf part = body.retainedDuplicate(); // @duplicated
        body.release();
        if (!bad)
            part.release();
    }

    private static void readSlice(boolean bad) {
        ByteBuf body = ANY.heapBuffer(64).writeLong(1);
        ByteBuf part = body.readRetainedSlice(4); // @read-slice
        body.release();
        if (!bad)
            part.release();
    }

    private static void sliceOfSlice(boolean bad) {
        ByteBuf body = ANY.directBuffer(64).writeLong(1);
        ByteBuf part = body.slice(0, 6).duplicate().retainedSlice(1, 2); // @slice-of-slice
        body.release();
        if (!bad)
            part.release();
    }

    private static void composed(boolean bad) {
        CompositeByteBuf both = ANY.compositeBuffer(4); // @composed
        both.addComponent(true, ANY.directBuffer(32).writeLong(1));
        both.addComponent(true, ANY.heapBuffer(32).writeLong(2));
        if (!bad)
            both.release();
    }

    private static void component(boolean bad) {
        ByteBuf head = ANY.directBuffer(32).writeLong(1); // @component
        CompositeByteBuf both = ANY.compositeBuffer(4);
        both.addComponent(true, head.retain());
        both.release();
        if (!bad)
            head.release();
    }

    private static void several(boolean bad) {
        ByteBuf body = ANY.directBuffer(48).writeInt(1);
        body.retain(3); // @several
        body.release(bad ? 2 : 3);
        body.release();
    }

    private static void thrown(boolean bad) {
        ByteBuf body = ANY.directBuffer(96); // @thrown
        try {
            check(bad);
            body.release();
        } catch (IllegalArgumentException e) {
            // the body is forgotten
        }
    }

    private static void check(boolean bad) {
        if (bad)
            throw new IllegalArgumentException("refused");
    }

    private static void session(int number, boolean bad) {
        ByteBuf body = ANY.heapBuffer(72).writeInt(number);
        SESSIONS.put(number, body.retain()); // @session
        if (!bad)
            SESSIONS.remove(number).release();
        body.release();
    }

    private static void grown(boolean bad) {
        ByteBuf body = POOLED.heapBuffer(16); // @grown
        body.writeBytes(new byte[8192]);
        if (!bad)
            body.release();
    }

    private static void twice(boolean bad) {
        ByteBuf body = UNPOOLED.heapBuffer(40).writeInt(1);
        body.release();
        if (!bad)
            return;
        try {
            body.release(); // @twice
        } catch (IllegalReferenceCountException e) {
            // as the program's own handler would
        }
    }

    /** The next stage gives the caller's reference back; the own one goes with what is done later. */
    private static void mirrored(ExecutorService other, boolean bad) throws Exception {
        ByteBuf body = ANY.directBuffer(96).writeInt(1);
        mirror(other, body, bad);
    }

    private static void mirror(ExecutorService other, ByteBuf body, boolean bad) throws Exception {
        ByteBuf copy = body.retain(); // @mirrored
        Future<?> sent = later(other, () -> {
            if (!bad)
                copy.release();
        });
        lastStage(body);
        sent.get();
    }

    private static void lastStage(ByteBuf body) {
        body.release();
    }

    private static Future<?> later(ExecutorService other, Runnable task) {
        FutureTask<?> made = new FutureTask<>(task, null);
        if (other == null)
            made.run();
        else
            other.execute(made);
        return made;
    }

    // ---- right ----

    private static void passedOn(ExecutorService other, int number) throws Exception {
        ByteBuf body = ANY.directBuffer(80).writeInt(number);
        other.submit(() -> body.release()).get();
    }

    private static void views(int number) {
        ByteBuf body = ANY.directBuffer(80).writeLong(number);
        ByteBuf view = body.slice().duplicate().asReadOnly();
        view.retain();
        view.release();
        body.order(java.nio.ByteOrder.BIG_ENDIAN).release();
    }

    private static void counts() {
        ByteBuf body = ANY.heapBuffer(80).writeInt(1);
        body.retain(5);
        body.release(2);
        body.retain();
        body.release(4);
        body.release();
    }

    private static void shrunk(int number) {
        ByteBuf body = ANY.directBuffer(8192).writeInt(number);
        body.capacity(16);
        body.capacity(4096);
        body.release();
    }

    private static void constants() {
        CRLF.duplicate().readByte();
        if (!OLD) /* the first versions never released what such a view had retained */
            SHARED.retainedDuplicate().release();
        Unpooled.EMPTY_BUFFER.retain().release();
    }

    /** Left to the garbage collector, as Vert.x does with what it keeps on the heap. */
    static final class Collected extends UnpooledHeapByteBuf {
        Collected() {
            super(UNPOOLED, 96, 96);
        }

        @Override
        public ByteBuf retain() {
            return this;
        }

        @Override
        public ByteBuf retain(int increment) {
            return this;
        }

        @Override
        public boolean release() {
            return false;
        }

        @Override
        public boolean release(int decrement) {
            return false;
        }
    }

    private static void collected(int number) {
        ByteBuf body = new Collected().writeInt(number);
        body.retain().release();
        body.slice(0, 2).release();
    }

    private static void compositeOfMany() {
        CompositeByteBuf all = ANY.compositeBuffer(4);
        for (int i = 0; i < 8; i++) /* the fifth makes it one */
            all.addComponent(true, ANY.directBuffer(16).writeInt(i));
        all.discardReadComponents();
        all.readRetainedSlice(6).release();
        ByteBuf first = all.component(0).retain();
        all.release();
        first.release();
    }

    private static Map<String, Case> cases(ExecutorService other) {
        Map<String, Case> all = new HashMap<>();
        all.put("retained", (n, bad) -> retained(n % 2 == 0 ? POOLED : UNPOOLED, bad));
        all.put("pooled-early", (n, bad) -> pooledEarly(bad));
        all.put("unpooled-early", (n, bad) -> unpooledEarly(bad));
        all.put("unpooled-direct", (n, bad) -> unpooledDirect(bad));
        all.put("wrapped", (n, bad) -> wrapped(bad));
        all.put("framework", (n, bad) -> framework(bad));
        all.put("sliced", (n, bad) -> sliced(bad));
        all.put("sliced-unpooled", (n, bad) -> slicedUnpooled(bad));
        all.put("duplicated", (n, bad) -> duplicated(bad));
        all.put("read-slice", (n, bad) -> readSlice(bad));
        all.put("slice-of-slice", (n, bad) -> sliceOfSlice(bad));
        all.put("composed", (n, bad) -> composed(bad));
        all.put("component", (n, bad) -> component(bad));
        all.put("several", (n, bad) -> several(bad));
        all.put("thrown", (n, bad) -> thrown(bad));
        all.put("session", Corpus::session);
        all.put("grown", (n, bad) -> grown(bad));
        all.put("mirrored", (n, bad) -> mirrored(other, bad));
        all.put("twice", (n, bad) -> twice(bad));
        all.put("", (n, bad) -> {
            if (other != null)
                passedOn(other, n);
            views(n);
            counts();
            shrunk(n);
            constants();
            collected(n);
            compositeOfMany();
        });
        return all;
    }

    /** Each case by turns, so that all are as old as the others. Returns the longest request's time. */
    private static long serve(Map<String, Case> cases, int number, boolean bad, Map<String, Integer> wrong)
            throws Exception {
        long longest = 0;
        for (Map.Entry<String, Case> one : cases.entrySet()) {
            boolean isWrong = bad && !one.getKey().isEmpty();
            long start = System.nanoTime();
            one.getValue().serve(number, isWrong);
            longest = Math.max(longest, System.nanoTime() - start);
            if (isWrong)
                wrong.merge(one.getKey(), 1, Integer::sum);
        }
        return longest;
    }

    private static Map<String, Integer> work(int requests, ExecutorService other) {
        Map<String, Case> cases = cases(other);
        Map<String, Integer> wrong = new HashMap<>();
        try {
            long longest = 0;
            for (int i = 1; i <= requests; i++)
                longest = Math.max(longest, serve(cases, i, i % BAD_EVERY == 5 || i % (2 * BAD_EVERY) == 0, wrong));
            // what was forgotten becomes much older than what was given back
            for (long end = System.nanoTime() + 4 * longest; System.nanoTime() < end; )
                serve(cases, 1 << 20, false, wrong);
        } catch (Exception e) {
            throw new IllegalStateException(e);
        }
        return wrong;
    }

    private static ThreadFactory factory(boolean virtual) throws Exception {
        if (!virtual)
            return task -> {
                Thread thread = new Thread(task, "worker-7");
                thread.setDaemon(true);
                return thread;
            };
        Object builder = Thread.class.getMethod("ofVirtual").invoke(null);
        Class<?> type = Class.forName("java.lang.Thread$Builder");
        builder = type.getMethod("name", String.class).invoke(builder, "worker-7");
        Method make = type.getMethod("factory");
        return (ThreadFactory) make.invoke(builder);
    }

    public static void main(String[] args) throws Exception {
        boolean virtual = args[0].equals("virtual");
        ExecutorService workers = Executors.newSingleThreadExecutor(factory(virtual));
        ExecutorService other = virtual ? null : Executors.newSingleThreadExecutor(task -> {
            Thread thread = new Thread(task, "other");
            thread.setDaemon(true);
            return thread;
        });
        Map<String, Integer> wrong = workers.submit(() -> work(REQUESTS, other)).get();
        workers.shutdown();
        workers.awaitTermination(1, TimeUnit.MINUTES);
        if (other != null)
            other.shutdown();
        StringBuilder said = new StringBuilder();
        for (Map.Entry<String, Integer> one : wrong.entrySet())
            said.append(one.getKey()).append('=').append(one.getValue()).append(' ');
        System.out.println(said);
    }
}
