package gw.filters;

import gw.Exchange;
import gw.Filter;
import io.netty.buffer.ByteBuf;

/** Correct. */
public final class LogFilter implements Filter {
    @Override
    public void apply(Exchange exchange) {
        ByteBuf line = exchange.body().alloc().buffer(128);
        line.writeLong(exchange.number);
        line.writeInt(exchange.body().readableBytes());
        line.release();
    }
}
