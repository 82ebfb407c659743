package leaky;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.PooledByteBufAllocator;

/**
 * Takes and gives back some hundred buffers, and keeps a reference to seven. Then it goes on without
 * a mistake until those are much older than any buffer has become that was given back.
 */
public final class Leaky {
    private static final int LEAKS = 7;

    public static void main(String[] args) {
        long longest = 0;
        int number = 0;
        for (; number < 100 * LEAKS; number++)
            longest = Math.max(longest, serve(number));
        for (long end = System.nanoTime() + 4 * longest; System.nanoTime() < end; number++)
            serve(number);
        System.out.println("served, told " + System.getProperty("told"));
    }

    private static long serve(int number) {
        long start = System.nanoTime();
        ByteBuf body = PooledByteBufAllocator.DEFAULT.directBuffer(256);
        body.writeInt(number);
        look(body, number);
        body.release();
        return System.nanoTime() - start;
    }

    private static void look(ByteBuf body, int number) {
        ByteBuf kept = body.retain(); // kept here
        if (number >= 100 * LEAKS || number % 100 != 50)
            kept.release();
    }
}
