import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;

/**
 * Takes direct memory by ever new ways: "pass FROM COUNT" on stdin goes each of COUNT ways and keeps
 * every 499th buffer, of a size that says which way it went; answers how many are kept, "kept=N".
 * Others are left to the collector.
 */
public final class Rotate {
    private static final int BITS = 18;
    private static final int KEEP_EACH = 499;
    private static final int LEAST = 65536; // of class java-direct
    private static final List<ByteBuffer> KEPT = new ArrayList<>();

    static ByteBuffer turnLeft(int way, int bits, int bytes) {
        return take(way, bits, bytes);
    }

    static ByteBuffer turnRight(int way, int bits, int bytes) {
        return take(way, bits, bytes);
    }

    /** The lowest bit first: it is the outermost turn. */
    static ByteBuffer take(int way, int bits, int bytes) {
        if (bits == 0)
            return ByteBuffer.allocateDirect(bytes);
        if ((way & 1) != 0)
            return turnRight(way >> 1, bits - 1, bytes);
        return turnLeft(way >> 1, bits - 1, bytes);
    }

    private static void pass(int from, int count) {
        for (int i = 0; i < count; i++) {
            int way = (from + i) & ((1 << BITS) - 1);
            boolean keeps = i % KEEP_EACH == 0;
            ByteBuffer buffer = take(way, BITS, LEAST + (keeps ? way + 1 : 0));
            if (keeps)
                KEPT.add(buffer);
            if (i % 1000 == 999)
                System.gc(); // what is no longer reachable is freed by its cleaner
        }
    }

    public static void main(String[] args) throws Exception {
        java.io.BufferedReader lines =
            new java.io.BufferedReader(new java.io.InputStreamReader(System.in));
        String line;
        System.out.println("ready");
        while ((line = lines.readLine()) != null) {
            String[] words = line.split(" ");
            pass(Integer.parseInt(words[1]), Integer.parseInt(words[2]));
            System.out.println("kept=" + KEPT.size());
        }
    }
}
