package buffers;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.PooledByteBufAllocator;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;

/**
 * Threads that have a buffer each, all at once, and end one by one: every tenth has left out its
 * release. No order of births and ends tells these from buffers that are in use. Arguments: threads,
 * "platform" or "virtual"; how many.
 */
public final class Together {
    private Together() {}

    private static void serve(int number, CountDownLatch all) {
        ByteBuf body = PooledByteBufAllocator.DEFAULT.directBuffer(128).writeInt(number); // left out
        all.countDown();
        try {
            all.await();
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
        if (number % 10 != 0)
            body.release();
    }

    private static Thread start(boolean virtual, Runnable task) throws Exception {
        if (virtual)
            return (Thread) Thread.class.getMethod("startVirtualThread", Runnable.class).invoke(null, task);
        Thread thread = new Thread(task);
        thread.start();
        return thread;
    }

    public static void main(String[] args) throws Exception {
        int count = Integer.parseInt(args[1]);
        CountDownLatch all = new CountDownLatch(count);
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            int number = i;
            threads.add(start(args[0].equals("virtual"), () -> serve(number, all)));
        }
        for (Thread thread : threads)
            thread.join();
    }
}
