package churn;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.PooledByteBufAllocator;
import java.util.function.IntUnaryOperator;

/** Comes to the same few operations by many ways. */
public final class Work implements IntUnaryOperator {
    private static final int TIMES = 400;

    @Override
    public int applyAsInt(int seed) {
        int sum = 0;
        for (int i = 0; i < TIMES; i++)
            sum += serve(seed * 31 + i);
        return sum;
    }

    private int serve(int number) {
        ByteBuf body = PooledByteBufAllocator.DEFAULT.heapBuffer(64);
        try {
            body.writeInt(number);
            return descend(body, number & 7, number >>> 3);
        } finally {
            body.release();
        }
    }

    private int descend(ByteBuf body, int depth, int way) {
        if (depth == 0)
            return look(body);
        return (way & 1) == 0 ? left(body, depth - 1, way >> 1) : right(body, depth - 1, way >> 1);
    }

    private int left(ByteBuf body, int depth, int way) {
        ByteBuf kept = body.retain();
        int found = descend(kept, depth, way);
        kept.release();
        return found;
    }

    private int right(ByteBuf body, int depth, int way) {
        return descend(body, depth, way);
    }

    private int look(ByteBuf body) {
        ByteBuf part = body.retainedSlice(0, 4);
        int found = part.readInt();
        part.release();
        return found;
    }
}
