package io.grpc;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufAllocator;

/** Stands for a library that makes buffers for its callers: it is theirs to release them. */
public final class Framework {
    private Framework() {}

    public static ByteBuf read(ByteBufAllocator from) {
        return from.directBuffer(64).writeInt(1);
    }
}
