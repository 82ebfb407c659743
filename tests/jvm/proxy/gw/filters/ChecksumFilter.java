package gw.filters;

import gw.Exchange;
import gw.Filter;
import io.netty.buffer.ByteBuf;

/** Correct. */
public final class ChecksumFilter implements Filter {
    @Override
    public void apply(Exchange exchange) {
        ByteBuf copy = exchange.body().retainedDuplicate();
        int sum = 0;
        while (copy.readableBytes() >= 8)
            sum ^= (int) copy.readLong();
        exchange.request.headers().set("x-checksum", sum);
        copy.release();
    }
}
