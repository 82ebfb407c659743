package gw;

import io.netty.buffer.ByteBuf;
import io.netty.handler.codec.http.FullHttpRequest;

/** A request on its way through the filters. */
public final class Exchange {
    public final FullHttpRequest request;
    /** Counts from 1, over all connections. */
    public final long number;

    Exchange(FullHttpRequest request, long number) {
        this.request = request;
        this.number = number;
    }

    public ByteBuf body() {
        return request.content();
    }
}
