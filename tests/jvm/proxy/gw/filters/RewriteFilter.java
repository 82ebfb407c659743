package gw.filters;

import gw.Exchange;
import gw.Filter;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;

/** Correct. */
public final class RewriteFilter implements Filter {
    @Override
    public void apply(Exchange exchange) {
        ByteBuf prefix = exchange.body().alloc().directBuffer(32);
        ByteBuf both = Unpooled.wrappedBuffer(prefix.writeZero(8), exchange.body().retain());
        exchange.request.headers().set("x-size", both.readableBytes());
        both.release();
    }
}
