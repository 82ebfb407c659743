package deployed;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.PooledByteBufAllocator;

/**
 * Takes two references to each buffer in one method, and forgets the second one of each hundredth.
 * Argument: "clean" if it is to forget none.
 */
public final class Deployed {
    private static final int BUFFERS = 2000;

    private Deployed() {}

    private static void look(ByteBuf body, boolean forgets) {
        body.retain();
        body.release();
        body.retain(); // forgotten here
        if (!forgets)
            body.release();
    }

    public static void work(boolean leaking) {
        for (int i = 0; i < BUFFERS; i++) {
            ByteBuf body = PooledByteBufAllocator.DEFAULT.directBuffer(256).writeInt(i);
            look(body, leaking && i < BUFFERS / 2 && i % 100 == 50);
            body.release();
        }
    }

    public static void main(String[] args) {
        work(args.length == 0);
        System.out.println("done");
    }
}
