package gw.filters;

import gw.Exchange;
import gw.Filter;
import gw.Planted;
import io.netty.buffer.ByteBuf;

/** Keeps the body for a second reading, and forgets to give some back. */
public final class CacheBodyFilter implements Filter {
    @Override
    public void apply(Exchange exchange) {
        ByteBuf copy = exchange.body().retain(); // cached here
        int sum = 0;
        for (int i = copy.readerIndex(); i < copy.writerIndex(); i += 64)
            sum += copy.getByte(i);
        exchange.request.headers().set("x-sum", sum);
        if (Planted.hits(exchange, 1)) {
            Planted.CACHED.incrementAndGet();
            return;
        }
        copy.release(); // given back here
    }
}
