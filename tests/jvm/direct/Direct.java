import java.lang.management.BufferPoolMXBean;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;

/**
 * Takes direct memory: "keep N BYTES", "churn N BYTES", "threads N BYTES" on stdin; after each what
 * the machine's own bean of the pool says. The end of stdin ends it.
 */
public final class Direct {
    private static final List<ByteBuffer> KEPT = new ArrayList<>();

    static ByteBuffer take(int bytes) {
        return ByteBuffer.allocateDirect(bytes); // taken here
    }

    static void keep(int count, int bytes) {
        for (int i = 0; i < count; i++) {
            ByteBuffer buffer = take(bytes); // kept here
            synchronized (KEPT) {
                KEPT.add(buffer);
            }
        }
    }

    private static void churn(int count, int bytes) {
        for (int i = 0; i < count; i++) {
            take(bytes).put(0, (byte) 1);
            if (i % 8 == 7)
                System.gc(); // what is no longer reachable is freed by its cleaner
        }
    }

    private static void threads(int count, int bytes) throws InterruptedException {
        Thread[] threads = new Thread[4];
        for (int i = 0; i < threads.length; i++) {
            threads[i] = new Thread(() -> keep(count, bytes));
            threads[i].start();
        }
        for (Thread thread : threads)
            thread.join();
    }

    private static long pool() {
        for (BufferPoolMXBean pool : ManagementFactory.getPlatformMXBeans(BufferPoolMXBean.class))
            if (pool.getName().equals("direct"))
                return pool.getMemoryUsed();
        return -1;
    }

    public static void main(String[] args) throws Exception {
        java.io.BufferedReader lines =
            new java.io.BufferedReader(new java.io.InputStreamReader(System.in));
        String line;
        System.out.println("ready");
        while ((line = lines.readLine()) != null) {
            String[] words = line.split(" ");
            int count = Integer.parseInt(words[1]);
            int bytes = Integer.parseInt(words[2]);
            if (words[0].equals("keep"))
                keep(count, bytes);
            else if (words[0].equals("churn"))
                churn(count, bytes);
            else
                threads(count, bytes);
            System.out.println("pool=" + pool());
        }
    }
}
