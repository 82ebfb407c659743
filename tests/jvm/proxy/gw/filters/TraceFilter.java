package gw.filters;

import gw.Exchange;
import gw.Filter;
import io.netty.buffer.ByteBuf;

/** Correct. */
public final class TraceFilter implements Filter {
    @Override
    public void apply(Exchange exchange) {
        ByteBuf head = exchange.body().retainedSlice(0, Math.min(16, exchange.body().readableBytes()));
        exchange.request.headers().set("x-trace", head.readableBytes());
        head.release();
    }
}
